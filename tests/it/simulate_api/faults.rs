//! What goes wrong when it is told to: with every call, and at every moment of it.

use std::time::{Duration, Instant};

use graphhook::simulate::api::{Cut, Fault, Operation};
use hyper::Method;
use serde_json::{Value, json};

use super::{SUBSCRIPTIONS, both};
use crate::support::api::{Stand, ahead, inbox};
use crate::support::https::Client;
use crate::support::issuer::{APP, TENANT};

#[tokio::test]
async fn a_cut_call_is_done_or_not_and_never_answered() {
    let (stand, receiver) = both().await;
    let token = stand.token().await;
    let body = inbox(&stand.api, &receiver.url("/n"), "state");
    for (cut, is_made) in [(Cut::Before, false), (Cut::During, true), (Cut::After, true)] {
        stand.api.forget();
        stand.api.fail(Fault::cut(Operation::Create, cut));
        let answered = stand.try_call(&token, Method::POST, SUBSCRIPTIONS, &body).await;
        assert!(answered.is_err(), "{cut:?}: {answered:?}");
        let made = stand.api.subscriptions();
        assert_eq!(made.len(), usize::from(is_made), "{cut:?}");
        let calls = stand.api.journal();
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].cut, calls[0].status), (Some(cut), is_made.then_some(201)));
        // The fault is spent.
        let after =
            stand.try_call(&token, Method::POST, SUBSCRIPTIONS, &body).await.expect("an answer").status;
        assert_eq!(after, if is_made { 409 } else { 201 }, "{cut:?}");
        for held in stand.api.subscriptions() {
            assert!(stand.api.lose(&held.id));
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_has_begun() {
    let stand = Stand::open().await;
    stand.api.fail(Fault::cut(Operation::Token, Cut::During));
    let form = format!(
        "client_id={APP}&client_secret=b&grant_type=client_credentials&scope=https://graph.microsoft.com/.default"
    );
    let mut raw = Client::new(stand.api.address(), &stand.files.path().join("api-ca.pem")).raw().await;
    let length = form.len();
    raw.send(format!(
        "POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{form}"
    ))
    .await;
    let said = String::from_utf8(raw.read_to_end().await).expect("text");
    let (head, body) = said.split_once("\r\n\r\n").expect("a head");
    let promised: usize = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .and_then(|length| length.parse().ok())
        .expect("a length");
    assert!(head.starts_with("HTTP/1.1 200") && !body.is_empty(), "{said}");
    assert_eq!(body.len(), promised / 2);
}

#[tokio::test]
async fn every_call_can_be_refused_with_any_status() {
    let (stand, receiver) = both().await;
    let token = stand.token().await;
    let made =
        stand.call(&token, Method::POST, SUBSCRIPTIONS, &inbox(&stand.api, &receiver.url("/n"), "s")).await;
    let path = format!("{SUBSCRIPTIONS}/{}", made.json()["id"].as_str().expect("an id"));
    receiver.posts();
    let patch = json!({ "expirationDateTime": ahead(&stand.api, 99) });
    let reauthorize = format!("{path}/reauthorize");
    let before = stand.api.subscriptions()[0].expires;
    for (operation, method, path) in [
        (Operation::Create, Method::POST, SUBSCRIPTIONS),
        (Operation::List, Method::GET, SUBSCRIPTIONS),
        (Operation::Get, Method::GET, path.as_str()),
        (Operation::Update, Method::PATCH, path.as_str()),
        (Operation::Reauthorize, Method::POST, reauthorize.as_str()),
        (Operation::Delete, Method::DELETE, path.as_str()),
    ] {
        stand.api.fail(Fault::status_retry_after(operation, 503, 7));
        stand.api.fail(Fault::status(operation, 504));
        let reply = stand.call(&token, method.clone(), path, &patch).await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("7")), "{operation:?}");
        assert_eq!(reply.json()["error"]["code"], "ServiceUnavailable");
        let reply = stand.call(&token, method, path, &patch).await;
        assert_eq!((reply.status, reply.header("retry-after")), (504, None), "{operation:?}");
    }
    let [kept] = &stand.api.subscriptions()[..] else { panic!("it was touched") };
    assert!(kept.expires == before && receiver.posts().is_empty());

    stand.api.fail(Fault::status_retry_after(Operation::Token, 429, 3));
    let reply = stand.login("token", &[("client_id", APP)]).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("3")));
    assert_eq!(reply.json()["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn a_delay_lets_the_call_take_its_time() {
    let stand = Stand::open().await;
    let token = stand.token().await;
    stand.api.fail(Fault::delay(Operation::List, Duration::from_millis(300)).times(2));
    stand.api.heal();
    stand.api.fail(Fault::delay(Operation::List, Duration::from_millis(300)));
    let begun = Instant::now();
    assert_eq!(stand.call(&token, Method::GET, SUBSCRIPTIONS, &Value::Null).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(stand.api.journal().iter().all(|call| call.status == Some(200)));
}

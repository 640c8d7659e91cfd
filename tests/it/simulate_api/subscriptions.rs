//! The calls below /subscriptions.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use graphhook::simulate::api::SentKind;
use hyper::Method;
use serde_json::{Value, json};

use super::{Manner, Receiver, SUBSCRIPTIONS, both, both_with};
use crate::support::api::{Stand, ahead, inbox};
use crate::support::issuer::{APP, TENANT};

/// One to this resource, made.
async fn make(stand: &Stand, receiver: &Receiver, token: &str, resource: &str) -> Value {
    let mut body = inbox(&stand.api, &receiver.url("/n"), "state");
    body["resource"] = json!(resource);
    let reply = stand.call(token, Method::POST, SUBSCRIPTIONS, &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn a_subscription_lives_as_at_graph() {
    let (stand, receiver) = both().await;
    let token = stand.token().await;
    let mut body = inbox(&stand.api, &receiver.url("/n?own=1"), "state");
    body["lifecycleNotificationUrl"] = json!(receiver.url("/l"));

    let reply = stand.call(&token, Method::POST, SUBSCRIPTIONS, &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let made = reply.json();
    for (name, expected) in body.as_object().expect("an object") {
        assert_eq!(&made[name], expected, "{name}");
    }
    assert_eq!((&made["applicationId"], &made["latestSupportedTlsVersion"]), (&json!(APP), &json!("v1_2")));
    let context = made["@odata.context"].as_str().expect("a context");
    assert!(context.ends_with("/v1.0/$metadata#subscriptions/$entity"), "{context}");
    // Both URLs had proved themselves before that, the one's own query in place.
    let posts = receiver.posts();
    let targets: Vec<_> =
        posts.iter().map(|(target, _, _)| target.split("Testing").next().unwrap_or_default()).collect();
    assert_eq!(targets, ["/n?own=1&validationToken=Validation%3a+", "/l?validationToken=Validation%3a+"]);
    assert!(
        posts
            .iter()
            .all(|(_, media_type, body)| media_type == "text/plain; charset=utf-8" && body.is_empty())
    );

    let id = made["id"].as_str().expect("an id");
    let path = format!("{SUBSCRIPTIONS}/{id}");
    let got = stand.call(&token, Method::GET, &path, &Value::Null).await.json();
    assert_eq!(got["clientState"], "state");
    stand.api.set(|settings| settings.shows_client_state = false);
    assert_eq!(stand.call(&token, Method::GET, &path, &Value::Null).await.json()["clientState"], Value::Null);
    let list = stand.call(&token, Method::GET, SUBSCRIPTIONS, &Value::Null).await.json();
    assert_eq!((&list["value"][0]["id"], &list["value"][0]["clientState"]), (&json!(id), &Value::Null));
    assert!(list["value"][0].as_object().is_some_and(|listed| listed.contains_key("clientState")));

    let until = ahead(&stand.api, 5_000);
    let reply = stand.call(&token, Method::PATCH, &path, &json!({ "expirationDateTime": until })).await;
    assert_eq!((reply.status, &reply.json()["expirationDateTime"]), (200, &json!(until)));
    assert!(receiver.posts().is_empty(), "a renewal shakes no hands");
    let reply = stand.call(&token, Method::POST, &format!("{path}/reauthorize"), &Value::Null).await;
    assert_eq!((reply.status, reply.text()), (204, ""));
    let reply = stand.call(&token, Method::DELETE, &path, &Value::Null).await;
    assert_eq!((reply.status, reply.text()), (204, ""));
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::PATCH, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/reauthorize")),
    ] {
        let reply = stand.call(&token, method, &path, &json!({ "expirationDateTime": until })).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("ResourceNotFound")));
    }
    assert!(stand.api.subscriptions().is_empty());
}

#[tokio::test]
async fn the_handshake_decides_before_anything_exists() {
    let (stand, receiver) = both().await;
    let token = stand.token().await;
    for (manner, words) in [
        (
            Manner::Answers(403, "text/plain", ""),
            "HTTP status code is 'Forbidden'. Notification endpoint must respond",
        ),
        (Manner::Answers(202, "text/plain", ""), "HTTP status code is 'Accepted'"),
        (Manner::Answers(200, "text/plain", "OK"), "OK"),
        (Manner::Answers(200, "application/json", "{}"), "{}"),
    ] {
        receiver.behaves(manner);
        let body = inbox(&stand.api, &receiver.url("/n"), "state");
        let reply = stand.call(&token, Method::POST, SUBSCRIPTIONS, &body).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["code"]), (400, &json!("ValidationError")), "{error}");
        assert!(error["message"].as_str().is_some_and(|said| said.contains(words)), "{error}");
    }
    receiver.behaves(Manner::Right);
    let nobody = inbox(&stand.api, "https://127.0.0.1:1/n", "state");
    let reply = stand.call(&token, Method::POST, SUBSCRIPTIONS, &nobody).await;
    let said = "Subscription validation request failed. Notification endpoint must respond with 200 OK to validation request.";
    assert_eq!((reply.status, &reply.json()["error"]["message"]), (400, &json!(said)));
    // A certificate that nobody vouches for.
    let stranger = Receiver::open().await;
    let reply =
        stand.call(&token, Method::POST, SUBSCRIPTIONS, &inbox(&stand.api, &stranger.url("/n"), "s")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("Could not create SSL/TLS secure channel"), "{}", reply.text());
    assert!(stranger.posts().is_empty() && stand.api.subscriptions().is_empty());

    // A move has to be proved as well, and one that is not leaves everything as it was.
    let made = make(&stand, &receiver, &token, "/users/a/messages").await;
    let path = format!("{SUBSCRIPTIONS}/{}", made["id"].as_str().expect("an id"));
    let reply =
        stand.call(&token, Method::PATCH, &path, &json!({ "notificationUrl": stranger.url("/n") })).await;
    assert_eq!(reply.status, 400);
    assert_eq!(stand.api.subscriptions()[0].notification_url, receiver.url("/n"));
    receiver.posts();
    let reply =
        stand.call(&token, Method::PATCH, &path, &json!({ "notificationUrl": receiver.url("/moved") })).await;
    assert_eq!((reply.status, &reply.json()["notificationUrl"]), (200, &json!(receiver.url("/moved"))));
    assert!(receiver.posts()[0].0.starts_with("/moved?validationToken="));
    let sent = stand.api.sent();
    assert!(sent.iter().all(|sent| sent.kind == SentKind::Handshake));
    assert_eq!(sent.last().and_then(|sent| sent.status), Some(200));
}

#[tokio::test]
async fn errors_have_graphs_form_and_name_the_call() {
    let (stand, _receiver) = both().await;
    let token = format!("Bearer {}", stand.token().await);
    let headers = [
        ("authorization", token.as_str()),
        ("content-type", "application/json"),
        ("client-request-id", "837387cb-4d3f-f432-d5e6-e2089ec0a449"),
    ];
    for (method, path, body, status, code) in [
        (Method::POST, SUBSCRIPTIONS, "{}", 400, "InvalidRequest"),
        (Method::POST, SUBSCRIPTIONS, "[", 400, "BadRequest"),
        (Method::POST, SUBSCRIPTIONS, "[]", 400, "BadRequest"),
        (Method::GET, "/v1.0/subscriptions?$skiptoken=x", "", 400, "InvalidRequest"),
        (Method::GET, "/v1.0/subscriptions/1", "", 404, "ResourceNotFound"),
        (Method::PUT, "/v1.0/subscriptions/1", "", 405, "Request_BadRequest"),
        (Method::GET, "/v1.0/users", "", 404, "BadRequest"),
    ] {
        let reply = stand.send(method.clone(), path, &headers, body).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["code"]), (status, &json!(code)), "{method} {path}: {error}");
        let inner = &error["innerError"];
        assert_eq!(inner["client-request-id"], "837387cb-4d3f-f432-d5e6-e2089ec0a449");
        assert_eq!(reply.header("client-request-id"), inner["client-request-id"].as_str());
        assert_eq!(reply.header("request-id"), inner["request-id"].as_str());
        assert_eq!(inner["date"].as_str().map(str::len), Some("2026-06-01T12:00:00".len()));
        assert!(reply.header("date").is_some_and(|date| httpdate::parse_http_date(date).is_ok()));
    }
    let plain = [("authorization", token.as_str()), ("content-type", "text/plain")];
    let reply = stand.send(Method::POST, SUBSCRIPTIONS, &plain, "{}").await;
    assert!(reply.text().contains("JSON Content-Type"), "{}", reply.text());
    let journal = stand.api.journal();
    let last = journal.last().expect("calls");
    assert_eq!(
        (last.app.as_deref(), last.tenant.as_deref(), last.status),
        (Some(APP), Some(TENANT), Some(400))
    );
}

#[tokio::test]
async fn lists_come_in_pages_and_show_ones_own() {
    let (stand, receiver) = both_with(|options| options.settings.page_size = 2).await;
    let (token, other) = (stand.token().await, stand.token_of("another app").await);
    let mut made = BTreeSet::new();
    for n in 0..5 {
        let one = make(&stand, &receiver, &token, &format!("/users/{n}/messages")).await;
        made.insert(one["id"].as_str().expect("an id").to_owned());
    }
    let strange = make(&stand, &receiver, &other, "/users/0/messages").await;

    let (mut listed, mut path, mut pages) = (Vec::new(), SUBSCRIPTIONS.to_owned(), 0);
    loop {
        let page = stand.call(&token, Method::GET, &path, &Value::Null).await.json();
        pages += 1;
        let ids = page["value"].as_array().expect("an array").iter();
        listed.extend(ids.map(|one| one["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["@odata.nextLink"].as_str() else { break };
        let origin = format!("https://localhost:{}", stand.api.address().port());
        path = next.strip_prefix(&origin).unwrap_or_else(|| panic!("a link to {next}")).to_owned();
        assert!(path.contains("$skiptoken="), "{path}");
    }
    assert_eq!((pages, listed.len()), (3, 5));
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), made);
    let strange = format!("{SUBSCRIPTIONS}/{}", strange["id"].as_str().expect("an id"));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(stand.call(&token, method, &strange, &Value::Null).await.status, 404);
    }
    stand.api.set(|settings| settings.next_link_origin = Some("https://elsewhere.example".to_owned()));
    let page = stand.call(&token, Method::GET, SUBSCRIPTIONS, &Value::Null).await.json();
    let link = page["@odata.nextLink"].as_str().expect("a link");
    assert!(link.starts_with("https://elsewhere.example/v1.0/subscriptions?$skiptoken="), "{link}");
}

#[tokio::test]
async fn one_of_a_kind_and_no_more_than_the_quota() {
    let (stand, receiver) = both_with(|options| options.settings.quota = 2).await;
    let (token, other) = (stand.token().await, stand.token_of("another app").await);
    let first = make(&stand, &receiver, &token, "/users/a/messages").await;
    let mut same = inbox(&stand.api, &receiver.url("/elsewhere"), "other");
    same["resource"] = json!("Users/A/Messages");
    receiver.posts();
    let reply = stand.call(&token, Method::POST, SUBSCRIPTIONS, &same).await;
    let said = format!(
        "Subscription Id {} already exists for the requested combination",
        first["id"].as_str().expect("an id")
    );
    assert_eq!((reply.status, &reply.json()["error"]["message"]), (409, &json!(said)));
    assert!(receiver.posts().is_empty(), "nobody is asked about what cannot be");
    // Other changes, another app: another subscription.
    same["changeType"] = json!("created,deleted");
    assert_eq!(stand.call(&token, Method::POST, SUBSCRIPTIONS, &same).await.status, 201);
    make(&stand, &receiver, &other, "/users/a/messages").await;

    same["resource"] = json!("/users/b/messages");
    let reply = stand.call(&token, Method::POST, SUBSCRIPTIONS, &same).await;
    let error = reply.json()["error"].clone();
    assert_eq!((reply.status, &error["code"]), (403, &json!("ExtensionError")));
    assert!(
        error["message"].as_str().is_some_and(|said| said.contains("Maximum number of subscriptions")),
        "{error}"
    );
    let path = format!("{SUBSCRIPTIONS}/{}", first["id"].as_str().expect("an id"));
    stand.call(&token, Method::DELETE, &path, &Value::Null).await;
    assert_eq!(stand.call(&token, Method::POST, SUBSCRIPTIONS, &same).await.status, 201);
}

#[tokio::test]
async fn subscriptions_end_by_the_clock() {
    let (stand, receiver) = both_with(|options| options.settings.token_lifetime = 7 * 24 * 3600).await;
    let token = stand.token().await;
    let made = make(&stand, &receiver, &token, "/users/a/messages").await;
    let path = format!("{SUBSCRIPTIONS}/{}", made["id"].as_str().expect("an id"));
    stand.api.advance(Duration::from_secs(59 * 60));
    assert_eq!(stand.call(&token, Method::GET, &path, &Value::Null).await.status, 200);
    stand.api.advance(Duration::from_secs(2 * 60));
    let patch = json!({ "expirationDateTime": ahead(&stand.api, 60) });
    assert_eq!(stand.call(&token, Method::PATCH, &path, &patch).await.status, 404);
    let listed = || async {
        let list = stand.call(&token, Method::GET, SUBSCRIPTIONS, &Value::Null).await.json();
        list["value"].as_array().map(Vec::len)
    };
    assert_eq!(listed().await, Some(0));
    stand.api.set(|settings| settings.lists_expired = true);
    assert_eq!(listed().await, Some(1));
    // What has ended stands in nobody's way.
    make(&stand, &receiver, &token, "/users/a/messages").await;
    assert_eq!(listed().await, Some(2));
}

#[tokio::test]
async fn the_services_rate_limits_are_in_force() {
    let (stand, _receiver) = both().await;
    let token = stand.token().await;
    let list = || stand.call(&token, Method::GET, SUBSCRIPTIONS, &Value::Null);
    for _ in 0..25 {
        assert_eq!(list().await.status, 200);
    }
    let reply = list().await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (429, &json!("TooManyRequests")));
    let after: u64 = reply.header("retry-after").and_then(|after| after.parse().ok()).expect("seconds");
    assert!((1..=20).contains(&after), "{after}");
    stand.api.advance(Duration::from_secs(after));
    assert_eq!(list().await.status, 200);
    stand.api.set(|settings| settings.throttles = false);
    for _ in 0..60 {
        assert_eq!(list().await.status, 200);
    }
}

#[tokio::test]
async fn nobody_calls_without_a_token_of_the_login() {
    let (stand, _receiver) = both().await;
    let other = Stand::open().await;
    let (ours, foreign) = (stand.token().await, other.token().await);
    for (token, status) in [(ours.as_str(), 200), (foreign.as_str(), 401), ("rubbish", 401), ("", 401)] {
        let reply = stand.call(token, Method::GET, SUBSCRIPTIONS, &Value::Null).await;
        assert_eq!(reply.status, status, "{}", reply.text());
        if status == 401 {
            assert_eq!(reply.json()["error"]["code"], "InvalidAuthenticationToken");
            assert!(reply.header("www-authenticate").is_some());
        }
    }
    stand.api.advance(Duration::from_secs(3_600));
    let reply = stand.call(&ours, Method::GET, SUBSCRIPTIONS, &Value::Null).await;
    let date = reply.header("date").and_then(|date| httpdate::parse_http_date(date).ok()).expect("a date");
    assert!(date > SystemTime::now() + Duration::from_secs(3_500), "Date goes by the same clock");
    assert!(reply.status == 401 && reply.text().contains("expired"), "{}", reply.text());
}

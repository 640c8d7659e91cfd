//! Forgeries: refused by us, and told of where somebody gives something away.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::Value;

use super::{Desk, everything, objects, said};
use crate::support::daemon::{SECRET, run};
use crate::support::site::{Content, Site, answer};

const FORMS: usize = 13;

#[tokio::test]
async fn no_forgery_reaches_the_queue_and_its_neighbours_do() {
    let desk = Desk::open().await;
    let told = desk.passes("forge", &[]).await;
    let carried =
        "2 items carried the clientState, 13 did not: a 2xx does not say which of them the receiver believed";
    assert!(told.contains(&format!("15 POSTs: all answered alike\n{carried}; with a wrong")), "{told}");
    desk.queue.take(2).await;
    let refused = desk.quarantine.take(FORMS).await;
    let reasons: BTreeSet<&str> = refused.iter().map(|message| message.header("graphhook-reason")).collect();
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["malformed", "mismatch", "missing"]);

    let told = desk.passes("forge", &["--genuine", "2", "--json"]).await;
    let mut posts = objects(&told);
    let sum = posts.pop().expect("a sum");
    assert_eq!((&sum["with_client_state"], &sum["without_client_state"]), (&28.into(), &13.into()), "{sum}");
    assert!(sum["note"].as_str().is_some_and(|note| note.starts_with("28 items carried")), "{sum}");
    assert_eq!(posts.len(), 2 + FORMS);
    assert!(posts[2..].iter().all(|post| post["items"] == 3 && post.get("tells").is_none()));
    let messages = desk.queue.take(2 + 2 * FORMS).await;
    assert!(messages.iter().all(|message| message.json()["clientState"] == SECRET));
    assert_eq!(desk.queue.count().await, 0);
}

#[tokio::test]
async fn who_knows_no_secret_forges_what_needs_none() {
    let desk = Desk::open().await;
    let ca = desk.daemon.ca().to_str().expect("UTF-8");
    let url = format!("https://{}/graph/notifications", desk.daemon.public());
    let output = run(&["simulate", "forge", &url, "--ca", ca], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{}", everything(&output));
    let sum = "8 POSTs: all answered 2xx in time\n8 items, none with the clientState: ";
    assert!(said(&output).contains(sum), "{}", said(&output));
    desk.quarantine.take(8).await;
    assert_eq!(desk.queue.count().await, 0);
    for (more, words) in [
        (&["--as", "prefix"][..], "made of the secret"),
        (&["--genuine", "1"], "--genuine needs --client-state"),
        (&["--as", "rubbish"], "[possible values: wrong, missing,"),
    ] {
        let output = run(&[&["simulate", "forge", &url, "--ca", ca], more].concat(), &[]).await;
        assert_eq!(output.status.code(), Some(2), "{}", everything(&output));
        assert!(everything(&output).contains(words), "{}", everything(&output));
    }
}

/// Receivers that treat forgeries in ways of their own.
enum Telling {
    /// By status.
    Status,
    /// By a header.
    Header,
    /// By the body.
    Body,
    /// By the end of the connection.
    Close,
    /// By what a header says.
    Value,
    /// By a body of its own for each.
    Random(AtomicUsize),
    /// Takes "true" for any secret, and tells nothing.
    Nothing,
}

impl Content for Telling {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = whole(request).await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let is_genuine = body["value"][0]["clientState"] == SECRET;
        match self {
            Self::Random(many) => {
                let number = many.fetch_add(1, Ordering::Relaxed);
                let mut answer = answer(202, format!("request {number}"));
                answer.headers_mut().insert("x-request", number.into());
                answer
            }
            Self::Value => {
                let mut answer = answer(202, "");
                let value = if is_genuine { "ok" } else { "forged" };
                answer.headers_mut().insert("x-result", value.parse().expect("a value"));
                answer
            }
            _ if is_genuine => answer(202, ""),
            Self::Close => {
                let mut answer = answer(202, "");
                answer.headers_mut().insert("connection", "close".parse().expect("a value"));
                answer
            }
            Self::Status => answer(401, ""),
            Self::Body => answer(202, "forged"),
            Self::Nothing => answer(202, ""),
            Self::Header => {
                let mut answer = answer(202, "");
                answer.headers_mut().insert("x-forged", "yes".parse().expect("a value"));
                answer
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "our own program asks, and the test may hold what it says")]
async fn whole(request: Request<Incoming>) -> Result<Bytes, Infallible> {
    Ok(Limited::new(request.into_body(), 1 << 20).collect().await.expect("a body").to_bytes())
}

#[tokio::test]
async fn what_gives_a_forgery_away_is_told() {
    for (telling, code, words) in [
        (
            Telling::Status,
            1,
            "not delivered: Graph sends it again for up to 4 h; but a forger sees status 401 instead of 202",
        ),
        (Telling::Header, 1, "but a forger sees a header x-forged"),
        (Telling::Body, 1, "but a forger sees another body"),
        (Telling::Close, 1, "but a forger sees a header connection"),
        (Telling::Value, 1, "but a forger sees another x-result"),
        (Telling::Random(AtomicUsize::new(9)), 0, "all answered alike"),
        (Telling::Nothing, 0, "all answered alike"),
    ] {
        let site = Site::open(None, |_| Arc::new(telling)).await;
        let arguments =
            ["simulate", "forge", &site.origin, "--as", "wrong", "--client-state", "env:CLIENT_STATE"];
        let output = run(&arguments, &[("CLIENT_STATE", SECRET)]).await;
        assert_eq!(output.status.code(), Some(code), "{words}");
        assert!(said(&output).contains(words), "{words}: {}", said(&output));
    }
}

/// Refuses everything.
struct Refusing;

impl Content for Refusing {
    async fn answer(&self, _: Request<Incoming>) -> Response<Full<Bytes>> {
        answer(401, "")
    }
}

#[tokio::test]
async fn a_genuine_item_that_is_refused_is_asked_about_once() {
    let site = Site::open(None, |_| Arc::new(Refusing)).await;
    let output = run(&["simulate", "forge", &site.origin, "--client-state", "text:not-the-one"], &[]).await;
    let told = everything(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let question = "already the genuine item is refused with 401: is the clientState right?";
    assert_eq!(told.matches(question).count(), 1, "{told}");
}

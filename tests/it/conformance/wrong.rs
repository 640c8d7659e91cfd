//! Each fault of a receiver is found by the cases that are about it, and by no others.

use std::collections::BTreeSet;

use super::receiver::{Fault, receiver};
use super::{Run, conformance};

/// Tries a receiver with this fault on these cases.
async fn tried(fault: Fault, only: &[&str]) -> Run {
    let (_site, url) = receiver(fault).await;
    let only: Vec<&str> = only.iter().flat_map(|pattern| ["--only", pattern]).collect();
    conformance(&url, &only).await
}

/// All handshakes whose token has to come back.
fn echoes(run: &Run) -> BTreeSet<&str> {
    let cases = run.report["cases"].as_array().expect("cases");
    let echoes = cases.iter().filter(|case| {
        let expected = case["expected"].as_str().expect("words");
        expected.starts_with("200, text/plain, the decoded token")
            || expected.starts_with("handshakes: the token")
    });
    echoes
        .map(|case| case["name"].as_str().expect("a name"))
        .filter(|name| name.starts_with("handshake"))
        .collect()
}

#[tokio::test]
async fn a_good_receiver_of_somebody_elses_passes_strictly() {
    let (_site, url) = receiver(Fault::None).await;
    let run = conformance(&url, &["--strict"]).await;
    run.check_green();
    let skipped: Vec<&str> = run.that("skipped").into_iter().collect();
    let expected = [
        "lifecycle/url-both-at-once",
        "lifecycle/url-events",
        "lifecycle/url-handshake",
        "transport/tls-1.2",
        "transport/tls-1.3",
    ];
    assert_eq!(skipped, expected);
    assert_eq!(run.case("transport/tls-1.2")["observed"], "the URL has no TLS");
    assert_eq!(run.report["tls"], serde_json::Value::Null);
    // A second URL is tried as well, and here it is the same.
    let run = conformance(&url, &["--only", "lifecycle/url-*", "--lifecycle-url", &url]).await;
    run.check_green();
    assert_eq!(run.that("passed").len(), 3);
}

#[tokio::test]
async fn tokens_that_are_not_decoded_are_found() {
    let run = tried(Fault::LeavesPlus, &["handshake"]).await;
    run.check_failed(&[
        "handshake/bare-token",
        "handshake/beside-notifications",
        "handshake/body-ignored",
        "handshake/broken-body-ignored",
        "handshake/chunked-body",
        "handshake/no-content-type",
        "handshake/own-query",
        "handshake/plus-is-a-space",
        "handshake/query-behind",
        "handshake/today",
        "handshake/twenty-at-once",
        "handshake/twice",
    ]);
    assert_eq!(run.code, Some(1));
    let case = run.case("handshake/plus-is-a-space");
    let observed = "the token came back encoded: it has to be decoded once; it was \"a+b+c\"";
    assert_eq!(case["observed"], observed);
    assert_eq!(case["graph"], "no subscription: the answer is not the token as text/plain");

    let run = tried(Fault::EchoesRaw, &["handshake"]).await;
    let failed = run.that("failed");
    for name in ["today", "lower-case-hex", "upper-case-hex", "plus-is-a-space", "decoded-once", "base64"] {
        assert!(failed.contains(format!("handshake/{name}").as_str()), "{name}: {}", run.said);
    }
    assert!(!failed.contains("handshake/long") && !failed.contains("handshake/status-200"), "{failed:?}");

    let run = tried(Fault::DecodesTwice, &["handshake"]).await;
    run.check_failed(&["handshake/decoded-once", "handshake/percent-2b-is-a-plus", "handshake/base64"]);
}

#[tokio::test]
async fn what_is_around_a_token_is_found() {
    for (fault, also, observed, graph) in [
        (
            Fault::Quotes,
            "bare-token",
            "the token came back in quotes: JSON is not asked for",
            "the answer is not the token as text/plain",
        ),
        (
            Fault::AddsNewline,
            "bare-token",
            "a line break stands behind the token",
            "the answer is not the token as text/plain",
        ),
        (Fault::IsHtml, "text-plain", "Content-Type text/html", "the answer is not the token as text/plain"),
        (Fault::Accepts, "status-200", "status 202 Accepted, not 200", "it wants 200 and got 202"),
    ] {
        let run = tried(fault, &["handshake"]).await;
        let mut expected = echoes(&run);
        let also = format!("handshake/{also}");
        if fault == Fault::IsHtml || fault == Fault::Accepts {
            expected.remove("handshake/bare-token");
        }
        expected.insert(&also);
        assert_eq!(run.that("failed"), expected, "{fault:?}: {}", run.said);
        let today = run.case("handshake/today");
        assert!(today["observed"].as_str().is_some_and(|words| words.starts_with(observed)), "{today}");
        assert_eq!(today["graph"], format!("no subscription: {graph}"), "{fault:?}");
    }
}

#[tokio::test]
async fn redirects_are_found_everywhere() {
    let run = tried(Fault::Redirects, &["handshake/no-redirect", "post/message", "odd/no-json"]).await;
    run.check_failed(&["handshake/no-redirect", "post/message", "odd/no-json"]);
    assert_eq!(run.case("handshake/no-redirect")["observed"], "status 307 Temporary Redirect");
    let graph = run.case("post/message")["graph"].as_str().expect("words").to_owned();
    assert!(graph.starts_with("not delivered: nothing says that Graph follows redirects"), "{graph}");
}

#[tokio::test]
async fn whoever_answers_forgeries_differently_is_found() {
    let run = tried(Fault::Forbids, &["client-state", "lifecycle/forged", "post"]).await;
    let mut expected: BTreeSet<&str> = run.report["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .filter_map(|case| case["name"].as_str())
        .filter(|name| name.starts_with("client-state/"))
        .collect();
    for genuine in ["genuine", "unknown-subscription", "subscriptions-stay-unknown"] {
        expected.remove(format!("client-state/{genuine}").as_str());
    }
    // What carries no clientState of ours is forged as well.
    expected.extend(["lifecycle/forged", "post/na-body"]);
    assert_eq!(run.that("failed"), expected, "{}", run.said);
    let case = run.case("client-state/prefix");
    assert_eq!(case["observed"], "status 403 Forbidden");
    assert_eq!(case["graph"], "not delivered: Graph sends it again for up to 4 h");

    let run = tried(Fault::Tells, &["client-state"]).await;
    run.check_failed(&["client-state/tells-nothing"]);
    assert_eq!(run.code, Some(0), "it is advice");
    let observed = run.case("client-state/tells-nothing")["observed"].as_str().expect("words");
    assert_eq!(observed, "clientState: wrong: another body");
    let (_site, url) = receiver(Fault::Tells).await;
    let strictly = conformance(&url, &["--only", "client-state/tells-nothing", "--strict"]).await;
    assert_eq!(strictly.code, Some(1));
}

#[tokio::test]
async fn whoever_fails_on_odd_bodies_is_found() {
    let run = tried(Fault::Fails, &["odd", "post", "item", "client-state/mixed"]).await;
    let expected = [
        "no-json",
        "empty-body",
        "truncated",
        "invalid-utf-8",
        "array-at-top",
        "null-at-top",
        "string-at-top",
        "no-value",
        "null-value",
        "object-value",
        "two-documents",
        "form",
    ]
    .map(|name| format!("odd/{name}"));
    run.check_failed(&expected.each_ref().map(String::as_str));
    assert_eq!(run.case("odd/no-json")["observed"], "no JSON: status 500 Internal Server Error");
}

#[tokio::test]
async fn whoever_wants_more_members_than_graph_sends_is_found() {
    let run = tried(Fault::IsStrict, &["item", "lifecycle", "post/user", "post/two-items"]).await;
    let failed = run.that("failed");
    for name in ["item/no-tenant", "lifecycle/missed", "lifecycle/missed-in-the-wild", "lifecycle/mixed"] {
        assert!(failed.contains(name), "{name}: {}", run.said);
    }
    assert!(!failed.contains("post/user") && !failed.contains("item/no-id"), "{failed:?}");
    assert_eq!(run.case("lifecycle/missed")["level"], "must");
}

#[tokio::test]
async fn silence_and_broken_connections_are_found() {
    let run = tried(Fault::IsSlow, &["post/two-items", "post/hundred-items", "deadlines/one-item"]).await;
    run.check_failed(&["post/hundred-items"]);
    let case = run.case("post/hundred-items");
    assert_eq!(case["observed"], "no answer in 3 s");
    let graph = case["graph"].as_str().expect("words");
    assert!(graph.contains("again for up to 4 h, and counts you as slow"), "{graph}");

    let run = tried(Fault::Breaks, &["rich/token-*", "post/message"]).await;
    run.check_failed(&["rich/token-version-1", "rich/token-version-2"]);
    assert!(
        run.case("rich/token-version-1")["graph"]
            .as_str()
            .is_some_and(|words| words.starts_with("not reached"))
    );

    let run = tried(Fault::Babbles, &["handshake/today", "post/message"]).await;
    run.check_failed(&["handshake/today"]);
    let observed = run.case("handshake/today")["observed"].as_str().expect("words");
    assert!(observed.starts_with("the answer is not the token"), "{observed}");
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_given_up() {
    let run = tried(Fault::Hangs, &["item"]).await;
    assert_eq!((run.that("failed").len(), run.code), (6, Some(1)), "{}", run.said);
    assert!(run.that("skipped").len() > 5);
    let last = run.case("item/long-member");
    assert_eq!(last["observed"], "the receiver no longer answers");
}

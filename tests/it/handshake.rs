//! The validation handshake, as it decides whether a subscription comes into being.

use crate::support::daemon::Daemon;
use crate::support::graph::PATH;
use crate::support::https::Reply;

const TODAY: &str = "validationToken=Validation%3a+Testing+client+application+reachability+for+subscription+Request-Id%3a+25460109-0e8b-4521-8090-dd691b407ed8";
const TODAY_DECODED: &str = "Validation: Testing client application reachability for subscription Request-Id: 25460109-0e8b-4521-8090-dd691b407ed8";

/// A daemon whose broker does not exist.
async fn without_broker() -> Daemon {
    Daemon::configure().without_broker().start().await
}

#[track_caller]
fn check_echo(reply: &Reply, token: &str) {
    assert_eq!((reply.status, reply.text()), (200, token));
    let headers: Vec<_> = ["content-type", "content-length", "x-content-type-options", "cache-control"]
        .into_iter()
        .map(|name| reply.header(name).unwrap_or_default())
        .collect();
    let length = token.len().to_string();
    assert_eq!(headers, ["text/plain; charset=utf-8", &length, "nosniff", "no-store"]);
    for name in ["server", "location", "content-encoding"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn every_vector_comes_back_decoded() {
    let daemon = without_broker().await;
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../data/vector-handshake.json")).expect("JSON");
    let cases = vectors["cases"].as_array().expect("cases");
    assert!(!cases.is_empty());
    for client in [daemon.client().http1(), daemon.client().http2(), daemon.client().http1().tls12()] {
        for case in cases {
            let target = format!("{PATH}?{}", case["query"].as_str().expect("query"));
            let reply = client.post(&target, &[("content-type", "text/plain; charset=utf-8")], "").await;
            check_echo(&reply, case["body"].as_str().expect("body"));
        }
    }
}

#[tokio::test]
async fn every_path_answers_and_the_body_is_ignored() {
    let daemon = without_broker().await;
    let client = daemon.client().http1();
    for path in [PATH, "/graph/lifecycle"] {
        for body in ["", "nonsense", r#"{"value":[{}]}"#] {
            check_echo(&client.post(&format!("{path}?{TODAY}"), &[], body).await, TODAY_DECODED);
        }
    }
    let compressed = [("content-encoding", "gzip"), ("content-type", "text/plain; charset=latin1")];
    check_echo(&client.post(&format!("{PATH}?{TODAY}"), &compressed, "x").await, TODAY_DECODED);
    assert_eq!(daemon.metrics().await.sum("graphhook_notifications_received_total"), 0.0);
}

#[tokio::test]
async fn what_graph_never_sends_is_refused() {
    let daemon = without_broker().await;
    let long = format!("validationToken={}", "a".repeat(8193));
    for query in [
        "validationToken=%3Cscript%3Ealert(1)%3C/script%3E",
        "validationToken=a%0d%0aSet-Cookie:+b",
        "validationToken=%00",
        "validationToken=%ff",
        "validationToken=%4",
        "validationToken=a&validationToken=b",
        &long,
    ] {
        let reply = daemon.client().post(&format!("{PATH}?{query}"), &[], "").await;
        assert_eq!(reply.status, 400, "{query}");
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        assert!(!reply.text().contains("script") && reply.header("set-cookie").is_none());
    }
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.get(r#"graphhook_handshakes_total{result="refused"}"#), 7.0);
    assert_eq!(metrics.get(r#"graphhook_handshakes_total{result="echoed"}"#), 0.0);
}

#[tokio::test]
async fn an_empty_token_lets_the_body_decide() {
    let daemon = Daemon::configure().connected().await;
    let reply = daemon.client().post(&format!("{PATH}?validationToken="), &[], r#"{"value":[]}"#).await;
    assert_eq!(reply.status, 202);
    let reply = daemon.client().post(&format!("{PATH}?validationtoken=x"), &[], "").await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn the_broker_is_dead_and_the_server_is_full_of_slow_posts() {
    let daemon = Daemon::configure()
        .without_broker()
        .set("server.limits", "body_within", "\"60s\"")
        .set("server", "answer_within", "\"60s\"")
        .start()
        .await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut raw = daemon.client().raw().await;
        raw.send(format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{{\"value\""
        ))
        .await;
        slow.push(raw);
    }
    daemon.eventually_metric("graphhook_connections", |open| open >= 100.0).await;
    let reply = daemon.client().post(&format!("{PATH}?{TODAY}"), &[], "").await;
    check_echo(&reply, TODAY_DECODED);
    assert!(daemon.metrics().await.get("graphhook_connections") >= 100.0, "the slow ones are still there");
}

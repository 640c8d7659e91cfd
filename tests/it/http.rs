//! Everything else the public listener answers, in HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use hyper::Method;

use crate::support::daemon::Daemon;
use crate::support::eventually::eventually;
use crate::support::graph::{PATH, collection, created, post};
use crate::support::https::{Client, Reply, request};

async fn daemon() -> Daemon {
    Daemon::configure().set("server.limits", "body", "\"1MiB\"").connected().await
}

#[track_caller]
fn check_problem(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    let problem = reply.json();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["request_id"].as_str().map(str::len), Some(36));
    assert_eq!(problem.as_object().map(serde_json::Map::len), Some(3), "no details: {problem}");
    assert_eq!(reply.header("server"), None);
}

#[tokio::test]
async fn paths_and_methods() {
    let daemon = daemon().await;
    for client in [daemon.client().http1(), daemon.client().http2()] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let reply = client.send(request(method, PATH, &[], "")).await;
            check_problem(&reply, 405);
            assert_eq!(reply.header("allow"), Some("POST"));
        }
        for path in ["/", "/graph", "/graph/notifications/", "/metrics", "/status", "/livez"] {
            check_problem(&client.get(path).await, 404);
            check_problem(&client.post(path, &[], r#"{"value":[]}"#).await, 404);
        }
        let health = client.get("/healthz").await;
        assert_eq!((health.status, health.text()), (200, "ok\n"));
        assert_eq!(client.post("/healthz", &[], "").await.status, 405);
    }
}

#[tokio::test]
async fn bodies_that_are_no_collection() {
    let daemon = daemon().await;
    let client = daemon.client();
    let deep = format!(r#"{{"value":[{}{}]}}"#, "[".repeat(200), "]".repeat(200));
    for body in
        ["", "x", "{}", "[]", r#"{"value":null}"#, r#"{"value":[]}x"#, r#"{"value":[],"value":[]}"#, &deep]
    {
        check_problem(&client.post(PATH, &[], body.to_owned()).await, 400);
    }
    check_problem(&client.post(PATH, &[], Bytes::from_static(b"{\"value\":[\"\xff\"]}")).await, 400);
    for body in [r#"{"value":[]}"#, "\u{feff}{\"value\":[]} \r\n", r#" {"a":1,"value":[]}"#] {
        assert_eq!(client.post(PATH, &[], body).await.status, 202, "{body}");
    }
    assert_eq!(daemon.metrics().await.sum("graphhook_notifications_received_total"), 0.0);
}

#[tokio::test]
async fn media_types() {
    let daemon = daemon().await;
    let client = daemon.client().http1();
    for (header, status) in [
        (("content-type", "application/json"), 202),
        (("content-type", "application/json; charset=UTF-8"), 202),
        (("content-type", "application/json;charset=\"utf-8\""), 202),
        (("content-type", "text/plain"), 202),
        (("content-type", "application/json; charset=utf-16"), 415),
        (("content-encoding", "identity"), 202),
        (("content-encoding", "gzip"), 415),
    ] {
        let reply = client.fresh().post(PATH, &[header], r#"{"value":[]}"#).await;
        assert_eq!(reply.status, status, "{header:?}");
        if status == 415 {
            check_problem(&reply, 415);
            assert_eq!(reply.header("connection"), Some("close"));
        }
    }
    assert_eq!(client.fresh().post(PATH, &[], r#"{"value":[]}"#).await.status, 202, "no content type at all");
}

#[tokio::test]
async fn bodies_over_the_limit() {
    let daemon = daemon().await;
    let body = |len: usize| format!("{{\"value\":[]}}{}", " ".repeat(len - 12));
    assert_eq!(daemon.client().post(PATH, &[], body(1 << 20)).await.status, 202);
    for client in [daemon.client().http1(), daemon.client().http2()] {
        let reply = client.post(PATH, &[], body((1 << 20) + 1)).await;
        check_problem(&reply, 413);
    }
    let mut raw = daemon.client().raw().await;
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 19, " ".repeat(1 << 19));
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
    for _ in 0..3 {
        raw.send(&chunk).await;
    }
    raw.send("0\r\n\r\n").await;
    let answer = String::from_utf8(raw.read_to_end().await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn items_over_the_limit() {
    let daemon = daemon().await;
    let items = |count: usize| collection(vec!["{}"; count]);
    let reply = daemon.client().post(PATH, &[], items(10_000)).await;
    assert_eq!(reply.status, 202);
    check_problem(&daemon.client().post(PATH, &[], items(10_001)).await, 413);
    let malformed = r#"graphhook_notifications_refused_total{reason="malformed"}"#;
    assert_eq!(daemon.metrics().await.get(malformed), 10_000.0);
}

#[tokio::test]
async fn a_refused_http2_connection_goes_away() {
    let daemon = daemon().await;
    let client = daemon.client().http2();
    check_problem(&client.post(PATH, &[("content-encoding", "br")], "x").await, 415);
    daemon.eventually_metric("graphhook_connections", |open| open == 0.0).await;
}

#[tokio::test]
async fn a_slow_body_costs_only_itself() {
    let daemon = Daemon::configure().set("server.limits", "body_within", "\"300ms\"").connected().await;
    let mut raw = daemon.client().raw().await;
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n{{")).await;
    assert_eq!(post(&daemon.client(), [created("quick")]).await.status, 202);
    let answer = String::from_utf8(raw.read_to_end().await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn expectations_are_met() {
    let daemon = daemon().await;
    let body = r#"{"value":[]}"#;
    let head = |length: usize| {
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut raw = daemon.client().raw().await;
    raw.send(head(body.len())).await;
    let interim = raw.read_past("\r\n\r\n").await;
    assert!(interim.starts_with(b"HTTP/1.1 100 "));
    raw.send(body).await;
    assert!(raw.read_to_end().await.starts_with(b"HTTP/1.1 202 "));

    let mut raw = daemon.client().raw().await;
    raw.send(head(2 << 20)).await;
    assert!(raw.read_to_end().await.starts_with(b"HTTP/1.1 413 "), "refused before the body is sent");
}

#[tokio::test]
async fn both_versions_of_tls_and_of_http_deliver() {
    let daemon = daemon().await;
    let clients: [fn(Client) -> Client; 4] =
        [Client::http1, Client::http2, |client| client.tls12().http1(), |client| client.tls12().http2()];
    for (number, choose) in clients.into_iter().enumerate() {
        let reply = post(&choose(daemon.client()), [created(&format!("v{number}"))]).await;
        assert_eq!((reply.status, reply.body.len()), (202, 0));
    }
    let published = r#"graphhook_notifications_outcome_total{outcome="published"}"#;
    assert_eq!(daemon.metrics().await.get(published), 4.0);
}

#[tokio::test]
async fn the_head_of_an_answer_has_no_body_in_either_version() {
    let daemon = daemon().await;
    for client in [daemon.client().http1(), daemon.client().http2()] {
        for (path, status) in [("/healthz", 200), ("/nothing", 404), (PATH, 405)] {
            let reply = client.send(request(Method::HEAD, path, &[], "")).await;
            assert_eq!((reply.status, reply.body.len()), (status, 0), "{path}");
        }
    }
}

#[tokio::test]
async fn connections_that_ask_nothing_do_not_keep_others_out() {
    let daemon = Daemon::configure()
        .set("server.limits", "connections", "8")
        .set("server.limits", "header_within", "\"300ms\"")
        .set("server.limits", "idle_within", "\"300ms\"")
        .connected()
        .await;
    let mut silent = Vec::new();
    for number in 0..8 {
        let mut raw = daemon.client().raw().await;
        let begun = ["", "PRI * HTTP", "POST / HTTP/1.1\r\nHo", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"];
        raw.send(begun[number % begun.len()]).await;
        silent.push(raw);
    }
    daemon.eventually_metric("graphhook_connections", |open| open == 8.0).await;
    // The ninth takes the place of one of them.
    assert_eq!(post(&daemon.client(), [created("ninth")]).await.status, 202);
    daemon.eventually_metric("graphhook_connections", |open| open <= 1.0).await;
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed() {
    let daemon = Daemon::configure().set("server.limits", "idle_within", "\"300ms\"").connected().await;
    let client = daemon.client().http2();
    assert_eq!(post(&client, [created("once")]).await.status, 202);
    daemon.eventually_metric("graphhook_connections", |open| open == 0.0).await;
}

#[tokio::test]
async fn bodies_held_at_once_have_a_bound() {
    let daemon = Daemon::configure()
        .set("server.limits", "body", "\"1MiB\"")
        .set("server.limits", "bytes_in_flight", "\"1MiB\"")
        .set("server.limits", "body_within", "\"60s\"")
        .set("server", "answer_within", "\"60s\"")
        .connected()
        .await;
    let large = format!("{{\"value\":[]}}{}", " ".repeat(600 << 10));
    let length = large.len() + 1;
    let hold = async || {
        let mut holder = daemon.client().raw().await;
        let head = format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        holder.send(format!("{head}{large}")).await;
        holder
    };
    // Whichever of two large bodies comes first has the room; the holder may be the one that finds none.
    eventually("a holder that keeps others out", async || {
        let mut holder = hold().await;
        let reply = daemon.client().http1().post(PATH, &[], large.clone()).await;
        if reply.status != 503 {
            return None;
        }
        check_problem(&reply, 503);
        assert_eq!(reply.header("retry-after"), Some("10"));
        // Small bodies and handshakes still find their way.
        assert_eq!(post(&daemon.client(), [created("small")]).await.status, 202);
        assert_eq!(daemon.client().post(&format!("{PATH}?validationToken=x"), &[], "").await.status, 200);
        holder.try_send(" ").await.ok()?;
        holder.read_past("\r\n").await.starts_with(b"HTTP/1.1 202 ").then_some(())
    })
    .await;
    assert_eq!(daemon.client().post(PATH, &[], large).await.status, 202);
}

#[tokio::test]
async fn a_body_of_single_bytes_is_one_body() {
    let daemon = daemon().await;
    let mut raw = daemon.client().raw().await;
    let chunks: String =
        collection([created("tiny")]).chars().map(|byte| format!("1\r\n{byte}\r\n")).collect();
    let head =
        format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n");
    raw.send(format!("{head}{chunks}0\r\n\r\n")).await;
    assert!(raw.read_to_end().await.starts_with(b"HTTP/1.1 202 "));
    let published = r#"graphhook_notifications_outcome_total{outcome="published"}"#;
    assert_eq!(daemon.metrics().await.get(published), 1.0);
}

//! Strangers at the public listener, while Graph goes on.

use super::{GRAPH_WAITS, Scene};
use crate::support::daemon::Daemon;
use crate::support::graph::{PATH, collection, created};

/// N1: connections that send a head byte by byte, or stop in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_are_cut_off_and_cost_nobody_anything() {
    let configuration = Daemon::configure().set("server.limits", "header_within", "\"2s\"");
    let scene = Scene::begin(configuration).await;
    scene.connected().await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut raw = scene.daemon.client().raw().await;
        raw.send(format!("POST {PATH} HTTP/1.1\r\nHo")).await;
        slow.push(raw);
    }
    let open = scene.daemon.metrics().await.get("graphhook_connections");
    assert!(open >= 100.0, "only {open} connections were slow at once");
    scene.accepts(500).await;
    scene.daemon.eventually_metric("graphhook_connections", |open| open <= 10.0).await;
    scene.accepts(100).await;
    let (_, verdict) = scene.judge().await;
    assert_eq!(verdict.report.unavailable, 0);
    verdict.check_times(GRAPH_WAITS);
}

/// N6: requests that two servers might cut apart at different places. None of what hides in them is seen.
#[tokio::test]
async fn nothing_is_smuggled() {
    let daemon = Daemon::configure().without_broker().start().await;
    let hidden = collection([created("hidden")]);
    let hidden =
        format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len());
    let length = hidden.len();
    let heads = [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        format!("Content-Length: 0\r\nContent-Length: {length}"),
        format!("Content-Length: +{length}"),
        format!("Content-Length: 0x{length:x}"),
        format!("Content-Length: {length},0"),
        format!("Content-Length : {length}"),
        "Transfer-Encoding: chunked, identity".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "X: y\r\n Content-Length: 0".to_owned(),
    ];
    for head in heads {
        for body in [format!("0\r\n\r\n{hidden}"), format!("{:x};a=\"\n\"\r\n\r\n{hidden}", 0)] {
            let mut raw = daemon.client().raw().await;
            raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n{body}")).await;
            let answer = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
            let answers = answer.matches("HTTP/1.1 ").count();
            assert!(answers <= 1, "{head:?}: more than one answer: {answer}");
            assert!(!answer.contains("HTTP/1.1 2"), "{head:?} was taken for good: {answer}");
        }
    }
    let received = r#"graphhook_notifications_received_total{kind="notification"}"#;
    assert_eq!(daemon.metrics().await.get(received), 0.0, "a hidden request was seen");
}

/// N7: heads of absurd sizes.
#[tokio::test]
async fn heads_without_measure_are_refused() {
    let daemon = Daemon::configure().without_broker().start().await;
    let large = "x".repeat(1 << 20);
    let many: String = (0..10_000).map(|number| format!("X-{number}: y\r\n")).collect();
    let memory = daemon.metrics().await.get("process_resident_memory_bytes");
    for (what, head) in [
        ("a large header", format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nX: {large}\r\n\r\n")),
        ("many headers", format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n{many}\r\n")),
        ("a long path", format!("POST /{large} HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("a long token", format!("POST {PATH}?validationToken={large} HTTP/1.1\r\nHost: h\r\n\r\n")),
    ] {
        for _ in 0..5 {
            let mut raw = daemon.client().raw().await;
            // The server may be gone before the last byte.
            raw.try_send(&head).await.ok();
            let answer = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
            let refused = ["HTTP/1.1 400", "HTTP/1.1 414", "HTTP/1.1 431"];
            let is_refused = answer.is_empty() || refused.iter().any(|start| answer.starts_with(start));
            assert!(is_refused, "{what}: {answer}");
        }
    }
    let grown = daemon.metrics().await.get("process_resident_memory_bytes") - memory;
    assert!(grown < 32.0 * 1048576.0, "it grew by {grown} bytes");
    assert_eq!(daemon.exited(), None);
}

//! Heads and bodies that come too slowly (N1, N2), while Graph goes on.

use super::http2::{head, hidden};
use super::{check_nothing_was_seen, hidden as request};
use crate::faults::{GRAPH_WAITS, Scene};
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually;
use crate::support::frames::{DATA, Frames, HEADERS, frame};
use crate::support::graph::{PATH, collection, created};

/// N1: connections that send a head byte by byte, or stop in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_are_cut_off_and_cost_nobody_anything() {
    let configuration = Daemon::configure().set("server.limits", "header_within", "\"4s\"");
    let scene = Scene::begin(configuration).await;
    scene.connected().await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut raw = scene.daemon.client().raw().await;
        raw.send(format!("POST {PATH} HTTP/1.1\r\nHo")).await;
        slow.push(raw);
    }
    let open = scene.daemon.metrics().await.get("graphhook_connections");
    // Those of the load apart; on a busy machine the first have been cut off by now.
    assert!(open >= 8.0 + 50.0, "only {open} connections were slow at once");
    scene.accepts(500).await;
    scene.daemon.eventually_metric("graphhook_connections", |open| open <= 10.0).await;
    scene.accepts(100).await;
    let (_, verdict) = scene.judge().await;
    assert_eq!(verdict.report.unavailable, 0);
    verdict.check_times(GRAPH_WAITS);
}

/// N2: genuine bodies that stop at their last byte. Nothing of them is believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_stop_at_their_last_byte_are_not_accepted() {
    let scene = Scene::begin(Daemon::configure()).await;
    scene.connected().await;
    let (mut slow, request) = (Vec::new(), request());
    for _ in 0..50 {
        let mut raw = scene.daemon.client().raw().await;
        raw.send(&request[..request.len() - 1]).await;
        slow.push(raw);
    }
    let mut frames = Frames::open(&scene.daemon.client()).await;
    for stream in (1..100).step_by(2) {
        let body = collection([created("hidden")]);
        frames.send([head(stream), frame(DATA, 0, stream, &body[..body.len() - 1])].concat()).await;
    }
    for raw in &mut slow {
        let answer = raw.read_to_end().await;
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(frames.next_of(HEADERS).await.map(|frame| frame.status()), Some(408));
    scene.accepts(100).await;
    let (_, verdict) = scene.judge().await;
    assert_eq!(verdict.report.unavailable, 0);
    verdict.check_times(GRAPH_WAITS);
}

/// N2: the time is for the whole body, however often a byte of it comes.
#[tokio::test]
async fn a_body_byte_by_byte_has_no_more_time_than_any() {
    let configuration = Daemon::configure().without_broker();
    let daemon = configuration.set("server.limits", "body_within", "\"500ms\"").start().await;
    for (framing, byte) in [("Content-Length: 100000", " "), ("Transfer-Encoding: chunked", "1\r\n \r\n")] {
        let mut raw = daemon.client().raw().await;
        raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n")).await;
        eventually("the end of the server's patience", async || raw.try_send(byte).await.err()).await;
        assert!(raw.read_to_end().await.starts_with(b"HTTP/1.1 408 "), "{framing}");
    }
    let mut frames = Frames::open(&daemon.client()).await;
    frames.send(head(1)).await;
    eventually("the end of the server's patience", async || {
        (!frames.try_send(frame(DATA, 0, 1, " ")).await).then_some(())
    })
    .await;
    assert_eq!(frames.next_of(HEADERS).await.map(|frame| frame.status()), Some(408));
    // What comes when it is too late is not taken for another request.
    frames.try_send(hidden(1)).await;
    check_nothing_was_seen(&daemon).await;
}

//! Connections in all, of one address, in their handshake; how long one may last; what they cost.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpStream;

use super::{behind_proxy, failed, header};
use crate::faults::{GRAPH_WAITS, Scene};
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually_within;
use crate::support::graph::{PATH, collection, created, post};

const OPEN: &str = "graphhook_connections";
const EVICTED: &str = "graphhook_connections_evicted_total";

/// N4: one address takes what one address may have, and others their share.
#[tokio::test]
async fn one_address_takes_no_more_than_its_share() {
    let daemon = behind_proxy(Daemon::configure().without_broker(), "proxy_protocol")
        .set("server.limits", "connections_per_address", "3")
        .start()
        .await;
    let greedy = daemon.client().saying(header("203.0.113.9"));
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(greedy.raw().await);
    }
    assert!(greedy.connect().await.is_err(), "a fourth of the same address");
    daemon.eventually_metric(&failed("address_limit"), |failed| failed == 1.0).await;
    assert_eq!(post(&daemon.client().saying(header("203.0.113.10")), [created("other")]).await.status, 202);
    // Whoever has brought something genuine counts no more.
    let body = collection([created("genuine")]);
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    open[0].send(format!("{head}{body}")).await;
    assert!(open[0].read_past("\r\n\r\n").await.starts_with(b"HTTP/1.1 202 "));
    open.push(greedy.raw().await);
    assert!(greedy.connect().await.is_err());
    // A place that was given back can be taken.
    drop(open.pop());
    eventually_within(Duration::from_secs(10), "a place", async || greedy.connect().await.ok()).await;
}

#[tokio::test]
async fn a_reload_changes_the_bounds_and_drops_nobody() {
    let mut daemon = behind_proxy(Daemon::configure().without_broker(), "proxy_protocol")
        .set("server.limits", "connections_per_address", "1")
        .start()
        .await;
    let client = daemon.client().saying(header("203.0.113.9"));
    let mut first = client.raw().await;
    assert!(client.connect().await.is_err(), "a second of the same address");
    daemon.reconfigure(|configuration| configuration.set("server.limits", "connections_per_address", "2"));
    daemon.signal("HUP");
    daemon.eventually_logs("configuration reloaded").await;
    let _second = client.raw().await;
    assert!(client.connect().await.is_err(), "a third");
    first.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert!(first.read_past("ok\n").await.starts_with(b"HTTP/1.1 200 "));
}

/// N3 and N4: silence in the middle of a handshake, more of it than there may be, and Graph goes on. The bound of
/// connections is out of reach here: it is the handshakes' own that makes the oldest go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_handshakes_make_room_for_others() {
    let configuration = Daemon::configure().set("server.limits", "handshakes", "16").set(
        "server.limits",
        "handshake_within",
        "\"60s\"",
    );
    let scene = Scene::begin(configuration).await;
    scene.connected().await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(scene.daemon.public()).await.expect("a connection"));
    }
    scene.daemon.eventually_metric(EVICTED, |evicted| evicted >= 184.0).await;
    scene.daemon.eventually_metric(OPEN, |open| open <= 16.0 + 8.0).await;
    scene.accepts(300).await;
    // Graph's next subscription is validated in the middle of it.
    let token = scene.daemon.client().post(&format!("{PATH}?validationToken=t"), &[], "").await;
    assert_eq!(token.text(), "t");
    let (_, verdict) = scene.judge().await;
    verdict.check_times(GRAPH_WAITS);
}

/// N4: a full house, in which those stay who bring something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_house_shows_out_who_brings_nothing() {
    let configuration = Daemon::configure().set("server.limits", "connections", "40").set(
        "server.limits",
        "handshake_within",
        "\"60s\"",
    );
    let scene = Scene::begin(configuration).await;
    scene.connected().await;
    scene.accepts(100).await;
    let connections = scene.load().connections();
    let mut crowd = Vec::new();
    for number in 0..400 {
        let stream = TcpStream::connect(scene.daemon.public()).await.expect("the kernel's queue");
        crowd.push(stream);
        if number % 50 == 0 {
            scene.accepts(20).await;
        }
    }
    scene.daemon.eventually_metric(EVICTED, |evicted| evicted >= 360.0).await;
    scene.accepts(300).await;
    assert!(scene.daemon.metrics().await.get(OPEN) <= 40.0);
    assert_eq!(scene.load().connections(), connections, "the genuine clients keep their connections");
    let (_, verdict) = scene.judge().await;
    verdict.check_times(GRAPH_WAITS);
}

#[tokio::test]
async fn a_connection_has_an_end_however_busy() {
    let daemon = Daemon::configure()
        .without_broker()
        .set("server.limits", "connection_within", "\"1s\"")
        .start()
        .await;
    for client in [daemon.client().http1(), daemon.client().http2()] {
        let ended = async || {
            assert_eq!(post(&client, [created("again and again")]).await.status, 202);
            (client.opened() > 1).then_some(())
        };
        eventually_within(Duration::from_secs(10), "a second connection", ended).await;
    }
}

/// The budget of memory that docs/edge.md states: 64 MiB idle, 128 with 1,000 connections, 256 with 4,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_stay_within_their_budget() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("one's own limit can be raised");
    let daemon = Daemon::configure().without_broker().start().await;
    let client = daemon.client();
    let mut open = Vec::new();
    for (connections, budget) in [(0, 64.0), (1000, 128.0), (4000, 256.0)] {
        while open.len() < connections {
            let mut raw = client.raw().await;
            raw.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
            assert!(raw.read_past("ok\n").await.starts_with(b"HTTP/1.1 200 "));
            open.push(raw);
        }
        let metrics = daemon.metrics().await;
        assert_eq!(metrics.get(OPEN), connections as f64);
        let resident = metrics.get("process_resident_memory_bytes") / 1048576.0;
        assert!(resident < budget, "{resident} MiB with {connections} connections");
    }
}

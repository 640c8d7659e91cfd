//! The stop: open requests are answered, confirms settled, the broker closed politely.

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually;
use crate::support::graph::{PATH, collection, created, post};
use crate::support::load::Load;
use crate::support::oracle::Oracle;
use crate::support::queue::Amqp;

/// A daemon behind a proxy to the broker, connected.
async fn started() -> (Daemon, Cut) {
    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("server", "answer_within", "\"10s\"")
        .connected()
        .await;
    (daemon, cut)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing_and_exits_0() {
    for signal in ["TERM", "INT"] {
        let daemon = Daemon::configure().connected().await;
        let oracle = Oracle::with_fresh_key();
        let load = Load::start(&oracle, &daemon, 8);
        load.eventually_accepts(300).await;
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit().await.code(), Some(0), "{}", daemon.log());
        load.stop().await;
        let taken = oracle.taken(&Amqp::connect(&Node::shared().url()).await, &daemon).await;
        oracle.judge(&taken).check().check_doubles(0);
        let balance = daemon.log();
        let balance =
            balance.lines().find(|line| line.contains("graphhook has stopped")).expect("the balance");
        assert!(balance.contains("\"in_flight\":0"), "{balance}");
        assert!(daemon.log().contains("broker connection closed"), "not politely: {}", daemon.log());
    }
}

#[tokio::test]
async fn an_open_request_is_answered_before_the_end() {
    let (daemon, cut) = started().await;
    cut.stall_answers();
    let client = daemon.client().http1();
    let mut requests = tokio::task::JoinSet::new();
    requests.spawn(async move { post(&client, [created("open")]).await.status });
    daemon.eventually_metric("graphhook_amqp_in_flight", |open| open == 1.0).await;
    daemon.signal("TERM");
    eventually("refused connections", async || {
        tokio::net::TcpStream::connect(daemon.public()).await.is_err().then_some(())
    })
    .await;
    assert_eq!(daemon.get_admin("/readyz").await, (503, "stopping\n".to_owned()));
    assert_eq!(daemon.exited(), None);
    cut.heal();
    assert_eq!(requests.join_next().await.expect("one request").expect("no panic"), 202);
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    Amqp::connect(&Node::shared().url()).await.queue(daemon.queue()).eventually_holds(&["open"]).await;
}

/// It was let in, and nobody else can answer it; so an upgrade behind a socket of systemd leaves nobody without an answer.
#[tokio::test]
async fn who_came_just_before_the_stop_is_answered() {
    let (daemon, _cut) = started().await;
    let mut raw = daemon.client().raw().await;
    let body = collection([created("just-before")]);
    let length = body.len();
    daemon.signal("TERM");
    eventually("refused connections", async || {
        tokio::net::TcpStream::connect(daemon.public()).await.is_err().then_some(())
    })
    .await;
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    let answer = String::from_utf8(raw.read_to_end().await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
}

/// What the broker does not confirm finds the spool open during the stop, too.
#[tokio::test]
async fn an_open_request_is_spooled_before_the_end() {
    let (mut daemon, cut) = started().await;
    cut.stall_answers();
    let client = daemon.client().http1();
    let mut requests = tokio::task::JoinSet::new();
    requests.spawn(async move { post(&client, [created("spooled")]).await.status });
    daemon.eventually_metric("graphhook_amqp_in_flight", |open| open == 1.0).await;
    daemon.signal("TERM");
    assert_eq!(requests.join_next().await.expect("one request").expect("no panic"), 202);
    cut.cut();
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    cut.heal();
    daemon.restart().await;
    Amqp::connect(&Node::shared().url()).await.queue(daemon.queue()).eventually_holds(&["spooled"]).await;
    daemon.eventually_metric("graphhook_spool_drained_total", |drained| drained == 1.0).await;
}

#[tokio::test]
async fn a_second_signal_hurries() {
    let (daemon, cut) = started().await;
    cut.stall_answers();
    let mut raw = daemon.client().raw().await;
    let body = collection([created("hurried")]);
    let length = body.len();
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    daemon.eventually_metric("graphhook_amqp_in_flight", |open| open == 1.0).await;
    daemon.signal("TERM");
    daemon.eventually_logs("stopping").await;
    assert_eq!(daemon.exited(), None);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert!(daemon.log().contains("hurried"));
}

#[tokio::test]
async fn the_stop_has_an_end_even_when_nothing_moves() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("server", "answer_within", "\"60s\"")
        .set("server", "stop_within", "\"1s\"")
        .connected()
        .await;
    cut.stall_answers();
    let mut raw = daemon.client().raw().await;
    let body = collection([created("stuck")]);
    let length = body.len();
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    daemon.eventually_metric("graphhook_amqp_in_flight", |open| open == 1.0).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert!(daemon.log().contains("did not end in time"));
}

#[tokio::test]
async fn kept_connections_do_not_hold_up_the_stop() {
    let (daemon, _cut) = started().await;
    let clients = [daemon.client().http1(), daemon.client().http2()];
    for client in &clients {
        assert_eq!(post(client, [created("kept")]).await.status, 202);
    }
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
}

#[tokio::test]
async fn a_stop_without_a_broker_exits_0() {
    let daemon = Daemon::configure().without_broker().start().await;
    daemon.eventually_logs("broker not connected").await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn half_a_head_does_not_hold_up_the_stop() {
    let (daemon, _cut) = started().await;
    let mut raw = daemon.client().raw().await;
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHo")).await;
    daemon.eventually_metric("graphhook_connections", |open| open == 1.0).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
}

#[tokio::test]
async fn a_silent_handshake_does_not_hold_up_the_stop() {
    let daemon = Daemon::configure().set("server.limits", "handshake_within", "\"60s\"").connected().await;
    let _silent = tokio::net::TcpStream::connect(daemon.public()).await.expect("a connection");
    daemon.eventually_metric("graphhook_connections", |open| open == 1.0).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
}

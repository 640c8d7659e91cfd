//! A broker that is killed, paused or alarmed while Graph goes on: what was answered 202 is in the queue.

use crate::support::broker::{Faulty, Node};
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::support::eventually::eventually;
use crate::support::graph::{created, post};
use crate::support::load::Load;
use crate::support::oracle::Oracle;
use crate::support::queue::Amqp;

/// A broker to maltreat, a daemon that is connected to it, and a consumer's connection.
async fn started() -> (Faulty, Daemon, Amqp) {
    let node = Node::faulty().await;
    let daemon = Daemon::configure()
        .broker(format!("{}?heartbeat=2", node.url()))
        .set("server", "answer_within", "\"1s\"")
        .set("broker", "connect_within", "\"2s\"")
        .connected()
        .await;
    // RabbitMQ 3.10 saves the names of its quorum queues every few minutes only; a queue younger than that is
    // there after a crash, but nothing published to it is ever confirmed.
    node.ctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).await;
    let amqp = Amqp::connect(&node.url()).await;
    (node, daemon, amqp)
}

async fn check_books(daemon: &Daemon) {
    let in_flight = "graphhook_notifications_in_flight";
    daemon.eventually_metric(in_flight, |in_flight| in_flight == 0.0).await;
    assert_eq!(daemon.metrics().await.get("graphhook_conservation_error"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_that_was_accepted() {
    let (node, daemon, amqp) = started().await;
    let oracle = Oracle::with_fresh_key();
    let load = Load::start(&oracle, &daemon, 8);
    load.eventually_accepts(300).await;
    node.kill();
    load.eventually_unavailable(20).await;
    assert_eq!(daemon.get_admin("/readyz").await.0, 503);
    node.start().await;
    load.eventually_accepts(300).await;
    load.stop().await;
    oracle.judge(&oracle.taken(&amqp, &daemon).await).check();
    check_books(&daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_broker_loses_nothing_and_keeps_nobody_waiting() {
    let (node, daemon, amqp) = started().await;
    let oracle = Oracle::with_fresh_key();
    let load = Load::start(&oracle, &daemon, 8);
    load.eventually_accepts(300).await;
    node.pause();
    load.eventually_unavailable(20).await;
    // Nothing is heard for two heartbeats; then the connection is given up.
    daemon.eventually_metric(CONNECTION_UP, |up| up == 0.0).await;
    node.resume();
    load.eventually_accepts(300).await;
    load.stop().await;
    oracle.judge(&oracle.taken(&amqp, &daemon).await).check();
    check_books(&daemon).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_broker_is_not_fed() {
    let (node, daemon, amqp) = started().await;
    assert_eq!(post(&daemon.client(), [created("before")]).await.status, 202);
    node.alarm(true).await;
    // RabbitMQ says that it blocks only when the next message comes.
    let blocked = eventually("connection.blocked", async || {
        let status = post(&daemon.client(), [created("blocking")]).await.status;
        let blocked = daemon.metrics().await.get("graphhook_amqp_connection_blocked");
        (blocked == 1.0).then_some(status)
    });
    blocked.await;
    assert_eq!(daemon.metrics().await.get(CONNECTION_UP), 0.0);
    let (status, page) = daemon.get_admin("/readyz").await;
    assert_eq!((status, page.as_str()), (503, "the broker blocks publishing\n"));
    let in_flight = daemon.metrics().await.get("graphhook_amqp_in_flight");
    for number in 0..20 {
        assert_eq!(post(&daemon.client(), [created(&format!("no-{number}"))]).await.status, 503);
    }
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.get("graphhook_amqp_in_flight"), in_flight, "nothing piles up");
    assert!(metrics.get(r#"graphhook_amqp_publish_total{result="blocked"}"#) >= 20.0);
    node.alarm(false).await;
    daemon.eventually_metric("graphhook_amqp_connection_blocked", |blocked| blocked == 0.0).await;
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    assert_eq!(post(&daemon.client(), [created("after")]).await.status, 202);
    amqp.queue(daemon.queue()).eventually_holds(&["before", "after"]).await;
    check_books(&daemon).await;
}

#[tokio::test]
async fn a_blocking_broker_does_not_hold_up_the_stop() {
    let (node, daemon, _amqp) = started().await;
    node.alarm(true).await;
    eventually("connection.blocked", async || {
        post(&daemon.client(), [created("blocking")]).await;
        let blocked = daemon.metrics().await.get("graphhook_amqp_connection_blocked");
        (blocked == 1.0).then_some(())
    })
    .await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert!(!daemon.log().contains("did not end in time"), "{}", daemon.log());
    node.alarm(false).await;
}

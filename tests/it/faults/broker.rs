//! A real broker that is killed, paused, alarmed, emptied or absent.

use lapin::ExchangeKind;
use lapin::types::FieldTable;

use super::{GRAPH_WAITS, SPOOL_ITEMS, Scene, check_books, eventually_empty};
use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Daemon, SECRET};
use crate::support::graph::{changed, created, post};
use crate::support::queue::{Amqp, unique};

const BLOCKED: &str = "graphhook_amqp_connection_blocked";
const IN_FLIGHT: &str = "graphhook_amqp_in_flight";

/// B1
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_costs_nobody_anything() {
    let (node, scene) = Scene::beside(Daemon::configure()).await;
    scene.accepts(500).await;
    node.kill();
    scene.spools(3000).await;
    assert_eq!(scene.daemon.get_admin("/readyz").await.0, 200, "the spool keeps the promise");
    node.start().await;
    scene.connected().await;
    scene.accepts(500).await;
    let (_, verdict) = scene.judge().await;
    assert_eq!(verdict.report.unavailable, 0, "nobody was turned away");
    verdict.check_times(GRAPH_WAITS);
}

/// B2
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_broker_keeps_nobody_waiting() {
    let (node, scene) = Scene::beside(Daemon::configure()).await;
    scene.accepts(500).await;
    node.pause();
    scene.spools(500).await;
    // Nothing is heard for two heartbeats; then the connection is given up.
    scene.daemon.eventually_metric(CONNECTION_UP, |up| up == 0.0).await;
    scene.spools(500).await;
    node.resume();
    scene.connected().await;
    scene.accepts(500).await;
    let (_, verdict) = scene.judge().await;
    assert_eq!(verdict.report.unavailable, 0);
    verdict.check_times(GRAPH_WAITS);
}

/// B3, B4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_broker_is_not_fed() {
    let (node, scene) = Scene::beside(Daemon::configure()).await;
    scene.accepts(500).await;
    let disk_alarm = async |limit: &str| node.ctl(&["set_disk_free_limit", limit]).await;
    disk_alarm("1000000000000").await;
    scene.daemon.eventually_metric(BLOCKED, |blocked| blocked == 1.0).await;
    scene.spools(500).await;
    let (status, page) = scene.daemon.get_admin("/readyz").await;
    assert_eq!((status, page.as_str()), (200, "ready, into the spool: the broker blocks publishing\n"));
    let memory = scene.daemon.metrics().await.get("process_resident_memory_bytes");
    node.alarm(true).await;
    disk_alarm("1000000").await;
    scene.spools(2000).await;
    let metrics = scene.daemon.metrics().await;
    assert_eq!(metrics.get(BLOCKED), 1.0, "one of two alarms is still on");
    assert!(metrics.get(IN_FLIGHT) <= 2048.0 + 512.0);
    let grown = metrics.get("process_resident_memory_bytes") - memory;
    assert!(grown < 64.0 * 1048576.0, "blocked, it grew by {grown} bytes");
    node.alarm(false).await;
    scene.daemon.eventually_metric(BLOCKED, |blocked| blocked == 0.0).await;
    scene.connected().await;
    let (_, verdict) = scene.judge().await;
    assert_eq!(verdict.report.unavailable, 0);
    verdict.check_times(GRAPH_WAITS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_broker_does_not_hold_up_the_stop() {
    let (node, mut scene) = Scene::beside(Daemon::configure()).await;
    node.alarm(true).await;
    scene.daemon.eventually_metric(BLOCKED, |blocked| blocked == 1.0).await;
    scene.spools(100).await;
    scene.daemon.signal("TERM");
    assert_eq!(scene.daemon.wait_exit().await.code(), Some(0));
    assert!(!scene.daemon.log().contains("did not end in time"), "{}", scene.daemon.log());
    scene.stop_load().await;
    node.alarm(false).await;
    scene.daemon.restart().await;
    scene.judge().await;
}

/// A durable exchange with a queue for what was created, and one daemon that only checks them.
async fn partly_bound(configuration: crate::support::daemon::Configuration) -> (Daemon, Amqp) {
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let (exchange, queue) = (unique("partly"), unique("partly"));
    amqp.declare_exchange(&exchange, ExchangeKind::Topic).await;
    amqp.declare_queue(&queue, FieldTable::default()).await;
    amqp.bind(&queue, &exchange, "*.*.created").await;
    let configuration = configuration.exchange(&exchange).queue(&queue).set("broker", "declare", "false");
    (configuration.connected().await, amqp)
}

/// B6
#[tokio::test]
async fn what_nobody_is_bound_for_is_set_aside_and_never_dropped() {
    let configuration = Daemon::configure().set("spool", "set_aside_after", "\"1500ms\"");
    let (mut daemon, amqp) = partly_bound(configuration).await;
    let lost = |number| changed(&format!("gone-{number}"), "deleted", SECRET);
    assert_eq!(post(&daemon.client(), (0..20).map(lost)).await.status, 202);
    daemon.eventually_metric("graphhook_spool_set_aside_items", |aside| aside == 20.0).await;
    let returned = daemon.metrics().await.get(r#"graphhook_amqp_publish_total{result="returned"}"#);
    assert!(returned >= 40.0, "each was tried more than once: {returned}");
    // Others go their way, from the request and from the spool.
    let items: Vec<String> = (0..20).map(|number| created(&format!("good-{number}"))).collect();
    assert_eq!(post(&daemon.client(), &items).await.status, 202);
    let ids: Vec<String> = (0..20).map(|number| format!("good-{number}")).collect();
    let queue = amqp.queue(daemon.queue());
    queue.eventually_holds(&ids).await;
    assert_eq!(daemon.metrics().await.get(SPOOL_ITEMS), 20.0);
    // A restart keeps them.
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    daemon.restart().await;
    daemon.eventually_metric("graphhook_spool_set_aside_items", |aside| aside == 20.0).await;
    check_books(&daemon).await;
}

/// B8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_deleted_under_load_is_made_again() {
    let scene = Scene::begin(Daemon::configure()).await;
    scene.accepts(500).await;
    let amqp = Amqp::connect(&scene.broker).await;
    for _ in 0..3 {
        let closed = r#"graphhook_amqp_publish_total{result="closed"}"#;
        let before = scene.daemon.metrics().await.get(closed);
        amqp.delete_exchange(scene.daemon.exchange()).await;
        scene.daemon.eventually_metric(closed, |now| now > before).await;
        scene.connected().await;
        scene.accepts(500).await;
    }
    let (_, verdict) = scene.judge().await;
    assert_eq!(verdict.report.unavailable, 0);
    verdict.check_times(GRAPH_WAITS);
}

/// B10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirms_that_come_late_double_nothing() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let scene = Scene::begin(configuration.set("broker", "confirm_within", "\"200ms\"")).await;
    scene.connected().await;
    for _ in 0..3 {
        scene.accepts(200).await;
        cut.stall_answers();
        scene.spools(100).await;
        cut.heal();
    }
    let (daemon, verdict) = scene.judge().await;
    assert!(daemon.metrics().await.get(r#"graphhook_amqp_publish_total{result="late"}"#) > 0.0);
    verdict.check_doubles(0).check_times(GRAPH_WAITS);
    assert_eq!(verdict.report.unavailable, 0);
}

/// B17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_comes_later_gets_everything_in_order() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let daemon = Daemon::configure().broker(Node::shared().url_by(cut.port())).start().await;
    daemon.eventually_logs("broker not connected").await;
    let ids: Vec<String> = (0..1500).map(|number| format!("early-{number:04}")).collect();
    for some in ids.chunks(50) {
        assert_eq!(post(&daemon.client(), some.iter().map(|id| created(id))).await.status, 202);
    }
    assert_eq!(daemon.metrics().await.get(SPOOL_ITEMS), 1500.0);
    cut.heal();
    eventually_empty(&daemon).await;
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    queue.eventually_holds(&ids).await;
    let delivered: Vec<String> = queue.drain().await.into_iter().map(|message| message.message_id).collect();
    assert_eq!(delivered, ids, "oldest first, each once");
}

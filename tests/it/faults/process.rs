//! The daemon itself is killed, at chosen points and at any time, stopped, and starved.

use std::collections::BTreeSet;

use super::{GRAPH_WAITS, SPOOL_ITEMS, SPOOLED, Scene, eventually_empty};
use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::support::graph::{created, post};

/// S1: the process dies at a point of the program, for the first time and for the third.
async fn dies_at(point: &str, broker: BrokerIs) {
    for times in ["1", "3"] {
        let cut = Cut::to_port(Node::shared().port()).await;
        if broker != BrokerIs::There {
            cut.refuse();
        }
        let configuration = Daemon::configure()
            .broker(Node::shared().url_by(cut.port()))
            .env("FAIL_POINT", format!("{point}:{times}"));
        let mut scene = Scene::with(configuration, |plan| plan.retries()).await;
        if broker == BrokerIs::Back {
            scene.spools(1000).await;
            cut.heal();
        }
        let status = scene.daemon.wait_exit().await;
        assert_eq!(status.code(), None, "{point} was never reached; the daemon ended by itself");
        cut.heal();
        scene.daemon.reconfigure(|configuration| configuration.env("FAIL_POINT", ""));
        scene.daemon.restart().await;
        scene.load().follow(&scene.daemon);
        scene.connected().await;
        scene.accepts(300).await;
        scene.judge().await;
    }
}

/// The broker, while the process dies.
#[derive(Clone, Copy, PartialEq)]
enum BrokerIs {
    There,
    Away,
    Back,
}

macro_rules! dies_at {
    ($($name:ident: $point:literal, $broker:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                dies_at($point, BrokerIs::$broker).await;
            }
        )*
    };
}

dies_at! {
    killed_before_a_transaction_of_the_spool: "SpoolBeforeWrite", Away;
    killed_in_a_transaction_of_the_spool: "SpoolMidWrite", Away;
    killed_before_the_fsync_of_the_spool: "SpoolBeforeCommit", Away;
    killed_after_the_fsync_of_the_spool: "SpoolAfterCommit", Away;
    killed_before_the_spool_tells_the_request: "SpoolBeforeReply", Away;
    killed_before_an_answer: "AnswerBefore", There;
    killed_with_messages_in_flight: "PublishBeforeConfirm", There;
    killed_before_a_replayed_message_is_removed: "ReplayBeforeRemove", Back;
    killed_while_disk_space_is_given_back: "SpoolBeforeGiveBack", Back;
}

/// P1: killed in the middle of batches of a hundred.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_mid_batch() {
    let mut scene = Scene::with(Daemon::configure(), |plan| plan.batches(&[100]).retries()).await;
    for _ in 0..3 {
        scene.connected().await;
        scene.accepts(500).await;
        scene.daemon.kill();
        scene.load().eventually_unanswered(8).await;
        scene.daemon.restart().await;
        scene.load().follow(&scene.daemon);
    }
    // What was in flight is sent again by Graph, and nothing else comes twice.
    let (_, verdict) = scene.judge().await;
    verdict.check_doubles(3 * 2048);
}

/// P7: killed again and again, as soon as it works, while the broker comes and goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_restarts_loses_nothing() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let mut scene = Scene::with(configuration, |plan| plan.retries()).await;
    for round in 0..10 {
        if round % 3 == 0 {
            cut.refuse();
            cut.cut();
        } else {
            cut.heal();
        }
        scene.accepts(if round % 2 == 0 { 5 } else { 400 }).await;
        scene.daemon.kill();
        scene.daemon.restart().await;
        scene.load().follow(&scene.daemon);
    }
    cut.heal();
    scene.judge().await;
}

/// P3: asked to stop with ten thousand messages in flight that nobody confirms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_with_much_in_flight_leaves_it_in_the_spool() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let mut daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("broker", "in_flight_messages", "12000")
        .set("broker", "confirm_within", "\"300ms\"")
        .connected()
        .await;
    cut.stall_answers();
    let ids: Vec<String> = (0..10_000).map(|number| format!("stop-{number}")).collect();
    for some in ids.chunks(2000) {
        assert_eq!(post(&daemon.client(), some.iter().map(|id| created(id))).await.status, 202);
    }
    assert_eq!(daemon.metrics().await.get(SPOOLED), 10_000.0);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0), "{}", daemon.log());
    cut.heal();
    cut.cut();
    daemon.restart().await;
    assert!(daemon.metrics().await.get(SPOOL_ITEMS) > 0.0, "they were in the spool");
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    eventually_empty(&daemon).await;
    let amqp = crate::support::queue::Amqp::connect(&Node::shared().url()).await;
    let delivered = amqp.queue(daemon.queue()).drain().await;
    let delivered: BTreeSet<&str> = delivered.iter().map(|message| message.message_id.as_str()).collect();
    assert_eq!(delivered.len(), ids.len());
}

/// P3, P4: asked to stop without a broker, and asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_without_a_broker_keeps_the_spool() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let mut scene = Scene::with(configuration, |plan| plan.retries()).await;
    for signals in [&["TERM"][..], &["TERM", "TERM"], &["INT", "TERM"]] {
        scene.accepts(500).await;
        signals.iter().for_each(|signal| scene.daemon.signal(signal));
        assert_eq!(scene.daemon.wait_exit().await.code(), Some(0));
        scene.daemon.restart().await;
        scene.load().follow(&scene.daemon);
    }
    cut.heal();
    scene.judge().await;
}

/// P8: with little memory, more work than fits is refused, and the process lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_little_memory_it_refuses_and_lives() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let configuration = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("server.limits", "body", "\"1MiB\"")
        .set("server.limits", "bytes_in_flight", "\"1MiB\"")
        .set("broker", "confirm_within", "\"300ms\"")
        .before("ulimit -d 262144");
    let scene = Scene::with(configuration, |plan| plan.clients(24).batches(&[100, 300])).await;
    scene.connected().await;
    scene.accepts(5000).await;
    cut.stall_answers();
    scene.spools(5000).await;
    cut.heal();
    scene.accepts(5000).await;
    let (daemon, verdict) = scene.judge().await;
    assert_eq!(daemon.exited(), None);
    assert!(verdict.report.unavailable > 0, "it was not too much: {}", verdict.report.json());
}

/// P12: with few file descriptors there are few connections, and broker and spool keep theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_few_files_there_are_few_connections() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port())).before("ulimit -n 64");
    let scene = Scene::begin(configuration).await;
    scene.connected().await;
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(tokio::net::TcpStream::connect(scene.daemon.public()).await.expect("the kernel's queue"));
    }
    scene.daemon.eventually_logs("too few file descriptors").await;
    scene.daemon.eventually_metric("graphhook_connections_evicted_total", |evicted| evicted >= 100.0).await;
    // Whoever has something to say is served, and the broker is found again.
    cut.cut();
    scene.accepts(500).await;
    scene.connected().await;
    let metrics = scene.daemon.metrics().await;
    assert!(metrics.get("graphhook_connections") <= 32.0);
    assert!(!scene.daemon.log().contains("cannot accept connections"), "it ran out of files after all");
    drop(crowd);
    scene.connected().await;
    let (_, verdict) = scene.judge().await;
    verdict.check_times(GRAPH_WAITS);
}

/// P11: a panic costs the request that it happens in, and it is answered.
#[tokio::test]
async fn a_panic_costs_one_request() {
    let daemon = Daemon::configure().env("FAIL_POINT", "AnswerBefore:2:panic").connected().await;
    assert_eq!(post(&daemon.client(), [created("before")]).await.status, 202);
    assert_eq!(post(&daemon.client(), [created("panicking")]).await.status, 500);
    assert_eq!(post(&daemon.client(), [created("after")]).await.status, 202);
    assert!(
        daemon.log().contains("\"panicked\"") && daemon.log().contains("failpoint.rs"),
        "{}",
        daemon.log()
    );
    super::check_books(&daemon).await;
}

/// P11: a publisher that panics takes its connection along; what was in flight goes by the spool, and a new connection
/// is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_a_publisher_costs_nothing() {
    let configuration = Daemon::configure().env("FAIL_POINT", "PublisherTurns:40:panic");
    let scene = Scene::begin(configuration).await;
    scene.daemon.eventually_logs("\"publisher_panicked\"").await;
    scene.accepts(1000).await;
    let (daemon, _) = scene.judge().await;
    assert_eq!(daemon.exited(), None);
}

/// P11: without its thread the spool keeps no promise: the daemon ends, and the next one finds everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_the_spool_ends_the_daemon_and_costs_nothing() {
    let configuration = Daemon::configure().without_broker().env("FAIL_POINT", "SpoolTurns:60:panic");
    let mut scene = Scene::with(configuration, |plan| plan.retries()).await;
    assert_eq!(scene.daemon.wait_exit().await.code(), Some(1));
    assert!(scene.daemon.log().contains("\"part_ended\""), "{}", scene.daemon.log());
    scene.daemon.reconfigure(|configuration| {
        configuration.env("FAIL_POINT", "").set("broker", "urls", &format!("[{:?}]", Node::shared().url()))
    });
    scene.daemon.restart().await;
    scene.load().follow(&scene.daemon);
    scene.judge().await;
}

//! The watchdog hears from the daemon while every part of it moves, and only then. P10: a part hangs on purpose.

use std::time::Duration;

use crate::faults::Scene;
use crate::support::broker::Node;
use crate::support::daemon::{Configuration, Daemon};
use crate::support::disk::Disk;
use crate::support::eventually::eventually_within;
use crate::support::graph::{created, post};
use crate::support::notify::Ear;

/// Systemd's `WatchdogSec=`, for tests.
const WATCHDOG: Duration = Duration::from_secs(4);
/// A part hangs, and is noticed, on the busiest of machines.
const BOUND: Duration = Duration::from_secs(60);

fn watched(ear: &Ear, configuration: Configuration) -> Configuration {
    configuration.env("NOTIFY_SOCKET", ear.path()).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string())
}

/// The part hangs in its turn number `turn`, when the daemon has served for some time. There are so many of its name.
async fn hangs(point: &str, turn: u32, (part, many): (&str, usize)) {
    let ear = Ear::open();
    let configuration = watched(&ear, Daemon::configure()).env("FAIL_POINT", format!("{point}:{turn}:hang"));
    let daemon = configuration.connected().await;
    ear.eventually_pinged(2).await;
    // Others may hang with it: it takes a thread of the runtime along, and with that what was to run there next.
    let complaints = || {
        let log = daemon.log();
        let of_this =
            |line: &&str| line.contains("\"part_stuck\"") && line.contains(&format!("\"part\":\"{part}\""));
        log.lines().filter(of_this).count()
    };
    eventually_within(BOUND, format!("a complaint of the {part}"), async || (complaints() > 0).then_some(()))
        .await;
    // So long that systemd has killed it.
    ear.eventually_silent(WATCHDOG).await;
    // Once for each that hangs, however long it lasts.
    assert!((1..=many).contains(&complaints()), "{}", daemon.log());
}

#[tokio::test]
async fn an_accept_loop_that_hangs_stops_the_pings() {
    hangs("ListenerTurns", 10, ("accept loop", 1)).await;
}

#[tokio::test]
async fn a_publisher_that_hangs_stops_the_pings() {
    // One task for all channels.
    hangs("PublisherTurns", 40, ("publisher", 1)).await;
}

#[tokio::test]
async fn a_connector_that_hangs_stops_the_pings() {
    hangs("ConnectorTurns", 10, ("broker connection", 1)).await;
}

#[tokio::test]
async fn a_replay_that_hangs_stops_the_pings() {
    hangs("ReplayTurns", 10, ("replay", 1)).await;
}

#[tokio::test]
async fn a_spool_that_hangs_stops_the_pings() {
    hangs("SpoolTurns", 20, ("spool", 1)).await;
}

/// P10: what systemd does next is safe.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_by_the_watchdog_it_has_lost_nothing() {
    let ear = Ear::open();
    let configuration = watched(&ear, Daemon::configure()).env("FAIL_POINT", "PublisherTurns:400:hang");
    let mut scene = Scene::with(configuration, |plan| plan.retries()).await;
    eventually_within(BOUND, "a complaint", async || {
        scene.daemon.log().contains("\"part_stuck\"").then_some(())
    })
    .await;
    ear.eventually_silent(WATCHDOG).await;
    scene.daemon.signal("ABRT");
    scene.daemon.wait_exit().await;
    scene.daemon.reconfigure(|configuration| configuration.env("FAIL_POINT", ""));
    scene.daemon.restart().await;
    scene.load().follow(&scene.daemon);
    scene.connected().await;
    scene.accepts(300).await;
    scene.judge().await;
}

/// Time enough for every part to be taken for dead: half of the watchdog's time and more.
const MANY: usize = 8;

async fn keeps_pinging(ear: &Ear, daemon: &Daemon) {
    ear.eventually_pinged(MANY).await;
    assert!(!daemon.log().contains("part_stuck"), "{}", daemon.log());
    let last = daemon.metrics().await.get("graphhook_watchdog_last_ping_timestamp_seconds");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert!((now.as_secs_f64() - last).abs() < 60.0, "{last}");
}

#[tokio::test]
async fn idle_it_pings() {
    let ear = Ear::open();
    let daemon = watched(&ear, Daemon::configure()).connected().await;
    keeps_pinging(&ear, &daemon).await;
}

/// P9: stopped for moments, again and again.
#[tokio::test]
async fn stalled_again_and_again_it_pings() {
    let ear = Ear::open();
    let daemon = watched(&ear, Daemon::configure()).connected().await;
    let wanted = ear.pings() + MANY;
    eventually_within(BOUND, "pings between the stalls", async || {
        daemon.signal("STOP");
        daemon.signal("CONT");
        (ear.pings() >= wanted).then_some(())
    })
    .await;
    assert!(!daemon.log().contains("part_stuck"), "{}", daemon.log());
}

/// No broker, and each try to reach one takes long.
#[tokio::test]
async fn without_a_broker_it_pings() {
    let (refused, silent) = (Ear::open(), Ear::open());
    let away = watched(&refused, Daemon::configure().without_broker()).start().await;
    // Accepted by the kernel, and never answered.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("a port").port();
    let configuration = Daemon::configure().broker(format!("amqp://guest:guest@127.0.0.1:{port}/%2f"));
    let slow = watched(&silent, configuration.set("broker", "connect_within", "\"30s\"")).start().await;
    keeps_pinging(&refused, &away).await;
    keeps_pinging(&silent, &slow).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_by_the_broker_it_pings() {
    let ear = Ear::open();
    let node = Node::faulty().await;
    let configuration = Daemon::configure().broker(format!("{}?heartbeat=2", node.url()));
    let daemon = watched(&ear, configuration).connected().await;
    node.alarm(true).await;
    assert_eq!(post(&daemon.client(), [created("blocked")]).await.status, 202);
    daemon.eventually_metric("graphhook_amqp_connection_blocked", |blocked| blocked == 1.0).await;
    keeps_pinging(&ear, &daemon).await;
    node.alarm(false).await;
}

/// The spool is full, and its disk slow: a sync takes half of what a publisher would be given.
#[tokio::test]
async fn with_a_full_spool_and_a_slow_disk_it_pings() {
    let (ear, disk) = (Ear::open(), Disk::empty());
    let configuration = disk.under(Daemon::configure().without_broker());
    let configuration = watched(&ear, configuration.set("spool", "max_size", "\"1MiB\""));
    let daemon = configuration.start().await;
    let pad = "x".repeat(1000);
    let fill = async |round: usize| {
        let items = (0..100).map(|number| created(&format!("{round}-{number}-{pad}")));
        post(&daemon.client(), items).await.status
    };
    let mut rounds = 0;
    while fill(rounds).await == 202 {
        rounds += 1;
        assert!(rounds < 100, "the spool is never full");
    }
    daemon.eventually_logs("\"spool_full\"").await;
    disk.delay_syncs(WATCHDOG);
    assert!(fill(rounds).await >= 200);
    keeps_pinging(&ear, &daemon).await;
    disk.heal();
}

/// Another process is meant: systemd sets it for the daemon's own number alone.
#[tokio::test]
async fn a_watchdog_for_somebody_else_hears_nothing() {
    let ear = Ear::open();
    let daemon = watched(&ear, Daemon::configure().without_broker()).env("WATCHDOG_PID", "1").start().await;
    ear.eventually_hears("READY=1").await;
    assert_eq!(post(&daemon.client(), [created("else")]).await.status, 202);
    ear.eventually_hears("spool holds 1 message").await;
    assert_eq!(ear.pings(), 0);
    assert_eq!(daemon.metrics().await.get("graphhook_watchdog_last_ping_timestamp_seconds"), 0.0);
}

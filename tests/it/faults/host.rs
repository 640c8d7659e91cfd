//! The machine does not give the daemon what it needs: no time on the processor, no right time of day. And there are two
//! machines, of which one dies.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{GRAPH_WAITS, Scene, eventually_empty, steady};
use crate::support::balance::Balance;
use crate::support::broker::Node;
use crate::support::clock::Clock;
use crate::support::cut::Cut;
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually;
use crate::support::oracle::Oracle;

/// Stops a daemon and lets it go on, over and over, until dropped.
struct Stalls {
    pid: Pid,
    _stalling: JoinSet<()>,
}

impl Stalls {
    /// So long does it stand, and so long does it run.
    fn of(daemon: &Daemon, stands: Duration, runs: Duration) -> Self {
        let pid = Pid::from_raw(daemon.pid().cast_signed()).expect("it has an id");
        let mut stalling = JoinSet::new();
        stalling.spawn(async move {
            // What is first in each round is on time.
            let mut round = interval(stands + runs);
            round.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                round.tick().await;
                send(pid, Signal::STOP);
                let mut end = interval(stands);
                end.tick().await;
                end.tick().await;
                send(pid, Signal::CONT);
            }
        });
        Self { pid, _stalling: stalling }
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self._stalling.abort_all();
        send(self.pid, Signal::CONT);
    }
}

fn send(pid: Pid, signal: Signal) {
    // Fails only when the test has failed already, and with it ended the daemon.
    kill_process(pid, signal).ok();
}

/// P9: the scheduler lets it stand for 50 ms again and again, then for nine tenths of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_gets_little_time_keeps_its_promises() {
    let scene = Scene::with(Daemon::configure(), |plan| plan.rate(20)).await;
    scene.connected().await;
    for (stands, runs) in [(50, 50), (180, 20)] {
        let stalls = Stalls::of(&scene.daemon, Duration::from_millis(stands), Duration::from_millis(runs));
        let state = format!("/proc/{}/stat", scene.daemon.pid());
        let stands = async || fs::read_to_string(&state).ok()?.contains(") T ").then_some(());
        eventually("a daemon that stands still", stands).await;
        scene.accepts(500).await;
        // A handshake gets through as well.
        let reply = scene.daemon.client().post("/graph/notifications?validationToken=a%20b", &[], "").await;
        assert_eq!((reply.status, reply.text()), (200, "a b"));
        drop(stalls);
        scene.accepts(100).await;
    }
    scene.judge().await;
}

/// P14: the clock is set under load, forward and back, by hours and days, with the broker there and away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_disturbs_nobody() {
    let clock = Clock::right();
    let cut = Cut::to_port(Node::shared().port()).await;
    let configuration = clock.under(Daemon::configure().broker(Node::shared().url_by(cut.port())));
    let scene = Scene::begin(configuration).await;
    scene.connected().await;
    scene.accepts(100).await;
    let connections = scene.load().connections();
    for ahead in [HOUR, DAY, 0] {
        clock.set_ahead(ahead);
        goes_by(&scene.daemon, ahead).await;
        scene.accepts(200).await;
        cut.refuse();
        cut.cut();
        scene.spools(100).await;
        clock.set_ahead(-ahead);
        scene.spools(100).await;
        cut.heal();
        scene.connected().await;
        scene.accepts(200).await;
    }
    assert_eq!(scene.load().connections(), connections, "a connection was ended before its time");
    let (_, verdict) = scene.judge().await;
    verdict.check_times(GRAPH_WAITS);
}

/// Waits until a daemon has shown that it goes by a clock that is so much ahead.
async fn goes_by(daemon: &Daemon, ahead: i64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let expected = now + ahead as f64;
    daemon.signal("HUP");
    let read_at = "graphhook_config_last_reload_success_timestamp_seconds";
    daemon.eventually_metric(read_at, |at| (at - expected).abs() < 600.0).await;
}

/// P17: two daemons behind one address. One is killed and comes back, then the other is asked to stop.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_daemons_one_may_die() {
    let mut first = Daemon::configure().connected().await;
    let path = |path: &std::path::Path| format!("{path:?}");
    let files = first.certificates();
    let mut second = Daemon::configure()
        .exchange(first.exchange())
        .queue(first.queue())
        .set("server.tls", "certificate", &path(&files.certificate))
        .set("server.tls", "private_key", &path(&files.key))
        .connected()
        .await;
    let balance = Balance::between([first.public(), second.public()]).await;
    let oracle = Oracle::with_fresh_key();
    let load = steady(&oracle).retries().through(balance.address()).start(&first);
    load.eventually_accepts(300).await;
    for daemon in [&first, &second] {
        daemon.eventually_metric(RECEIVED, |received| received > 0.0).await;
    }

    first.kill();
    load.eventually_accepts(500).await;
    assert!(balance.passed_over() > 0, "nobody noticed");
    first.restart().await;
    balance.change([first.public(), second.public()]);
    second.signal("TERM");
    assert_eq!(second.wait_exit().await.code(), Some(0), "{}", second.log());
    load.eventually_accepts(500).await;
    // What it had in its spool comes from there.
    second.restart().await;
    eventually_empty(&second).await;
    let scene = Scene { daemon: first, oracle, load: Some(load), broker: Node::shared().url() };
    scene.judge().await;
}

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;
const RECEIVED: &str = r#"graphhook_notifications_received_total{kind="notification"}"#;

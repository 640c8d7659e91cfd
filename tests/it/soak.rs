//! The long form of the fault tests: one daemon under steady load, and faults drawn by chance, many at once.
//!
//! `tests/run --soak MINUTES [--seed SEED]` runs it. The faults depend on the seed alone ([`plan`]); how far a run gets
//! in its time depends on the machine. After every few faults all is healed, the load stops, everything is taken
//! out of the queue, and the promises are judged, I1 to I13 of `docs/soak.md`.

mod faults;
mod judgement;
mod ledger;
mod plan;
mod report;

use std::fmt::Display;
use std::fs::File;
use std::io::{Write, stderr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use self::ledger::Ledger;
use self::plan::{Fault, Plan, Side, Step};
use self::report::{Figures, Report};
use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{Daemon, Metrics, SECRET};
use crate::support::disk::Disk;
use crate::support::eventually::eventually_within;
use crate::support::load::{self, Load};
use crate::support::oracle::Oracle;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long; tests/run --soak MINUTES runs it"]
async fn soak() {
    let (minutes, seed) = (number("SOAK_MINUTES"), number("SOAK_SEED"));
    let mut soak = Soak::begin(minutes, seed).await;
    let ended = AssertUnwindSafe(soak.run()).catch_unwind().await;
    let failure = ended.err().map(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
    });
    soak.end(failure);
}

/// The whole scene. What is first here ends first.
struct Soak {
    load: Option<Load>,
    daemon: Daemon,
    cut: Cut,
    disk: Disk,
    node: Node,
    oracle: Arc<Oracle>,
    ledger: Ledger,
    /// The faults that stand.
    broker: Option<Fault>,
    on_disk: Option<Fault>,
    /// How many messages each fault of this round may have doubled.
    doubles: Vec<u64>,
    report: Report,
    seen: Mutex<Seen>,
    late: Late,
    log: File,
    begun: Instant,
}

/// What was seen at any look.
#[derive(Default)]
struct Seen {
    worst: Figures,
    /// Most messages in flight to the broker, since the last fault began.
    in_flight: u64,
    conservation_error: f64,
    /// Where a secret stood.
    told: Vec<&'static str>,
    /// How the daemon ended, when it should have ended otherwise.
    exits: Vec<String>,
}

impl Soak {
    async fn begin(minutes: u64, seed: u64) -> Self {
        let repeat = format!("tests/run --soak {minutes} --seed {seed}");
        say(format!("soak: seed {seed}; to repeat it: {repeat}"));
        let node = Node::launch().await;
        node.ctl(&["add_user", USER, PASSWORD]).await;
        node.ctl(&["set_permissions", USER, ".*", ".*", ".*"]).await;
        let (cut, disk) = (Cut::to_port(node.port()).await, Disk::empty());
        let url = format!("amqp://{USER}:{PASSWORD}@127.0.0.1:{}/%2f?heartbeat=2", cut.port());
        let configuration = disk.under(Daemon::configure().broker(url));
        let daemon = configuration.set("broker", "connect_within", "\"2s\"").connected().await;
        settle(&node).await;
        let oracle = Oracle::with_fresh_key();
        Self {
            load: None,
            daemon,
            cut,
            disk,
            node,
            oracle,
            ledger: Ledger::default(),
            broker: None,
            on_disk: None,
            doubles: Vec::new(),
            report: Report {
                seed,
                minutes,
                repeat,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: variable("SOAK_COMMIT").unwrap_or_default(),
                ..Report::default()
            },
            seen: Mutex::default(),
            late: Late::watch(),
            log: File::create(report::file(seed, "log")).expect("a log can be made"),
            begun: Instant::now(),
        }
    }

    async fn run(&mut self) {
        let mut plan = Plan::of(self.report.seed);
        while self.begun.elapsed() < Duration::from_secs(60 * self.report.minutes) {
            self.load = Some(load_plan(&self.oracle).start(&self.daemon));
            let steps = plan.round();
            for step in &steps {
                self.step(*step).await;
            }
            self.recover().await;
            self.judge().await;
        }
    }

    async fn step(&mut self, step: Step) {
        let begun = Instant::now();
        self.seen.lock().expect(NO_PANIC).in_flight = 0;
        match step.fault.side() {
            Side::Broker => self.heal_broker().await,
            Side::Disk => self.heal_disk(),
            Side::Daemon => {}
        }
        let proof = self.inflict(step).await;
        self.report.took_place(step.fault, &proof);
        let (accepted, unavailable) = self.goes_on(step.items).await;
        self.allow_doubles();
        let Step { fault, lasts, .. } = step;
        let (took, lasts) = (begun.elapsed().as_secs_f64(), if lasts { "lasts" } else { "over" });
        self.tell(format!(
            "{fault:?} ({proof}): {accepted} accepted, {unavailable} requests turned away, {lasts} after {took:.1} s"
        ));
        match step.fault.side() {
            Side::Broker if !step.lasts => self.heal_broker().await,
            Side::Disk if !step.lasts => self.heal_disk(),
            Side::Broker | Side::Disk | Side::Daemon => {}
        }
    }

    /// Waits until so many more items were accepted, or it is clear that nothing is; returns how many of each.
    async fn goes_on(&self, items: u64) -> (u64, u64) {
        let (accepted, unavailable) = (self.oracle.accepted(), self.oracle.unavailable());
        let so_far = || (self.oracle.accepted() - accepted, self.oracle.unavailable() - unavailable);
        let enough = async || {
            self.look().await;
            let (accepted, unavailable) = so_far();
            (accepted >= items || unavailable >= TURNED_AWAY).then_some(())
        };
        eventually_within(PATIENCE, format!("{items} more accepted items, or answers 503"), enough).await;
        so_far()
    }

    /// The metrics, and what they tell of at any time.
    async fn look(&self) -> Metrics {
        if let Some(status) = self.daemon.exited() {
            panic!("the daemon ended by itself: {status}");
        }
        let metrics = self.daemon.metrics().await;
        let number = |name: &str| metrics.find(name).unwrap_or_default() as u64;
        let figures = Figures {
            memory_bytes: number("process_resident_memory_bytes"),
            files: number("process_open_fds"),
            threads: number("process_threads"),
        };
        let mut seen = self.seen.lock().expect(NO_PANIC);
        seen.worst.raise_to(figures);
        seen.in_flight = seen.in_flight.max(number("graphhook_amqp_in_flight"));
        seen.conservation_error = seen.conservation_error.max(metrics.get("graphhook_conservation_error"));
        metrics
    }

    /// Waits for a good value of a metric.
    async fn becomes(&self, metric: &str, holds: impl Fn(f64) -> bool) {
        let good = async || self.look().await.find(metric).filter(|value| holds(*value)).map(drop);
        eventually_within(PATIENCE, format!("a good value of {metric}"), good).await;
    }

    /// Keeps what the daemon has said, once it has ended, or at the end.
    fn keep_log(&mut self) {
        let log = self.daemon.log();
        self.look_for_secrets("the log", &log);
        self.log.write_all(log.as_bytes()).expect("the log can be written");
    }

    fn look_for_secrets(&self, place: &'static str, text: &str) {
        if SECRETS.iter().any(|secret| text.contains(secret)) {
            self.seen.lock().expect(NO_PANIC).told.push(place);
        }
    }

    fn tell(&self, what: impl Display) {
        say(format!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f64()));
    }

    /// Writes the report; panics if anything was wrong.
    fn end(mut self, failure: Option<String>) {
        self.keep_log();
        self.report.failure = failure;
        self.count();
        self.judge_rest();
        let path = self.report.write();
        for (name, verdict) in &self.report.verdicts {
            say(format!("{} {name}  {}", if verdict.holds { "ok    " } else { "FAILED" }, verdict.what));
        }
        let Report { seconds, rounds, restarts, accepted, delivered, doubles, repeat, .. } = &self.report;
        let faults: u64 = self.report.faults.values().map(|kind| kind.count).sum();
        say(format!(
            "graphhook soak: {seconds} s, {rounds} judgements, {faults} faults, {restarts} restarts, {accepted} items \
             accepted, {delivered} delivered, {doubles} of them doubles; {}",
            path.display()
        ));
        let mut wrong = self.report.failed();
        wrong.extend(self.report.failure.clone());
        assert!(wrong.is_empty(), "{}\nto repeat it: {repeat}", wrong.join("\n"));
    }
}

/// How late the test's own clock is: what the machine does to the sender is not the daemon's doing.
struct Late {
    worst_ms: Arc<AtomicU64>,
    _watching: JoinSet<()>,
}

impl Late {
    fn watch() -> Self {
        let worst_ms = Arc::<AtomicU64>::default();
        let (noted, mut watching) = (Arc::clone(&worst_ms), JoinSet::new());
        watching.spawn(async move {
            let mut clock = interval(Duration::from_millis(50));
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let late = clock.tick().await.elapsed().as_millis();
                noted.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { worst_ms, _watching: watching }
    }

    fn worst_ms(&self) -> u64 {
        self.worst_ms.load(Ordering::Relaxed)
    }
}

/// Some three hundred items a second, in batches of all sizes; one in twenty is forged.
fn load_plan(oracle: &Arc<Oracle>) -> load::Plan {
    let plan = load::Plan::new(oracle).clients(8).batches(&[1, 3, 10, 1, 30, 3, 1]);
    plan.forged_one_in(20).rate(40).retries()
}

/// Has the broker save what it knows of users and queues: RabbitMQ 3.10 does so every few minutes only, and a queue
/// younger than that never confirms anything after a crash.
async fn settle(node: &Node) {
    node.ctl(&["eval", "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()]."]).await;
}

/// Not by `eprintln!`, which the test harness holds back.
fn say(line: impl Display) {
    writeln!(stderr(), "{line}").ok();
}

fn number(name: &str) -> u64 {
    let text = variable(name).unwrap_or_else(|| panic!("{name} is not set: use tests/run --soak"));
    text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}"))
}

#[expect(clippy::disallowed_methods, reason = "orders of tests/run, not settings of the program")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

const USER: &str = "soak";
const PASSWORD: &str = "the-password-that-nobody-may-print";
const SECRETS: [&str; 2] = [SECRET, PASSWORD];
/// Requests answered 503 that show that nothing is accepted now.
const TURNED_AWAY: u64 = 20;
/// Time for a broker and a daemon to find each other again, and the like.
const PATIENCE: Duration = Duration::from_secs(60);
const NO_PANIC: &str = "nobody panics with it held";

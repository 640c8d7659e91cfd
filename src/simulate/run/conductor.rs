//! Plays a run: what is sent when, and what follows from how it ended.

mod fresh;

use std::{
    mem,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::fresh::Fresh;
use super::{
    draw::Draw,
    job::{Fault, Job, Waiting},
    ledger::Ledger,
    noted::Noted,
    post::{End, Sender},
    rules::{Endpoint, Spent, State, Way},
    stock::Stock,
    tally::{Ended, Progress, Tally},
};
use crate::{deadline::Deadline, simulate::receiver::Receiver};

/// What a run is made of.
#[derive(Debug)]
pub struct Run {
    /// Whom it is for.
    pub receiver: Receiver,
    /// What is sent.
    pub stock: Arc<Stock>,
    /// Where it is noted for each notification what became of it, if somebody looks whether they arrive.
    pub ledger: Option<Arc<Ledger>>,
    /// How long answers are not timed at the begin, while connections are made.
    pub warm: Duration,
    /// Ends it early.
    pub stop: CancellationToken,
    /// Is told several times a second how it stands.
    pub progress: watch::Sender<Progress>,
}

/// Plays a run to its end.
pub async fn play(run: Run) -> Ended {
    let (connections, receiver, stock) =
        (run.stock.scenario().connections, run.receiver.clone(), Arc::clone(&run.stock));
    let (orders, jobs): (Vec<_>, Vec<_>) = (0..connections).map(|_| mpsc::channel(1)).unzip();
    let stop = run.stop.clone();
    let desk = Arc::new(Desk::new(Conductor::new(run, orders)));
    let mut senders = JoinSet::new();
    for (number, jobs) in jobs.into_iter().enumerate() {
        let sender = Sender::new(number, receiver.clone(), Arc::clone(&stock), Arc::clone(&desk));
        senders.spawn(sender.work(jobs));
    }
    // A task of its own, so that it runs where its senders run.
    let mut conducting = JoinSet::new();
    conducting.spawn(async move { desk.conduct(stop).await });
    match conducting.join_next().await {
        Some(Ok(ended)) => ended,
        Some(Err(broken)) => std::panic::resume_unwind(broken.into_panic()),
        None => unreachable!("one task was spawned"),
    }
}

/// Where senders and conductor meet. Whoever is there is soon gone: nobody waits with the lock.
pub(super) struct Desk {
    conductor: Mutex<Conductor>,
    /// Something is due before what the conductor waits for, or nothing is any more.
    nudge: Notify,
}

impl Desk {
    fn new(conductor: Conductor) -> Self {
        Self { conductor: Mutex::new(conductor), nudge: Notify::new() }
    }

    /// A sender tells how its job ended, and takes what is due; if there is nothing, it is idle.
    pub(super) fn turn(&self, sender: usize, job: Job, end: End, took: Duration) -> Option<Job> {
        let mut conductor = self.conductor();
        let now = Instant::now();
        conductor.hear(now, sender, job, end, took);
        let next = conductor.hand_out(now, Some(sender));
        if next.is_none() && conductor.is_awaited(now) {
            self.nudge.notify_one();
        }
        next
    }

    /// An answer 2xx came when nobody waited any more.
    pub(super) fn late(&self, job: &Job) {
        self.conductor().late(job);
    }

    /// Gives idle senders what is due, until all is done.
    async fn conduct(&self, stop: CancellationToken) -> Ended {
        loop {
            let now = Instant::now();
            let (wake, is_interrupted) = {
                let mut conductor = self.conductor();
                match conductor.step(now) {
                    Some(wake) => (wake, conductor.is_interrupted),
                    None => return conductor.finish(),
                }
            };
            let mut passed = pin!(Deadline::at(wake).passed());
            tokio::select! {
                () = stop.cancelled(), if !is_interrupted => self.conductor().interrupt(),
                () = self.nudge.notified() => {}
                () = &mut passed => {}
            }
        }
    }

    fn conductor(&self) -> MutexGuard<'_, Conductor> {
        self.conductor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Conductor {
    run: Run,
    orders: Vec<mpsc::Sender<Job>>,
    /// Senders without work; who was free last goes first, so that few connections are made.
    idle: Vec<usize>,
    /// Since when there has been one without interruption.
    free_since: Instant,
    begin: Instant,
    fresh: Fresh,
    waiting: Waiting,
    endpoint: Endpoint,
    tally: Tally,
    is_interrupted: bool,
    /// Genuine notifications that are under way and not delivered yet.
    under_way: u64,
    /// What was acknowledged too late, and counted.
    late: Noted,
    told: (Instant, u64),
    /// Answers are timed.
    is_warm: bool,
    /// When the run ends whatever waits then, once that is known.
    end: Option<Instant>,
    /// Until when the conductor sleeps.
    asleep_until: Instant,
}

impl Conductor {
    fn new(run: Run, orders: Vec<mpsc::Sender<Job>>) -> Self {
        let begin = Instant::now();
        let scenario = run.stock.scenario();
        Self {
            idle: (0..orders.len()).rev().collect(),
            orders,
            free_since: begin,
            begin,
            fresh: Fresh::new(scenario, begin),
            waiting: Waiting::default(),
            endpoint: Endpoint::new(&scenario.graph.rules),
            tally: Tally::default(),
            is_interrupted: false,
            under_way: 0,
            late: Noted::default(),
            told: (begin, 0),
            is_warm: false,
            end: None,
            asleep_until: begin,
            run,
        }
    }

    /// Gives out what is due, and tells how it stands; returns until when there is nothing to do, or nothing if all is done.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        self.hand_out(now, None);
        self.tell(now);
        self.end = self.end.or_else(|| self.end());
        if self.is_done() || self.end.is_some_and(|end| end <= now) {
            return None;
        }
        self.asleep_until = self.wake(now);
        Some(self.asleep_until)
    }

    fn interrupt(&mut self) {
        self.is_interrupted = true;
        self.end = Some(Instant::now() + LAST_ANSWERS);
    }

    /// Gives all that is due to those who are idle; what comes to `asking`, who is, is returned.
    fn hand_out(&mut self, now: Instant, asking: Option<usize>) -> Option<Job> {
        let mut taken = None;
        while !self.is_interrupted
            && let Some(mut job) = self.next_job(now)
        {
            let Some(sender) = self.idle.pop() else {
                self.keep(job);
                continue;
            };
            if job.due < self.free_since {
                job.waited = now.saturating_duration_since(job.due);
            }
            job.first_sent.get_or_insert(self.graph_time(now));
            self.tally.begin(&job);
            if !job.is_duplicate {
                self.under_way += job.genuine();
            }
            if let Some(ledger) = &self.run.ledger {
                ledger.sent(job.first, job.items);
            }
            if asking == Some(sender) {
                taken = Some(job);
            } else {
                // It is idle, so there is room for one, and it lives as long as the run.
                self.orders[sender].try_send(job).ok();
            }
        }
        taken
    }

    /// Whether a sender that has become idle changes what the conductor waits for.
    fn is_awaited(&mut self, now: Instant) -> bool {
        self.is_done() || self.wake(now) < self.asleep_until
    }

    /// What is due and can be sent, or kept from Graph's new notifications.
    fn next_job(&mut self, now: Instant) -> Option<Job> {
        loop {
            let fresh = self.fresh.due(now).filter(|due| *due <= now);
            let is_busy = self.idle.is_empty();
            if self.waiting.next().is_some_and(|due| fresh.is_none_or(|fresh| due <= fresh)) {
                return if is_busy { None } else { self.waiting.take(now) };
            }
            let due = fresh?;
            let at = self.graph_time(due.max(self.begin));
            if is_busy && self.endpoint.state(at) == State::Good {
                return None;
            }
            let job = self.fresh.make(&self.run.stock, due);
            match self.endpoint.admit(at) {
                Way::Now if job.fault == Some(Fault::OutOfOrder) => self.hold_back(job),
                Way::Now => return Some(job),
                Way::At(later) => {
                    self.tally.notifications.delayed += job.genuine();
                    self.keep(Job { due: self.our_time(later), ..job });
                }
                Way::Never => self.tally.notifications.dropped += job.genuine(),
            }
        }
    }

    fn hold_back(&mut self, job: Job) {
        let scenario = self.run.stock.scenario();
        let held = scenario.faults.held_for.mul_f64(scenario.seed.chance(Draw::Held, job.number));
        self.keep(Job { due: job.due + held, ..job });
    }

    fn keep(&mut self, job: Job) {
        if !self.waiting.keep(job) && !job.is_duplicate {
            self.tally.notifications.not_kept += job.genuine();
        }
    }

    fn late(&mut self, job: &Job) {
        if !job.is_duplicate && self.late.is_first(job.number) {
            self.tally.notifications.acknowledged_too_late += job.genuine();
        }
        self.accepted(job);
    }

    fn hear(&mut self, now: Instant, sender: usize, job: Job, end: End, took: Duration) {
        if self.idle.is_empty() {
            self.free_since = now;
        }
        self.idle.push(sender);
        if !job.is_duplicate {
            self.under_way -= job.genuine();
        }
        if !self.is_warm && now >= self.begin + self.run.warm {
            self.is_warm = true;
            self.tally.forget_times();
        }
        self.tally.end(&job, end, took);
        self.judge(now, &job, end, took);
        if matches!(end, End::Answered(status) if status.is_success()) {
            self.delivered(now, job);
        } else if !job.is_duplicate {
            self.failed(now, job);
        }
    }

    /// Notes for Graph how long it waited.
    fn judge(&mut self, now: Instant, job: &Job, end: End, took: Duration) {
        let graph = &self.run.stock.scenario().graph;
        let waited = match (end, job.fault) {
            (_, Some(Fault::SlowReader | Fault::HangUp)) => return,
            (End::Answered(_), _) => took,
            (End::Silence, _) => job.allowance + Duration::from_nanos(1),
            (End::HungUp | End::NoConnection | End::NoTls | End::Broken, _) => return,
        };
        let spent = if waited > graph.repeat_allowance {
            Spent::OverRepeated
        } else if waited > graph.first_allowance {
            Spent::OverFirst
        } else {
            Spent::Prompt
        };
        self.endpoint.note(self.graph_time(now), spent);
    }

    fn delivered(&mut self, now: Instant, job: Job) {
        self.accepted(&job);
        if job.is_duplicate {
            return;
        }
        let notifications = &mut self.tally.notifications;
        notifications.delivered += job.genuine();
        if job.failed > 0 {
            notifications.delivered_after_retries += job.genuine();
        }
        if job.fault == Some(Fault::Duplicate) {
            self.keep(Job { due: now, is_duplicate: true, waited: Duration::ZERO, ..job });
        }
    }

    fn accepted(&self, job: &Job) {
        if let Some(ledger) = &self.run.ledger {
            ledger.accepted(job.first, job.items);
        }
    }

    fn failed(&mut self, now: Instant, job: Job) {
        let scenario = self.run.stock.scenario();
        let (failed, graph_now) = (job.failed + 1, self.graph_time(now));
        let chance = scenario.seed.chance(Draw::Pause(failed), job.number);
        let first = job.first_sent.unwrap_or(graph_now);
        let allowance = scenario.graph.repeat_allowance;
        match scenario.graph.rules.next(first, graph_now, failed, chance) {
            Some(next) => {
                if job.failed == 0 {
                    self.tally.notifications.retried += job.genuine();
                }
                let due = self.our_time(next);
                // It goes wrong on purpose only once.
                self.keep(Job { due, failed, allowance, fault: None, waited: Duration::ZERO, ..job });
            }
            None => self.tally.notifications.given_up += job.genuine(),
        }
    }

    fn is_done(&self) -> bool {
        let is_idle = self.idle.len() == self.orders.len();
        is_idle && (self.is_interrupted || self.fresh.is_over(Instant::now()) && self.waiting.len() == 0)
    }

    /// When the run ends, whatever waits then.
    fn end(&self) -> Option<Instant> {
        Some(self.fresh.end()? + self.run.stock.scenario().drain)
    }

    fn wake(&self, now: Instant) -> Instant {
        let mut wake = (self.told.0 + TELL_EVERY).min(self.end.unwrap_or(now + TELL_EVERY));
        if !self.is_interrupted && !self.idle.is_empty() {
            let next = [self.fresh.due(now), self.waiting.next()].into_iter().flatten().min();
            wake = wake.min(next.unwrap_or(wake));
        }
        wake
    }

    fn tell(&mut self, now: Instant) {
        let (told, sent_then) = self.told;
        let since = now.saturating_duration_since(told);
        if since < TELL_EVERY {
            return;
        }
        let sent = self.tally.notifications.sent + self.tally.forged.sent;
        self.told = (now, sent);
        let progress = Progress {
            elapsed: now - self.begin,
            planned: self.fresh.planned(),
            sent,
            rate: (sent - sent_then) as f64 / since.as_secs_f64(),
            p99: self.tally.first.quantile(0.99),
            status: self.tally.requests.status.clone(),
            unanswered: self.tally.unanswered(),
            waiting: self.waiting.len(),
            state: Some(self.endpoint.state(self.graph_time(now))),
        };
        self.run.progress.send_replace(progress);
    }

    fn finish(&mut self) -> Ended {
        let is_interrupted = mem::replace(&mut self.is_interrupted, true);
        let elapsed = self.begin.elapsed();
        let spent = self.endpoint.spent(self.graph_time(Instant::now()));
        let notifications = &mut self.tally.notifications;
        // Made and neither sent nor kept from being sent: held back, delayed, or waiting for its next attempt.
        notifications.waiting = self.waiting.genuine() + self.under_way;
        notifications.unsent = if is_interrupted { 0 } else { self.fresh.unmade(&self.run.stock) };
        notifications.planned = self.fresh.genuine() + notifications.unsent;
        Ended {
            tally: mem::take(&mut self.tally),
            elapsed,
            spent,
            entered: self.endpoint.entered(),
            is_interrupted,
        }
    }

    fn graph_time(&self, at: Instant) -> Duration {
        let scale = self.run.stock.scenario().graph.time_scale;
        at.saturating_duration_since(self.begin).mul_f64(scale)
    }

    fn our_time(&self, graph_time: Duration) -> Instant {
        self.begin + graph_time.div_f64(self.run.stock.scenario().graph.time_scale)
    }
}

const TELL_EVERY: Duration = Duration::from_millis(250);
/// How long answers are waited for when somebody has stopped the run.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

//! The gaps that this daemon finds by itself: what Graph says it gave up, what it must have given up while we were away or
//! too slow, and what a damaged spool could not give back.
//!
//! A lifecycle item leads to a gap within a moment and by way of an [`Inbox`], so that no request waits; ten thousand of one
//! subscription lead to one a minute. What cannot be told stays in a file until it can.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    Gaps,
    file::{self, Written},
    ledger::Ledger,
};
use crate::{
    backoff::Backoff,
    blocking::off_thread,
    deadline::Deadline,
    delivery::spool::{Loss, Spool},
    envelope::gap::{Gap, GapReason},
    error::Chain,
    keepsake,
    metrics::{
        Metrics,
        throttling::{Outlook, Prediction},
    },
    notification::lifecycle::Event,
    sightings::{Known, Sightings},
    subscriptions::nudge::{Inbox, Lump, Mail, Nudge},
};

/// The task that tells of them.
#[derive(Debug)]
pub struct Losses {
    gaps: Arc<Gaps>,
    sightings: Arc<Sightings>,
    inbox: Inbox,
    spool: Spool,
    metrics: Arc<Metrics>,
    file: PathBuf,
    ledger: Ledger,
    /// Since when Graph throws notifications away, if it does.
    dropping_since: Option<SystemTime>,
    /// What the file holds.
    saved: Written,
    is_writing: Arc<AtomicBool>,
    has_complained: bool,
}

impl Losses {
    /// Goes on with what is owed from before. What comes from now on is heard of.
    pub fn open(
        gaps: Arc<Gaps>,
        sightings: Arc<Sightings>,
        spool: Spool,
        directory: PathBuf,
        metrics: Arc<Metrics>,
    ) -> Self {
        let file = directory.join(file::NAME);
        let saved = file::load(&file);
        let mut ledger = Ledger::default();
        saved.owed.iter().cloned().for_each(|gap| ledger.owe(gap));
        let inbox = sightings.nudges().inbox();
        let dropping_since = saved.dropping_since;
        Self {
            gaps,
            sightings,
            inbox,
            spool,
            metrics,
            file,
            ledger,
            dropping_since,
            saved,
            is_writing: Arc::default(),
            has_complained: false,
        }
    }

    /// Tells until `stop`, and tells a last time.
    pub async fn run(mut self, stop: CancellationToken) {
        self.look_back(SystemTime::now());
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        let (mut tell_at, mut keep_at) = (Instant::now(), Instant::now());
        while !stop.is_cancelled() {
            self.look(Instant::now(), SystemTime::now());
            if tell_at <= Instant::now() {
                // What is on its way when the daemon stops is told again, under the same id.
                match stop.run_until_cancelled(self.tell()).await {
                    Some(true) => backoff.reset(),
                    Some(false) => tell_at = Instant::now() + backoff.next_pause(),
                    None => {}
                }
            }
            if keep_at <= Instant::now() {
                keep_at = Instant::now() + LOOK_EVERY;
                self.keep().await;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.inbox.arrived() => {}
                () = Deadline::after(LOOK_EVERY).passed() => {}
            }
        }
        // No request is open any more.
        self.look(Instant::now(), SystemTime::now());
        Deadline::after(LAST_WITHIN).limit(self.tell()).await.ok();
        self.keep().await;
    }

    /// What was lost while the daemon was away, or had begun before.
    fn look_back(&mut self, now: SystemTime) {
        let Some(lived_until) = self.sightings.lived_until() else { return };
        if let Some(since) = self.dropping_since.take() {
            self.owe_all(GapReason::Dropped, Some(since), lived_until.max(since));
        }
        let away = now.duration_since(lived_until).unwrap_or_default();
        if away > REPEATED_FOR {
            let known = self.sightings.alive(lived_until);
            self.owe_each(known, &Gap::new(GapReason::Downtime, Some(lived_until), now));
        }
    }

    /// What has happened since the last look.
    fn look(&mut self, now: Instant, time: SystemTime) {
        let Mail { nudges, lumps } = self.inbox.take();
        for nudge in nudges {
            self.heed(nudge);
        }
        for Lump { event, client_state: _, first_at, last_at, times: _ } in lumps {
            if let Some(reason) = reason(event) {
                self.ledger.owe(Gap::new(reason, Some(first_at - REPEATED_FOR), last_at));
            }
        }
        if let Some(Loss { from }) = self.spool.take_loss() {
            self.owe_all(GapReason::SpoolLoss, from, time);
        }
        self.watch(self.metrics.graph.outlook(now), time);
    }

    /// What Graph says of one subscription.
    fn heed(&mut self, nudge: Nudge) {
        let Some(reason) = reason(nudge.event) else { return };
        if reason == GapReason::SubscriptionRemoved && self.gaps.is_managed(&nudge.subscription_id) {
            return;
        }
        // What it gave up now it first sent four hours ago at the most, and others may have come since.
        let given_up = nudge.first_at - REPEATED_FOR;
        let from = nudge.before.map_or(given_up, |before| before.min(given_up));
        let known = self.sightings.known(&nudge.subscription_id);
        let gap = Gap {
            subscription_id: Some(nudge.subscription_id.to_string()),
            client_state: Some(nudge.client_state.to_string()),
            tenant_id: nudge.tenant_id,
            ..Gap::new(reason, Some(from), nudge.last_at)
        };
        self.ledger.owe(match known {
            Some(known) => of(known, &gap),
            None => gap,
        });
    }

    /// Whether Graph throws notifications away; when it has stopped, or nothing comes at all, it is told of.
    fn watch(&mut self, outlook: Outlook, time: SystemTime) {
        let is_dropping = outlook.predicted == Prediction::Drop && outlook.answers > 0;
        // It may have come and gone since the last look.
        if is_dropping || self.metrics.graph.take_dropped() {
            self.dropping_since.get_or_insert(time - WINDOW);
        }
        if !is_dropping && let Some(since) = self.dropping_since.take() {
            self.owe_all(GapReason::Dropped, Some(since), time);
        }
    }

    /// Owes a gap of every subscription that was there at its end, or since.
    fn owe_all(&mut self, reason: GapReason, from: Option<SystemTime>, to: SystemTime) {
        let known = self.sightings.alive(from.unwrap_or(to));
        self.owe_each(known, &Gap::new(reason, from, to));
    }

    fn owe_each(&mut self, known: Vec<Known>, gap: &Gap) {
        for known in known {
            self.ledger.owe(of(known, gap));
        }
    }

    /// Tells what is due, a few at a time; says whether all of it could be told.
    async fn tell(&mut self) -> bool {
        loop {
            let due = self.ledger.due(Instant::now(), AT_ONCE);
            if due.is_empty() {
                return true;
            }
            if let Err(error) = self.gaps.tell_all(&due).await {
                debug!(error = %Chain(&error), "gaps are told later");
                return false;
            }
            self.ledger.told(&due, Instant::now());
        }
    }

    /// Writes down what is still owed. Where all can be told at once, nothing is ever written.
    async fn keep(&mut self) {
        let owed = Written::of(self.dropping_since, self.ledger.all());
        if owed == self.saved {
            return;
        }
        match self.save(owed.clone()).await {
            Ok(()) => (self.saved, self.has_complained) = (owed, false),
            Err(error) => self.complain(&error),
        }
    }

    /// A disk that hangs keeps one thread, and nobody else.
    async fn save(&self, written: Written) -> io::Result<()> {
        let (file, is_writing) = (self.file.clone(), Arc::clone(&self.is_writing));
        if is_writing.swap(true, Ordering::AcqRel) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let saved = off_thread(move || {
            let saved = keepsake::replace(&file, &written);
            is_writing.store(false, Ordering::Release);
            saved
        });
        let saved = Deadline::after(SAVE_WITHIN).limit(saved).await;
        saved.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_complained, true) {
            warn!(
                event = "gaps_not_saved",
                file = %self.file.display(),
                error = %Chain(error),
                "gaps that consumers are still to be told of are not saved: a restart would forget them"
            );
        }
    }
}

/// What a lifecycle item means to consumers, if anything.
fn reason(event: Event) -> Option<GapReason> {
    match event {
        Event::Missed => Some(GapReason::Missed),
        Event::SubscriptionRemoved => Some(GapReason::SubscriptionRemoved),
        Event::ReauthorizationRequired | Event::Other => None,
    }
}

/// This gap, of this subscription.
fn of(known: Known, gap: &Gap) -> Gap {
    Gap {
        subscription_id: Some(known.id.to_string()),
        client_state: Some(known.client_state.to_string()),
        tenant_id: gap.tenant_id.clone().or(known.tenant_id.map(|id| id.to_string())),
        resource_type: known.resource_type.map(|name| name.to_string()),
        ..gap.clone()
    }
}

/// Time for one write.
const SAVE_WITHIN: Duration = Duration::from_secs(1);
/// How long Graph repeats what was not accepted ("Receive change notifications through webhooks", April 2026).
const REPEATED_FOR: Duration = Duration::from_secs(4 * 60 * 60);
/// The window by which Graph judges us, and for which it throws notifications away.
const WINDOW: Duration = Duration::from_secs(600);
/// Time between two looks at what nobody announces.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Gaps that are told together: few beside what requests have in flight.
const AT_ONCE: usize = 64;
/// Ceiling of the first pause after a gap that could not be told.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Ceiling of all later pauses.
const PAUSE_LONGEST: Duration = Duration::from_secs(30);
/// Time for the last ones when the daemon stops.
const LAST_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

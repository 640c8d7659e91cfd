//! Signs of life: which of the long loops turn, so that systemd's watchdog hears from us only while all of them do.
//!
//! A loop that has nothing to do turns all the same, from time to time, by its [`Heart`]; a loop that waits on purpose
//! beats while it waits. So silence means that it hangs. How long that may last: half of the watchdog's time for what
//! runs on the runtime. The spool's thread may sit in an fsync, and a disk may take long without being dead (a controller
//! gives a command 30 s before it tries again); meanwhile requests live on the broker's confirms, so it has twice the
//! watchdog's time.

use std::{
    convert::Infallible,
    future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::{Interval, MissedTickBehavior, interval};

/// All hearts of a daemon. By default nobody listens to them, and nothing turns for their sake.
#[derive(Clone, Debug, Default)]
pub struct Hearts(Option<Arc<Listened>>);

#[derive(Debug)]
struct Listened {
    watchdog: Duration,
    begun: Instant,
    pulses: Mutex<Vec<Weak<Pulse>>>,
}

/// A part whose loop must turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// A loop that accepts connections.
    Listener,
    /// Whoever publishes on a channel.
    Publisher,
    /// Whoever keeps the connection to the broker.
    Connector,
    /// Whoever empties the spool.
    Replay,
    /// The spool's thread.
    Spool,
}

/// When a part's loop has turned last.
#[derive(Debug)]
pub struct Pulse {
    part: Part,
    begun: Instant,
    /// Milliseconds since the begin.
    last: AtomicU64,
}

/// The pulse of a task, which beats of itself while the task is idle.
#[derive(Debug)]
pub struct Heart {
    pulse: Arc<Pulse>,
    ticks: Option<Interval>,
}

/// A part whose loop does not turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stuck {
    /// Which.
    pub part: Part,
    /// For how long.
    pub silence: Duration,
}

impl Hearts {
    /// Hearts for a watchdog that bites after so much time.
    pub fn listened_to(watchdog: Duration) -> Self {
        Self(Some(Arc::new(Listened { watchdog, begun: Instant::now(), pulses: Mutex::default() })))
    }

    /// A pulse for a thread, which must beat often enough of itself. It counts as long as it lives.
    pub fn pulse(&self, part: Part) -> Arc<Pulse> {
        let begun = self.0.as_ref().map_or_else(Instant::now, |listened| listened.begun);
        let pulse = Arc::new(Pulse { part, begun, last: AtomicU64::new(0) });
        pulse.beat();
        if let Some(listened) = &self.0 {
            let mut pulses = listened.pulses();
            pulses.retain(|pulse| pulse.strong_count() > 0);
            pulses.push(Arc::downgrade(&pulse));
        }
        pulse
    }

    /// A heart for a task.
    pub fn heart(&self, part: Part) -> Heart {
        let ticks = self.0.as_ref().map(|listened| {
            let mut ticks = interval(listened.watchdog / 8);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Heart { pulse: self.pulse(part), ticks }
    }

    /// Parts that have been silent for longer than they may.
    pub fn stuck(&self, now: Instant) -> Vec<Stuck> {
        let Some(listened) = &self.0 else { return Vec::new() };
        let pulses = listened.pulses();
        let silent = pulses.iter().filter_map(Weak::upgrade).map(|pulse| pulse.silence(now));
        silent.filter(|stuck| stuck.silence > stuck.part.silence_max(listened.watchdog)).collect()
    }
}

impl Listened {
    fn pulses(&self) -> MutexGuard<'_, Vec<Weak<Pulse>>> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// The words in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "accept loop",
            Self::Publisher => "publisher",
            Self::Connector => "broker connection",
            Self::Replay => "replay",
            Self::Spool => "spool",
        }
    }

    fn silence_max(self, watchdog: Duration) -> Duration {
        match self {
            Self::Listener | Self::Publisher | Self::Connector | Self::Replay => watchdog / 2,
            Self::Spool => watchdog * 2,
        }
    }
}

impl Pulse {
    /// The loop has turned.
    pub fn beat(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn silence(&self, now: Instant) -> Stuck {
        let last = self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed));
        Stuck { part: self.part, silence: now.saturating_duration_since(last) }
    }
}

impl Heart {
    /// The loop has turned.
    pub fn beat(&self) {
        self.pulse.beat();
    }

    /// Whether a watchdog hears it.
    pub fn is_listened_to(&self) -> bool {
        self.ticks.is_some()
    }

    /// Waits until the loop should turn again although nothing has happened; for ever, if nobody listens.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn idle(&mut self) {
        match &mut self.ticks {
            Some(ticks) => _ = ticks.tick().await,
            None => future::pending().await,
        }
    }

    /// Beats for as long as it is waited for, beside something that has an end of its own.
    pub async fn wait(&mut self) -> Infallible {
        loop {
            self.beat();
            self.idle().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_is_stuck_when_it_is_silent_for_too_long_and_not_when_it_is_gone() {
        let hearts = Hearts::listened_to(Duration::from_secs(30));
        let (publisher, spool) = (hearts.heart(Part::Publisher), hearts.pulse(Part::Spool));
        let stuck = |seconds| -> Vec<Part> {
            let now = Instant::now() + Duration::from_secs(seconds);
            hearts.stuck(now).into_iter().map(|stuck| stuck.part).collect()
        };
        assert_eq!(stuck(14), []);
        assert_eq!(stuck(16), [Part::Publisher]);
        assert_eq!(stuck(59), [Part::Publisher]);
        assert_eq!(stuck(61), [Part::Publisher, Part::Spool]);
        drop(publisher);
        assert_eq!(stuck(61), [Part::Spool]);
        spool.beat();
        drop(spool);
        assert_eq!(stuck(1000), []);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_beats_and_nobody_turns_without_a_watchdog() {
        let hearts = Hearts::listened_to(Duration::from_secs(8));
        let mut heart = hearts.heart(Part::Connector);
        let begun = tokio::time::Instant::now();
        for _ in 0..4 {
            heart.idle().await;
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(3));
        let mut unheard = Hearts::default().heart(Part::Replay);
        let waited = tokio::time::timeout(Duration::from_secs(3600), unheard.idle());
        assert!(waited.await.is_err());
        assert_eq!(Hearts::default().stuck(Instant::now() + Duration::from_secs(3600)), []);
    }
}

//! What arrives at a broker while a run is played, seen from beside.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    backoff::Backoff,
    config::Broker,
    deadline::Deadline,
    delivery::tap::{Place, Tap, TapError},
    error::Chain,
    simulate::run::{Arrivals, Ledger, Stock},
    supervise::signals::Signals,
};

/// A view of a broker.
pub(super) struct Tapped {
    broker: Broker,
    place: Place,
    stock: Arc<Stock>,
    ledger: Arc<Ledger>,
    stop: CancellationToken,
    /// How many messages stood in the queue before the run.
    stood: u64,
    /// Looks at what passes an exchange; returns whether some may have passed unseen.
    looking: JoinSet<bool>,
}

impl Tapped {
    /// Connects, so that nothing that is sent from now on passes unseen; within a `LocalSet`, for it looks on this thread.
    pub(super) async fn open(
        broker: Broker,
        place: Place,
        stock: Arc<Stock>,
        ledger: Arc<Ledger>,
    ) -> anyhow::Result<Self> {
        let tap = Tap::open(&broker, &place).await?;
        let stood = tap.left().into();
        let (stop, mut looking) = (CancellationToken::new(), JoinSet::new());
        match &place {
            Place::Exchange { .. } => {
                let look = Look { broker: broker.clone(), place: place.clone(), stop: stop.clone() };
                looking.spawn_local(look.at(tap, Arc::clone(&stock), Arc::clone(&ledger)));
            }
            // It is there, and its turn comes at the end.
            Place::Queue(_) => tap.close().await?,
        }
        Ok(Self { broker, place, stock, ledger, stop, stood, looking })
    }

    pub(super) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Waits for what was accepted and has not come, and tells what came, and whether somebody has ended the wait.
    pub(super) async fn settle(mut self, within: Duration, signals: &mut Signals) -> (Arrivals, bool) {
        let is_interrupted = self.wait(within, signals).await;
        self.stop.cancel();
        let has_missed = match self.looking.join_next().await {
            Some(looked) => looked.unwrap_or(true),
            None => self.look_through().await.map_err(|error| unseen(&error)).is_err(),
        };
        (Arrivals { seen_in_part: has_missed, ..self.ledger.arrivals(&self.stock) }, is_interrupted)
    }

    /// Waits until as many have come as were accepted, but not too long; `true` if somebody has ended it.
    async fn wait(&self, within: Duration, signals: &mut Signals) -> bool {
        let owed = Deadline::after(within);
        let mut pauses = Backoff::new(LOOK_AFTER, LOOK_AFTER_LONGEST);
        let mut stood = None;
        loop {
            // What was not accepted, or not sent once, comes with the others if it comes.
            pauses.pause().await;
            let missing = self.ledger.missing(&self.stock);
            let have_come = match &self.place {
                Place::Exchange { .. } => missing == 0,
                Place::Queue(_) => {
                    let stands = self.standing().await.ok();
                    let stood = std::mem::replace(&mut stood, stands);
                    // While it grows, what was sent twice may stand there for what is still to come.
                    stands == stood && stands.is_some_and(|stands| stands >= self.stood + missing)
                }
            };
            tokio::select! {
                biased;
                _ = signals.stop() => return true,
                () = owed.passed() => return false,
                () = std::future::ready(()) => if have_come { return false },
            }
        }
    }

    /// How many messages stand in the queue; none is touched. A broker that has just started may not have it yet.
    async fn standing(&self) -> Result<u64, TapError> {
        let tap = Tap::open(&self.broker, &self.place).await?;
        let stands = tap.left();
        tap.close().await?;
        Ok(stands.into())
    }

    /// Looks through the queue, and puts everything back. Once and no more: a quorum queue counts each look as a failed
    /// delivery of every message, and drops what has too many of them.
    async fn look_through(&self) -> Result<(), TapError> {
        let mut tap = Tap::open(&self.broker, &self.place).await?;
        while let Some(seen) = tap.next().await? {
            note(&self.stock, &self.ledger, seen.message_id.as_deref());
        }
        tap.close().await
    }
}

/// What a task needs to look.
struct Look {
    broker: Broker,
    place: Place,
    stop: CancellationToken,
}

impl Look {
    /// Looks until it is told to stop; a connection that breaks is made anew.
    async fn at(self, tap: Tap, stock: Arc<Stock>, ledger: Arc<Ledger>) -> bool {
        let (mut tap, mut has_missed) = (tap, false);
        loop {
            let error = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                seen = tap.next() => match seen {
                    Ok(Some(seen)) => {
                        note(&stock, &ledger, seen.message_id.as_deref());
                        continue;
                    }
                    Ok(None) => continue,
                    Err(error) => error,
                },
            };
            has_missed = true;
            match self.again(&error).await {
                Some(new) => tap = new,
                None => return true,
            }
        }
        let missed = tap.has_missed().await;
        // The broker tidies up what we do not.
        tap.close().await.ok();
        has_missed || missed.unwrap_or(true)
    }

    /// Connects again, unless the run ends before that.
    async fn again(&self, error: &TapError) -> Option<Tap> {
        unseen(error);
        let mut pauses = Backoff::new(RECONNECT_AFTER, LOOK_AFTER_LONGEST);
        let connecting = async {
            loop {
                pauses.pause().await;
                if let Ok(tap) = Tap::open(&self.broker, &self.place).await {
                    return tap;
                }
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => None,
            tap = connecting => Some(tap),
        }
    }
}

/// A word is all that it is worth; the report says it, too.
fn unseen(error: &TapError) {
    writeln!(io::stderr(), "{}; what arrives meanwhile is not seen", Chain(error)).ok();
}

fn note(stock: &Stock, ledger: &Ledger, id: Option<&str>) {
    if let Some(number) = id.and_then(|id| stock.number(id)) {
        ledger.arrived(number);
    }
}

/// First pause between two looks at whether all have come; then they grow.
const LOOK_AFTER: Duration = Duration::from_millis(250);
const LOOK_AFTER_LONGEST: Duration = Duration::from_secs(5);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

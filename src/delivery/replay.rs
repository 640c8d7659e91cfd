//! Spool → broker: oldest first, as soon as the broker is there; removed only after the confirm.
//!
//! A window of messages is in flight, on a channel of its own. What the broker does not want goes back with its
//! fault and is tried again after a pause, while the others go on. If nothing gets through at all, the whole
//! replay pauses. When a session breaks with messages of the replay in flight, the next ones go one at a time
//! until one is confirmed: a message that closes channels is found that way, and costs the others little.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::stream::{FuturesUnordered, Stream, StreamExt, unfold};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{
    Cause, Fate, Late, Link,
    publisher::Parcel,
    spool::{Held, Outgoing, Spool, store::Limit, trouble::Fault},
};
use crate::{
    backoff::Backoff,
    deadline::{Deadline, Elapsed},
    failpoint::{self, Point},
    heart::{Hearts, Part},
    trace::{
        export::{Again, Tracer},
        span::Fate as Ended,
    },
};

/// The task that empties the spool, and settles what was confirmed late.
#[derive(Debug)]
pub struct Replay {
    spool: Spool,
    link: watch::Receiver<Link>,
    late: mpsc::Receiver<Late>,
    /// Messages of the spool in flight, and their bytes.
    in_flight: (usize, usize),
    /// One at a time.
    is_careful: bool,
    /// Failures since the last confirm.
    failures: usize,
    backoff: Backoff,
    hearts: Hearts,
    tracer: Tracer,
}

/// A message in flight.
struct Flight {
    held: Held,
    fate: oneshot::Receiver<Fate>,
    /// Its bytes, if it counts towards the window.
    bytes: Option<usize>,
    /// Nothing else of the replay was in flight.
    is_alone: bool,
    /// If somebody collects its trace.
    again: Option<Again>,
}

/// A message whose fate is known.
struct Landed {
    held: Held,
    fate: Fate,
    bytes: Option<usize>,
    is_alone: bool,
    again: Option<Again>,
}

impl Replay {
    pub(super) fn new(
        spool: Spool,
        link: watch::Receiver<Link>,
        late: mpsc::Receiver<Late>,
        tracer: Tracer,
    ) -> Self {
        let backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        Self {
            spool,
            link,
            late,
            in_flight: (0, 0),
            is_careful: false,
            failures: 0,
            backoff,
            hearts: Hearts::default(),
            tracer,
        }
    }

    /// Has its loop watched.
    #[must_use]
    pub fn listened_to(self, hearts: &Hearts) -> Self {
        Self { hearts: hearts.clone(), ..self }
    }

    /// Works until `stop`; then what is in flight has a moment to be confirmed.
    pub async fn run(mut self, stop: CancellationToken) {
        let (width, limits) = watch::channel(TAKEN);
        let mut taken = pin!(batches(self.spool.clone(), self.link.clone(), limits).fuse());
        let mut flights = FuturesUnordered::new();
        let mut pause = Deadline::after(Duration::ZERO);
        let mut heart = self.hearts.heart(Part::Replay);
        loop {
            heart.beat();
            failpoint::reached(Point::ReplayTurns);
            tokio::select! {
                biased;
                Some(landed) = flights.next(), if !flights.is_empty() => {
                    self.settle(landed);
                    if self.failures >= FAILURES_IN_A_ROW {
                        self.failures = 0;
                        pause = Deadline::after(self.backoff.next_pause());
                        debug!("nothing gets through; the replay pauses");
                    }
                    width.send_replace(self.limit());
                }
                Some((held, fate)) = self.late.recv() => {
                    flights.push(land(Flight { held, fate, bytes: None, is_alone: false, again: None }));
                }
                () = stop.cancelled() => break,
                Some(batch) = async { pause.passed().await; taken.next().await }, if self.has_room() => {
                    let is_alone = self.is_careful && batch.len() == 1;
                    for outgoing in batch {
                        flights.extend(self.launch(outgoing, is_alone).map(land));
                    }
                }
                () = heart.idle() => {}
            }
        }
        let settled = async {
            while let Some(landed) = flights.next().await {
                self.settle(landed);
            }
        };
        if let Err(Elapsed) = Deadline::after(SETTLE_WITHIN).limit(settled).await {
            info!("confirms are still missing; their messages stay in the spool");
        }
    }

    fn has_room(&self) -> bool {
        let (items, bytes) = self.in_flight;
        if self.is_careful { items == 0 } else { items < WINDOW.items && bytes < WINDOW.bytes }
    }

    fn limit(&self) -> Limit {
        if self.is_careful { Limit { items: 1, ..TAKEN } } else { TAKEN }
    }

    /// Sends a message off; one that finds no way lets go of its place, and stays in the spool.
    fn launch(&mut self, outgoing: Outgoing, is_alone: bool) -> Option<Flight> {
        let Outgoing { envelope, held } = outgoing;
        let Link::Up(senders) = &*self.link.borrow() else { return None };
        let (fate, told) = oneshot::channel();
        let bytes = envelope.body.len();
        let envelope = Arc::new(envelope);
        let again = self.tracer.again(&envelope);
        senders.replay.try_send(Parcel { envelope, fate, _room: None }).ok()?;
        self.in_flight.0 += 1;
        self.in_flight.1 += bytes;
        Some(Flight { held, fate: told, bytes: Some(bytes), is_alone, again })
    }

    fn settle(&mut self, Landed { held, fate, bytes, is_alone, again }: Landed) {
        if let Some(again) = again {
            match &fate {
                Ok(()) => self.tracer.ended(again, Ended::Published),
                // It stays where it is.
                Err(cause) => self.tracer.ended(again, Ended::Spooled(cause)),
            }
        }
        if let Some(bytes) = bytes {
            self.in_flight.0 -= 1;
            self.in_flight.1 -= bytes;
        }
        match fate {
            Ok(()) => {
                failpoint::reached(Point::ReplayBeforeRemove);
                held.delivered();
                self.is_careful = false;
                self.failures = 0;
                self.backoff.reset();
            }
            Err(cause) => match cause.fault() {
                Some(fault) => {
                    held.failed(fault);
                    self.failures += 1;
                }
                // It may be this message that the session broke over: others go first next time.
                None if is_alone && cause == Cause::Closed => held.failed(Fault::Nacked),
                None => {
                    self.is_careful |= cause == Cause::Closed && bytes.is_some();
                    drop(held);
                }
            },
        }
    }
}

async fn land(flight: Flight) -> Landed {
    let Flight { held, fate, bytes, is_alone, again } = flight;
    Landed { held, fate: fate.await.unwrap_or(Err(Cause::Closed)), bytes, is_alone, again }
}

/// What the spool gives while there is a broker. A batch is asked for when the stream is polled.
fn batches(
    spool: Spool,
    link: watch::Receiver<Link>,
    limits: watch::Receiver<Limit>,
) -> impl Stream<Item = Vec<Outgoing>> {
    unfold((spool, link, limits), async |(spool, mut link, limits)| {
        loop {
            // The sender lives as long as the connector; without one there is nothing to replay to.
            link.wait_for(|link| matches!(link, Link::Up(_))).await.ok()?;
            let limit = *limits.borrow();
            let batch = spool.take(limit).await;
            if !batch.is_empty() {
                return Some((batch, (spool, link, limits)));
            }
            // Parked messages become due without a word.
            Deadline::after(LOOK_AFTER).limit(spool.arrived()).await.ok();
        }
    })
}

/// In flight at most: a batch is taken while there is any room in the window.
pub(super) const IN_FLIGHT_MAX: usize = WINDOW.items + TAKEN.items;
/// In flight at once. More would only add to the time that fresh messages take.
const WINDOW: Limit = Limit { items: 512, bytes: 8 << 20 };
/// Taken out of the spool at once.
const TAKEN: Limit = Limit { items: 128, bytes: 2 << 20 };
/// Failures without a single confirm between them, after which nothing is tried for a while.
const FAILURES_IN_A_ROW: usize = 64;
/// Ceiling of the first such pause.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Ceiling of all later ones.
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// Time between two looks for parked messages that are due.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// Time for the last confirms when the daemon stops.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

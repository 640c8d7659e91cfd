//! The promise: an [`Envelope`] becomes a [`Receipt`](Receipts), or the request is answered 503.
//!
//! Only this module names `lapin`. [`connection`] keeps a broker connection for ever, [`dial`] makes one,
//! [`session`] is what runs on it: a [`crew`] of a few [`publisher`]s, each the only user of its channel, which share the connection's
//! bytes with lapin on a [`wire`], and the [`quarantine`]. What requests see of it is the [`broker`]; between them and the publishers lies [`room`], the bound in messages and bytes. What the broker does not confirm in time goes to the
//! [`spool`], from where [`replay`] takes it to the broker again; in `dev`, [`embedded`] takes it to a stream. A [`tap`] is a look from
//! beside, a [`courier`] carries what people send.

mod amqp;
mod broker;
mod confirms;
mod connection;
pub mod courier;
mod crew;
mod dial;
pub mod embedded;
mod kit;
pub mod lock;
mod probe;
mod publisher;
pub mod quarantine;
mod replay;
mod room;
mod session;
pub mod spool;
pub mod tap;
mod topology;
mod wire;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::amqp::amqp_properties;
use self::{
    broker::{Broker, Left},
    lock::Lock,
    publisher::Parcel,
    spool::{Held, Spool, Stowed, record::Record, trouble::Fault},
};
pub use self::{
    connection::{Connector, Story},
    dial::{ConnectError, FRAME_BYTES},
    probe::{Probe, probe},
    replay::Replay,
    topology::QUARANTINE_SUFFIX,
};
use crate::{
    config,
    deadline::{Deadline, Elapsed},
    envelope::Envelope,
    metrics::Metrics,
    trace::{
        export::{Tracer, Watch},
        span::Fate as Ended,
    },
};

/// Hands envelopes to whoever keeps them: the broker, or else the spool.
#[derive(Debug)]
pub struct Delivery {
    /// None in `dev`.
    broker: Option<Broker>,
    spool: Spool,
    late: mpsc::Sender<Late>,
    lock: Lock,
    tracer: Tracer,
}

/// Proof that the messages of a request are safe; made here alone.
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Receipts {
    published: usize,
    spooled: usize,
}

/// A message is safe nowhere. Graph is answered 503 and sends the whole request again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{broker}, and {spool}")]
pub struct Undeliverable {
    /// Why the broker does not have it.
    pub broker: Cause,
    /// Why the spool does not.
    pub spool: spool::Refused,
}

/// Why the broker does not have a message, as far as we know.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Cause {
    /// There is no broker now.
    #[error("no connection to the broker")]
    Away,
    /// The broker has blocked publishing (a resource alarm).
    #[error("the broker blocks publishing")]
    Blocked,
    /// Neither ack nor nack within `broker.confirm_within`; the broker may hold the message all the same.
    #[error("no confirm from the broker in time")]
    Late,
    /// The bound of what may be in flight held for as long.
    #[error("too much in flight to the broker")]
    Full,
    /// The broker could not take it.
    #[error("the broker refused the message")]
    Nacked,
    /// No queue is bound for it.
    #[error("no queue is bound for the message")]
    Returned,
    /// The broker closed the channel because of this message.
    #[error("the broker closed the channel over the message")]
    Rejected,
    /// The channel or connection went away before the confirm.
    #[error("the channel to the broker closed")]
    Closed,
}

/// What a publisher tells of a message.
type Fate = Result<(), Cause>;

/// A spooled message whose publish may still be confirmed.
type Late = (Held, oneshot::Receiver<Fate>);

/// What the connection to the broker is good for right now.
#[derive(Clone, Debug)]
enum Link {
    /// Not there, or not ready.
    Down,
    /// There, but the broker reads nothing from us.
    Blocked,
    /// Topology and confirms stand.
    Up(Arc<Senders>),
}

/// The ways into one connection. When the last clone is dropped, its publishers finish and end.
#[derive(Debug)]
struct Senders {
    publishers: Vec<mpsc::Sender<Parcel>>,
    /// A channel of its own for what comes from the spool: fresh messages do not queue behind it.
    replay: mpsc::Sender<Parcel>,
    quarantine: Option<mpsc::Sender<quarantine::Parcel>>,
}

/// The state of the broker, for `/readyz` and `/status`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Topology and confirms stand: a promise can be kept.
    Up,
    /// The broker has blocked us.
    Blocked,
    /// There is no connection, or no topology.
    Down,
}

impl Delivery {
    /// Delivery to a broker, with its two tasks: the one that keeps the connection, the one that empties the spool.
    pub fn new(
        config: &config::Broker,
        spool: Spool,
        tracer: Tracer,
        metrics: Arc<Metrics>,
    ) -> (Self, Connector, Replay) {
        let (lock, candidate) = Lock::of_broker(&config.exchange, Arc::clone(&metrics));
        let (broker, connector) = Broker::new(config, candidate, metrics);
        // Every message in flight has room of its own, so that this is never full.
        let (late, latecomers) = mpsc::channel(config.in_flight_messages);
        let replay = Replay::new(spool.clone(), broker.link.clone(), latecomers, tracer.clone());
        (Self { broker: Some(broker), spool, late, lock, tracer }, connector, replay)
    }

    /// Delivery into a spool that somebody else empties.
    pub fn without_broker(spool: Spool, tracer: Tracer) -> Self {
        Self { broker: None, spool, late: mpsc::channel(1).0, lock: Lock::alone(), tracer }
    }

    /// Delivers the messages of one request, in order, and returns when all are safe.
    ///
    /// # Errors
    ///
    /// [`Undeliverable`] when one of them is not safe before `owed`. Others may have been delivered by then,
    /// and some may still be; the same message id tells consumers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the receipts, not the messages that are already on their way.
    pub async fn deliver(&self, envelopes: Vec<Envelope>, owed: Deadline) -> Result<Receipts, Undeliverable> {
        let all = envelopes.len();
        if all == 0 {
            return Ok(Receipts { published: 0, spooled: 0 });
        }
        let watch = self.tracer.watch();
        let left = match &self.broker {
            Some(broker) => broker.publish(envelopes, owed, &watch).await,
            None => {
                envelopes.into_iter().map(|envelope| Left::unsent(envelope.into(), Cause::Away)).collect()
            }
        };
        if left.is_empty() {
            return Ok(Receipts { published: all, spooled: 0 });
        }
        let messages = left.iter().map(|left| Stowed {
            record: Record::of(&left.envelope),
            fault: left.cause.fault(),
            is_in_flight: left.fate.is_some(),
        });
        match self.spool.append(messages.collect(), owed).await {
            Ok(held) => {
                let spooled = left.len();
                left.iter().for_each(|left| watch.ended(&left.envelope, Ended::Spooled(&left.cause)));
                let late = left.into_iter().zip(held).filter_map(|(left, held)| held.zip(left.fate));
                // Whatever nobody watches is published once more.
                late.for_each(|late| drop(self.late.try_send(late)));
                Ok(Receipts { published: all - spooled, spooled })
            }
            Err(spool) => {
                confirmed_after_all(left, owed, &watch)
                    .await
                    .map_err(|broker| Undeliverable { broker, spool })?;
                Ok(Receipts { published: all, spooled: 0 })
            }
        }
    }

    /// Takes a refused item for the quarantine, if there is room. Never waits.
    pub fn quarantine(&self, envelope: impl FnOnce() -> Envelope) {
        if let Some(broker) = &self.broker {
            broker.quarantine(envelope);
        }
    }

    /// The lock that all daemons on this exchange share.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The broker's state.
    pub fn state(&self) -> State {
        match self.broker.as_ref().map(|broker| broker.link.borrow()).as_deref() {
            Some(Link::Up(_)) => State::Up,
            Some(Link::Blocked) => State::Blocked,
            Some(Link::Down) | None => State::Down,
        }
    }

    /// What has become of the connection so far; none in `dev`.
    pub fn story(&self) -> Option<Story> {
        self.broker.as_ref().map(|broker| broker.story.borrow().clone())
    }

    /// The spool's state.
    pub fn spool_state(&self) -> spool::State {
        self.spool.state()
    }
}

/// Without a spool there is still the rest of the request's time for the broker.
async fn confirmed_after_all(left: Vec<Left>, owed: Deadline, watch: &Watch<'_>) -> Result<(), Cause> {
    let mut all = Ok(());
    for Left { envelope, cause, fate } in left {
        let fate = match fate {
            // For those that come after one that failed nobody waits any more.
            Some(fate) if all.is_ok() => owed.limit(fate).await.map_err(|Elapsed| cause),
            Some(_) | None => Err(cause),
        };
        let fate = fate.and_then(|told| told.unwrap_or(Err(Cause::Closed)));
        match fate {
            Ok(()) => watch.ended(&envelope, Ended::Published),
            Err(cause) => watch.ended(&envelope, Ended::Failed(&cause)),
        }
        all = all.and(fate);
    }
    all
}

impl Cause {
    /// Whether it is the message's own fault, or its queue's: then others need not wait behind it.
    fn fault(self) -> Option<Fault> {
        match self {
            Self::Nacked => Some(Fault::Nacked),
            Self::Returned => Some(Fault::Returned),
            Self::Rejected => Some(Fault::Rejected),
            Self::Away | Self::Blocked | Self::Late | Self::Full | Self::Closed => None,
        }
    }
}

impl State {
    /// The word in `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Blocked => "blocked",
            Self::Down => "down",
        }
    }
}

impl Receipts {
    /// How many messages the broker confirmed.
    pub fn published(&self) -> usize {
        self.published
    }

    /// How many messages the spool holds.
    pub fn spooled(&self) -> usize {
        self.spooled
    }
}

//! The promise: an [`Envelope`] becomes a [`Receipt`](Receipts), or the request is answered 503.
//!
//! Only this module names `lapin`. [`connection`] keeps a broker connection for ever, [`dial`] makes one,
//! [`session`] is what runs on it: a few [`publisher`]s, each the only user of its channel, and the [`quarantine`]. Between requests and
//! publishers lies [`room`], the bound in messages and bytes. [`embedded`] stands in for the broker in `dev`.

mod confirms;
mod connection;
mod dial;
mod drain;
pub mod embedded;
mod publisher;
mod quarantine;
mod room;
mod session;
mod topology;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    connection::{Connector, Probe, probe},
    dial::ConnectError,
    topology::QUARANTINE_SUFFIX,
};
use self::{embedded::Embedded, publisher::Parcel, room::Room};
use crate::{
    config,
    deadline::{Deadline, Elapsed},
    envelope::Envelope,
    metrics::{Metrics, Publish, Quarantined},
};

/// Hands envelopes to whoever keeps them.
#[derive(Debug)]
pub enum Delivery {
    /// RabbitMQ.
    Broker(Broker),
    /// The queue inside `dev`.
    Embedded(Embedded),
}

/// Proof that the messages of a request are safe; made here alone.
#[derive(Debug, Eq, PartialEq)]
#[must_use]
pub struct Receipts {
    published: usize,
}

/// Why messages are not safe. Whatever it is, Graph is answered 503 and sends them again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Undeliverable {
    /// There is no broker now.
    #[error("no connection to the broker")]
    Away,
    /// The broker has blocked publishing (a resource alarm).
    #[error("the broker blocks publishing")]
    Blocked,
    /// Neither ack nor nack before the answer was owed; the broker may hold the message all the same.
    #[error("no confirm from the broker in time")]
    Unconfirmed,
    /// The bound of what may be in flight held until the answer was owed.
    #[error("too much in flight to the broker")]
    Full,
    /// The broker could not take it.
    #[error("the broker refused the message")]
    Nacked,
    /// No queue is bound for it.
    #[error("no queue is bound for the message")]
    Returned,
    /// The channel or connection went away before the confirm.
    #[error("the channel to the broker closed")]
    Closed,
}

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
    quarantine: Option<mpsc::Sender<quarantine::Parcel>>,
}

/// RabbitMQ as the requests see it.
#[derive(Debug)]
pub struct Broker {
    link: watch::Receiver<Link>,
    room: Room,
    turn: AtomicUsize,
    quarantine: quarantine::Gate,
    metrics: Arc<Metrics>,
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
        if envelopes.is_empty() {
            return Ok(Receipts { published: 0 });
        }
        match self {
            Self::Broker(broker) => broker.deliver(envelopes, owed).await,
            Self::Embedded(embedded) => embedded.deliver(envelopes, owed).await,
        }
    }

    /// Takes a refused item for the quarantine, if there is room. Never waits.
    pub fn quarantine(&self, envelope: impl FnOnce() -> Envelope) {
        match self {
            Self::Broker(broker) => broker.quarantine(envelope),
            Self::Embedded(_) => {}
        }
    }

    /// Whether a promise can be kept now.
    pub fn state(&self) -> State {
        match self {
            Self::Broker(broker) => match &*broker.link.borrow() {
                Link::Down => State::Down,
                Link::Blocked => State::Blocked,
                Link::Up(_) => State::Up,
            },
            Self::Embedded(_) => State::Up,
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

impl Broker {
    /// The two ends of a broker connection: what requests use, and the task that keeps it alive.
    pub fn new(config: &config::Broker, metrics: Arc<Metrics>) -> (Self, Connector) {
        let (sender, link) = watch::channel(Link::Down);
        let room = Room::new(config.in_flight_messages, config.in_flight_bytes);
        let quarantine = quarantine::Gate::default();
        let connector = Connector::new(config.clone(), sender, Arc::clone(&metrics));
        (Self { link, room, turn: AtomicUsize::new(0), quarantine, metrics }, connector)
    }

    async fn deliver(&self, envelopes: Vec<Envelope>, owed: Deadline) -> Result<Receipts, Undeliverable> {
        let senders = self.senders().inspect_err(|error| {
            if *error == Undeliverable::Blocked {
                self.metrics.publishes.count_many(Publish::Blocked, envelopes.len());
            }
        })?;
        let published = envelopes.len();
        // One publisher takes the whole request, so that its items stay in order.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let publisher = &senders.publishers[turn % senders.publishers.len()];
        let mut fates = Vec::with_capacity(published);
        for envelope in envelopes {
            let room = owed
                .limit(self.room.take(envelope.body.len()))
                .await
                .map_err(|Elapsed| Undeliverable::Full)?;
            let (fate, told) = oneshot::channel();
            // The channel is as wide as the room: a sender that has room never waits here.
            let parcel = Parcel { envelope, fate, _room: room };
            publisher.try_send(parcel).map_err(|_| Undeliverable::Closed)?;
            fates.push(told);
        }
        // A stopped connection must not wait for this request to let go of it.
        drop(senders);
        for fate in fates {
            let fate = owed.limit(fate).await.map_err(|Elapsed| Undeliverable::Unconfirmed)?;
            fate.unwrap_or(Err(Undeliverable::Closed))?;
        }
        Ok(Receipts { published })
    }

    fn quarantine(&self, envelope: impl FnOnce() -> Envelope) {
        let way = self.senders().ok().and_then(|senders| senders.quarantine.clone());
        let sent = way.is_some_and(|way| self.quarantine.pass(&way, envelope));
        // What got through the gate is counted when it has been sent.
        if !sent {
            self.metrics.quarantined.count(Quarantined::Dropped);
        }
    }

    fn senders(&self) -> Result<Arc<Senders>, Undeliverable> {
        match &*self.link.borrow() {
            Link::Down => Err(Undeliverable::Away),
            Link::Blocked => Err(Undeliverable::Blocked),
            Link::Up(senders) => Ok(Arc::clone(senders)),
        }
    }
}

impl Receipts {
    /// How many messages the broker confirmed.
    pub fn published(&self) -> usize {
        self.published
    }
}

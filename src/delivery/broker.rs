//! RabbitMQ as the requests see it: their messages go out while there is room, and come to rest or are left over.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{
    oneshot::{self, error::TryRecvError},
    watch,
};

use super::{
    Cause, Fate, Link, Senders,
    connection::{Connector, Story},
    lock::Candidate,
    publisher::Parcel,
    quarantine,
    room::Room,
};
use crate::{
    config,
    deadline::{Deadline, Elapsed},
    envelope::Envelope,
    failpoint::{self, Point},
    metrics::{Metrics, Publish, Quarantined},
    trace::{export::Watch, span::Fate as Ended},
};

/// RabbitMQ as the requests see it.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) link: watch::Receiver<Link>,
    pub(super) story: watch::Receiver<Story>,
    room: Room,
    confirm_within: Duration,
    turn: AtomicUsize,
    quarantine: quarantine::Gate,
    metrics: Arc<Metrics>,
}

/// A message that is on its way to the broker.
struct Flight {
    envelope: Arc<Envelope>,
    fate: oneshot::Receiver<Fate>,
    told: Option<Fate>,
}

/// A message that the broker has not confirmed in time.
pub(super) struct Left {
    pub(super) envelope: Arc<Envelope>,
    pub(super) cause: Cause,
    /// While it is still in flight.
    pub(super) fate: Option<oneshot::Receiver<Fate>>,
}

impl Broker {
    pub(super) fn new(
        config: &config::Broker,
        candidate: Candidate,
        metrics: Arc<Metrics>,
    ) -> (Self, Connector) {
        metrics.in_flight_max.set(i64::try_from(config.in_flight_messages).unwrap_or(i64::MAX));
        let (sender, link) = watch::channel(Link::Down);
        let (connector, story) = Connector::new(config.clone(), sender, candidate, Arc::clone(&metrics));
        let broker = Self {
            link,
            story,
            room: Room::new(config.in_flight_messages, config.in_flight_bytes),
            confirm_within: config.confirm_within,
            turn: AtomicUsize::new(0),
            quarantine: quarantine::Gate::default(),
            metrics,
        };
        (broker, connector)
    }

    /// Publishes the messages in order; returns those that are not confirmed within `broker.confirm_within`.
    pub(super) async fn publish(
        &self,
        envelopes: Vec<Envelope>,
        owed: Deadline,
        watch: &Watch<'_>,
    ) -> Vec<Left> {
        let patience = owed.or_after(self.confirm_within);
        let mut envelopes: VecDeque<_> = envelopes.into_iter().map(Arc::new).collect();
        let (mut flights, cause) = self.launch(&mut envelopes, patience).await;
        failpoint::reached(Point::PublishBeforeConfirm);
        // Those that have landed by then have.
        let (Ok(()) | Err(Elapsed)) = patience.limit(landed(&mut flights)).await;
        let mut left = Vec::new();
        for Flight { envelope, mut fate, told } in flights {
            match told.map_or_else(|| fate.try_recv(), Ok) {
                Ok(Ok(())) => watch.ended(&envelope, Ended::Published),
                Ok(Err(cause)) => left.push(Left::unsent(envelope, cause)),
                Err(TryRecvError::Closed) => left.push(Left::unsent(envelope, Cause::Closed)),
                Err(TryRecvError::Empty) => {
                    left.push(Left { envelope, cause: Cause::Late, fate: Some(fate) });
                }
            }
        }
        left.extend(envelopes.into_iter().map(|envelope| Left::unsent(envelope, cause)));
        left
    }

    /// Sends off as many messages as it can; says what keeps it from sending the rest.
    async fn launch(
        &self,
        envelopes: &mut VecDeque<Arc<Envelope>>,
        patience: Deadline,
    ) -> (Vec<Flight>, Cause) {
        let mut flights = Vec::with_capacity(envelopes.len());
        let senders = match self.senders() {
            Ok(senders) => senders,
            Err(cause) => {
                if cause == Cause::Blocked {
                    self.metrics.publishes.count_many(Publish::Blocked, envelopes.len());
                }
                return (flights, cause);
            }
        };
        // One publisher takes the whole request, so that its items stay in order.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let publisher = &senders.publishers[turn % senders.publishers.len()];
        while !envelopes.is_empty() {
            let sizes = envelopes.iter().map(|envelope| envelope.body.len());
            let many = self.room.portion(sizes.clone());
            let Ok(mut portion) = patience.limit(self.room.take(sizes.take(many))).await else {
                return (flights, Cause::Full);
            };
            for envelope in envelopes.drain(..many) {
                let (fate, told) = oneshot::channel();
                let room = portion.split(envelope.body.len());
                // The channel is as wide as the room: whoever has room never waits here. When its publisher is gone, the fate is
                // told by nobody.
                publisher.try_send(Parcel { envelope: Arc::clone(&envelope), fate, _room: room }).ok();
                flights.push(Flight { envelope, fate: told, told: None });
            }
        }
        (flights, Cause::Closed)
    }

    /// Takes a refused item for the quarantine, if there is room. Never waits.
    pub(super) fn quarantine(&self, envelope: impl FnOnce() -> Envelope) {
        let way = || self.senders().ok()?.quarantine.clone();
        let sent = self.quarantine.pass(way, envelope);
        // What got through the gate is counted when it has been sent.
        if !sent {
            self.metrics.quarantined.count(Quarantined::Dropped);
        }
    }

    fn senders(&self) -> Result<Arc<Senders>, Cause> {
        match &*self.link.borrow() {
            Link::Down => Err(Cause::Away),
            Link::Blocked => Err(Cause::Blocked),
            Link::Up(senders) => Ok(Arc::clone(senders)),
        }
    }
}

impl Left {
    pub(super) fn unsent(envelope: Arc<Envelope>, cause: Cause) -> Self {
        Self { envelope, cause, fate: None }
    }
}

/// Waits until all fates are known.
async fn landed(flights: &mut [Flight]) {
    for flight in flights {
        flight.told = Some((&mut flight.fate).await.unwrap_or(Err(Cause::Closed)));
    }
}

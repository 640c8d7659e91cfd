//! Refused items, for the operator to look at: best effort, capped, and never on the road's time.

pub mod reconsider;
pub mod visit;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{Channel, options::BasicPublishOptions, types::ShortString};
use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

use super::{
    amqp::{amqp_properties, short},
    room::{Room, Taken},
};
use crate::{
    envelope::Envelope,
    metrics::{Metrics, Quarantined},
};

/// A refused item on its way.
#[derive(Debug)]
pub(super) struct Parcel {
    envelope: Envelope,
    _room: Taken,
}

/// Lets through what the quarantine may take: a bound a second, and a bound in bytes.
#[derive(Debug)]
pub(super) struct Gate {
    /// When the last [`RATE_MAX`] items passed.
    passed: Mutex<VecDeque<Instant>>,
    room: Room,
}

impl Default for Gate {
    fn default() -> Self {
        Self { passed: Mutex::default(), room: Room::new(WAITING_MAX, BYTES_MAX) }
    }
}

impl Gate {
    /// Passes the item on if there is room. The envelope is only made when the rate allows it: a flood of
    /// forgeries must not cost more than counting them.
    pub(super) fn pass(
        &self,
        way: impl FnOnce() -> Option<mpsc::Sender<Parcel>>,
        envelope: impl FnOnce() -> Envelope,
    ) -> bool {
        if !self.within_rate(Instant::now()) {
            return false;
        }
        let Some(way) = way() else { return false };
        let envelope = envelope();
        let parcel = self.room.try_take(envelope.body.len()).map(|room| Parcel { envelope, _room: room });
        parcel.is_some_and(|parcel| way.try_send(parcel).is_ok())
    }

    fn within_rate(&self, now: Instant) -> bool {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.len() == RATE_MAX {
            if passed.front().is_some_and(|first| now.duration_since(*first) < Duration::from_secs(1)) {
                return false;
            }
            passed.pop_front();
        }
        passed.push_back(now);
        true
    }
}

/// Publishes refused items on a channel of its own, one after the other, without confirms.
pub(super) async fn run(
    channel: Channel,
    exchange: ShortString,
    mut parcels: mpsc::Receiver<Parcel>,
    metrics: Arc<Metrics>,
) {
    while let Some(Parcel { envelope, .. }) = parcels.recv().await {
        let options = BasicPublishOptions::default();
        let key = short(envelope.routing_key.as_str());
        let properties = amqp_properties(&envelope);
        let publish = channel.basic_publish(exchange.clone(), key, options, &envelope.body, properties);
        let sent = tokio::time::timeout(SEND_WITHIN, publish).await.is_ok_and(|sent| sent.is_ok());
        metrics.quarantined.count(if sent { Quarantined::Sent } else { Quarantined::Dropped });
        if !sent {
            debug!("the quarantine exchange takes nothing more on this connection");
            break;
        }
    }
    metrics.quarantined.count_many(Quarantined::Dropped, parcels.len());
}

/// The channel between gate and task.
pub(super) fn way() -> (mpsc::Sender<Parcel>, mpsc::Receiver<Parcel>) {
    mpsc::channel(WAITING_MAX)
}

/// Items let through in any one second.
const RATE_MAX: usize = 100;
/// Items waiting to be sent.
const WAITING_MAX: usize = 128;
/// Their bytes: an item larger than this is only counted.
const BYTES_MAX: usize = 8 << 20;
/// A broker that takes longer to read one item has no time for the quarantine.
const SEND_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_the_rate() {
        let gate = Gate::default();
        let passed = |gate: &Gate| (0..500).filter(|_| gate.within_rate(Instant::now())).count();
        assert_eq!(passed(&gate), RATE_MAX);
        tokio::time::advance(Duration::from_millis(900)).await;
        assert_eq!(passed(&gate), 0);
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(passed(&gate), RATE_MAX);
    }
}

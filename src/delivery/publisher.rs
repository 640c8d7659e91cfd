//! Publishes on one channel, keeps hundreds of messages in flight, and judges their confirms.
//!
//! Lapin has opened the channel, and puts it into confirm mode; what is published on it, and what the broker says to that,
//! goes by frames of our own ([`wire`](super::wire)). What a confirm means for which message is decided in
//! [`confirms`](super::confirms).

use std::{
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::BytesMut;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tracing::debug;

use super::{
    Cause, Fate,
    amqp::reason,
    confirms::{Confirms, Message, NeverSent, Verdict},
    replay,
    room::Taken,
    wire::{
        Lost,
        frame::{Closed, Confirmed, Framer, Garbled, Said},
    },
};
use crate::{
    config::Broker,
    envelope::Envelope,
    metrics::{ChannelClose, Metrics, Publish},
    notification::id::MessageId,
};

/// An envelope on its way, and who wants to hear of it.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) envelope: Arc<Envelope>,
    pub(super) fate: oneshot::Sender<Fate>,
    pub(super) _room: Option<Taken>,
}

/// Why a publisher gave up its channel. Everything it had in flight is unsafe then.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublisherError {
    #[error("the broker closed the channel: {0}")]
    Closed(Closed),
    #[error("no confirm from the broker within {GIVE_UP:?}")]
    Unconfirmed,
    #[error(transparent)]
    NeverSent(#[from] NeverSent),
    #[error(transparent)]
    Garbled(#[from] Garbled),
    #[error("the connection is gone")]
    Lost(#[source] Lost),
    #[error("it panicked")]
    Panicked,
}

impl PublisherError {
    /// The broker's reason, if it closed the channel and not the connection.
    pub(super) fn channel_close(&self) -> Option<ChannelClose> {
        match self {
            Self::Closed(closed) => Some(reason(closed.code)),
            Self::Unconfirmed | Self::NeverSent(_) | Self::Garbled(_) | Self::Lost(_) | Self::Panicked => {
                None
            }
        }
    }
}

/// What publishers and their Connector tell each other.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Told when a message comes back, so that the topology is looked at.
    pub(super) unroutable: Notify,
    /// Whether the broker blocks us.
    pub(super) blocked: AtomicBool,
}

/// Publishes on one channel.
pub(super) struct Publisher {
    pub(super) channel: u16,
    framer: Framer,
    confirm_within: Duration,
    metrics: Arc<Metrics>,
    signs: Arc<Signs>,
    parcels: mpsc::Receiver<Parcel>,
    is_open: bool,
    confirms: Confirms<Flight>,
}

/// A message in flight.
#[derive(Debug)]
struct Flight {
    parcel: Parcel,
    published: Instant,
}

impl Message for Flight {
    fn id(&self) -> &MessageId {
        &self.parcel.envelope.message_id
    }
}

impl Publisher {
    /// A publisher on this channel, which must be in confirm mode and fresh, and the way to it.
    pub(super) fn new(
        channel: u16,
        frame_max: u32,
        broker: &Broker,
        metrics: Arc<Metrics>,
        signs: Arc<Signs>,
    ) -> (mpsc::Sender<Parcel>, Self) {
        // As wide as the room that requests share, and as what the replay has in flight: neither finds it full.
        let (way, parcels) = mpsc::channel(broker.in_flight_messages.max(replay::IN_FLIGHT_MAX));
        let publisher = Self {
            channel,
            framer: Framer::new(channel, &broker.exchange, frame_max),
            confirm_within: broker.confirm_within,
            metrics,
            signs,
            parcels,
            is_open: true,
            confirms: Confirms::default(),
        };
        (way, publisher)
    }

    /// Whether nobody can reach it any more, and nothing is in flight.
    pub(super) fn is_done(&self) -> bool {
        !self.is_open && self.confirms.len() == 0
    }

    /// Writes what has come in, up to a bound.
    pub(super) fn fill(&mut self, context: &mut Context<'_>, into: &mut BytesMut) {
        let until = into.len() + WRITTEN_BYTES;
        let mut published = None;
        while self.is_open && into.len() < until {
            match self.parcels.poll_recv(context) {
                Poll::Ready(Some(parcel)) => {
                    self.framer.put(&parcel.envelope, into);
                    let published = *published.get_or_insert_with(Instant::now);
                    self.confirms.launched(Flight { parcel, published });
                    self.metrics.publishes_in_flight.inc();
                }
                Poll::Ready(None) => self.is_open = false,
                Poll::Pending => return,
            }
        }
    }

    pub(super) fn hear(&mut self, said: Said, now: &mut Now) -> Result<(), PublisherError> {
        match said {
            Said::Ack(confirmed) => self.settle(confirmed, true, now),
            Said::Nack(confirmed) => self.settle(confirmed, false, now),
            Said::Returned(id) => Ok(self.confirms.returned(id)?),
            Said::Closed(closed) => {
                if let Some(flight) = self.lose()
                    && is_about_the_message(&closed)
                {
                    // Alone on its channel, it cannot have been another one.
                    flight.parcel.fate.send(Err(Cause::Rejected)).ok();
                }
                Err(PublisherError::Closed(closed))
            }
            Said::ForLapin | Said::ForNobody => Ok(()),
        }
    }

    fn settle(&mut self, confirmed: Confirmed, is_ack: bool, now: &mut Now) -> Result<(), PublisherError> {
        let Self { confirms, metrics, signs, confirm_within, .. } = self;
        let tell = |flight: Flight, verdict| now.tell(flight, verdict, *confirm_within, metrics, signs);
        Ok(confirms.settle(confirmed, is_ack, tell)?)
    }

    /// Counts what is in flight as lost with the channel, and says which it is if there was only one.
    fn lose(&mut self) -> Option<Flight> {
        let in_flight = self.confirms.len();
        self.metrics.publishes_in_flight.dec_by(in_flight as i64);
        self.metrics.publishes.count_many(Publish::Closed, in_flight);
        self.confirms.give_up()
    }

    /// Since when its oldest message waits for a confirm.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.confirms.oldest().map(|flight| flight.published)
    }
}

impl Drop for Publisher {
    /// However a publisher ends, what it still had counts as lost with its channel.
    fn drop(&mut self) {
        drop(self.lose());
        self.metrics.publishes.count_many(Publish::Closed, self.parcels.len());
    }
}

/// The moment at which a group of confirms is read, looked up once.
pub(super) struct Now {
    monotonic: Instant,
    system: SystemTime,
}

impl Now {
    pub(super) fn look_up() -> Self {
        Self { monotonic: Instant::now(), system: SystemTime::now() }
    }

    fn tell(
        &self,
        flight: Flight,
        verdict: Verdict,
        confirm_within: Duration,
        metrics: &Metrics,
        signs: &Signs,
    ) {
        let Flight { parcel, published } = flight;
        let took = self.monotonic.saturating_duration_since(published);
        let (result, fate) = match verdict {
            Verdict::Confirmed if took > confirm_within => (Publish::Late, Ok(())),
            Verdict::Confirmed => (Publish::Ack, Ok(())),
            Verdict::Nacked => (Publish::Nack, Err(Cause::Nacked)),
            Verdict::Returned => (Publish::Returned, Err(Cause::Returned)),
        };
        if verdict == Verdict::Returned {
            signs.unroutable.notify_one();
        }
        metrics.publishes_in_flight.dec();
        metrics.publishes.count(result);
        metrics.confirm_duration.observe(took.as_secs_f64());
        if verdict == Verdict::Confirmed
            && let Some(received) = parcel.envelope.properties.received_at()
        {
            let since = self.system.duration_since(received).unwrap_or_default();
            metrics.end_to_end.observe(since.as_secs_f64());
        }
        if let Err(_gone) = parcel.fate.send(fate) {
            debug!(message_id = %parcel.envelope.message_id.as_str(), ?took, "a confirm came after the answer");
        }
    }
}

/// Whether the broker may have closed the channel over the message: it was too large, or not allowed.
fn is_about_the_message(closed: &Closed) -> bool {
    matches!(reason(closed.code), ChannelClose::ContentTooLarge | ChannelClose::PreconditionFailed)
}

/// Bytes that one publisher writes before others have their turn, and the socket.
const WRITTEN_BYTES: usize = 256 << 10;
/// After this long a confirm will not come: the session is given up with all that is in flight. It happens: a
/// quorum queue of a broker that was killed may take messages and never confirm them (seen on RabbitMQ 3.10).
/// RabbitMQ advises to wait no less than a heartbeat.
pub(super) const GIVE_UP: Duration = Duration::from_secs(10);

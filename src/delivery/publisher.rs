//! Publishes on one channel, keeps hundreds of messages in flight, and judges their confirms.
//!
//! Lapin has opened the channel, and puts it into confirm mode; what is published on it, and what the broker says to that,
//! goes by frames of our own ([`wire`](super::wire)). What a confirm means for which message is decided in
//! [`confirms`](super::confirms).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::BytesMut;
use lapin::{
    BasicProperties, ErrorKind,
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tracing::debug;

use super::{
    Cause, Fate,
    confirms::{Confirms, Message, NeverSent, Verdict},
    room::Taken,
    wire::{
        Lost, Station,
        frame::{Closed, Confirmed, Frame, Garbled, Said, Stamp},
    },
};
use crate::{
    config::Broker,
    envelope::{Envelope, properties},
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
            Self::Closed(closed) => Some(reason(closed)),
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
    channel: u16,
    stamp: Stamp,
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
        // As wide as the room that requests share, and as the window of the replay: neither finds it full.
        let (way, parcels) = mpsc::channel(broker.in_flight_messages.max(REPLAYED_MAX));
        let publisher = Self {
            channel,
            stamp: Stamp::new(channel, &broker.exchange, frame_max),
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
    fn is_done(&self) -> bool {
        !self.is_open && self.confirms.len() == 0
    }

    /// Writes what has come in, up to a bound.
    fn fill(&mut self, context: &mut Context<'_>, into: &mut BytesMut) {
        let until = into.len() + WRITTEN_BYTES;
        let mut published = None;
        while self.is_open && into.len() < until {
            match self.parcels.poll_recv(context) {
                Poll::Ready(Some(parcel)) => {
                    self.stamp.put(&parcel.envelope, into);
                    let published = *published.get_or_insert_with(Instant::now);
                    self.confirms.launched(Flight { parcel, published });
                    self.metrics.publishes_in_flight.inc();
                }
                Poll::Ready(None) => self.is_open = false,
                Poll::Pending => return,
            }
        }
    }

    fn hear(&mut self, said: Said, now: &mut Now) -> Result<(), PublisherError> {
        match said {
            Said::Ack(confirmed) => self.settle(confirmed, true, now),
            Said::Nack(confirmed) => self.settle(confirmed, false, now),
            Said::Returned(id) => {
                self.confirms.returned(id);
                Ok(())
            }
            Said::Closed(closed) => {
                let in_flight = self.confirms.len();
                self.metrics.publishes_in_flight.dec_by(in_flight as i64);
                self.metrics.publishes.count_many(Publish::Closed, in_flight);
                if let Some(flight) = self.confirms.give_up()
                    && is_about_the_message(&closed)
                {
                    // Alone on its channel, it cannot have been another one.
                    flight.parcel.fate.send(Err(Cause::Rejected)).ok();
                }
                Err(PublisherError::Closed(closed))
            }
            Said::Else | Said::Nothing => Ok(()),
        }
    }

    fn settle(&mut self, confirmed: Confirmed, is_ack: bool, now: &mut Now) -> Result<(), PublisherError> {
        let Self { confirms, metrics, signs, confirm_within, .. } = self;
        let tell = |flight: Flight, verdict| now.tell(flight, verdict, *confirm_within, metrics, signs);
        Ok(confirms.settle(confirmed, is_ack, tell)?)
    }

    /// Since when its oldest message waits for a confirm.
    fn waits_since(&self) -> Option<Instant> {
        self.confirms.oldest().map(|flight| flight.published)
    }
}

impl Drop for Publisher {
    /// However a publisher ends, what it still had counts as lost with its channel.
    fn drop(&mut self) {
        let in_flight = self.confirms.len();
        self.metrics.publishes_in_flight.dec_by(in_flight as i64);
        self.metrics.publishes.count_many(Publish::Closed, in_flight + self.parcels.len());
    }
}

/// The moment at which a group of confirms is read, looked up once.
struct Now {
    monotonic: Instant,
    system: SystemTime,
}

impl Now {
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

/// All publishers of a connection.
pub(super) struct Crew {
    publishers: Vec<Publisher>,
    signs: Arc<Signs>,
    /// Before this nobody waits too long: the broker has blocked us until then.
    blocked_until: Option<Instant>,
    now: Option<Now>,
}

impl Crew {
    pub(super) fn new(publishers: Vec<Publisher>, signs: Arc<Signs>) -> Self {
        Self { publishers, signs, blocked_until: None, now: None }
    }

    /// Whether nobody can reach them any more, and nothing is in flight.
    pub(super) fn is_done(&self) -> bool {
        self.publishers.iter().all(Publisher::is_done)
    }

    /// Whether a confirm has been waited for in vain. This is far behind every request's deadline: a confirm that is
    /// missing keeps its message's place, so it costs the connection.
    ///
    /// A broker that blocks us reads nothing, however long that takes, and has said so.
    pub(super) fn look(&mut self) -> Result<(), PublisherError> {
        let now = Instant::now();
        if self.signs.blocked.load(Ordering::Relaxed) {
            self.blocked_until = Some(now);
        }
        let oldest = self.publishers.iter().filter_map(Publisher::waits_since).min();
        match oldest.max(self.blocked_until.filter(|_| oldest.is_some())) {
            Some(since) if now > since + GIVE_UP => Err(PublisherError::Unconfirmed),
            Some(_) | None => Ok(()),
        }
    }
}

impl Station for Crew {
    type Error = PublisherError;

    fn fill(&mut self, context: &mut Context<'_>, into: &mut BytesMut) {
        self.publishers.iter_mut().for_each(|publisher| publisher.fill(context, into));
    }

    fn listen(&mut self) {
        self.now = None;
    }

    fn hear(&mut self, frame: Frame<'_>) -> Result<bool, PublisherError> {
        let Some(publisher) = self.publishers.iter_mut().find(|publisher| publisher.channel == frame.channel)
        else {
            return Ok(false);
        };
        let said = frame.read()?;
        let is_ours = said != Said::Else;
        let now =
            self.now.get_or_insert_with(|| Now { monotonic: Instant::now(), system: SystemTime::now() });
        publisher.hear(said, now)?;
        Ok(is_ours)
    }
}

/// The broker's reason for closing a channel.
fn reason(closed: &Closed) -> ChannelClose {
    match closed.code {
        311 => ChannelClose::ContentTooLarge,
        313 => ChannelClose::NoConsumers,
        403 => ChannelClose::AccessRefused,
        404 => ChannelClose::NotFound,
        405 => ChannelClose::ResourceLocked,
        406 => ChannelClose::PreconditionFailed,
        _ => ChannelClose::Other,
    }
}

/// Whether the broker may have closed the channel over the message: it was too large, or not allowed.
fn is_about_the_message(closed: &Closed) -> bool {
    matches!(reason(closed), ChannelClose::ContentTooLarge | ChannelClose::PreconditionFailed)
}

/// The broker's reason, if it closed a channel and not the connection.
pub(super) fn channel_close(error: &lapin::Error) -> Option<ChannelClose> {
    if let ErrorKind::ProtocolError(error) = error.kind() {
        return match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft_error(soft)),
            AMQPErrorKind::Hard(_) => None,
        };
    }
    // It was closed while nothing was in flight, and the reason is no longer at hand.
    matches!(error.kind(), ErrorKind::InvalidChannelState(..)).then_some(ChannelClose::Other)
}

fn soft_error(error: &AMQPSoftError) -> ChannelClose {
    match error {
        AMQPSoftError::CONTENTTOOLARGE => ChannelClose::ContentTooLarge,
        AMQPSoftError::NOCONSUMERS => ChannelClose::NoConsumers,
        AMQPSoftError::ACCESSREFUSED => ChannelClose::AccessRefused,
        AMQPSoftError::NOTFOUND => ChannelClose::NotFound,
        AMQPSoftError::RESOURCELOCKED => ChannelClose::ResourceLocked,
        AMQPSoftError::PRECONDITIONFAILED => ChannelClose::PreconditionFailed,
        AMQPSoftError::NOROUTE => ChannelClose::Other,
    }
}

/// The properties of a message in lapin's types.
pub(crate) fn amqp_properties(envelope: &Envelope) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &envelope.properties.headers {
        headers.insert((**name).into(), AMQPValue::LongString(value.as_str().into()));
    }
    BasicProperties::default()
        .with_content_type(properties::CONTENT_TYPE.into())
        .with_delivery_mode(properties::DELIVERY_MODE)
        .with_message_id(short(envelope.message_id.as_str()))
        .with_timestamp(envelope.properties.timestamp)
        .with_type(envelope.properties.kind.as_str().into())
        .with_app_id(properties::APP_ID.into())
        .with_headers(headers)
}

/// Lapin panics on short strings over 255 bytes; our types hold no longer ones.
pub(super) fn short(text: &str) -> ShortString {
    ShortString::try_new(text).expect("message ids, routing keys and names are at most 255 bytes long")
}

/// Bytes that one publisher writes before others have their turn, and the socket.
const WRITTEN_BYTES: usize = 256 << 10;
/// The window of the replay, and a batch on top.
const REPLAYED_MAX: usize = 1024;
/// After this long a confirm will not come: the session is given up with all that is in flight. It happens: a
/// quorum queue of a broker that was killed may take messages and never confirm them (seen on RabbitMQ 3.10).
/// RabbitMQ advises to wait no less than a heartbeat.
const GIVE_UP: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::{
        config::broker_at,
        delivery::wire::Wire,
        envelope::{
            properties::{MessageKind, Properties},
            routing::RoutingKey,
        },
        notification::lifecycle::Kind,
        secret::Secret,
    };

    fn parcel(body_bytes: usize) -> Parcel {
        let properties =
            Properties { kind: MessageKind::Item(Kind::Notification), timestamp: 0, headers: Vec::new() };
        let envelope = Envelope {
            message_id: MessageId::given("an-id").expect("an id"),
            routing_key: RoutingKey::stored("key").expect("a key"),
            body: vec![b'x'; body_bytes].into(),
            properties,
            trace: None,
        };
        Parcel { envelope: Arc::new(envelope), fate: oneshot::channel().0, _room: None }
    }

    /// basic.ack of a message of channel 7.
    fn ack(tag: u8) -> [u8; 21] {
        let mut frame = *b"\x01\0\x07\0\0\0\x0d\0\x3c\0\x50\0\0\0\0\0\0\0\0\0\xce";
        frame[18] = tag;
        frame
    }

    #[tokio::test(start_paused = true)]
    async fn a_confirm_is_late_by_the_clock_even_while_nothing_can_be_written() {
        let broker = broker_at(Secret::new("amqp://localhost".to_owned()), "test").expect("a URL");
        let (metrics, signs) = (Metrics::new(), Arc::<Signs>::default());
        let (way, publisher) = Publisher::new(7, 131_072, &broker, Arc::clone(&metrics), Arc::clone(&signs));
        let mut crew = Crew::new(vec![publisher], signs);
        let (mut node, socket) = tokio::io::duplex(1 << 10);
        let (mut wire, _lapin) = Wire::new(Box::new(socket));
        let mut carry = async |crew: &mut Crew| {
            for _ in 0..2 {
                let carried = poll_fn(|context| Poll::Ready(wire.poll_carry(context, crew))).await;
                assert!(carried.is_pending());
            }
        };
        // More than waits for the socket, which nobody reads.
        for _ in 0..2 {
            way.try_send(parcel(WRITTEN_BYTES)).expect("there is room");
        }
        carry(&mut crew).await;
        assert_eq!(metrics.publishes_in_flight.get(), 2);
        for tag in [1, 2] {
            node.write_all(&ack(tag)).await.expect("room");
            carry(&mut crew).await;
            tokio::time::advance(broker.confirm_within * 2).await;
        }
        let counted = [Publish::Ack, Publish::Late].map(|result| metrics.publishes.get(result));
        assert_eq!(counted, [1, 1]);
    }
}

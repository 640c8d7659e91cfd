//! One task owns one channel: it publishes, keeps hundreds of messages in flight, and judges their confirms.
//!
//! Why a task for each channel: lapin takes a delivery tag under one lock and queues the frames under another,
//! so that clones of a channel which publish from several tasks get each other's confirms (seen on 4.12).
//!
//! What a confirm means for which message is decided in [`confirms`](super::confirms).

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::stream::{FuturesUnordered, StreamExt};
use lapin::{
    BasicProperties, Channel, Confirmation, ErrorKind,
    message::BasicReturnMessage,
    options::BasicPublishOptions,
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
    confirms::{Confirm, Confirms, Verdict},
    drain::Drain,
    room::Taken,
};
use crate::{
    config::Broker,
    deadline::{Deadline, Elapsed},
    envelope::{Envelope, properties},
    failpoint::{self, Point},
    heart::Heart,
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
    #[error("the channel closed")]
    Closed(#[source] lapin::Error),
    #[error("no confirm from the broker within {GIVE_UP:?}")]
    Unconfirmed,
    #[error("the channel does not confirm")]
    NotConfirming,
    #[error("the broker returned a message without an id")]
    Nameless,
}

impl PublisherError {
    /// The broker's reason, if it closed the channel and not the connection.
    pub(super) fn channel_close(&self) -> Option<ChannelClose> {
        match self {
            Self::Closed(error) => channel_close(error),
            Self::Unconfirmed | Self::NotConfirming | Self::Nameless => None,
        }
    }

    /// Whether the broker closed the channel, and not more, with an error of AMQP: a message may have been too
    /// large, or not allowed.
    fn is_about_the_message(&self) -> bool {
        match self {
            Self::Closed(error) => {
                matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::CONTENTTOOLARGE | AMQPSoftError::PRECONDITIONFAILED)))
            }
            Self::Unconfirmed | Self::NotConfirming | Self::Nameless => false,
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
    channel: Channel,
    exchange: ShortString,
    confirm_within: Duration,
    metrics: Arc<Metrics>,
    signs: Arc<Signs>,
    parcels: mpsc::Receiver<Parcel>,
    confirms: Confirms,
    heart: Heart,
}

/// A publish whose confirm is known.
struct Landed {
    parcel: Parcel,
    published: Instant,
    confirm: Result<Confirm, PublisherError>,
}

impl Publisher {
    /// A publisher on this channel, and the way to it.
    pub(super) fn new(
        channel: Channel,
        broker: &Broker,
        metrics: Arc<Metrics>,
        signs: Arc<Signs>,
        heart: Heart,
    ) -> (mpsc::Sender<Parcel>, Self) {
        // As wide as the room that requests share, and as the window of the replay: neither finds it full.
        let (way, parcels) = mpsc::channel(broker.in_flight_messages.max(REPLAYED_MAX));
        let publisher = Self {
            channel,
            exchange: short(&broker.exchange),
            confirm_within: broker.confirm_within,
            metrics,
            signs,
            parcels,
            confirms: Confirms::default(),
            heart,
        };
        (way, publisher)
    }

    /// Publishes what comes in until all senders are gone and everything is confirmed.
    pub(super) async fn run(mut self) -> Result<(), PublisherError> {
        let mut flights = FuturesUnordered::new();
        let drain = Drain::new();
        let mut open = true;
        while open || !flights.is_empty() {
            self.heart.beat();
            failpoint::reached(Point::PublisherTurns);
            tokio::select! {
                biased;
                Some(first) = flights.next(), if !flights.is_empty() => {
                    // Everything that is ready is judged together: see `confirms`.
                    let mut landed = vec![first];
                    drain.take_ready(&mut flights, &mut landed);
                    let again = self.settle(landed)?;
                    flights.extend(again.into_iter().map(|parcel| self.publish(parcel)));
                }
                parcel = self.parcels.recv(), if open => match parcel {
                    Some(parcel) => {
                        // The flights start in this order: each takes its place in line at its first poll.
                        self.note_launch(&parcel);
                        flights.push(self.publish(parcel));
                        while let Ok(parcel) = self.parcels.try_recv() {
                            self.note_launch(&parcel);
                            flights.push(self.publish(parcel));
                        }
                    }
                    None => open = false,
                },
                () = self.heart.idle() => {}
            }
        }
        Ok(())
    }

    fn note_launch(&mut self, parcel: &Parcel) {
        self.confirms.launched(&parcel.envelope.message_id);
        self.metrics.publishes_in_flight.inc();
    }

    /// One publish and its confirm. Waiting has an end of its own here, far behind every request's deadline:
    /// dropping single confirms would leak them in lapin, so whoever waits too long costs the channel.
    fn publish(&self, parcel: Parcel) -> impl Future<Output = Landed> + use<> {
        let channel = self.channel.clone();
        let exchange = self.exchange.clone();
        let signs = Arc::clone(&self.signs);
        async move {
            let published = Instant::now();
            let confirm = {
                let confirm = async {
                    let envelope = &parcel.envelope;
                    let options = BasicPublishOptions { mandatory: true, immediate: false };
                    let key = short(envelope.routing_key.as_str());
                    channel
                        .basic_publish(exchange, key, options, &envelope.body, amqp_properties(envelope))
                        .await?
                        .await
                };
                let mut confirm = pin!(confirm);
                loop {
                    match Deadline::after(GIVE_UP).limit(confirm.as_mut()).await {
                        Ok(confirm) => break confirm.map_err(PublisherError::Closed).and_then(read),
                        // A broker that blocks us reads nothing, however long that takes, and has said so.
                        Err(Elapsed) if signs.blocked.load(Ordering::Relaxed) => {}
                        Err(Elapsed) => break Err(PublisherError::Unconfirmed),
                    }
                }
            };
            Landed { parcel, published, confirm }
        }
    }

    /// Tells everyone of a group of publishes what became of them; returns those to publish again.
    fn settle(&mut self, landed: Vec<Landed>) -> Result<Vec<Parcel>, PublisherError> {
        for confirm in landed.iter().filter_map(|landed| landed.confirm.as_ref().ok()) {
            self.confirms.note(confirm);
        }
        let mut again = Vec::new();
        let mut failed = None;
        for Landed { parcel, published, confirm } in landed {
            match confirm.map(|confirm| self.confirms.judge(&parcel.envelope.message_id, &confirm)) {
                // Once whoever waited has given up, publishing it again would help nobody.
                Ok(Verdict::Unknown) if !parcel.fate.is_closed() => again.push(parcel),
                Ok(verdict) => self.tell(parcel, verdict, published.elapsed()),
                Err(error) => {
                    if self.confirms.len() == 1 && error.is_about_the_message() {
                        // Alone on its channel, it cannot have been another one.
                        parcel.fate.send(Err(Cause::Rejected)).ok();
                    }
                    failed = failed.or(Some(error));
                }
            }
        }
        failed.map_or(Ok(again), Err)
    }

    fn tell(&mut self, parcel: Parcel, verdict: Verdict, took: Duration) {
        let (result, fate) = match verdict {
            Verdict::Confirmed if took > self.confirm_within => (Publish::Late, Ok(())),
            Verdict::Confirmed => (Publish::Ack, Ok(())),
            Verdict::Nacked => (Publish::Nack, Err(Cause::Nacked)),
            Verdict::Returned => (Publish::Returned, Err(Cause::Returned)),
            Verdict::Unknown => (Publish::Late, Err(Cause::Late)),
        };
        if verdict == Verdict::Returned {
            self.signs.unroutable.notify_one();
        }
        self.confirms.settled(&parcel.envelope.message_id);
        self.metrics.publishes_in_flight.dec();
        self.metrics.publishes.count(result);
        self.metrics.confirm_duration.observe(took.as_secs_f64());
        if verdict == Verdict::Confirmed
            && let Some(received) = parcel.envelope.properties.received_at()
        {
            let since = SystemTime::now().duration_since(received).unwrap_or_default();
            self.metrics.end_to_end.observe(since.as_secs_f64());
        }
        if parcel.fate.send(fate).is_err() {
            debug!(message_id = %parcel.envelope.message_id.as_str(), ?took, "a confirm came after the answer");
        }
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

/// A confirm in our own terms.
fn read(confirmation: Confirmation) -> Result<Confirm, PublisherError> {
    let id = |message: Option<BasicReturnMessage>| match message {
        None => Ok(None),
        Some(message) => {
            let id = message.properties.message_id().as_ref().and_then(|id| MessageId::given(id.as_str()));
            id.map(Some).ok_or(PublisherError::Nameless)
        }
    };
    match confirmation {
        Confirmation::Ack(message) => Ok(Confirm::Ack(id(message)?)),
        Confirmation::Nack(message) => Ok(Confirm::Nack(id(message)?)),
        Confirmation::NotRequested => Err(PublisherError::NotConfirming),
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

/// The window of the replay, and a batch on top.
const REPLAYED_MAX: usize = 1024;
/// After this long a confirm will not come: the session is given up with all that is in flight. It happens: a
/// quorum queue of a broker that was killed may take messages and never confirm them (seen on RabbitMQ 3.10).
/// RabbitMQ advises to wait no less than a heartbeat.
const GIVE_UP: Duration = Duration::from_secs(10);

//! One task owns one channel: it publishes, keeps hundreds of messages in flight, and judges their confirms.
//!
//! Why a task for each channel: lapin takes a delivery tag under one lock and queues the frames under another,
//! so that clones of a channel which publish from several tasks get each other's confirms (seen on 4.12).
//!
//! Why confirms are judged by message id: lapin hangs a returned message on whichever confirm it completes
//! next, not on its own. It completes confirms in the order in which it wakes us, and it hands out returned
//! messages first come, first served. So when a confirm comes out here, the return that belongs to it has come
//! out with it or before it; but the confirm that carried it says nothing about its own message, because its
//! return may be queued behind. See `Publisher::judge`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    stream::{FuturesUnordered, StreamExt},
};
use lapin::{
    BasicProperties, Channel, Confirmation,
    options::BasicPublishOptions,
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::Instant,
};
use tracing::debug;

use super::{Undeliverable, room::Taken};
use crate::{
    config::Broker,
    envelope::{Envelope, properties},
    metrics::{Metrics, Publish},
    notification::id::MessageId,
};

/// An envelope on its way, and who wants to hear of it.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) envelope: Envelope,
    pub(super) fate: oneshot::Sender<Result<(), Undeliverable>>,
    pub(super) _room: Taken,
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
    #[error("the broker returned a message that is not ours")]
    Stranger,
}

/// Publishes on one channel.
pub(super) struct Publisher {
    channel: Channel,
    exchange: ShortString,
    confirm_within: Duration,
    metrics: Arc<Metrics>,
    /// Told when a message comes back, so that the topology is looked at.
    unroutable: Arc<Notify>,
    /// How many messages of an id are in flight.
    in_flight: HashMap<MessageId, usize>,
    /// Ids that came back, with how many messages in flight may be meant.
    returned: HashMap<MessageId, usize>,
}

/// A publish whose confirm is known.
struct Landed {
    parcel: Parcel,
    published: Instant,
    confirm: Result<Confirmation, PublisherError>,
}

/// What a confirm means for its own message.
#[derive(Debug, Eq, PartialEq)]
enum Verdict {
    Confirmed,
    Nacked,
    Returned,
    /// It carried another message's return: publish it again.
    Unknown,
}

impl Publisher {
    pub(super) fn new(
        channel: Channel,
        broker: &Broker,
        metrics: Arc<Metrics>,
        unroutable: Arc<Notify>,
    ) -> Self {
        Self {
            channel,
            exchange: short(&broker.exchange),
            confirm_within: broker.confirm_within,
            metrics,
            unroutable,
            in_flight: HashMap::new(),
            returned: HashMap::new(),
        }
    }

    /// Publishes what comes in until all senders are gone and everything is confirmed.
    pub(super) async fn run(mut self, mut parcels: mpsc::Receiver<Parcel>) -> Result<(), PublisherError> {
        let mut flights = FuturesUnordered::new();
        let mut open = true;
        let end = loop {
            tokio::select! {
                biased;
                Some(first) = flights.next(), if !flights.is_empty() => {
                    // Everything that is ready is judged together: see the module's documentation.
                    let mut landed = vec![first];
                    while let Some(Some(next)) = flights.next().now_or_never() {
                        landed.push(next);
                    }
                    match self.settle(landed) {
                        Ok(again) => flights.extend(again.into_iter().map(|parcel| self.publish(parcel))),
                        Err(error) => break Err(error),
                    }
                }
                parcel = parcels.recv(), if open => match parcel {
                    Some(parcel) => {
                        // The flights start in this order: each takes its place in line at its first poll.
                        self.note_launch(&parcel);
                        flights.push(self.publish(parcel));
                        while let Ok(parcel) = parcels.try_recv() {
                            self.note_launch(&parcel);
                            flights.push(self.publish(parcel));
                        }
                    }
                    None => open = false,
                },
                else => break Ok(()),
            }
        };
        let lost: usize = self.in_flight.values().sum();
        self.metrics.publishes_in_flight.dec_by(lost as i64);
        self.metrics.publishes.count_many(Publish::Closed, lost + parcels.len());
        end
    }

    fn note_launch(&mut self, parcel: &Parcel) {
        *self.in_flight.entry(parcel.envelope.message_id.clone()).or_default() += 1;
        self.metrics.publishes_in_flight.inc();
    }

    /// One publish and its confirm. Waiting has an end of its own here, far behind every request's deadline:
    /// dropping single confirms would leak them in lapin, so whoever waits too long costs the channel.
    fn publish(&self, parcel: Parcel) -> impl Future<Output = Landed> + use<> {
        let channel = self.channel.clone();
        let exchange = self.exchange.clone();
        async move {
            let published = Instant::now();
            let confirm = async {
                let envelope = &parcel.envelope;
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let key = short(envelope.routing_key.as_str());
                channel
                    .basic_publish(exchange, key, options, &envelope.body, amqp_properties(envelope))
                    .await?
                    .await
            };
            let confirm = match tokio::time::timeout(GIVE_UP, confirm).await {
                Ok(confirm) => confirm.map_err(PublisherError::Closed),
                Err(_) => Err(PublisherError::Unconfirmed),
            };
            Landed { parcel, published, confirm }
        }
    }

    /// Tells everyone of a group of publishes what became of them; returns those to publish again.
    fn settle(&mut self, landed: Vec<Landed>) -> Result<Vec<Parcel>, PublisherError> {
        for one in &landed {
            self.note_return(one)?;
        }
        let mut again = Vec::new();
        let mut failed = None;
        for Landed { parcel, published, confirm } in landed {
            let confirm = match confirm {
                Ok(confirm) => confirm,
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            };
            let verdict = self.judge(&parcel.envelope.message_id, &confirm)?;
            // Once whoever waited has given up, publishing it again would help nobody.
            if verdict == Verdict::Unknown && !parcel.fate.is_closed() {
                again.push(parcel);
            } else {
                self.tell(parcel, &verdict, published.elapsed());
            }
        }
        failed.map_or(Ok(again), Err)
    }

    /// Notes the returned message that a confirm carries, whosever it is. All messages in flight that share
    /// its id are taken for returned: too many rather than one too few.
    fn note_return(&mut self, landed: &Landed) -> Result<(), PublisherError> {
        let carried = match &landed.confirm {
            Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) => message,
            Ok(Confirmation::Ack(None) | Confirmation::Nack(None) | Confirmation::NotRequested) | Err(_) => {
                return Ok(());
            }
        };
        let id = carried.properties.message_id().as_ref().and_then(|id| MessageId::given(id.as_str()));
        let id = id.ok_or(PublisherError::Stranger)?;
        let in_flight = *self.in_flight.get(&id).ok_or(PublisherError::Stranger)?;
        debug!(message_id = %id.as_str(), code = carried.reply_code, "the broker returned a message");
        self.unroutable.notify_one();
        self.returned.insert(id, in_flight);
        Ok(())
    }

    fn judge(&mut self, id: &MessageId, confirm: &Confirmation) -> Result<Verdict, PublisherError> {
        let returned = self.returned.contains_key(id);
        let verdict = match confirm {
            _ if returned => Verdict::Returned,
            Confirmation::Ack(None) => Verdict::Confirmed,
            Confirmation::Ack(Some(_)) => Verdict::Unknown,
            Confirmation::Nack(_) => Verdict::Nacked,
            Confirmation::NotRequested => return Err(PublisherError::NotConfirming),
        };
        Ok(verdict)
    }

    fn tell(&mut self, parcel: Parcel, verdict: &Verdict, took: Duration) {
        let (result, fate) = match verdict {
            Verdict::Confirmed if took > self.confirm_within => (Publish::Late, Ok(())),
            Verdict::Confirmed => (Publish::Ack, Ok(())),
            Verdict::Nacked => (Publish::Nack, Err(Undeliverable::Nacked)),
            Verdict::Returned => (Publish::Returned, Err(Undeliverable::Returned)),
            Verdict::Unknown => (Publish::Late, Err(Undeliverable::Unconfirmed)),
        };
        take_one(&mut self.in_flight, &parcel.envelope.message_id);
        take_one(&mut self.returned, &parcel.envelope.message_id);
        self.metrics.publishes_in_flight.dec();
        self.metrics.publishes.count(result);
        self.metrics.confirm_duration.observe(took.as_secs_f64());
        if parcel.fate.send(fate).is_err() {
            debug!(message_id = %parcel.envelope.message_id.as_str(), ?took, "a confirm came after the answer");
        }
    }
}

fn take_one(counts: &mut HashMap<MessageId, usize>, id: &MessageId) {
    if let Some(count) = counts.get_mut(id) {
        *count -= 1;
        if *count == 0 {
            counts.remove(id);
        }
    }
}

/// The properties of a message in lapin's types.
pub(super) fn amqp_properties(envelope: &Envelope) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in &envelope.properties.headers {
        headers.insert((*name).into(), AMQPValue::LongString(value.as_str().into()));
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

/// After this long a confirm will not come: the session is given up with all that is in flight. It happens: a
/// quorum queue of a broker that was killed may take messages and never confirm them (seen on RabbitMQ 3.10).
/// RabbitMQ advises to wait no less than a heartbeat.
const GIVE_UP: Duration = Duration::from_secs(10);

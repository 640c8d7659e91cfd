//! A look at messages from beside: as they pass an exchange, or as they stand in a queue. Nothing is taken from anybody.
//!
//! What passes is seen through a queue of our own, which goes with the connection. It drops its oldest messages when
//! nobody reads them fast enough: one that refused new ones instead would have the broker nack them to the daemon, which
//! then spools what every other queue has. What it drops leaves a mark in a second queue of ours.
//!
//! For the broker our queue is one like any other: what no other queue is bound for would count as delivered because of
//! it, and end with it. So the queue that gets everything has to be there, as far as anybody has named one
//! ([`keeper`]), and is looked for now and then.
//!
//! What stands in a queue is never acknowledged: when the connection closes, the broker puts everything back to its
//! place (RabbitMQ, "Consumer Acknowledgements and Publisher Confirms"), marked as redelivered.

mod own;
mod tie;

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicGetOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use self::tie::Tie;
use super::{
    amqp::channel_close,
    dial::{ConnectError, Fuse, channel, close, first, step, timely},
};
use crate::{config::Broker, metrics::ChannelClose};

/// Where to look.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// What passes an exchange from now on, and has a routing key that one of these patterns fits.
    Exchange {
        /// The exchange; it must be there.
        name: String,
        /// Topic patterns such as `notification.#`.
        keys: Vec<String>,
    },
    /// What stands in a queue now.
    Queue(String),
}

/// Why there is nothing to see, or no more.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// No way to a broker, or it ended.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no such exchange or queue.
    #[error("the broker has no {what} {name:?}")]
    Missing {
        /// `exchange` or `queue`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The broker's words.
        #[source]
        source: lapin::Error,
    },
    /// The broker's user may not.
    #[error("the broker allows no {what} {name:?}")]
    Forbidden {
        /// `queue`, or what was to be done with it.
        what: &'static str,
        /// Its name.
        name: String,
        /// The broker's words.
        #[source]
        source: lapin::Error,
    },
    /// AMQP has no such name.
    #[error("a name or pattern has at most 255 bytes")]
    Name,
    /// Somebody deleted our queue.
    #[error("the broker took the queue away")]
    Ended,
}

impl TapError {
    /// Whether it may be well again after a while, without anybody doing anything about it.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Connect(ConnectError::Slow { .. } | ConnectError::Refused { .. } | ConnectError::Lost)
            | Self::Ended => true,
            Self::Connect(ConnectError::Topology(_) | ConnectError::Tls(_) | ConnectError::Url)
            | Self::Missing { .. }
            | Self::Forbidden { .. }
            | Self::Name => false,
        }
    }
}

/// A message as the broker showed it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// `message_id`.
    pub message_id: Option<String>,
    /// Routing key that it was published with.
    pub routing_key: String,
    /// `type`.
    pub kind: Option<String>,
    /// `timestamp`, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Headers that are strings; all of graphhook's are.
    pub headers: Vec<(String, String)>,
    /// The item.
    pub body: Bytes,
    /// The exchange that it was published to.
    pub exchange: String,
}

/// An open look.
pub struct Tap {
    connection: Connection,
    fuse: Fuse,
    channel: Channel,
    source: Source,
    broker: Broker,
}

enum Source {
    Passing {
        consumer: Box<Consumer>,
        owed: Owed,
        /// Where what was dropped leaves its mark.
        losses: ShortString,
        tie: Box<Tie>,
    },
    Standing {
        queue: ShortString,
        /// Of those that were there when we came.
        left: u32,
    },
}

/// What was handed out and is not acknowledged.
#[derive(Default)]
struct Owed {
    many: u16,
    last: u64,
}

impl Owed {
    fn add(&mut self, tag: u64) {
        *self = Self { many: self.many + 1, last: tag };
    }

    /// Up to which tag to acknowledge, now and then.
    fn due(&mut self) -> Option<u64> {
        (self.many >= PREFETCH / 2).then(|| {
            self.many = 0;
            self.last
        })
    }
}

impl Tap {
    /// Connects to the first broker that answers; from then on nothing that passes goes unseen, but for what
    /// [`has_missed`](Self::has_missed) tells of.
    ///
    /// # Errors
    ///
    /// [`TapError`] of the last broker; it never holds a password.
    pub async fn open(broker: &Broker, place: &Place) -> Result<Self, TapError> {
        Self::bounded(broker, place, MESSAGES_MAX).await
    }

    /// As [`open`](Self::open), with so many messages of an exchange waiting for us at most.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn bounded(broker: &Broker, place: &Place, messages: u16) -> Result<Self, TapError> {
        first(broker, async |connection, fuse| Self::on(connection, fuse, broker, place, messages).await)
            .await
    }

    async fn on(
        connection: Connection,
        fuse: Fuse,
        broker: &Broker,
        place: &Place,
        messages: u16,
    ) -> Result<Self, TapError> {
        let within = broker.connect_within;
        let channel = channel(&connection, within).await?;
        let source = match place {
            Place::Exchange { name, keys } => {
                let keeper = keeper(broker, place);
                let passing = own::passing(&channel, name, keys, messages, keeper);
                timely(within, "declaring a queue of our own", passing).await??
            }
            Place::Queue(name) => timely(within, "looking for the queue", standing(&channel, name)).await??,
        };
        Ok(Self { connection, fuse, channel, source, broker: broker.clone() })
    }

    /// The next message: of an exchange when it comes, of a queue at once or never.
    ///
    /// # Errors
    ///
    /// [`TapError`]; nothing more is to be had from this tap then.
    ///
    /// # Cancel safety
    ///
    /// From an exchange no message is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Seen>, TapError> {
        let within = self.broker.connect_within;
        match &mut self.source {
            Source::Passing { consumer, owed, tie, .. } => {
                if let Some(tag) = owed.due() {
                    // It is on its way from the first poll on, whether or not anybody goes on waiting.
                    let ack = self.channel.basic_ack(tag, BasicAckOptions { multiple: true });
                    step(within, "acknowledging", ack).await?;
                }
                let next = loop {
                    tokio::select! {
                        biased;
                        () = tie.is_due() => {
                            timely(within, "looking after our queue", tie.fasten(&self.channel)).await??;
                        }
                        next = consumer.next() => break next.ok_or(TapError::Ended)?,
                    }
                };
                let next = next.map_err(|source| ConnectError::Refused { step: "reading", source })?;
                owed.add(next.delivery_tag);
                Ok(Some(seen(next)))
            }
            Source::Standing { left: 0, .. } => Ok(None),
            Source::Standing { queue, left } => {
                let next = self.channel.basic_get(queue.clone(), BasicGetOptions::default());
                let next = step(within, "reading the queue", next).await?;
                *left -= 1;
                Ok(next.map(|message| seen(message.delivery)))
            }
        }
    }

    /// How many messages of a queue are still to be seen; none of an exchange.
    pub fn left(&self) -> u32 {
        match &self.source {
            Source::Passing { .. } => 0,
            Source::Standing { left, .. } => *left,
        }
    }

    /// Whether messages have passed since the last question, or the beginning, that nobody will see, because the
    /// reader was too slow.
    ///
    /// # Errors
    ///
    /// [`TapError`]; nobody knows then.
    pub async fn has_missed(&mut self) -> Result<bool, TapError> {
        let Source::Passing { losses, .. } = &self.source else { return Ok(false) };
        let mark = self.channel.basic_get(losses.clone(), BasicGetOptions { no_ack: true });
        Ok(step(self.broker.connect_within, "asking for losses", mark).await?.is_some())
    }

    /// Lets go of everything: what stood in a queue goes back, our own queue goes away.
    ///
    /// # Errors
    ///
    /// [`TapError`]; the connection is ended all the same.
    pub async fn close(self) -> Result<(), TapError> {
        let Self { connection, fuse, channel, source, broker } = self;
        Ok(close(connection, (channel, source), fuse, broker.connect_within).await?)
    }
}

/// The queue that has whatever passes there, as far as the configuration names one.
pub fn keeper<'a>(broker: &'a Broker, place: &Place) -> Option<&'a str> {
    match place {
        Place::Exchange { name, .. } if *name == broker.exchange => broker.queue.as_deref(),
        Place::Exchange { .. } | Place::Queue(_) => None,
    }
}

async fn standing(channel: &Channel, queue: &str) -> Result<Source, TapError> {
    let named = name(queue)?;
    Ok(Source::Standing { left: find(channel, &named).await?, queue: named })
}

/// Whether a queue is there; and how many messages are ready in it.
async fn find(channel: &Channel, queue: &ShortString) -> Result<u32, TapError> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.clone(), options, FieldTable::default()).await;
    Ok(declared.map_err(refused("queue", queue.as_str()))?.message_count())
}

/// What the broker's refusal means.
fn refused(what: &'static str, name: &str) -> impl FnOnce(lapin::Error) -> TapError {
    let name = name.to_owned();
    move |source| match channel_close(&source) {
        Some(ChannelClose::NotFound) => TapError::Missing { what, name, source },
        Some(
            ChannelClose::AccessRefused | ChannelClose::ResourceLocked | ChannelClose::PreconditionFailed,
        ) => TapError::Forbidden { what, name, source },
        Some(ChannelClose::ContentTooLarge | ChannelClose::NoConsumers | ChannelClose::Other) | None => {
            ConnectError::Refused { step: "looking at the broker", source }.into()
        }
    }
}

pub(super) fn seen(message: Delivery) -> Seen {
    let properties = &message.properties;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let headers = properties.headers().iter().flat_map(|headers| headers.inner());
    let string = |value: &AMQPValue| value.as_long_string().map(|text| text.to_string());
    Seen {
        message_id: text(properties.message_id()),
        routing_key: message.routing_key.to_string(),
        kind: text(properties.kind()),
        timestamp: *properties.timestamp(),
        headers: headers.filter_map(|(name, value)| Some((name.to_string(), string(value)?))).collect(),
        exchange: message.exchange.to_string(),
        body: message.data.into(),
    }
}

fn name(text: &str) -> Result<ShortString, TapError> {
    ShortString::try_new(text).map_err(|_| TapError::Name)
}

/// Messages on the way to us at a time, in the memory of both sides; an item may have 4 MiB.
const PREFETCH: u16 = 16;
/// What waits for a slow reader, at most: a minute of a thousand messages a second.
const MESSAGES_MAX: u16 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_come_now_and_then_and_before_the_broker_waits() {
        let mut owed = Owed::default();
        let due: Vec<_> = (1..=3 * u64::from(PREFETCH))
            .filter_map(|tag| {
                owed.add(tag);
                owed.due()
            })
            .collect();
        assert_eq!(due, [8, 16, 24, 32, 40, 48]);
    }
}

//! A look into the quarantine: messages are taken one by one, and whatever was not released goes back.
//!
//! Nothing is acknowledged while looking; when the connection closes, the broker puts everything back to its
//! place (RabbitMQ, "Consumer Acknowledgements and Publisher Confirms"), marked as redelivered.

use bytes::Bytes;
use lapin::{
    Channel, Connection,
    options::{BasicAckOptions, BasicGetOptions},
    types::{AMQPValue, ShortString},
};

use crate::{
    config::Broker,
    delivery::{
        amqp::short,
        courier::{Desk, Handed},
        dial::{ConnectError, Fuse, first, step},
        topology::{count_quarantined, quarantine_name},
    },
    envelope::Envelope,
};

/// A connection with what was taken out of the quarantine on it.
pub struct Visit {
    connection: Connection,
    fuse: Fuse,
    held: Channel,
    desk: Desk,
    queue: ShortString,
    broker: Broker,
    /// Messages that were ready at the beginning.
    ready: u32,
}

/// A refused item as it stands in the quarantine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    pub(crate) tag: u64,
    /// `message_id`.
    pub message_id: Option<String>,
    /// `timestamp`, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Headers that are strings.
    pub headers: Vec<(String, String)>,
    /// The item.
    pub body: Bytes,
}

/// What became of a message that was to be released.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Release {
    /// A queue has it; the quarantine has it no more.
    Released,
    /// No queue is bound for it; it stays.
    Returned,
    /// The broker could not take it; it stays.
    Nacked,
}

impl Visit {
    /// Connects to the first broker that answers. Declares nothing.
    ///
    /// # Errors
    ///
    /// The [`ConnectError`] of the last broker; it never holds a password.
    pub async fn open(broker: &Broker) -> Result<Self, ConnectError> {
        first(broker, async |connection, fuse| Self::on(connection, fuse, broker).await).await
    }

    async fn on(connection: Connection, fuse: Fuse, broker: &Broker) -> Result<Self, ConnectError> {
        let within = broker.connect_within;
        let held = step(within, "opening a channel", connection.create_channel()).await?;
        let counted = tokio::time::timeout(within, count_quarantined(&held, broker)).await;
        let ready = counted.map_err(|_| ConnectError::Slow { step: "looking for the quarantine" })??;
        let desk = Desk::open(&connection, broker).await?;
        Ok(Self {
            connection,
            fuse,
            held,
            desk,
            queue: short(&quarantine_name(broker)),
            broker: broker.clone(),
            ready,
        })
    }

    /// Messages that were ready when we came.
    pub fn ready(&self) -> u32 {
        self.ready
    }

    /// Takes the next message into our hands; `None` when there is no more.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; everything in our hands goes back then.
    pub async fn next(&mut self) -> Result<Option<Kept>, ConnectError> {
        let next = self.held.basic_get(self.queue.clone(), BasicGetOptions::default());
        let Some(message) = step(self.broker.connect_within, "reading the quarantine", next).await? else {
            return Ok(None);
        };
        let message = message.delivery;
        let headers = message.properties.headers().iter().flat_map(|headers| headers.inner());
        let text = |value: &AMQPValue| value.as_long_string().map(|text| text.to_string());
        Ok(Some(Kept {
            tag: message.delivery_tag,
            message_id: message.properties.message_id().as_ref().map(ToString::to_string),
            timestamp: *message.properties.timestamp(),
            headers: headers.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect(),
            body: message.data.into(),
        }))
    }

    /// Publishes an envelope as `serve` would, and takes its message out of the quarantine once the broker has
    /// confirmed it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]. The envelope may have been published then, and its message is still in the quarantine: it
    /// comes again with the same id.
    pub async fn release(&mut self, kept: &Kept, envelope: &Envelope) -> Result<Release, ConnectError> {
        match self.desk.hand(envelope).await? {
            Handed::Confirmed => {}
            Handed::Returned => return Ok(Release::Returned),
            Handed::Nacked => return Ok(Release::Nacked),
        }
        let ack = self.held.basic_ack(kept.tag, BasicAckOptions::default());
        step(self.broker.connect_within, "taking it out of the quarantine", ack).await?;
        Ok(Release::Released)
    }

    /// Lets go of everything in our hands.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; the connection is ended all the same.
    pub async fn close(self) -> Result<(), ConnectError> {
        let Self { connection, fuse, held, desk, broker, .. } = self;
        let close = connection.close(200, "done".into());
        let closed = step(broker.connect_within, "closing the connection", close).await;
        // Lapin closes a channel when its last handle goes; that would get in the way of the closing above.
        drop((held, desk));
        fuse.blow();
        closed
    }
}

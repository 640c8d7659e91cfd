//! A look into the quarantine: messages are taken one by one, and whatever was not released goes back.
//!
//! Nothing is acknowledged while looking; when the connection closes, the broker puts everything back to its
//! place (RabbitMQ, "Consumer Acknowledgements and Publisher Confirms"), marked as redelivered.

use lapin::{
    Channel, Connection,
    options::{BasicAckOptions, BasicGetOptions},
    types::ShortString,
};

use crate::{
    config::Broker,
    delivery::{
        amqp::short,
        courier::{Desk, Handed},
        dial::{ConnectError, Fuse, channel, close, first, step, timely},
        tap::{Seen, seen},
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

/// Which of the messages in our hands is meant.
#[derive(Clone, Copy, Debug)]
pub struct Tag(u64);

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
        let held = channel(&connection, within).await?;
        let counting = count_quarantined(&held, broker);
        let ready = timely(within, "looking for the quarantine", counting).await??;
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
    pub async fn next(&mut self) -> Result<Option<(Tag, Seen)>, ConnectError> {
        let next = self.held.basic_get(self.queue.clone(), BasicGetOptions::default());
        let message = step(self.broker.connect_within, "reading the quarantine", next).await?;
        Ok(message.map(|message| (Tag(message.delivery_tag), seen(message.delivery))))
    }

    /// Publishes an envelope as `serve` would, and takes its message out of the quarantine once the broker has
    /// confirmed it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]. The envelope may have been published then, and its message is still in the quarantine: it
    /// comes again with the same id.
    pub async fn release(&mut self, tag: Tag, envelope: &Envelope) -> Result<Handed, ConnectError> {
        let handed = self.desk.hand(envelope).await?;
        if handed == Handed::Confirmed {
            let ack = self.held.basic_ack(tag.0, BasicAckOptions::default());
            step(self.broker.connect_within, "taking it out of the quarantine", ack).await?;
        }
        Ok(handed)
    }

    /// Lets go of everything in our hands.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; the connection is ended all the same.
    pub async fn close(self) -> Result<(), ConnectError> {
        let Self { connection, fuse, held, desk, broker, .. } = self;
        close(connection, (held, desk), fuse, broker.connect_within).await
    }
}

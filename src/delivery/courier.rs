//! Messages carried to the broker one by one, for people: from a quarantine, or from a file.

use lapin::{Channel, Confirmation, Connection, options::BasicPublishOptions};

use super::{
    amqp::{amqp_properties, short},
    dial::{ConnectError, Fuse, close, confirming_channel, first, step, timely},
    topology,
};
use crate::{
    config::{Broker, Topology},
    envelope::Envelope,
};

/// A connection of its own, for one exchange.
pub struct Courier {
    connection: Connection,
    fuse: Fuse,
    desk: Desk,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handed {
    /// The queues that want it have it.
    Confirmed,
    /// No queue is bound for it.
    Returned,
    /// The broker could not take it.
    Nacked,
}

impl Courier {
    /// Connects to the first broker that answers, and looks whether it has the exchange. Declares nothing.
    ///
    /// # Errors
    ///
    /// The [`ConnectError`] of the last broker; it never holds a password.
    pub async fn open(broker: &Broker) -> Result<Self, ConnectError> {
        first(broker, async |connection, fuse| Self::on(connection, fuse, broker).await).await
    }

    async fn on(connection: Connection, fuse: Fuse, broker: &Broker) -> Result<Self, ConnectError> {
        let desk = Desk::open(&connection, broker).await?;
        let looking = topology::exchange(&desk.channel, &broker.exchange, Topology::Check);
        timely(broker.connect_within, "looking for the exchange", looking).await??;
        Ok(Self { connection, fuse, desk })
    }

    /// Publishes an envelope as `serve` would, and waits for the confirm.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; the message may have been published all the same.
    pub async fn hand(&self, envelope: &Envelope) -> Result<Handed, ConnectError> {
        self.desk.hand(envelope).await
    }

    /// Closes the connection.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; the connection is ended all the same.
    pub async fn close(self) -> Result<(), ConnectError> {
        let Self { connection, fuse, desk } = self;
        let within = desk.broker.connect_within;
        close(connection, desk, fuse, within).await
    }
}

/// A channel that confirms, on somebody's connection.
pub(super) struct Desk {
    channel: Channel,
    broker: Broker,
}

impl Desk {
    pub(super) async fn open(connection: &Connection, broker: &Broker) -> Result<Self, ConnectError> {
        let channel = confirming_channel(connection, broker.connect_within).await?;
        Ok(Self { channel, broker: broker.clone() })
    }

    /// One at a time: a returned message is known by the confirm that it comes with.
    pub(super) async fn hand(&self, envelope: &Envelope) -> Result<Handed, ConnectError> {
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let (exchange, key) = (short(&self.broker.exchange), short(envelope.routing_key.as_str()));
        let publish = async {
            let properties = amqp_properties(envelope);
            self.channel.basic_publish(exchange, key, options, &envelope.body, properties).await?.await
        };
        Ok(match step(self.broker.connect_within, "publishing", publish).await? {
            Confirmation::Ack(None) => Handed::Confirmed,
            Confirmation::Ack(Some(_)) => Handed::Returned,
            Confirmation::Nack(_) | Confirmation::NotRequested => Handed::Nacked,
        })
    }
}

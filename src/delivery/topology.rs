//! Exchange, queue and binding: declared, or checked to be there.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};

use super::amqp::{channel_close, short};
use crate::{
    config::{Broker, QueueType, Topology},
    metrics::ChannelClose,
};

/// What follows the exchange's name in the name of the quarantine's exchange and queue.
pub const QUARANTINE_SUFFIX: &str = ".refused";

/// Something of the topology is missing, or is there in another shape.
#[derive(Debug, thiserror::Error)]
#[error("{what} {name:?}")]
pub struct TopologyError {
    what: &'static str,
    name: String,
    #[source]
    source: lapin::Error,
}

impl TopologyError {
    /// The broker's reason, if it closed the channel over it.
    pub(super) fn channel_close(&self) -> Option<ChannelClose> {
        channel_close(&self.source)
    }
}

/// Declares or checks what consumers need. A failure closes the channel.
pub(super) async fn establish(channel: &Channel, broker: &Broker) -> Result<(), TopologyError> {
    exchange(channel, &broker.exchange, broker.topology).await?;
    let Some(queue_name) = &broker.queue else {
        return Ok(());
    };
    let arguments = table([("x-queue-type", text(queue_type(broker.queue_type)))]);
    queue(channel, queue_name, arguments, broker.topology).await?;
    if broker.topology == Topology::Declare {
        bind(channel, queue_name, &broker.exchange).await?;
    }
    Ok(())
}

/// The same for the quarantine.
pub(super) async fn establish_quarantine(channel: &Channel, broker: &Broker) -> Result<(), TopologyError> {
    let name = quarantine_name(broker);
    exchange(channel, &name, broker.topology).await?;
    if broker.topology == Topology::Check {
        return Ok(());
    }
    let bounds = [
        ("x-max-length", AMQPValue::LongInt(QUARANTINE_LENGTH)),
        ("x-overflow", text("drop-head")),
        ("x-queue-type", text("classic")),
    ];
    queue(channel, &name, table(bounds), broker.topology).await?;
    bind(channel, &name, &name).await
}

/// How many messages the quarantine's queue has ready. A failure closes the channel.
pub(super) async fn count_quarantined(channel: &Channel, broker: &Broker) -> Result<u32, TopologyError> {
    let name = quarantine_name(broker);
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(short(&name), options, FieldTable::default()).await;
    match declared {
        Ok(queue) => Ok(queue.message_count()),
        Err(source) => Err(TopologyError { what: "queue", name, source }),
    }
}

/// Name of the quarantine's exchange and of its queue.
pub(super) fn quarantine_name(broker: &Broker) -> String {
    format!("{}{QUARANTINE_SUFFIX}", broker.exchange)
}

pub(super) async fn exchange(channel: &Channel, name: &str, topology: Topology) -> Result<(), TopologyError> {
    let options = ExchangeDeclareOptions {
        passive: topology == Topology::Check,
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared =
        channel.exchange_declare(short(name), ExchangeKind::Topic, options, FieldTable::default()).await;
    declared.map_err(|source| TopologyError { what: "exchange", name: name.to_owned(), source })
}

async fn queue(
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
    topology: Topology,
) -> Result<(), TopologyError> {
    let options = QueueDeclareOptions {
        passive: topology == Topology::Check,
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel.queue_declare(short(name), options, arguments).await;
    declared.map(drop).map_err(|source| TopologyError { what: "queue", name: name.to_owned(), source })
}

async fn bind(channel: &Channel, queue: &str, exchange: &str) -> Result<(), TopologyError> {
    let everything = ShortString::from("#");
    let options = QueueBindOptions::default();
    let bound =
        channel.queue_bind(short(queue), short(exchange), everything, options, FieldTable::default()).await;
    bound.map_err(|source| TopologyError { what: "binding of queue", name: queue.to_owned(), source })
}

fn table<const N: usize>(arguments: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    table
}

fn text(value: &'static str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn queue_type(queue_type: QueueType) -> &'static str {
    match queue_type {
        QueueType::Quorum => "quorum",
        QueueType::Classic => "classic",
        QueueType::Stream => "stream",
    }
}

/// Refused items the quarantine holds; the oldest make room.
const QUARANTINE_LENGTH: i32 = 10_000;

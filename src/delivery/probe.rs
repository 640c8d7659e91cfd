//! What `check` asks of a broker. Beside the topology, which is declared or looked for as the daemon would, it leaves
//! nothing behind.

use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use lapin::{
    BasicProperties, Connection, Event,
    options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{FieldTable, ShortString},
};
use uuid::Uuid;

use super::{
    amqp::short,
    dial::{ConnectError, channel, step},
    session::Session,
};
use crate::{
    config::{Broker, BrokerUrl},
    deadline::Deadline,
    heart::Hearts,
    metrics::Metrics,
};

/// What is still to be said of a broker that can be used.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Refused items would only be counted.
    pub lacks_quarantine: bool,
    /// The user may declare more than the topology.
    pub may_declare_anything: bool,
}

/// Connects, checks the topology as `serve` would, asks whether we may publish, and closes again.
///
/// # Errors
///
/// [`ConnectError`] says which step failed and why; it never holds a password.
pub async fn probe(url: &BrokerUrl, broker: &Broker) -> Result<Probe, ConnectError> {
    let mut session = Session::open(url, broker, Metrics::new(), &Hearts::default()).await?;
    let lacks_quarantine = broker.quarantine && !session.has_quarantine;
    let mut asked = rights(&session.connection, broker).await;
    if let Err(ConnectError::Refused { source, .. }) = &mut asked
        && let Some(reason) = closing_reason(&mut session.events).await
    {
        *source = reason;
    }
    if asked.is_ok() {
        session.close().await;
    } else {
        // While it blocks publishers, it would not hear a polite word either.
        session.cut();
    }
    asked.map(|may_declare_anything| Probe { lacks_quarantine, may_declare_anything })
}

/// Why the broker has closed a channel. Who is about to send something on it then hears only that it is closing.
async fn closing_reason(events: &mut BoxStream<'static, Event>) -> Option<lapin::Error> {
    let heard = Deadline::after(REASON_WITHIN);
    while let Ok(Some(event)) = heard.limit(events.next()).await {
        if let Event::Error(error) = event {
            return Some(error);
        }
    }
    None
}

async fn rights(connection: &Connection, broker: &Broker) -> Result<bool, ConnectError> {
    try_publishing(connection, broker).await?;
    declares_anything(connection, broker.connect_within).await
}

/// Publishes in a transaction that is rolled back: the broker looks at the rights when the message comes, and would
/// give it to queues only at the commit.
async fn try_publishing(connection: &Connection, broker: &Broker) -> Result<(), ConnectError> {
    let within = broker.connect_within;
    let channel = channel(connection, within).await?;
    let trial = async {
        channel.tx_select().await?;
        let (exchange, key) = (short(&broker.exchange), ShortString::from(TRIAL));
        let options = BasicPublishOptions::default();
        let published = channel.basic_publish(exchange, key, options, &[], BasicProperties::default());
        drop(published.await?);
        channel.tx_rollback().await
    };
    step(within, "publishing to the exchange", trial).await
}

/// Whether a queue of any name can be declared: one that is ours alone, has no messages, and is gone at once.
async fn declares_anything(connection: &Connection, within: Duration) -> Result<bool, ConnectError> {
    let channel = channel(connection, within).await?;
    let name = format!("{TRIAL}-{}", Uuid::now_v7());
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let declaring = channel.queue_declare(short(&name), options, FieldTable::default());
    match step(within, "asking for rights", declaring).await {
        Ok(_) => {
            let removing = channel.queue_delete(short(&name), QueueDeleteOptions::default());
            step(within, "removing a queue", removing).await.map(|_| true)
        }
        // A refusal is what an operator wants; it has closed the channel.
        Err(ConnectError::Refused { .. }) if connection.status().connected() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The reason comes with the closing, so it is there already, or will never be.
const REASON_WITHIN: Duration = Duration::from_secs(1);
/// Routing key and name of what is tried.
const TRIAL: &str = "graphhook-check";

//! What a tap declares: its own queue at an exchange, and where that one's losses leave their mark.

use lapin::{
    Channel, ExchangeKind,
    options::{
        BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, ShortString},
};
use uuid::Uuid;

use super::{Owed, PREFETCH, Source, TapError, name, refused, tie::Tie};
use crate::delivery::amqp::short;

/// Declares and binds a queue of our own, and reads it. Its name and that of the exchange for losses begin as the
/// exchange's does: who has the daemon's rights may declare them.
pub(super) async fn passing(
    channel: &Channel,
    exchange: &str,
    keys: &[String],
    messages: u16,
    keeper: Option<&str>,
) -> Result<Source, TapError> {
    let patterns = keys.iter().map(|key| name(key)).collect::<Result<Vec<_>, _>>()?;
    let (own, losses) = (own_name(exchange, "tail"), own_name(exchange, "missed"));
    let tie = Tie::new(own.clone(), name(exchange)?, patterns, keeper.map(name).transpose()?);
    declare_losses(channel, &losses).await?;
    let bounds = [
        ("x-max-length", AMQPValue::LongInt(messages.into())),
        ("x-max-length-bytes", AMQPValue::LongInt(BYTES_MAX)),
        ("x-dead-letter-exchange", AMQPValue::LongString(losses.as_str().into())),
    ];
    declare_queue(channel, &own, &bounds).await?;
    tie.fasten(channel).await?;
    let reading = refused("queue", own.as_str());
    let consumer = async {
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        channel.basic_consume(own.clone(), ShortString::default(), options, FieldTable::default()).await
    };
    let consumer = Box::new(consumer.await.map_err(reading)?);
    Ok(Source::Passing { consumer, owed: Owed::default(), losses, tie: Box::new(tie) })
}

/// An exchange and a queue for what our queue drops; one message of it is enough to know. The queue comes first: an
/// exchange that was never bound would stay behind.
async fn declare_losses(channel: &Channel, name: &ShortString) -> Result<(), TapError> {
    declare_queue(channel, name, &[("x-max-length", AMQPValue::LongInt(1))]).await?;
    let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    let declared =
        channel.exchange_declare(name.clone(), ExchangeKind::Fanout, options, FieldTable::default());
    declared.await.map_err(refused("exchange", name.as_str()))?;
    let (queue, exchange, options) = (name.clone(), name.clone(), QueueBindOptions::default());
    let bound =
        channel.queue_bind(queue, exchange, ShortString::default(), options, FieldTable::default()).await;
    bound.map_err(refused("exchange", name.as_str()))
}

async fn declare_queue(
    channel: &Channel,
    name: &ShortString,
    arguments: &[(&'static str, AMQPValue)],
) -> Result<(), TapError> {
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut table = FieldTable::default();
    // The default of the virtual host may be a type that cannot be exclusive.
    table.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
    for (name, value) in arguments {
        table.insert((*name).into(), value.clone());
    }
    let declared = channel.queue_declare(name.clone(), options, table).await;
    declared.map(drop).map_err(refused("queue", name.as_str()))
}

/// `graph.tail.01963a…`: nobody else has it.
fn own_name(exchange: &str, what: &str) -> ShortString {
    let rest = format!(".{what}.{}", Uuid::now_v7());
    let begin = &exchange[..exchange.floor_char_boundary(NAME_BYTES_MAX - rest.len())];
    short(&format!("{begin}{rest}"))
}

/// AMQP 0-9-1, `shortstr`.
const NAME_BYTES_MAX: usize = 255;
/// What waits for a slow reader is no more than a broker can spare.
const BYTES_MAX: i32 = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_fit_and_differ() {
        for exchange in ["graph", &"e".repeat(255), &"é".repeat(127)] {
            let [one, other] = [(); 2].map(|()| own_name(exchange, "missed"));
            assert!(one.as_str().starts_with(&exchange[..4]) && one.as_str().len() <= 255, "{one}");
            assert_ne!(one, other);
        }
        assert!(own_name("graph", "tail").as_str().starts_with("graph.tail."));
    }
}

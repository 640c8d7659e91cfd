//! What a look into a queue does to it.

use lapin::types::{AMQPValue, FieldTable};

use super::{Manner, Play, Receiver, check};
use crate::support::broker::Node;
use crate::support::queue::{Amqp, unique};

/// A second look would drop everything.
#[tokio::test]
async fn a_queue_is_looked_through_once_however_long_is_waited() {
    let url = Node::shared().url();
    let amqp = Amqp::connect(&url).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1));
    let queue = amqp.declare_queue(&unique("looked"), arguments).await;
    for body in [b"1", b"2", b"3"] {
        assert!(amqp.publish("", queue.name(), body).await, "it fits");
    }

    let liar = Receiver::open(Manner::Status(202)).await;
    let broker = format!("text:{url}");
    let play = Play::new("rate = \"flat_out\"\ncount = 5\n");
    let play = play.with(&[&liar.url(), "--broker", &broker, "--queue", queue.name(), "--settle", "3s"]);
    check(&play.report(1).await, &[("/broker/arrived", 0), ("/broker/accepted_never_arrived", 5)]);
    let left = queue.take(3).await;
    assert!(left.iter().all(|message| message.redelivered), "nobody looked");
    amqp.delete_queue(queue.name()).await;
}

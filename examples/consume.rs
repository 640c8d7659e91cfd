//! Reads notifications from graphhook's queue, `graph.notifications`, and acknowledges each one when it is done.
//!
//! ```text
//! cargo run --example consume -- [AMQP-URL [QUEUE]]
//! ```

#![expect(clippy::print_stdout, reason = "this is what the example has to show")]

use std::collections::{HashSet, VecDeque};

use anyhow::Context;
use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties,
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    protocol::BasicProperties,
    types::FieldTable,
};
use serde_json::Value;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".to_owned());
    let queue = arguments.next().unwrap_or_else(|| "graph.notifications".to_owned());

    let connection = Connection::connect(&url, ConnectionProperties::default()).await.context("no broker")?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(50, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut messages = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;

    let mut done = Done::default();
    while let Some(message) = messages.next().await {
        let message = message.context("the broker went away")?;
        let id = message.properties.message_id().as_ref().context("no message_id")?.to_string();
        if done.contains(&id) {
            println!("again {id}");
        } else {
            work(&message.properties, &serde_json::from_slice(&message.data)?)?;
            done.insert(id);
        }
        message.ack(BasicAckOptions::default()).await?;
    }
    anyhow::bail!("the queue is gone")
}

/// Your work. An error ends the program, and the broker gives the message to the next consumer.
fn work(properties: &BasicProperties, item: &Value) -> anyhow::Result<()> {
    let kind = properties.kind().as_ref().context("no type")?.as_str();
    let (what, about) = match kind {
        "lifecycle" => ("lifecycleEvent", "subscriptionId"),
        // Changes may be missing: fetch them by a delta query (docs/gaps.md).
        "gap" => ("reason", "subscriptionId"),
        _ => ("changeType", "resource"),
    };
    println!("{kind} {} {}", item[what].as_str().unwrap_or("?"), item[about].as_str().unwrap_or("?"));
    Ok(())
}

/// The same `message_id` may come twice. A real consumer makes it a unique key in its database, written together
/// with the work; what a process remembers is gone when it ends.
#[derive(Default)]
struct Done {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Done {
    fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    fn insert(&mut self, id: String) {
        self.order.push_back(id.clone());
        self.ids.insert(id);
        if self.order.len() > REMEMBERED_MAX {
            self.order.pop_front().map(|oldest| self.ids.remove(&oldest));
        }
    }
}

const REMEMBERED_MAX: usize = 100_000;

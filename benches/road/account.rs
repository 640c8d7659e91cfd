//! The consumer that takes everything out of a queue and holds it against what was sent: each item that was answered 2xx has
//! come, and no byte of it is another.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use graphhook::simulate::run::Stock;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use crate::drive::Driven;
use crate::support::broker::Node;

/// What came out of a queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// Messages of this load.
    pub(crate) came: u64,
    /// Answered 2xx, and never came.
    pub(crate) lost: u64,
    /// Not the bytes that were sent.
    pub(crate) altered: u64,
    /// Came twice.
    pub(crate) twice: u64,
}

impl Account {
    /// Empties the queue.
    pub(crate) async fn of(queue: &str, load: &Driven) -> Self {
        let url = Node::shared().url();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await;
        let connection = connection.expect("the broker is there");
        let channel = connection.create_channel().await.expect("a channel");
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await;
        let mut messages = consumer.expect("the queue is there");
        let mut account = Self::default();
        loop {
            let is_complete = account.came >= load.ended.tally.notifications.delivered;
            let patience = if is_complete { MORE_WITHIN } else { NEXT_WITHIN };
            let Ok(Some(message)) = timeout(patience, messages.next()).await else { break };
            account.take(&message.expect("the broker stays").data, load);
        }
        connection.close(200, "seen".into()).await.expect("the broker stays");
        let sum = load.ledger.arrivals(&load.stock);
        account.lost = sum.accepted_never_arrived;
        account.twice = sum.arrived_twice + sum.sent_and_arrived_twice;
        account
    }

    /// Says so if anything is wrong.
    pub(crate) fn judge(&self, of: &str) {
        assert_eq!((self.lost, self.altered), (0, 0), "{of}: the promise is broken: {self:?}");
    }

    fn take(&mut self, body: &[u8], load: &Driven) {
        let Some(id) = id(body) else { return };
        // What is not of this load came late, from an earlier one.
        let Some(number) = load.stock.number(id) else { return };
        self.came += 1;
        self.altered += u64::from(!is_as_sent(body, number, &load.stock));
        load.ledger.arrived(number);
    }
}

fn id(body: &[u8]) -> Option<&str> {
    const BEFORE: &[u8] = br#""id":""#;
    let begin = body.windows(BEFORE.len()).position(|window| window == BEFORE)? + BEFORE.len();
    std::str::from_utf8(body.get(begin..begin + 36)?).ok()
}

fn is_as_sent(body: &[u8], number: u64, stock: &Stock) -> bool {
    let post = stock.body(number, 1, SystemTime::UNIX_EPOCH);
    post.strip_prefix(br#"{"value":["#).and_then(|rest| rest.strip_suffix(b"]}")) == Some(body)
}

/// A quorum queue under load may take its time.
const NEXT_WITHIN: Duration = Duration::from_secs(10);
/// For what comes twice.
const MORE_WITHIN: Duration = Duration::from_millis(100);

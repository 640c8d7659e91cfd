//! One contestant's turn in a round: it is warmed up, measured, and held to its promise.
//!
//! Large POSTs come on fewer connections, so that flat out there are no more than [`IN_FLIGHT_MAX`] items under way where the
//! connections allow it: 64 of them with 100 items each would ask how long the queue before the broker can become, and
//! not how fast it moves. From 1,000 items on, two connections remain, so that one POST is read while another is confirmed.

use graphhook::simulate::run::Pace;

use crate::Effort;
use crate::account::Account;
use crate::contestant::Contestant;
use crate::drive::{Content, Driven, Load};
use crate::sheet::{Column, Sheet};

/// What a turn consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) connections: usize,
    pub(crate) items: u32,
    pub(crate) pace: Pace,
    pub(crate) content: Content,
}

impl Turn {
    /// As fast as answers come.
    pub(crate) fn flat_out(items: u32) -> Self {
        let connections = (IN_FLIGHT_MAX / items as usize).clamp(2, CONNECTIONS_MAX);
        Self { connections, items, pace: Pace::FlatOut, content: Content::Genuine }
    }

    /// Takes it, and notes what came of it.
    pub(crate) async fn take(self, contestant: &Contestant, effort: Effort, row: &str, sheet: &mut Sheet) {
        let Self { connections, items, pace, content } = self;
        let Effort { warm, window: time, .. } = effort;
        let driven = Load { connections, items, pace, content, warm, time }.drive(contestant).await;
        note(&driven, items, row, sheet);
        if let Some(queue) = contestant.queue.as_ref().filter(|_| content == Content::Genuine) {
            Account::of(queue, &driven).await.judge(contestant.name);
        }
    }
}

/// What is told of every load. Items are counted by POSTs: forged ones are answered, too.
fn note(driven: &Driven, items: u32, row: &str, sheet: &mut Sheet) {
    let (latency, posts) = (driven.latency(), driven.posts);
    let many = posts * f64::from(items);
    sheet.note(
        row,
        &[
            (RATE.name, many / driven.seconds),
            (COST.name, driven.usage.processor * 1e6 / many),
            (SWITCHES.name, driven.usage.switches / many),
            (P50.name, latency.p50),
            (P99.name, latency.p99),
            (P99_9.name, latency.p99_9),
            (FAILURES.name, driven.failures()),
            (LOAD.name, driven.own.processor * 1e6 / posts),
        ],
    );
}

/// More would only wait.
const CONNECTIONS_MAX: usize = 64;
const IN_FLIGHT_MAX: usize = 2_000;

pub(crate) const RATE: Column = Column { name: "items/s", digits: 0 };
pub(crate) const COST: Column = Column { name: "CPU us/item", digits: 2 };
pub(crate) const SWITCHES: Column = Column { name: "switches/item", digits: 3 };
pub(crate) const P50: Column = Column { name: "p50 ms", digits: 2 };
pub(crate) const P99: Column = Column { name: "p99 ms", digits: 2 };
pub(crate) const P99_9: Column = Column { name: "p99.9 ms", digits: 2 };
/// Answers other than 2xx, and none.
pub(crate) const FAILURES: Column = Column { name: "failures", digits: 0 };
/// What the load itself cost, which shares the processors with what it measures.
pub(crate) const LOAD: Column = Column { name: "load us/POST", digits: 1 };

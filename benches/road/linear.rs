//! Whether cost grows with what is done, and with nothing else: items in a POST, connections, entries of the secret table.

use std::time::Duration;

use graphhook::simulate::run::subscriptions;

use crate::Effort;
use crate::contestant::{Contestant, unbounded};
use crate::reference::Kind;
use crate::sheet::Sheet;
use crate::support::daemon::{Configuration, SECRET};
use crate::turn::{COST, FAILURES, LOAD, P50, P99, RATE, Turn};

/// Prints the tables.
pub(crate) async fn measure(effort: Effort) {
    let mut sheet = Sheet::new("linear", &[RATE, COST, P50, P99, FAILURES, LOAD]);
    let daemon = Contestant::configured(unbounded).await;
    let contestants = [&daemon, &Contestant::reference(Kind::Same)];
    for items in ITEMS {
        for contestant in contestants {
            let row = format!("{}, {items} in a POST", contestant.name);
            repeat(Turn::flat_out(items), contestant, effort, &row, &mut sheet).await;
        }
    }
    // More have not even their handshakes behind them in so short a time.
    let most = if effort.is_quick { 64 } else { usize::MAX };
    for connections in CONNECTIONS.into_iter().filter(|connections| *connections <= most) {
        for contestant in contestants {
            let row = format!("{}, {connections} connections", contestant.name);
            repeat(Turn { connections, ..Turn::flat_out(1) }, contestant, effort, &row, &mut sheet).await;
        }
    }
    sheet.print();
    let mut sheet = Sheet::new("table", &[RATE, COST, P50, P99, FAILURES, LOAD]);
    let most = if effort.is_quick { 100 } else { 10_000 };
    for entries in ENTRIES.into_iter().filter(|entries| *entries <= most) {
        let daemon = Contestant::configured(|configuration| table(configuration, entries)).await;
        let row = format!("graphhook, {entries} entries in the table");
        repeat(Turn::flat_out(10), &daemon, effort, &row, &mut sheet).await;
    }
    sheet.print();
}

async fn repeat(turn: Turn, contestant: &Contestant, effort: Effort, row: &str, sheet: &mut Sheet) {
    // All connections are there before it counts.
    let warm = effort.warm.max(PER_CONNECTION * turn.connections as u32);
    for _ in 0..effort.rounds.min(ROUNDS_MAX) {
        turn.take(contestant, Effort { warm, window: effort.window / 2, ..effort }, row, sheet).await;
    }
}

/// The entry that admits what is sent comes last.
fn table(configuration: Configuration, entries: usize) -> Configuration {
    let other = |configuration: Configuration, number: usize| {
        let subscription = format!("subscriptions = [\"00000009-0000-4000-8000-{number:012}\"]");
        configuration.client_state_with(
            &format!("other-{number}"),
            &format!("another secret {number}"),
            &subscription,
        )
    };
    let configuration = (1..entries).fold(configuration, other);
    let ours = format!("subscriptions = {:?}", subscriptions(10));
    configuration.client_state_with("test", SECRET, &ours)
}

const ITEMS: [u32; 7] = [1, 3, 10, 30, 100, 300, 1_000];
const CONNECTIONS: [usize; 6] = [1, 4, 16, 64, 512, 4_000];
const ENTRIES: [usize; 5] = [1, 10, 100, 1_000, 10_000];
/// What a handshake takes, at both ends and many at once.
const PER_CONNECTION: Duration = Duration::from_millis(1);
/// There are many lines.
const ROUNDS_MAX: usize = 2;

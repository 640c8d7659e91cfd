//! How long answers take at half of the load that the daemon can bear, from when POSTs were due.
//!
//! What the daemon adds is told by three differences, at the same rate and in the same rounds: to the broker's own confirm,
//! which is what a publisher of the same messages waits for that has no HTTP around it; to a server that does nothing but
//! publish them; and to one that does not even that.

use graphhook::simulate::run::Pace;

use crate::Effort;
use crate::contestant::Contestant;
use crate::daemons::purge;
use crate::reference::{Errand, Kind, Settings};
use crate::sheet::{Column, Sheet, row};
use crate::turn::{COST, FAILURES, P50, P99, P99_9, RATE, Turn};

/// Prints the table, and what the daemon adds.
pub(crate) async fn measure(effort: Effort) {
    let daemon = Contestant::graphhook().await;
    let contestants = [daemon, Contestant::reference(Kind::Same), Contestant::reference(Kind::Http)];
    let publisher = Contestant::settings(Kind::Same);
    let mut sheet = Sheet::new("latency", &[RATE, COST, P50, P99, P99_9, FAILURES]);
    let mut probing = Sheet::new("latency-probe", &[RATE]);
    for items in SIZES {
        Turn::flat_out(items).take(&contestants[0], effort, &row("most", items), &mut probing).await;
        let most = probing.median(&row("most", items), RATE.name);
        let rate = (most / 2.0).round();
        let turn = Turn { pace: Pace::PerSecond(rate), ..Turn::flat_out(items) };
        let errand = Errand::steady(rate, items, effort.warm, effort.window);
        for _ in 0..effort.rounds {
            for contestant in &contestants {
                turn.take(contestant, effort, &row(contestant.name, items), &mut sheet).await;
            }
            confirm(&publisher, errand, &row("confirm", items), &mut sheet).await;
        }
    }
    sheet.print();
    println!("\nadded by graphhook to                 p50 ms       p99 ms     p99.9 ms");
    for items in SIZES {
        for other in ["confirm", "reference", "http"] {
            let of = row(other, items);
            let added =
                |Column { name, .. }| sheet.median(&row("graphhook", items), name) - sheet.median(&of, name);
            let [p50, p99, p99_9] = [P50, P99, P99_9].map(added);
            println!("{of:<31} {p50:>12.2} {p99:>12.2} {p99_9:>12.2}");
        }
    }
}

/// The broker's own: a group of messages takes as long as the last of its confirms.
async fn confirm(publisher: &Settings, errand: Errand, row: &str, sheet: &mut Sheet) {
    let publication = publisher.publish(errand).await;
    let (many, latency) = (publication.messages, publication.latency);
    let values = [
        (RATE.name, many / publication.seconds),
        (COST.name, publication.processor * 1e6 / many),
        (P50.name, latency.p50),
        (P99.name, latency.p99),
        (P99_9.name, latency.p99_9),
        // One that is not confirmed ends the publisher.
        (FAILURES.name, 0.0),
    ];
    sheet.note(row, &values);
    purge(&publisher.queue).await;
}

const SIZES: [u32; 2] = [1, 10];

//! How long answers take at half of the load that the daemon can bear, from when POSTs were due.
//!
//! What the daemon adds is told by the difference to a server that does nothing but publish the same message, at the same
//! rate: most of the rest is the broker's confirm.

use graphhook::simulate::run::Pace;

use crate::Extent;
use crate::contestant::Contestant;
use crate::reference::Kind;
use crate::sheet::{Column, Sheet};
use crate::turn::{COST, FAILURES, P50, P99, P99_9, RATE, Turn};

/// Prints the table, and what the daemon adds.
pub(crate) async fn measure(extent: Extent) {
    let daemon = Contestant::graphhook().await;
    let contestants = [daemon, Contestant::reference(Kind::Same), Contestant::reference(Kind::Http)];
    let mut sheet = Sheet::new("latency", &[RATE, COST, P50, P99, P99_9, FAILURES]);
    let mut probing = Sheet::new("latency-probe", &[RATE]);
    for items in SIZES {
        Turn::flat_out(items).take(&contestants[0], extent, &row("most", items), &mut probing).await;
        let most = probing.median(&row("most", items), RATE.name).expect("it was just measured");
        let turn = Turn { pace: Pace::PerSecond((most / 2.0).round()), ..Turn::flat_out(items) };
        for _ in 0..extent.rounds {
            for contestant in &contestants {
                turn.take(contestant, extent, &row(contestant.name, items), &mut sheet).await;
            }
        }
    }
    sheet.print();
    println!("\nadded by graphhook to                 p50 ms       p99 ms     p99.9 ms");
    for items in SIZES {
        for floor in ["floor-same", "http"] {
            let of = row(floor, items);
            let added = |Column { name, .. }| {
                Some(sheet.median(&row("graphhook", items), name)? - sheet.median(&of, name)?)
            };
            let [p50, p99, p99_9] = [P50, P99, P99_9].map(|column| added(column).unwrap_or(f64::NAN));
            println!("{of:<31} {p50:>12.2} {p99:>12.2} {p99_9:>12.2}");
        }
    }
}

fn row(name: &str, items: u32) -> String {
    format!("{name}, {items} in a POST")
}

const SIZES: [u32; 2] = [1, 10];

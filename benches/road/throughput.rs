//! As fast as answers come: 1, 10 and 100 items in a POST.

use crate::Effort;
use crate::contestant::Contestant;
use crate::reference::Kind;
use crate::sheet::{Sheet, row};
use crate::turn::{COST, FAILURES, LOAD, P50, P99, RATE, SWITCHES, Turn};

/// Prints the table, and how the daemon stands against those that do the least.
pub(crate) async fn measure(effort: Effort) {
    let contestants = [
        Contestant::graphhook().await,
        Contestant::reference(Kind::Same),
        Contestant::reference(Kind::Bare),
        Contestant::reference(Kind::Http),
    ];
    let mut sheet = Sheet::new("throughput", &[RATE, COST, SWITCHES, P50, P99, FAILURES, LOAD]);
    for items in SIZES {
        for _ in 0..effort.rounds {
            for contestant in &contestants {
                let row = row(contestant.name, items);
                Turn::flat_out(items).take(contestant, effort, &row, &mut sheet).await;
            }
        }
    }
    sheet.print();
    println!("\ngraphhook as a multiple of            items/s  CPU per item");
    for items in SIZES {
        for other in ["reference", "bare", "http"] {
            let of = row(other, items);
            let ratio = |name| sheet.ratio(name, &row("graphhook", items), &of);
            println!("{of:<35} {:>9.2} {:>13.2}", ratio(RATE.name), ratio(COST.name));
        }
    }
}

const SIZES: [u32; 3] = [1, 10, 100];

//! The daemon beside receivers as people write them: express with amqplib, FastAPI with aio-pika.
//!
//! They publish with confirms and answer 202 after them, as the daemon does, and leave out nearly everything else that it
//! does: docs/performance.md says what. So this compares what users run today, and no libraries or languages.

use std::thread;

use crate::Effort;
use crate::contestant::Contestant;
use crate::peer::Make;
use crate::sheet::{Sheet, row};
use crate::turn::{COST, FAILURES, LOAD, P50, P99, RATE, SWITCHES, Turn};

/// Prints the table, and how they stand against the daemon.
pub(crate) async fn measure(effort: Effort) {
    if !(Make::Express.is_installed() && Make::FastApi.is_installed()) {
        println!("peers: not installed; tests/run --bench peers does that first");
        return;
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let contestants = [
        Contestant::graphhook().await,
        Contestant::peer("express, 1 process", Make::Express, 1).await,
        Contestant::peer("express, cluster", Make::Express, cores).await,
        Contestant::peer("fastapi, 1 worker", Make::FastApi, 1).await,
        Contestant::peer("fastapi, workers", Make::FastApi, cores).await,
    ];
    let mut sheet = Sheet::new("peers", &[RATE, COST, SWITCHES, P50, P99, FAILURES, LOAD]);
    for (items, connections) in SHAPES {
        for _ in 0..effort.rounds {
            for contestant in &contestants {
                let (turn, row) =
                    (Turn { connections, ..Turn::flat_out(items) }, row(contestant.name, items));
                turn.take(contestant, effort, &row, &mut sheet).await;
            }
        }
    }
    sheet.print();
    println!("\n(cluster and workers: {cores} processes, one for each core)\n");
    for (items, _) in SHAPES {
        for peer in &contestants[1..] {
            let ratio = |column| sheet.ratio(column, &row("graphhook", items), &row(peer.name, items));
            let (rate, cost) = (ratio(RATE.name), ratio(COST.name));
            println!(
                "{items:>3} in a POST, graphhook of {:<18} {rate:>6.2} of the items a second, {cost:.3} of the CPU per item",
                peer.name
            );
        }
    }
}

/// Items in a POST, and connections: fewer where there is more on each, so that also the slowest answers within a window.
const SHAPES: [(u32, usize); 3] = [(1, 64), (10, 32), (100, 8)];

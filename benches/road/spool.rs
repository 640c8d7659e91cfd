//! The broker is away, and comes back: how fast items are taken into the spool, how fast it is emptied, and how long fresh
//! items wait meanwhile.

use std::time::{Duration, Instant};

use graphhook::simulate::run::Pace;
use tokio::time::interval;

use crate::Effort;
use crate::contestant::Contestant;
use crate::daemons::purge;
use crate::drive::{Content, Load};
use crate::filled::fill;
use crate::process::Usage;
use crate::reference::{Errand, Kind, Publication};
use crate::sheet::{Column, Sheet, row};
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::turn::{COST, FAILURES, P50, P99, RATE, Turn};

/// Prints the tables.
pub(crate) async fn measure(effort: Effort) {
    accept(effort).await;
    drain(effort).await;
}

/// Every turn has a daemon of its own, or one spool would have to hold all.
async fn accept(effort: Effort) {
    let mut sheet = Sheet::new("spool", &[RATE, COST, P50, P99, FAILURES]);
    for items in SIZES {
        let turn = Turn::flat_out(items);
        for _ in 0..effort.rounds {
            turn.take(&Contestant::graphhook().await, effort, &row(UP, items), &mut sheet).await;
            turn.take(&Contestant::without_broker().await, effort, &row(AWAY, items), &mut sheet).await;
        }
    }
    sheet.print();
    println!();
    for items in SIZES {
        let ratio = sheet.ratio(RATE.name, &row(AWAY, items), &row(UP, items));
        println!(
            "items a second without a broker, as a multiple of those with one, {items} in a POST: {ratio:.2}"
        );
    }
}

async fn drain(effort: Effort) {
    let many = if effort.is_quick { 5_000 } else { 100_000 };
    let mut sheet = Sheet::new("drain", &[DRAINED, DRAIN_COST, FRESH_P50, FRESH_P99]);
    for _ in 0..effort.rounds {
        drained(many, effort, &mut sheet).await;
        for (kind, words) in PUBLISHERS {
            published(many, kind, words, &mut sheet).await;
        }
    }
    sheet.print();
    println!();
    for (_, words) in PUBLISHERS {
        let ratio = sheet.ratio(DRAINED.name, "graphhook", words);
        println!("items a second out of the spool, as a multiple of a {words}: {ratio:.2}");
    }
}

/// Fresh items come as soon as the broker is there.
async fn drained(many: u64, effort: Effort, sheet: &mut Sheet) {
    let directory = tempfile::tempdir().expect("a directory");
    fill(directory.path(), many);
    let daemon = Daemon::configure().spool(directory.path()).start().await;
    let left = async |daemon: &Daemon| daemon.metrics().await.get("graphhook_spool_items");
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    let (begun, before, at_begin) = (Instant::now(), Usage::of(daemon.pid()), left(&daemon).await);
    let (contestant, pace) = (Contestant::of(&daemon), Pace::PerSecond(FRESH_PER_SECOND));
    let load = Load {
        connections: 16,
        items: 1,
        pace,
        content: Content::Genuine,
        warm: effort.warm,
        time: effort.window,
    };
    let emptied = async {
        let mut looks = interval(LOOKS);
        while left(&daemon).await > 0.0 {
            looks.tick().await;
        }
        (begun.elapsed(), Usage::of(daemon.pid()).since(before))
    };
    let (driven, (took, usage)) = tokio::join!(load.drive(&contestant), emptied);
    let (latency, all) = (driven.latency(), at_begin + driven.posts);
    sheet.note(
        "graphhook",
        &[
            (DRAINED.name, at_begin / took.as_secs_f64()),
            (DRAIN_COST.name, usage.processor * 1e6 / all),
            (FRESH_P50.name, latency.p50),
            (FRESH_P99.name, latency.p99),
        ],
    );
    purge(daemon.queue()).await;
}

async fn published(many: u64, kind: Kind, words: &str, sheet: &mut Sheet) {
    let settings = Contestant::settings(kind);
    let Publication { messages, seconds, processor, .. } = settings.publish(Errand::flat_out(many)).await;
    let values = [(DRAINED.name, messages / seconds), (DRAIN_COST.name, processor * 1e6 / messages)];
    sheet.note(words, &values);
    purge(&settings.queue).await;
}

const SIZES: [u32; 2] = [1, 10];
const UP: &str = "broker up";
const AWAY: &str = "broker away";
/// Both by lapin, as fast as they are confirmed.
const PUBLISHERS: [(Kind, &str); 2] =
    [(Kind::Same, "publisher of the same messages"), (Kind::Bare, "publisher of bare messages")];
/// Between two looks at what is left: each is work for the daemon, too.
const LOOKS: Duration = Duration::from_millis(50);
const FRESH_PER_SECOND: f64 = 200.0;
const DRAINED: Column = Column { name: "items/s", digits: 0 };
const DRAIN_COST: Column = Column { name: "CPU us/item", digits: 2 };
const FRESH_P50: Column = Column { name: "fresh p50 ms", digits: 2 };
const FRESH_P99: Column = Column { name: "fresh p99 ms", digits: 2 };

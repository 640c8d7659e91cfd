//! Memory of the daemon: doing nothing, with many connections open, and under full load while the broker is away.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use graphhook::simulate::run::Pace;
use tokio::time::interval;

use crate::Effort;
use crate::contestant::{Contestant, unbounded};
use crate::daemons::memory;
use crate::drive::{self, Content, Load};
use crate::sheet::{Column, Sheet};

/// Prints the table; the outage lasts so long.
pub(crate) async fn measure(effort: Effort, outage: Duration) {
    let mut sheet = Sheet::new("memory", &[RESIDENT]);
    let many = if effort.is_quick { 100 } else { CONNECTIONS };
    for _ in 0..effort.rounds {
        let daemon = Contestant::configured(unbounded).await;
        sheet.note("idle", &[(RESIDENT.name, resident(&daemon))]);
        let receiver = drive::receiver(&daemon, Content::Genuine);
        let streams = join_all((0..many).map(|_| receiver.stream())).await;
        assert!(streams.iter().all(Result::is_ok), "not all of {many} connections came about");
        sheet.note(&format!("{many} TLS connections"), &[(RESIDENT.name, resident(&daemon))]);
    }
    away(outage, &mut sheet).await;
    sheet.print();
}

/// Notes it ten times, and the end of the load.
async fn away(outage: Duration, sheet: &mut Sheet) {
    let daemon = Contestant::without_broker().await;
    sheet.note("broker away, no load yet", &[(RESIDENT.name, resident(&daemon))]);
    let load = Load {
        connections: 64,
        items: 10,
        pace: Pace::FlatOut,
        content: Content::Genuine,
        warm: Duration::ZERO,
        time: outage,
    };
    let (begun, mut turns) = (Instant::now(), interval(outage / 10));
    turns.tick().await;
    let watching = async {
        while begun.elapsed() < outage * 19 / 20 {
            turns.tick().await;
            let row = format!("after {:.0} s of full load", begun.elapsed().as_secs_f64());
            sheet.note(&row, &[(RESIDENT.name, resident(&daemon))]);
        }
    };
    let (driven, ()) = tokio::join!(load.drive(&daemon), watching);
    println!(
        "{:.0} POSTs of 10 items while the broker was away, {:.0} not accepted",
        driven.posts,
        driven.failures()
    );
}

/// MiB that it holds now.
fn resident(daemon: &Contestant) -> f64 {
    memory(daemon.pid, "VmRSS") / 1024.0
}

const CONNECTIONS: usize = 1_000;
const RESIDENT: Column = Column { name: "resident MiB", digits: 1 };

//! From the start of the process until it is ready: with an empty spool, and with many items in it.

use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use tokio::time::{interval, timeout};

use crate::Effort;
use crate::filled::fill;
use crate::sheet::{Column, Sheet};
use crate::support::daemon::Daemon;
use crate::support::https::{plain, request};
use crate::support::ports;

/// Prints the table.
pub(crate) async fn measure(effort: Effort) {
    let many = if effort.is_quick { 10_000 } else { 1_000_000 };
    let full = tempfile::tempdir().expect("a directory");
    fill(full.path(), many);
    let mut sheet = Sheet::new("start", &[READY]);
    for _ in 0..effort.rounds {
        let empty = tempfile::tempdir().expect("a directory");
        sheet.note("empty spool", &[(READY.name, start(empty.path()).await)]);
        sheet.note(&format!("{many} items in the spool"), &[(READY.name, start(full.path()).await)]);
    }
    sheet.print();
}

/// Milliseconds; there is no broker, so that nothing leaves the spool, and the spool alone makes it ready.
async fn start(spool: &Path) -> f64 {
    let [port] = ports::free();
    let admin = ([127, 0, 0, 1], port).into();
    let configuration = Daemon::configure().without_broker().spool(spool);
    let configuration = configuration.set("admin", "listen", &format!("\"{admin}\""));
    let daemon = configuration.spawn();
    // Its certificates were made before; what it starts with is a shell that becomes it.
    let begun = Instant::now();
    let ready = async {
        let mut turns = interval(Duration::from_millis(1));
        loop {
            turns.tick().await;
            let answer = plain(admin, request(Method::GET, "/readyz", &[], "")).await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                break begun.elapsed();
            }
        }
    };
    let took = timeout(START_BOUND, ready).await.unwrap_or_else(|_| panic!("never ready:\n{}", daemon.log()));
    daemon.signal("TERM");
    daemon.wait_exit().await;
    took.as_secs_f64() * 1e3
}

const READY: Column = Column { name: "ready after ms", digits: 1 };
const START_BOUND: Duration = Duration::from_secs(60);

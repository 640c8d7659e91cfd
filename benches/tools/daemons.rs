//! What benches need that start daemons: the tools of the integration tests, the shared broker, and what the system knows of a
//! process.

#[allow(
    clippy::wrong_self_convention,
    unfulfilled_lint_expectations,
    unreachable_pub,
    unused,
    reason = "whole tools, and tests of their own, as tests/it/main.rs has them"
)]
#[path = "../../tests/it"]
mod it {
    pub mod support;
}

use std::fs;

pub(crate) use self::it::support;
use self::support::broker::Node;
use self::support::queue::Amqp;

/// Empties a queue of the shared broker.
pub(crate) async fn purge(queue: &str) {
    Amqp::connect(&Node::shared().url()).await.queue(queue).purge().await;
}

/// Seconds that the processors have spent on a process: its own and the system's for it, in all of its threads.
pub(crate) fn processor(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = text.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / TICKS
}

/// KiB of memory of a process: `VmRSS` is what it holds now, `VmHWM` the most that it ever did.
pub(crate) fn memory(pid: u32, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(known, _)| *known == name).expect("it is told");
    value.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// `sysconf(_SC_CLK_TCK)`, on every Linux.
const TICKS: f64 = 100.0;

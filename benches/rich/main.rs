//! What resource data costs: `cargo bench --bench rich [-- parts|daemon|memory]`. docs/capacity.md has what was measured.
//!
//! `parts` times the pieces of the library by themselves, `daemon` the whole program with a real broker, `memory` what it
//! takes when many large contents come at once. Every contestant has its turn in every round, and the median of its rounds
//! counts: the machine may do other things meanwhile. RabbitMQ must be installed, as for the tests.

#![allow(clippy::print_stdout, reason = "a program that prints")]

mod daemon;
mod parts;
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

use std::process::ExitCode;

pub(crate) use self::it::support;

fn main() -> ExitCode {
    // Cargo adds an option of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    match wanted.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["parts"] => parts::measure(&runtime),
        ["daemon"] => runtime.block_on(daemon::measure()),
        ["memory"] => runtime.block_on(daemon::memory()),
        _ => {
            println!("usage: cargo bench --bench rich [-- parts|daemon|memory]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

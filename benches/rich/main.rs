//! What resource data costs: `cargo bench --bench rich [-- parts|daemon|memory]`. docs/capacity.md has what was measured.
//!
//! `parts` times the pieces of the library by themselves, `daemon` the whole program with a real broker, `memory` what it
//! takes when many large contents come at once. Every contestant has its turn in every round, and the median of its rounds
//! counts: the machine may do other things meanwhile. RabbitMQ must be installed, as for the tests.

#![allow(clippy::print_stdout, reason = "a program that prints")]

mod daemon;
mod parts;
#[path = "../tools/daemons.rs"]
mod daemons;
#[path = "../tools/every.rs"]
mod every;

use std::process::ExitCode;

pub(crate) use self::daemons::support;

fn main() -> ExitCode {
    let wanted = every::arguments();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    match wanted.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["parts"] => parts::measure(&runtime),
        ["daemon"] => runtime.block_on(daemon::measure()),
        ["memory"] => runtime.block_on(daemon::peak()),
        _ => {
            println!("usage: cargo bench --bench rich [-- parts|daemon|memory]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

//! What the hot paths cost: `cargo bench --bench hot [-- --count [--hold | --write]]`.
//!
//! Without arguments every case is timed: all have their turn in every round, and the median of the rounds counts, for the
//! machine may do other things meanwhile. `--count` counts instructions instead, under valgrind, which no other program can
//! disturb: `--hold` compares them with `benches/instructions.txt` and fails when one differs by more than a twentieth,
//! whichever way, for a gain must be kept as well; `--write` writes that file. What a change does on purpose is written
//! with it.

#![allow(clippy::print_stdout, reason = "a program that prints")]

mod cases;
mod count;
#[path = "../tools/every.rs"]
mod every;
mod inputs;
mod requests;
mod table;
mod timing;

use std::process::ExitCode;

fn main() -> ExitCode {
    match every::arguments().iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => timing::measure(cases::all()),
        ["--count"] => count::show(),
        ["--count", "--hold"] => return count::hold(),
        ["--count", "--write"] => count::write(),
        // What `--count` has valgrind run.
        [count::TURNS] => count::take_turns(cases::all()),
        _ => {
            println!("usage: cargo bench --bench hot [-- --count [--hold | --write]]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

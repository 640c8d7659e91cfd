//! The program: see [`graphhook::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    graphhook::cli::run()
}

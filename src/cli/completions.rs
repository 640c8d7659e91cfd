//! `graphhook completions`: what a shell needs to know to complete our command line.

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Failure, Outcome, conclude};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// For this shell.
    shell: Shell,
}

pub(super) const HELP: &str = "Examples:\n  \
    graphhook completions bash >/etc/bash_completion.d/graphhook\n  \
    graphhook completions zsh >/usr/local/share/zsh/site-functions/_graphhook\n  \
    graphhook completions fish >/etc/fish/completions/graphhook.fish";

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    conclude(print(arguments.shell))
}

fn print(shell: Shell) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut super::Arguments::command(), "graphhook", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(Outcome::Good)
}

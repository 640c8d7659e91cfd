//! `graphhook simulate templates`

use std::io::{self, Write};

use clap::Args;

use super::{Outcome, notify::resource};
use crate::simulate::template::Template;

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Print the text of this one.
    #[arg(value_parser = resource)]
    name: Option<String>,
}

pub(super) const HELP: &str = "\
A template is one item, JSON, with {{placeholders}}: see docs/simulate.md. Change
one, and send it with --template.

Examples:
  graphhook simulate templates
  graphhook simulate templates message > my-message.json";

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut out = io::stdout().lock();
    match &arguments.name {
        Some(name) => write!(out, "{}", Template::text(name).unwrap_or_default())?,
        None => Template::names().try_for_each(|name| writeln!(out, "{name}"))?,
    }
    Ok(Outcome::Good)
}

//! `graphhook quarantine export`

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::{Outcome, load};
use crate::{
    cli::{
        capture::{Captured, Secrets, file::Output},
        words,
    },
    config::Environment,
    delivery::{
        QUARANTINE_SUFFIX,
        tap::{Place, Tap},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
    /// Mask clientState; a body that is no JSON is left out.
    #[arg(long)]
    redact: bool,
    /// Export so many messages at most [default: all that are there].
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

pub(super) const HELP: &str = "\
Writes refused notifications as JSON lines, oldest first, in the form of graphhook
spool export, without seq and spooled_at, and with the exchange. Nothing is taken;
looking marks messages as redelivered, and may change their order. graphhook
replay sends them again.

Bodies are complete: a genuine notification that was refused by mistake contains
its clientState. Keep the file as you keep the secret, or --redact.

Example:
  graphhook quarantine export --output /root/refused.jsonl";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { config, output, redact, limit } = arguments;
    let broker = load(config.as_deref(), environment)?.broker;
    let mut sink = output.open()?;
    let place = Place::Queue(broker.exchange.clone() + QUARANTINE_SUFFIX);
    let mut tap = Tap::open(&broker, &place).await?;
    let mut written = 0;
    while limit.is_none_or(|limit| written < u64::from(limit))
        && let Some(seen) = tap.next().await?
    {
        sink.line(&Captured::of(&seen, Secrets::of(redact)).line())?;
        written += 1;
    }
    sink.keep()?;
    tap.close().await?;
    writeln!(io::stderr(), "exported {}", words::messages(written))?;
    Ok(Outcome::Good)
}

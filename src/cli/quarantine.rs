//! `graphhook quarantine`: refused notifications, for people to look at, and to pass on after a mistake.

mod export;
mod release;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Failure, Outcome, conclude, words};
use crate::{
    config::{self, Config, Environment},
    delivery::{quarantine::visit::Visit, tap::Seen},
    envelope::properties::{REASON, RECEIVED_AT},
    notification::mask::masked,
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// One line for each refused notification, oldest first; never a body.
    #[command(after_help = "Looking marks messages as redelivered, and may change their order.\n\n\
                            Example:\n  graphhook quarantine list --limit 10")]
    List {
        /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Look at so many messages.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// Print JSON lines, one object for each message.
        #[arg(long)]
        json: bool,
    },
    /// Everything about one refused notification; clientState is masked.
    #[command(after_help = "Example:\n  graphhook quarantine show sha256:0f343b0931126a20f133d67c2b018a3b")]
    Show {
        /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The message, by its id in `list`.
        message_id: String,
        /// Look at so many messages.
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        limit: u32,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Write refused notifications as JSON lines, with complete bodies; nothing is taken.
    #[command(after_help = export::HELP)]
    Export(export::Arguments),
    /// Judge everything again by the configuration as it is now, and pass on what is genuine.
    #[command(after_help = release::HELP)]
    Release(release::Arguments),
}

pub(super) async fn run(command: Command, environment: &Environment) -> Result<(), Failure> {
    conclude(match command {
        Command::List { config, limit, json } => list(config.as_deref(), limit, json, environment).await,
        Command::Show { config, message_id, limit, json } => {
            show(config.as_deref(), &message_id, limit, json, environment).await
        }
        Command::Export(arguments) => export::run(arguments, environment).await,
        Command::Release(arguments) => release::run(arguments, environment).await,
    })
}

fn load(file: Option<&Path>, environment: &Environment) -> anyhow::Result<Config> {
    Ok(config::load(file, environment)?.config)
}

/// What is told of a refused item.
#[derive(Serialize)]
struct Line<'a> {
    received_at: Option<&'a str>,
    reason: Option<&'a str>,
    message_id: Option<&'a str>,
    subscription: Option<&'a str>,
    tenant: Option<&'a str>,
    body_bytes: usize,
}

impl<'a> Line<'a> {
    fn of(kept: &'a Seen) -> Self {
        Self {
            received_at: header(kept, RECEIVED_AT),
            reason: header(kept, REASON),
            message_id: kept.message_id.as_deref(),
            subscription: header(kept, "graph-subscription-id"),
            tenant: header(kept, "graph-tenant-id"),
            body_bytes: kept.body.len(),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { received_at, reason, message_id, subscription, body_bytes, .. } = self;
        let word = |text: &Option<&str>| words::plain(text.unwrap_or("-"));
        let bytes = words::bytes(*body_bytes as u64);
        let (received_at, reason, id) = (word(received_at), word(reason), word(message_id));
        writeln!(out, "{received_at}  {reason:<20}  {bytes:>9}  {id}  {}", word(subscription))
    }
}

async fn list(
    file: Option<&Path>,
    limit: u32,
    json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let config = load(file, environment)?;
    let mut visit = Visit::open(&config.broker).await?;
    let mut out = io::stdout().lock();
    for _ in 0..limit {
        let Some((_, kept)) = visit.next().await? else { break };
        let line = Line::of(&kept);
        match json {
            true => writeln!(out, "{}", serde_json::to_string(&line)?)?,
            false => line.print(&mut out)?,
        }
    }
    if visit.ready() > limit {
        writeln!(io::stderr(), "{} in all: --limit", words::messages(visit.ready().into()))?;
    }
    visit.close().await?;
    Ok(Outcome::Good)
}

async fn show(
    file: Option<&Path>,
    message_id: &str,
    limit: u32,
    json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let config = load(file, environment)?;
    let mut visit = Visit::open(&config.broker).await?;
    let mut found = None;
    for _ in 0..limit {
        let Some((_, kept)) = visit.next().await? else { break };
        if kept.message_id.as_deref() == Some(message_id) {
            found = Some(kept);
            break;
        }
    }
    visit.close().await?;
    let Some(kept) = found else {
        anyhow::bail!("there is no such message among the first {limit} of the quarantine");
    };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&Shown::of(&kept))?)?;
    } else {
        print(&mut out, &kept)?;
    }
    Ok(Outcome::Good)
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    timestamp: Option<u64>,
    headers: &'a [(String, String)],
    /// The item, without its secret; null if it is no JSON.
    body: Option<Box<RawValue>>,
}

impl<'a> Shown<'a> {
    fn of(kept: &'a Seen) -> Self {
        let body = body(kept).and_then(|body| RawValue::from_string(body).ok());
        Self { line: Line::of(kept), timestamp: kept.timestamp, headers: &kept.headers, body }
    }
}

fn print(out: &mut impl Write, kept: &Seen) -> io::Result<()> {
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<12}{}", words::plain(value));
    line("message_id", kept.message_id.as_deref().unwrap_or("none"))?;
    for (name, value) in &kept.headers {
        line("header", &format!("{name}: {value}"))?;
    }
    line("bytes", &kept.body.len().to_string())?;
    line("body", &body(kept).unwrap_or_else(|| "not shown: it is no JSON".to_owned()))
}

fn body(kept: &Seen) -> Option<String> {
    masked(std::str::from_utf8(&kept.body).ok()?)
}

fn header<'a>(kept: &'a Seen, name: &str) -> Option<&'a str> {
    kept.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

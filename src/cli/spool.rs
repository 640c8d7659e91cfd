//! `graphhook spool`: what waits for the broker, for people to look at and to act on.

mod drain;
mod export;
mod list;
mod purge;
mod show;
mod status;
mod verify;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Failure, Outcome, conclude};
use crate::{
    backoff::Backoff,
    config::{self, Environment},
    deadline::{Deadline, Elapsed},
    delivery::spool::store::{Store, StoreError},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// How much there is, how old it is, and who has it.
    #[command(after_help = "Example:\n  graphhook spool status")]
    Status {
        #[command(flatten)]
        place: Place,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// One line for each message, oldest first; never a body.
    #[command(after_help = "Example:\n  graphhook spool list --trouble")]
    List(list::Arguments),
    /// Everything about one message; clientState is masked.
    #[command(after_help = "Example:\n  graphhook spool show 1763774854123456")]
    Show {
        #[command(flatten)]
        place: Place,
        /// The message, by its number in `list`.
        seq: u64,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Read everything and check it; exit code 1 if anything is wrong. Changes nothing.
    #[command(after_help = "Example:\n  graphhook spool verify")]
    Verify {
        #[command(flatten)]
        place: Place,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Write all messages as JSON lines: a backup, with complete bodies.
    #[command(after_help = export::HELP)]
    Export(export::Arguments),
    /// Bring everything to the broker now, what was set aside as well.
    #[command(after_help = drain::HELP)]
    Drain(drain::Arguments),
    /// Delete messages that no consumer has seen. `export` first.
    #[command(after_help = purge::HELP)]
    Purge(purge::Arguments),
}

/// Where the spool is.
#[derive(Args, Debug)]
pub(super) struct Place {
    /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The spool in this directory; no configuration is read then.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    directory: Option<PathBuf>,
}

/// A place that was found.
struct Found {
    directory: PathBuf,
    /// `spool.max_size`, where a configuration was read.
    bytes_max: Option<u64>,
}

pub(super) async fn run(command: Command, environment: &Environment) -> Result<(), Failure> {
    let done = match command {
        Command::Status { place, json } => {
            place.find(environment).and_then(|found| status::run(&found, json))
        }
        Command::List(arguments) => list::run(arguments, environment).await,
        Command::Show { place, seq, json } => {
            place.open(environment).and_then(|store| show::run(&store, seq, json))
        }
        Command::Verify { place, json } => {
            place.find(environment).and_then(|found| verify::run(&found, json))
        }
        Command::Export(arguments) => export::run(arguments, environment).await,
        Command::Drain(arguments) => drain::run(arguments, environment).await,
        Command::Purge(arguments) => purge::run(arguments, environment).await,
    };
    conclude(done)
}

impl Place {
    fn find(&self, environment: &Environment) -> anyhow::Result<Found> {
        if let Some(directory) = &self.directory {
            return Ok(Found { directory: directory.clone(), bytes_max: None });
        }
        let config = config::load(self.config.as_deref(), environment)?.config;
        Ok(Found { directory: config.spool.directory, bytes_max: Some(config.spool.bytes_max) })
    }

    fn open(&self, environment: &Environment) -> anyhow::Result<Store> {
        open(&self.find(environment)?.directory)
    }
}

/// Opens the spool; makes none where there is none.
fn open(directory: &Path) -> anyhow::Result<Store> {
    Store::open_existing(directory)?.with_context(|| {
        format!("there is no spool in {} yet: the daemon makes it when it starts", directory.display())
    })
}

/// Does something with the file, again and again while the daemon is writing.
async fn patiently<T>(mut work: impl FnMut() -> Result<T, StoreError>) -> anyhow::Result<T> {
    let owed = Deadline::after(PATIENCE);
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(200));
    loop {
        match work() {
            Ok(done) => return Ok(done),
            Err(StoreError::Busy) => match owed.limit(backoff.pause()).await {
                Ok(()) => {}
                Err(Elapsed) => return Err(StoreError::Busy.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
}

/// The outcome of a command that found everything well, or did not.
fn judged(is_well: bool) -> Outcome {
    if is_well { Outcome::Good } else { Outcome::Bad }
}

/// A daemon holds the file for some milliseconds at a time; one that holds it for longer than this is ill.
const PATIENCE: Duration = Duration::from_secs(30);

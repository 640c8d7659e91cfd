//! `graphhook spool drain`

mod progress;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use clap::Args;
use procfs::process::Process;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;

use self::progress::{End, Left, wait};
use super::{Outcome, open, patiently};
use crate::{
    cli::words,
    config::{self, Config, Environment, Log, LogFormat, LogLevel},
    deadline::Deadline,
    delivery::{
        Delivery,
        spool::{
            self, Spool, SpoolError, inspect,
            store::{OpenError, Store, StoreError},
        },
    },
    metrics::Metrics,
    supervise::signals::Signals,
    telemetry,
    trace::export::Tracer,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Stop waiting after this time; what is left stays in the spool.
    #[arg(long, value_name = "TIME", default_value = "10min", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Change nothing; say what would be done.
    #[arg(long)]
    dry_run: bool,
}

pub(super) const HELP: &str = "\
With a daemon running: has it try everything now, and waits until it is done.
Without one: does the daemon's work itself, as the spool's owner; a daemon
cannot start meanwhile. Messages that were set aside are tried as well. Ends
with 0 when the spool is empty; with 1 when something is left after the time,
or because the broker does not want it.

Example:
  graphhook spool drain --timeout 5min";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { config, timeout, dry_run } = arguments;
    let config = config::load(config.as_deref(), environment)?.config;
    let directory = &config.spool.directory;
    if dry_run {
        return tell(directory);
    }
    let owed = Deadline::after(timeout);
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let log = Log { level: LogLevel::Warn, format: LogFormat::Text };
    let _log = telemetry::start(log, environment)?;
    if !inspect::is_in_use(directory)? {
        be_the_owner(directory)?;
        if let Some(ended) = alone(&config, owed, &mut signals).await? {
            return conclude(ended);
        }
    }
    conclude(beside_a_daemon(directory, owed, &mut signals).await?)
}

fn tell(directory: &Path) -> anyhow::Result<Outcome> {
    let books = open(directory)?.books();
    let who =
        if inspect::is_in_use(directory)? { "have the daemon" } else { "itself, with no daemon running," };
    writeln!(
        io::stdout(),
        "would {who} bring {} to the broker, {} of them set aside until now",
        words::messages(books.items),
        books.set_aside
    )?;
    Ok(Outcome::Good)
}

/// How it ended.
struct Ended {
    end: End,
    left: u64,
    /// None when the daemon did it, which keeps its own count.
    drained: Option<u64>,
}

fn conclude(Ended { end, left, drained }: Ended) -> anyhow::Result<Outcome> {
    let drained = drained.map_or(String::new(), |many| format!("drained {}, ", words::messages(many)));
    writeln!(io::stdout(), "{drained}{left} left")?;
    let why = match end {
        End::Empty => return Ok(Outcome::Good),
        End::Unwanted => "the broker does not want what is left: graphhook spool list --trouble",
        End::Late => "the time is over",
        End::Interrupted => "interrupted",
    };
    writeln!(io::stderr(), "{why}")?;
    Ok(Outcome::Bad)
}

/// Files that we make must be such that the daemon can write them.
fn be_the_owner(directory: &Path) -> anyhow::Result<()> {
    let owner = inspect::owner(directory)
        .with_context(|| format!("there is no spool in {} yet", directory.display()))?;
    let ours = Process::myself().and_then(|myself| myself.uid()).context("cannot tell who we are")?;
    anyhow::ensure!(
        owner == ours,
        "no daemon runs, and {} belongs to user {owner}: run this as that user (sudo -u '#{owner}' …), \
         or start the daemon",
        directory.display()
    );
    Ok(())
}

/// Does the daemon's work; `None` if there is one after all.
async fn alone(config: &Config, owed: Deadline, signals: &mut Signals) -> anyhow::Result<Option<Ended>> {
    let directory = &config.spool.directory;
    let metrics = Metrics::new();
    match open(directory) {
        Ok(store) => {
            // The keeper counts later than we look.
            metrics.spool_items.set(i64::try_from(store.books().items)?);
            // A log in doubt is the keeper's to mend, before anything is written.
            if inspect::is_sound(directory)? {
                release(store).await?;
            }
        }
        Err(error) if matches!(error.downcast_ref(), Some(OpenError::Damaged(_))) => {}
        Err(_) if is_awaited(directory)? => {}
        Err(error) => return Err(error),
    }
    let (spool, keeper) = match Spool::open(config.spool.clone(), Arc::clone(&metrics)) {
        Ok(opened) => opened,
        Err(SpoolError::InUse(_)) => return Ok(None),
        Err(error @ SpoolError::Newer(_)) => return Err(error.into()),
    };
    let (delivery, connector, replay) = Delivery::new(
        &config.broker,
        spool.clone(),
        Tracer::idle(config.traces.sample),
        Arc::clone(&metrics),
    );
    let keeping = task::spawn_blocking(|| keeper.run());
    let (stop_replay, stop_broker) = (CancellationToken::new(), CancellationToken::new());
    let (mut replaying, mut connecting) = (JoinSet::new(), JoinSet::new());
    replaying.spawn(replay.run(stop_replay.clone()));
    connecting.spawn(connector.run(stop_broker.clone()));
    let look = || {
        let count = |gauge: i64| u64::try_from(gauge).unwrap_or_default();
        // First the files: what was taken over from them is counted before they lose their names.
        let is_mending = is_awaited(directory)? || spool.state() == spool::State::Broken;
        Ok(Left {
            items: count(metrics.spool_items.get()),
            parked: count(metrics.spool_parked.get()),
            set_aside: count(metrics.spool_set_aside.get()),
            is_mending,
        })
    };
    let waited = wait(look, owed, signals).await;
    stop_replay.cancel();
    while replaying.join_next().await.is_some() {}
    drop(delivery);
    stop_broker.cancel();
    while connecting.join_next().await.is_some() {}
    spool.stop();
    keeping.await.context("the keeper of the spool failed")?;
    let (end, left) = waited?;
    Ok(Some(Ended { end, left: left.items, drained: Some(metrics.spool_drained.get()) }))
}

/// Has the daemon do it, and waits.
async fn beside_a_daemon(directory: &Path, owed: Deadline, signals: &mut Signals) -> anyhow::Result<Ended> {
    let mut store = release(open(directory)?).await?;
    let look = || {
        anyhow::ensure!(
            inspect::is_in_use(directory)?,
            "the daemon has stopped; what is left is in the spool"
        );
        let books = match store.recount() {
            Ok(books) => books,
            // Nothing has changed as far as we know.
            Err(StoreError::Busy) => store.books(),
            Err(error) => return Err(error.into()),
        };
        anyhow::ensure!(store.is_in_place(), "the daemon has put another file in the place of the spool's");
        let spool::store::Books { items, parked, set_aside, .. } = books;
        Ok(Left { items, parked, set_aside, is_mending: is_awaited(directory)? })
    };
    let (end, left) = wait(look, owed, signals).await?;
    Ok(Ended { end, left: left.items, drained: None })
}

/// Makes due what is parked, and what was set aside.
async fn release(mut store: Store) -> anyhow::Result<Store> {
    let mut after = 0;
    while let Some(unparked) = patiently(|| store.unpark(after, SystemTime::now())).await? {
        after = unparked.last;
        // The daemon's turn.
        Deadline::after(PAUSE).passed().await;
    }
    Ok(store)
}

/// Whether there are damaged files from which messages are still to be taken over.
fn is_awaited(directory: &Path) -> anyhow::Result<bool> {
    Ok(inspect::beside(directory)?.iter().any(|file| file.is_awaited))
}

/// Time for the daemon between two transactions of ours.
const PAUSE: Duration = Duration::from_millis(50);

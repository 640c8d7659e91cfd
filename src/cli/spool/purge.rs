//! `graphhook spool purge`

use std::{
    io::{self, Write},
    time::{Duration, Instant, SystemTime},
};

use clap::Args;

use super::{Outcome, Place, open, patiently};
use crate::{
    cli::{ask, words},
    config::Environment,
    deadline::Deadline,
    delivery::spool::{
        inspect,
        store::{Changes, Store, Which},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    selection: Selection,
    /// Delete nothing; say how many it would be.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Selection {
    /// These messages, by their numbers in `list`.
    seq: Vec<u64>,
    /// What was set aside: the broker did not want it, and nothing is tried with it any more.
    #[arg(long)]
    set_aside: bool,
    /// Everything that is there now.
    #[arg(long)]
    all: bool,
}

pub(super) const HELP: &str = "\
What is deleted is gone: no consumer has seen it, and Graph does not send it
again. `graphhook spool export` keeps a copy. A daemon may be running.

Examples:
  graphhook spool purge --set-aside --dry-run
  graphhook spool purge 1763774854123456 --yes";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { place, mut selection, dry_run, yes } = arguments;
    selection.seq.sort_unstable();
    selection.seq.dedup();
    let directory = place.find(environment)?.directory;
    if !inspect::is_in_use(&directory)? && !inspect::is_sound(&directory)? {
        anyhow::bail!("the log of the spool is damaged: start the daemon first, which saves what it holds");
    }
    let mut store = open(&directory)?;
    let many = selection.count(&store)?;
    if dry_run {
        writeln!(io::stdout(), "would delete {}", words::messages(many))?;
        return Ok(Outcome::Good);
    }
    if many > 0 {
        let what = format!(
            "This deletes {} that no consumer has seen; `graphhook spool export` keeps a copy.",
            words::messages(many)
        );
        ask::confirm(&what, yes)?;
    }
    let is_in_use = || inspect::is_in_use(&directory).unwrap_or(true);
    let removed = remove(&mut store, &selection, is_in_use()).await?;
    writeln!(io::stdout(), "deleted {}", words::messages(removed))?;
    // A daemon gives the space back itself, when it has time. Without one, what was deleted is still in the file
    // until the log is written back.
    while !is_in_use() && patiently(|| store.give_back()).await? {}
    if !is_in_use() {
        patiently(|| store.shorten_log()).await?;
    }
    let missing = (selection.seq.len() as u64).saturating_sub(removed);
    if missing > 0 {
        writeln!(
            io::stderr(),
            "{} not there: delivered, purged, or never spooled",
            words::messages(missing)
        )?;
    }
    Ok(super::judged(missing == 0))
}

impl Selection {
    fn count(&self, store: &Store) -> anyhow::Result<u64> {
        Ok(match self.which() {
            Some(Which::All) => store.books().items,
            Some(Which::SetAside) => store.books().set_aside,
            None => self.there(store, &self.seq)?.len() as u64,
        })
    }

    /// None: those that are named.
    fn which(&self) -> Option<Which> {
        match (self.all, self.set_aside) {
            (true, _) => Some(Which::All),
            (false, true) => Some(Which::SetAside),
            (false, false) => None,
        }
    }

    fn there(&self, store: &Store, seqs: &[u64]) -> anyhow::Result<Vec<u64>> {
        let mut there = Vec::with_capacity(seqs.len());
        for &seq in seqs {
            there.extend(store.places(Which::All, seq.saturating_sub(1), seq, 1)?);
        }
        Ok(there)
    }

    /// The next messages behind `after`.
    fn next(&self, store: &Store, after: u64, last: u64) -> anyhow::Result<Vec<u64>> {
        match self.which() {
            Some(which) => Ok(store.places(which, after, last, AT_ONCE)?),
            None => {
                let named = &self.seq[self.seq.partition_point(|seq| *seq <= after)..];
                let mut there = self.there(store, named)?;
                there.truncate(AT_ONCE);
                Ok(there)
            }
        }
    }
}

async fn remove(store: &mut Store, selection: &Selection, is_in_use: bool) -> anyhow::Result<u64> {
    let (mut removed, mut after, last) = (0, 0, store.newest());
    loop {
        let seqs = selection.next(store, after, last)?;
        let Some(&newest) = seqs.last() else { return Ok(removed) };
        after = newest;
        removed += seqs.len() as u64;
        let changes = Changes { remove: seqs, ..Changes::default() };
        let begun = Instant::now();
        patiently(|| store.commit(&changes, SystemTime::now())).await?;
        if is_in_use {
            // Whoever waits for a SQLite file looks again after pauses of up to 100 ms, and gets it only if it is free
            // then: leave it alone for longer than we held it.
            Deadline::after(2 * begun.elapsed() + PAUSE).passed().await;
        }
    }
}

/// Messages deleted in one transaction.
const AT_ONCE: usize = 64;
/// Least time for the daemon between two transactions.
const PAUSE: Duration = Duration::from_millis(5);

//! `graphhook spool verify`

use std::io::{self, Write};

use serde::Serialize;

use super::{Found, Outcome, open};
use crate::{
    cli::words,
    delivery::spool::{
        inspect::hidden,
        store::{Limit, OpenError, Store},
    },
    error::Chain,
};

#[derive(Default, Serialize)]
struct Report {
    good: u64,
    /// Messages that are not what was written, or that this program cannot read.
    bad: Vec<u64>,
    /// Further ones that are not listed.
    bad_more: u64,
    /// What SQLite finds wrong with the file, or why it cannot be read.
    file: Vec<String>,
}

pub(super) fn run(found: &Found, json: bool) -> anyhow::Result<Outcome> {
    let report = match open(&found.directory) {
        Ok(store) => {
            let mut report = Report::of(&store);
            report.file.extend(hidden(&found.directory)?.map(str::to_owned));
            report
        }
        Err(error) => match error.downcast::<OpenError>()? {
            OpenError::Damaged(why) => Report { file: vec![Chain(&*why).to_string()], ..Report::default() },
            error @ (OpenError::Newer { .. } | OpenError::Directory(_)) => return Err(error.into()),
        },
    };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        report.print(&mut out)?;
    }
    Ok(super::judged(report.bad.is_empty() && report.file.is_empty()))
}

impl Report {
    fn of(store: &Store) -> Self {
        let mut report = Self::default();
        report.read(store);
        match store.check() {
            Ok(problems) => report.file.extend(problems),
            Err(error) => report.file.push(Chain(&error).to_string()),
        }
        report
    }

    /// Reads page by page, so that a daemon can write its log back in between.
    fn read(&mut self, store: &Store) {
        let mut after = 0;
        loop {
            let found = match store.list(after, PAGE) {
                Ok(found) => found,
                Err(error) => return self.file.push(format!("behind {after}: {}", Chain(&error))),
            };
            let Some((last, _)) = found.last() else { return };
            if last.seq <= after {
                return self.file.push(format!("behind {after}: rows are out of order"));
            }
            after = last.seq;
            for (found, _) in found {
                let is_good = found.record.is_some_and(|record| record.envelope().is_ok());
                match is_good {
                    true => self.good += 1,
                    false if self.bad.len() < BAD_LISTED => self.bad.push(found.seq),
                    false => self.bad_more += 1,
                }
            }
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let bad = self.bad.len() as u64 + self.bad_more;
        writeln!(out, "{} good, {bad} bad", words::messages(self.good))?;
        for seq in &self.bad {
            writeln!(out, "bad message  {seq}")?;
        }
        if self.bad_more > 0 {
            writeln!(out, "bad message  and {} more", self.bad_more)?;
        }
        for problem in &self.file {
            writeln!(out, "file         {}", words::plain(problem))?;
        }
        if self.file.is_empty() {
            writeln!(out, "SQLite finds nothing wrong with the file")?;
        }
        Ok(())
    }
}

/// Read at once.
const PAGE: Limit = Limit { items: 256, bytes: 4 << 20 };
/// More tell nothing more.
const BAD_LISTED: usize = 100;

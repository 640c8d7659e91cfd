//! `graphhook spool status`

use std::{
    io::{self, Write},
    time::SystemTime,
};

use anyhow::Context;
use serde::Serialize;

use super::{Found, Outcome};
use crate::{
    cli::words,
    delivery::spool::{
        inspect::{self, Beside},
        store::{FORMAT, OpenError, Store, spooled_at},
    },
    error::Chain,
};

#[derive(Serialize)]
struct Status {
    directory: String,
    /// Whether a daemon has it.
    in_use: bool,
    /// None while there is no file, or only a damaged one.
    spool: Option<Contents>,
    /// What is wrong with the file.
    damaged: Option<String>,
    beside: Vec<Other>,
}

#[derive(Serialize)]
struct Contents {
    format: u32,
    items: u64,
    parked: u64,
    set_aside: u64,
    message_bytes: u64,
    disk_bytes: u64,
    max_bytes: Option<u64>,
    oldest: Option<Oldest>,
}

#[derive(Serialize)]
struct Oldest {
    seq: u64,
    spooled_at: String,
    age_seconds: u64,
}

#[derive(Serialize)]
struct Other {
    name: String,
    bytes: u64,
    holds_messages: bool,
}

pub(super) fn run(found: &Found, json: bool) -> anyhow::Result<Outcome> {
    let directory = &found.directory;
    let in_use = inspect::is_in_use(directory).context("cannot look at the lock")?;
    let beside = inspect::beside(directory).context("cannot look into the directory")?;
    let (store, damaged) = match Store::open_existing(directory) {
        Ok(store) => (store, None),
        Err(OpenError::Damaged(why)) => (None, Some(Chain(&*why).to_string())),
        Err(error @ (OpenError::Newer { .. } | OpenError::Directory(_))) => return Err(error.into()),
    };
    let status = Status {
        directory: directory.display().to_string(),
        in_use,
        spool: store.map(|store| Contents::of(&store, found.bytes_max)).transpose()?,
        damaged,
        beside: beside.into_iter().map(Other::of).collect(),
    };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        status.print(&mut out)?;
    }
    Ok(super::judged(status.spool.is_some()))
}

impl Contents {
    fn of(store: &Store, max_bytes: Option<u64>) -> anyhow::Result<Self> {
        let books = store.books();
        let oldest = store.oldest()?.map(|seq| {
            let at = spooled_at(seq);
            let age = SystemTime::now().duration_since(at).unwrap_or_default();
            Oldest { seq, spooled_at: words::time(at), age_seconds: age.as_secs() }
        });
        Ok(Self {
            format: FORMAT,
            items: books.items,
            parked: books.parked,
            set_aside: books.set_aside,
            message_bytes: books.bytes,
            disk_bytes: store.disk_bytes()?,
            max_bytes,
            oldest,
        })
    }

    fn lines(&self) -> Vec<(&'static str, String)> {
        let Self { items, parked, set_aside, .. } = self;
        let oldest = self.oldest.as_ref().map_or("none".to_owned(), |oldest| {
            let age = words::age(std::time::Duration::from_secs(oldest.age_seconds));
            format!("{age} ago, {} (seq {})", oldest.spooled_at, oldest.seq)
        });
        let max = self.max_bytes.map_or(String::new(), |max| format!(" of {}", words::bytes(max)));
        let tried = parked - set_aside.min(parked);
        vec![
            ("messages", format!("{items}, {} in all", words::bytes(self.message_bytes))),
            ("in trouble", format!("{tried} tried again by itself, {set_aside} set aside until `drain`")),
            ("oldest", oldest),
            ("on disk", format!("{}{max}", words::bytes(self.disk_bytes))),
            ("format", self.format.to_string()),
        ]
    }
}

impl Other {
    fn of(file: Beside) -> Self {
        let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self { name: name.unwrap_or_default(), bytes: file.bytes, holds_messages: file.is_awaited }
    }
}

impl Status {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = |name: &str, value: &str| writeln!(out, "{name:<12}{value}");
        line("directory", &self.directory)?;
        line("daemon", if self.in_use { "running" } else { "not running" })?;
        match (&self.spool, &self.damaged) {
            (None, Some(why)) => {
                line("damaged", &format!("{why}; a daemon that starts saves what it holds"))?
            }
            (None, None) => line("messages", "there is no spool yet: the daemon makes it when it starts")?,
            (Some(contents), _) => {
                for (name, value) in contents.lines() {
                    line(name, &value)?;
                }
            }
        }
        for file in &self.beside {
            let what = if file.holds_messages { "damaged" } else { "salvaged" };
            line(what, &format!("{} ({})", file.name, words::bytes(file.bytes)))?;
        }
        Ok(())
    }
}

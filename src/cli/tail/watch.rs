//! Looking until somebody has seen enough; a connection that breaks is made anew.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::io::{AsyncWriteExt, BufWriter, Stdout};

use super::line::Form;
use crate::{
    backoff::Backoff,
    cli::{broker::warn_of_losses, words},
    config::Broker,
    deadline::Deadline,
    delivery::tap::{Place, Seen, Tap, TapError},
    error::Chain,
};

/// A look, and what came of it so far.
pub(super) struct Watch<'a> {
    broker: &'a Broker,
    place: &'a Place,
    form: Form,
    /// None while there is no connection.
    tap: Option<Tap>,
    out: BufWriter<Stdout>,
    /// Printed, and not yet written.
    pending: Vec<u8>,
    seen: u64,
    has_missed: bool,
}

/// How it ended.
pub(super) struct Watched {
    pub(super) seen: u64,
    /// Whether messages have passed that nobody saw, as far as one can know.
    pub(super) has_missed: bool,
}

impl<'a> Watch<'a> {
    /// Connects; without a connection at the begin there is nothing to go on with.
    pub(super) async fn open(broker: &'a Broker, place: &'a Place, form: Form) -> anyhow::Result<Self> {
        let tap = Tap::open(broker, place).await.map_err(|error| explain(error, place))?;
        let watch = Self {
            broker,
            place,
            form,
            tap: Some(tap),
            out: BufWriter::new(tokio::io::stdout()),
            pending: Vec::new(),
            seen: 0,
            has_missed: false,
        };
        watch.introduce()?;
        Ok(watch)
    }

    fn introduce(&self) -> io::Result<()> {
        let mut err = io::stderr();
        match self.place {
            Place::Exchange { name, keys } => {
                let keys = keys.iter().map(|key| words::plain(key)).collect::<Vec<_>>().join(", ");
                warn_of_losses(self.broker, self.place)?;
                writeln!(err, "looking at what passes exchange {}: {keys}", words::plain(name))
            }
            Place::Queue(name) => {
                let many = words::messages(self.tap.as_ref().map_or(0, Tap::left).into());
                writeln!(err, "looking at {many} in queue {}", words::plain(name))
            }
        }
    }

    /// Prints what comes until there are so many, or the queue is at its end.
    ///
    /// # Cancel safety
    ///
    /// What was seen is written by [`end`](Self::end).
    pub(super) async fn run(&mut self, count: Option<u64>) -> anyhow::Result<()> {
        while count.is_none_or(|count| self.seen < count) {
            match self.next().await? {
                Some(seen) => self.print(&seen).await?,
                None => break,
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> anyhow::Result<Option<Seen>> {
        loop {
            let Some(tap) = &mut self.tap else {
                self.connect().await?;
                continue;
            };
            let error = match tap.next().await {
                Ok(seen) => return Ok(seen),
                Err(error) => error,
            };
            self.tap = None;
            let is_passing = matches!(self.place, Place::Exchange { .. });
            if !(is_passing && error.may_pass()) {
                return Err(explain(error, self.place));
            }
            self.has_missed = true;
            writeln!(io::stderr(), "{}; trying again, what passes meanwhile is missed", Chain(&error))?;
        }
    }

    /// Tries for as long as it takes.
    async fn connect(&mut self) -> anyhow::Result<()> {
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        loop {
            backoff.pause().await;
            match Tap::open(self.broker, self.place).await {
                Ok(tap) => {
                    self.tap = Some(tap);
                    self.introduce()?;
                    return Ok(());
                }
                // A broker that has just started may not have declared everything yet.
                Err(error) if error.may_pass() => {}
                Err(error) => return Err(explain(error, self.place)),
            }
        }
    }

    async fn print(&mut self, seen: &Seen) -> io::Result<()> {
        self.seen += 1;
        self.pending.extend_from_slice(self.form.print(seen).as_bytes());
        self.write().await
    }

    /// Whoever waits for a line has it at once.
    async fn write(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            let written = self.out.write(&self.pending).await?;
            self.pending.drain(..written);
        }
        self.out.flush().await
    }

    /// Writes what is left, unless nobody reads it, and lets go of everything.
    pub(super) async fn end(mut self) -> Watched {
        // The line that was being written is finished; a terminal that stands still is not waited for.
        let rest = Deadline::after(LAST_LINE_WITHIN).limit(self.write()).await;
        drop(rest);
        if let Some(mut tap) = self.tap.take() {
            // A broker that does not answer any more knows of no loss.
            self.has_missed |= tap.has_missed().await.unwrap_or(false);
            // What is not closed politely ends with its socket all the same.
            tap.close().await.ok();
        }
        Watched { seen: self.seen, has_missed: self.has_missed }
    }
}

/// What to do about it.
fn explain(error: TapError, place: &Place) -> anyhow::Error {
    let is_passing = matches!(place, Place::Exchange { .. });
    let advice = if is_passing && matches!(error, TapError::Missing { what: "queue", .. }) {
        "broker.queue is not there: what passes would count as delivered because of us, and be lost"
    } else if is_passing && matches!(error, TapError::Missing { .. }) {
        "nothing to look at (broker.exchange names the exchange, and the daemon declares it when it starts)"
    } else if is_passing && matches!(error, TapError::Forbidden { .. }) {
        "the broker's user may not look (it has to configure, write and read what begins as the exchange's name does)"
    } else {
        return error.into();
    };
    anyhow::Error::from(error).context(advice)
}

const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(15);
const LAST_LINE_WITHIN: Duration = Duration::from_secs(1);

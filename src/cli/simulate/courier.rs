//! POSTs one after another, as Graph sends them: over one connection for as long as it lives, and a line for each.

use std::{
    io::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use clap::Args;
use serde::Serialize;

use super::{Outcome, Usage, advice::advice, file::BYTES_MAX, to::To};
use crate::{
    cli::words,
    deadline::Deadline,
    error::Chain,
    secret::Secret,
    simulate::{
        carried::Carried,
        consequence::Consequence,
        receiver::{Answer, PROMPT, Unreached},
        talk::Talk,
    },
};

/// How often and how POSTs are sent.
#[derive(Args, Debug)]
pub(in crate::cli) struct Sending {
    /// POSTs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) count: u32,
    /// Wait so long between two POSTs.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) pause: Option<Duration>,
    #[command(flatten)]
    pub(super) manner: Manner,
}

/// How POSTs are sent and told of.
#[derive(Args, Debug)]
pub(in crate::cli) struct Manner {
    /// Wait so long for an answer. Graph waits 3s, and receivers are held to that whatever is said here.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = humantime::parse_duration)]
    within: Duration,
    /// Print one JSON object for each POST.
    #[arg(long)]
    json: bool,
    /// Print what would be sent, one body on a line, and send nothing. The clientState stands in it.
    #[arg(long, conflicts_with_all = ["json", "within"])]
    print: bool,
}

/// Sends, tells of it, and keeps the sum.
pub(super) struct Courier {
    talk: Talk,
    within: Duration,
    is_json: bool,
    is_print: bool,
    pause: Option<Duration>,
    /// What is said when all is well.
    praise: &'static str,
    posts: u64,
    delivered: u64,
    faults: u64,
    is_advised: bool,
    count: Option<Count>,
}

/// How many items carried what receivers want to see.
struct Count {
    client_state: Option<Secret>,
    carried: Carried,
}

/// What is sent, as it is told of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parcel<'a> {
    /// What it is, if that differs from one POST to the next.
    pub(super) what: Option<&'a str>,
    /// Its items, if they are ours.
    pub(super) items: Option<usize>,
}

/// A POST as `--json` tells of it.
#[derive(Serialize)]
struct Told<'a> {
    post: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<usize>,
    status: Option<u16>,
    took_ms: Option<f64>,
    delivered: bool,
    consequence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tells: &'a [String],
}

/// What `--json` tells when all is sent.
#[derive(Serialize)]
struct Sum {
    posts: u64,
    delivered: u64,
    #[serde(flatten)]
    carried: Carried,
    note: String,
}

impl Courier {
    pub(super) fn new(to: &To, manner: &Manner) -> anyhow::Result<Self> {
        Ok(Self {
            talk: Talk::new(to.receiver()?),
            within: manner.within,
            is_json: manner.json,
            is_print: manner.print,
            pause: None,
            praise: "all delivered",
            posts: 0,
            delivered: 0,
            faults: 0,
            is_advised: false,
            count: None,
        })
    }

    pub(super) fn pausing(self, pause: Option<Duration>) -> Self {
        Self { pause, ..self }
    }

    pub(super) fn praising(self, praise: &'static str) -> Self {
        Self { praise, ..self }
    }

    /// Counts the items that carry this, and says so in the end.
    pub(super) fn counting(self, client_state: Option<Secret>) -> Self {
        Self { count: Some(Count { client_state, carried: Carried::default() }), ..self }
    }

    /// Sends a body and tells of it.
    pub(super) async fn send(&mut self, parcel: Parcel<'_>, body: Bytes) -> anyhow::Result<()> {
        if let Some(answer) = self.post(body).await? {
            self.tell(parcel, &answer, &[])?;
        }
        Ok(())
    }

    /// Sends a body, or prints it: then there is no answer.
    pub(super) async fn post(&mut self, body: Bytes) -> anyhow::Result<Option<Result<Answer, Unreached>>> {
        if body.len() as u64 > BYTES_MAX {
            return Err(TOO_LONG.into());
        }
        if self.is_print {
            let mut out = io::stdout().lock();
            out.write_all(&body)?;
            writeln!(out)?;
            return Ok(None);
        }
        if let Some(pause) = self.pause.filter(|_| self.posts > 0) {
            Deadline::after(pause).passed().await;
        }
        self.posts += 1;
        if let Some(Count { client_state, carried }) = &mut self.count {
            carried.add(&body, client_state.as_ref());
        }
        Ok(Some(self.talk.notify(body, self.within).await))
    }

    /// Tells of an answer, and of what it tells a forger.
    pub(super) fn tell(
        &mut self,
        parcel: Parcel<'_>,
        answer: &Result<Answer, Unreached>,
        tells: &[String],
    ) -> anyhow::Result<()> {
        let consequence = Consequence::of(answer, PROMPT);
        self.delivered += u64::from(consequence.is_delivered());
        self.faults += u64::from(!tells.is_empty());
        let mut out = io::stdout().lock();
        if self.is_json {
            let told = Told {
                post: self.posts,
                what: parcel.what,
                items: parcel.items,
                status: answer.as_ref().ok().map(|answer| answer.status.as_u16()),
                took_ms: answer.as_ref().ok().map(millis),
                delivered: consequence.is_delivered(),
                consequence: consequence.to_string(),
                error: answer.as_ref().err().map(|error| Chain(error).to_string()),
                tells,
            };
            writeln!(out, "{}", serde_json::to_string(&told)?)?;
        } else {
            writeln!(out, "{}", line(parcel, answer, consequence, tells))?;
        }
        out.flush()?;
        drop(out);
        self.advise(answer)
    }

    /// Once is enough.
    fn advise(&mut self, answer: &Result<Answer, Unreached>) -> anyhow::Result<()> {
        let Err(error) = answer else { return Ok(()) };
        if let Some(advice) = advice(error, self.talk.url()).filter(|_| !self.is_advised) {
            self.is_advised = true;
            writeln!(io::stderr(), "graphhook: {advice}")?;
        }
        Ok(())
    }

    /// The sum, and what it means.
    pub(super) fn conclude(self) -> anyhow::Result<Outcome> {
        let is_good = self.delivered == self.posts && self.faults == 0;
        if !self.is_json && !self.is_print {
            let posts = words::number(self.posts, "POST");
            let mut sum = match self.posts - self.delivered {
                0 if self.faults > 0 => format!("{posts}: all answered 2xx in time"),
                0 => format!("{posts}: {}", self.praise),
                missing => format!("{posts}: {} delivered, {missing} not", self.delivered),
            };
            if self.faults > 0 {
                sum += &format!("; {} told a forger something", words::number(self.faults, "answer"));
            }
            writeln!(io::stdout().lock(), "{sum}")?;
        }
        if let Some(Count { carried, .. }) = self.count.filter(|_| !self.is_print) {
            let note = carried.to_string();
            let mut out = io::stdout().lock();
            if self.is_json {
                let sum = Sum { posts: self.posts, delivered: self.delivered, carried, note };
                writeln!(out, "{}", serde_json::to_string(&sum)?)?;
            } else {
                writeln!(out, "{note}")?;
            }
        }
        Ok(if is_good { Outcome::Good } else { Outcome::Bad })
    }
}

/// Whether so many items of this length can be in a POST, before they are made.
pub(super) fn fits(items: u32, bytes: usize) -> Result<(), Usage> {
    if u64::from(items) * bytes as u64 > BYTES_MAX { Err(TOO_LONG) } else { Ok(()) }
}

/// Says it when items are longer than they were asked to be.
pub(super) fn check_size(items: &[String], asked: usize) -> io::Result<()> {
    let longest = items.iter().map(String::len).max().unwrap_or_default();
    if asked == 0 || longest <= asked {
        return Ok(());
    }
    writeln!(io::stderr(), "graphhook: --size makes nothing shorter: an item has {longest} bytes as it is")
}

/// To the microsecond.
pub(super) fn millis(answer: &Answer) -> f64 {
    answer.took.as_micros() as f64 / 1_000.0
}

fn line(
    Parcel { what, items }: Parcel<'_>,
    answer: &Result<Answer, Unreached>,
    consequence: Consequence,
    tells: &[String],
) -> String {
    let mut line = what.map_or(String::new(), |what| format!("{what:<WHAT_COLUMNS$}  "));
    line += &match answer {
        Ok(answer) => format!("{}  {:>6.1} ms  ", answer.status.as_u16(), millis(answer)),
        Err(_) => "---          -  ".to_owned(),
    };
    if let Some(items) = items {
        line += &format!("{}  ", words::number(items as u64, "item"));
    }
    line += &consequence.to_string();
    if let Err(error) = answer
        && !matches!(consequence, Consequence::Unknown { .. })
    {
        line += &format!(" ({})", words::plain(&Chain(error).to_string()));
    }
    if !tells.is_empty() {
        line += &format!("; but a forger sees {}", words::plain(&tells.join(", ")));
    }
    line
}

const TOO_LONG: Usage = Usage("a POST has 64 MiB at most: fewer or smaller items");
/// The longest name of a lifecycle event.
const WHAT_COLUMNS: usize = 23;

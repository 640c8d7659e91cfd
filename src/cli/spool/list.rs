//! `graphhook spool list`

use std::{
    io::{self, BufWriter, Write},
    time::SystemTime,
};

use clap::Args;
use serde::Serialize;

use super::{Outcome, Place, patiently};
use crate::{
    cli::words,
    config::Environment,
    delivery::spool::{
        record::Record,
        store::{Found, Limit, spooled_at},
        trouble::{Retry, Trouble},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// At most so many lines.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only messages behind this one.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    /// Only messages that the broker did not want.
    #[arg(long)]
    trouble: bool,
    /// Print JSON lines, one object for each message.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { place, limit, mut after, trouble, json } = arguments;
    let store = place.open(environment)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut left = limit;
    loop {
        // One more than is wanted tells whether there are more.
        let page = Limit { items: left.saturating_add(1).min(PAGE.items), ..PAGE };
        let found = patiently(|| match trouble {
            true => store.parked(after, page),
            false => store.list(after, page),
        });
        let found = found.await?;
        if found.is_empty() {
            break;
        }
        if left == 0 {
            out.flush()?;
            writeln!(io::stderr(), "there are more: --after {after}")?;
            break;
        }
        for (found, trouble) in found.iter().take(left) {
            let line = Line::of(found, trouble.as_ref());
            match json {
                true => writeln!(out, "{}", serde_json::to_string(&line)?)?,
                false => line.print(&mut out, trouble.as_ref())?,
            }
            after = found.seq;
            left -= 1;
        }
    }
    out.flush()?;
    Ok(Outcome::Good)
}

/// What is told of a message without its body.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    seq: u64,
    spooled_at: String,
    /// These four are absent when the message cannot be read.
    message_id: Option<&'a str>,
    routing_key: Option<&'a str>,
    body_bytes: Option<usize>,
    readable: bool,
    trouble: Option<InTrouble>,
}

#[derive(Serialize)]
pub(super) struct InTrouble {
    fault: &'static str,
    attempts: u32,
    since: String,
    /// Null for what is set aside.
    retry_at: Option<String>,
}

impl<'a> Line<'a> {
    pub(super) fn of(found: &'a Found, trouble: Option<&Trouble>) -> Self {
        let record = found.record.as_ref();
        Self {
            seq: found.seq,
            spooled_at: words::time(spooled_at(found.seq)),
            message_id: record.map(|record| record.message_id.as_str()),
            routing_key: record.map(|record| record.routing_key.as_str()),
            body_bytes: record.map(|Record { body, .. }| body.len()),
            readable: record.is_some(),
            trouble: trouble.map(InTrouble::of),
        }
    }

    fn print(&self, out: &mut impl Write, trouble: Option<&Trouble>) -> io::Result<()> {
        write!(out, "{}  {}", self.seq, self.spooled_at)?;
        match (self.message_id, self.routing_key, self.body_bytes) {
            (Some(id), Some(key), Some(bytes)) => {
                write!(
                    out,
                    "  {:>9}  {}  {}",
                    words::bytes(bytes as u64),
                    words::plain(id),
                    words::plain(key)
                )?;
            }
            _ => write!(out, "  unreadable")?,
        }
        match trouble {
            None => writeln!(out),
            Some(trouble) => writeln!(out, "  ({})", in_words(trouble, SystemTime::now())),
        }
    }
}

impl InTrouble {
    fn of(trouble: &Trouble) -> Self {
        Self {
            fault: trouble.fault.as_str(),
            attempts: trouble.attempts,
            since: words::time(trouble.since),
            retry_at: match trouble.retry {
                Retry::At(at) => Some(words::time(at)),
                Retry::SetAside => None,
            },
        }
    }
}

/// `returned, 3 tries, next in 4 s`
pub(super) fn in_words(trouble: &Trouble, now: SystemTime) -> String {
    let Trouble { fault, attempts, retry, .. } = trouble;
    let next = match retry {
        Retry::SetAside => "set aside".to_owned(),
        Retry::At(at) => match at.duration_since(now) {
            Ok(wait) => format!("next in {}", words::age(wait)),
            Err(_) => "due".to_owned(),
        },
    };
    let tries = if *attempts == 1 { "try" } else { "tries" };
    format!("{}, {attempts} {tries}, {next}", fault.as_str())
}

/// Read at once.
const PAGE: Limit = Limit { items: 256, bytes: 4 << 20 };

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::spool::trouble::Fault;

    #[test]
    fn trouble_is_told_in_words() {
        let now = SystemTime::now();
        let at = |retry| in_words(&Trouble { fault: Fault::Returned, attempts: 2, since: now, retry }, now);
        assert_eq!(at(Retry::At(now + Duration::from_secs(61))), "returned, 2 tries, next in 1 min 1 s");
        assert_eq!(at(Retry::At(now - Duration::from_secs(1))), "returned, 2 tries, due");
        assert_eq!(at(Retry::SetAside), "returned, 2 tries, set aside");
    }
}

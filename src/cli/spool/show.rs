//! `graphhook spool show`

use std::{
    io::{self, Write},
    time::SystemTime,
};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Outcome,
    list::{Line, in_words},
};
use crate::{
    cli::words,
    delivery::spool::{
        record::Record,
        store::{Found, Store},
        trouble::Trouble,
    },
    notification::mask::masked,
};

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    line: Line<'a>,
    /// As they are in the spool.
    properties: Option<&'a RawValue>,
    /// The item, without its secret; null if it is no JSON.
    body: Option<Box<RawValue>>,
}

pub(super) fn run(store: &Store, seq: u64, json: bool) -> anyhow::Result<Outcome> {
    let Some((found, trouble)) = store.get(seq)? else {
        anyhow::bail!("there is no message {seq} in the spool: it was delivered, purged, or never there");
    };
    let mut out = io::stdout().lock();
    if json {
        let record = found.record.as_ref();
        let shown = Shown {
            line: Line::of(&found, trouble.as_ref()),
            properties: record.and_then(|record| serde_json::from_str(&record.properties).ok()),
            body: record.and_then(body).and_then(|body| RawValue::from_string(body).ok()),
        };
        writeln!(out, "{}", serde_json::to_string(&shown)?)?;
    } else {
        print(&mut out, &found, trouble.as_ref())?;
    }
    Ok(super::judged(found.record.is_some()))
}

fn print(out: &mut impl Write, found: &Found, trouble: Option<&Trouble>) -> io::Result<()> {
    let mut line = |name: &str, value: &str| writeln!(out, "{name:<12}{}", words::plain(value));
    line("seq", &found.seq.to_string())?;
    line("spooled", &words::time(crate::delivery::spool::store::spooled_at(found.seq)))?;
    if let Some(trouble) = trouble {
        line("trouble", &in_words(trouble, SystemTime::now()))?;
        line("since", &words::time(trouble.since))?;
    }
    let Some(record) = &found.record else {
        return line("body", "unreadable: what stands here is not what was written");
    };
    line("message_id", &record.message_id)?;
    line("routing_key", &record.routing_key)?;
    match record.envelope() {
        Err(_) => line("properties", &record.properties)?,
        Ok(envelope) => {
            line("type", envelope.properties.kind.as_str())?;
            line("timestamp", &envelope.properties.timestamp.to_string())?;
            for (name, value) in &envelope.properties.headers {
                line("header", &format!("{name}: {value}"))?;
            }
        }
    }
    line("bytes", &record.body.len().to_string())?;
    line("body", &body(record).unwrap_or_else(|| "not shown: it is no JSON".to_owned()))
}

fn body(record: &Record) -> Option<String> {
    masked(std::str::from_utf8(&record.body).ok()?)
}

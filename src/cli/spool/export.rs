//! `graphhook spool export`

use std::io::{self, Write};

use clap::Args;

use super::{Outcome, Place, open, patiently};
use crate::{
    cli::{
        capture::{
            Body, Captured, Secrets,
            file::{Output, Sink},
        },
        words,
    },
    config::Environment,
    delivery::spool::{
        inspect::hidden,
        record::Record,
        store::{Limit, Store, spooled_at},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    output: Output,
    /// Mask clientState; a body that is no JSON is left out.
    #[arg(long)]
    redact: bool,
}

pub(super) const HELP: &str = "\
Each line is an object: seq, spooled_at, message_id, routing_key, type,
timestamp, headers, and body as a string, or body_base64 if it is not UTF-8.
Bodies are complete, and so contain clientState, unless --redact is given:
keep the file as you keep the secret. graphhook replay sends it again. A message
that cannot be read is left out, and the exit code is 1; so it is when damage may
hide messages.

Example:
  graphhook spool export --output /root/spool.jsonl";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { place, output, redact } = arguments;
    let directory = place.find(environment)?.directory;
    let store = open(&directory)?;
    let mut sink = output.open()?;
    let Counted { written, unreadable } = write(&store, &mut sink, Secrets::of(redact)).await?;
    sink.keep()?;
    writeln!(io::stderr(), "exported {}", words::messages(written))?;
    if unreadable > 0 {
        writeln!(io::stderr(), "{} cannot be read: graphhook spool verify", words::messages(unreadable))?;
    }
    let hidden = hidden(&directory)?;
    if let Some(why) = hidden {
        writeln!(io::stderr(), "this may not be all of the spool: {why}")?;
    }
    Ok(super::judged(unreadable == 0 && hidden.is_none()))
}

#[derive(Default)]
struct Counted {
    written: u64,
    unreadable: u64,
}

/// Page by page: no long look at the file stands in the daemon's way.
async fn write(store: &Store, sink: &mut Sink, secrets: Secrets) -> anyhow::Result<Counted> {
    let (mut counted, mut after) = (Counted::default(), 0);
    loop {
        let found = patiently(|| store.list(after, PAGE)).await?;
        let Some((last, _)) = found.last() else { break };
        after = last.seq;
        for (found, _) in &found {
            match found.record.as_ref().and_then(|record| line(found.seq, record, secrets)) {
                Some(line) => {
                    sink.line(&line)?;
                    counted.written += 1;
                }
                None => counted.unreadable += 1,
            }
        }
    }
    Ok(counted)
}

fn line(seq: u64, record: &Record, secrets: Secrets) -> Option<String> {
    let properties = record.envelope().ok()?.properties;
    let captured = Captured {
        seq: Some(seq),
        spooled_at: Some(words::time(spooled_at(seq))),
        message_id: Some(&record.message_id),
        routing_key: &record.routing_key,
        kind: Some(properties.kind.as_str()),
        timestamp: Some(properties.timestamp),
        exchange: None,
        headers: properties.headers.iter().map(|(name, value)| (&**name, value.as_str())).collect(),
        body: Body::of(&record.body, secrets),
    };
    Some(captured.line())
}

/// Read at once.
const PAGE: Limit = Limit { items: 256, bytes: 4 << 20 };

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(body: &[u8], redact: bool) -> serde_json::Value {
        let record = Record {
            message_id: "m".to_owned(),
            routing_key: "k".to_owned(),
            properties: r#"{"type":"notification","timestamp":7,"headers":[["a","b"]]}"#.to_owned(),
            body: body.to_vec().into(),
        };
        serde_json::from_str(&line(1, &record, Secrets::of(redact)).expect("a message")).expect("JSON")
    }

    #[test]
    fn a_body_is_exact_or_masked() {
        let body = r#"{ "clientState": "hunter2" }"#;
        assert_eq!(exported(body.as_bytes(), false)["body"], body);
        assert_eq!(exported(body.as_bytes(), true)["body"], r#"{ "clientState": "[secret]" }"#);
        assert_eq!(exported(b"\xff", false)["body_base64"], "/w==");
        assert!(exported(b"\xff", true)["body"].is_null());
        assert_eq!(exported(b"{}", false)["headers"]["a"], "b");
    }
}

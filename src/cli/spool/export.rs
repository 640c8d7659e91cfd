//! `graphhook spool export`

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::{Outcome, Place, open, patiently};
use crate::{
    cli::words,
    config::Environment,
    delivery::spool::{
        inspect::hidden,
        record::Record,
        store::{Limit, Store, spooled_at},
    },
    notification::mask::masked,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Write to this file, which nobody else can read, instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if there is one.
    #[arg(long, requires = "output")]
    force: bool,
    /// Mask clientState; a body that is no JSON is left out.
    #[arg(long)]
    redact: bool,
}

pub(super) const HELP: &str = "\
Each line is an object: seq, spooled_at, message_id, routing_key, type,
timestamp, headers, and body as a string, or body_base64 if it is not UTF-8.
Bodies are complete, and so contain clientState, unless --redact is given:
keep the file as you keep the secret. A message that cannot be read is left
out, and the exit code is 1; so it is when damage may hide messages.

Example:
  graphhook spool export --output /root/spool.jsonl";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { place, output, force, redact } = arguments;
    let directory = place.find(environment)?.directory;
    let store = open(&directory)?;
    let Counted { written, unreadable } = match &output {
        None => write(&store, io::stdout().lock(), redact).await?,
        Some(path) => {
            // Under its name only when it is whole: a copy that broke off replaces no good one.
            let file = fresh(path, force)?;
            let counted = write(&store, &file, redact).await?;
            keep(file, path, force)?;
            counted
        }
    };
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

#[derive(Serialize)]
struct Exported<'a> {
    seq: u64,
    spooled_at: String,
    message_id: &'a str,
    routing_key: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    timestamp: u64,
    headers: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
enum Body<'a> {
    #[serde(rename = "body")]
    Text(&'a str),
    #[serde(rename = "body")]
    Masked(Option<String>),
    #[serde(rename = "body_base64")]
    Base64(String),
}

/// Page by page: no long look at the file stands in the daemon's way.
async fn write(store: &Store, out: impl Write, redact: bool) -> anyhow::Result<Counted> {
    let mut out = BufWriter::new(out);
    let (mut counted, mut after) = (Counted::default(), 0);
    loop {
        let found = patiently(|| store.list(after, PAGE)).await?;
        let Some((last, _)) = found.last() else { break };
        after = last.seq;
        for (found, _) in &found {
            match found.record.as_ref().and_then(|record| line(found.seq, record, redact)) {
                Some(line) => {
                    writeln!(out, "{line}")?;
                    counted.written += 1;
                }
                None => counted.unreadable += 1,
            }
        }
    }
    out.flush()?;
    Ok(counted)
}

fn line(seq: u64, record: &Record, redact: bool) -> Option<String> {
    let properties = record.envelope().ok()?.properties;
    let text = std::str::from_utf8(&record.body);
    let body = match text {
        _ if redact => Body::Masked(text.ok().and_then(masked)),
        Ok(text) => Body::Text(text),
        Err(_) => Body::Base64(base64(&record.body)),
    };
    let exported = Exported {
        seq,
        spooled_at: words::time(spooled_at(seq)),
        message_id: &record.message_id,
        routing_key: &record.routing_key,
        kind: properties.kind.as_str(),
        timestamp: properties.timestamp,
        headers: properties.headers.iter().map(|(name, value)| (&**name, value.as_str())).collect(),
        body,
    };
    Some(serde_json::to_string(&exported).expect("strings and numbers are always JSON"))
}

fn fresh(path: &Path, force: bool) -> anyhow::Result<NamedTempFile> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.is_file() => anyhow::bail!("{} is no regular file", path.display()),
        Ok(_) if !force => anyhow::bail!("{} is there already: --force replaces it", path.display()),
        Ok(_) | Err(_) => {}
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let file = NamedTempFile::new_in(directory.unwrap_or(Path::new(".")));
    file.with_context(|| format!("cannot write beside {}", path.display()))
}

fn keep(file: NamedTempFile, path: &Path, force: bool) -> anyhow::Result<()> {
    file.as_file().sync_all()?;
    let kept = if force { file.persist(path) } else { file.persist_noclobber(path) };
    kept.map_err(|error| error.error).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() { digit.into() } else { '=' });
        }
    }
    text
}

/// Read at once.
const PAGE: Limit = Limit { items: 256, bytes: 4 << 20 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    fn exported(body: &[u8], redact: bool) -> serde_json::Value {
        let record = Record {
            message_id: "m".to_owned(),
            routing_key: "k".to_owned(),
            properties: r#"{"type":"notification","timestamp":7,"headers":[["a","b"]]}"#.to_owned(),
            body: body.to_vec().into(),
        };
        serde_json::from_str(&line(1, &record, redact).expect("a message")).expect("JSON")
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

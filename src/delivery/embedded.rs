//! The way out of the spool in `dev`: messages become JSON lines on a stream instead of messages at a broker.

use std::io;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::spool::{Spool, store::Limit};
use crate::envelope::Envelope;

/// One message as a line shows it: what a consumer would get.
#[derive(Debug, Serialize)]
struct Line<'a> {
    routing_key: &'a str,
    message_id: &'a str,
    r#type: &'a str,
    timestamp: u64,
    headers: std::collections::BTreeMap<&'a str, &'a str>,
    body: Box<RawValue>,
}

/// Writes what the spool gives, one line each, for as long as the output takes it. A message leaves the spool
/// when its line has been flushed; `written` hears of it.
///
/// # Errors
///
/// Whatever the output says; what was not flushed stays in the spool.
pub async fn drain<W: AsyncWrite + Unpin>(
    spool: Spool,
    mut output: W,
    mut written: impl FnMut(&Envelope),
) -> io::Result<()> {
    loop {
        let batch = spool.take(AT_ONCE).await;
        if batch.is_empty() {
            spool.arrived().await;
            continue;
        }
        let mut lines = Vec::new();
        for outgoing in &batch {
            serde_json::to_writer(&mut lines, &line(&outgoing.envelope)?)?;
            lines.push(b'\n');
        }
        output.write_all(&lines).await?;
        output.flush().await?;
        for outgoing in batch {
            written(&outgoing.envelope);
            outgoing.held.delivered();
        }
    }
}

fn line(envelope: &Envelope) -> io::Result<Line<'_>> {
    // Strings of JSON hold no line breaks of their own, so all that stand here are between its tokens.
    let body = String::from_utf8_lossy(&envelope.body).replace(['\n', '\r'], " ");
    Ok(Line {
        routing_key: envelope.routing_key.as_str(),
        message_id: envelope.message_id.as_str(),
        r#type: envelope.properties.kind.as_str(),
        timestamp: envelope.properties.timestamp,
        headers: envelope.properties.headers.iter().map(|(name, value)| (&**name, value.as_str())).collect(),
        body: RawValue::from_string(body)?,
    })
}

const AT_ONCE: Limit = Limit { items: 64, bytes: 1 << 20 };

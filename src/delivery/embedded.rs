//! The queue inside `dev`: messages become JSON lines on a stream instead of messages at a broker.

use std::io;

use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
};

use super::{Receipts, Undeliverable};
use crate::{
    deadline::{Deadline, Elapsed},
    envelope::Envelope,
};

/// The way into the queue.
#[derive(Clone, Debug)]
pub struct Embedded {
    requests: mpsc::Sender<Request>,
}

/// The other end: writes the lines.
pub struct Lines<W, F> {
    requests: mpsc::Receiver<Request>,
    output: W,
    written: F,
}

#[derive(Debug)]
struct Request {
    envelopes: Vec<Envelope>,
    written: oneshot::Sender<Receipts>,
}

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

/// A queue that ends in `output`; `written` hears of every message that has got there.
pub fn queue<W: AsyncWrite + Unpin, F: FnMut(&Envelope)>(output: W, written: F) -> (Embedded, Lines<W, F>) {
    let (sender, requests) = mpsc::channel(REQUESTS_MAX);
    (Embedded { requests: sender }, Lines { requests, output, written })
}

impl Embedded {
    pub(super) async fn deliver(
        &self,
        envelopes: Vec<Envelope>,
        owed: Deadline,
    ) -> Result<Receipts, Undeliverable> {
        let (written, told) = oneshot::channel();
        let send = self.requests.send(Request { envelopes, written });
        owed.limit(send).await.map_err(|Elapsed| Undeliverable::Full)?.map_err(|_| Undeliverable::Away)?;
        owed.limit(told)
            .await
            .map_err(|Elapsed| Undeliverable::Unconfirmed)?
            .map_err(|_| Undeliverable::Closed)
    }
}

impl<W: AsyncWrite + Unpin, F: FnMut(&Envelope)> Lines<W, F> {
    /// Writes until the other end is gone. A receipt is given when the lines have been flushed.
    ///
    /// # Errors
    ///
    /// Whatever the output says; nothing that was not flushed has a receipt.
    pub async fn run(mut self) -> io::Result<()> {
        while let Some(Request { envelopes, written }) = self.requests.recv().await {
            let mut lines = Vec::new();
            for envelope in &envelopes {
                serde_json::to_writer(&mut lines, &line(envelope)?)?;
                lines.push(b'\n');
            }
            self.output.write_all(&lines).await?;
            self.output.flush().await?;
            envelopes.iter().for_each(&mut self.written);
            // A request that no longer waits has its line all the same.
            drop(written.send(Receipts { published: envelopes.len() }));
        }
        Ok(())
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
        headers: envelope.properties.headers.iter().map(|(name, value)| (*name, value.as_str())).collect(),
        body: RawValue::from_string(body)?,
    })
}

/// Requests waiting for their lines to be written.
const REQUESTS_MAX: usize = 64;

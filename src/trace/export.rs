//! From finished spans to a collector: a bounded queue, batches, OTLP over HTTP.
//!
//! Whoever finishes a span puts it into the queue or, when that is full, counts it as dropped; nobody on the road ever
//! waits. A collector that is away costs a batch after a few tries, and spans that find no room meanwhile.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Moment, Place, Sample, otlp,
    span::{self, Fate, Span, Way},
};
use crate::{
    backoff::Backoff,
    client::{Client, Unanswered},
    config::{Collector, Traces},
    deadline::{Deadline, Elapsed},
    envelope::Envelope,
    error::Chain,
    metrics::Metrics,
};

/// Takes finished spans, if somebody collects them.
#[derive(Clone, Debug)]
pub struct Tracer {
    sample: Sample,
    way: Option<Arc<In>>,
}

/// The way into the queue.
#[derive(Debug)]
struct In {
    spans: mpsc::Sender<Span>,
    exchange: String,
    metrics: Arc<Metrics>,
}

/// Looks at messages from one moment on.
#[derive(Debug)]
pub(crate) struct Watch<'a>(Option<(&'a In, Moment)>);

/// A message of the spool that is sent once more.
#[derive(Debug)]
pub(crate) struct Again {
    envelope: Arc<Envelope>,
    place: Place,
    begun: Moment,
}

/// The task that hands spans to the collector.
#[derive(Debug)]
pub struct Exporter {
    spans: mpsc::Receiver<Span>,
    collector: Collector,
    host: Option<String>,
    /// Made anew after a failure, so that it believes what is believed then.
    client: Option<Client>,
    is_failing: bool,
    /// Spans that are being exported.
    in_hand: usize,
    metrics: Arc<Metrics>,
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("the collector answers {0}")]
    Status(StatusCode),
}

impl ExportError {
    /// Whether the same batch may be taken later (OTLP, "Retryable Response Codes").
    fn may_pass(&self) -> bool {
        match self {
            Self::Unanswered(_) => true,
            Self::Status(status) => matches!(status.as_u16(), 429 | 502..=504),
        }
    }
}

impl Tracer {
    /// A tracer for messages of this exchange; and the task it needs, if there is a collector.
    pub fn new(
        traces: &Traces,
        exchange: &str,
        host: Option<String>,
        metrics: &Arc<Metrics>,
    ) -> (Self, Option<Exporter>) {
        let Some(collector) = traces.collector.clone() else { return (Self::idle(traces.sample), None) };
        let (sender, spans) = mpsc::channel(QUEUE_MAX);
        let way = In { spans: sender, exchange: exchange.to_owned(), metrics: Arc::clone(metrics) };
        let metrics = Arc::clone(metrics);
        let exporter =
            Exporter { spans, collector, host, client: None, is_failing: false, in_hand: 0, metrics };
        (Self { sample: traces.sample, way: Some(Arc::new(way)) }, Some(exporter))
    }

    /// A tracer that hands nothing to anybody.
    pub fn idle(sample: Sample) -> Self {
        Self { sample, way: None }
    }

    pub(super) fn is_on(&self) -> bool {
        self.way.is_some()
    }

    pub(super) fn sample(&self) -> Sample {
        self.sample
    }

    pub(super) fn send(&self, span: Span) {
        if let Some(way) = &self.way {
            way.send(span);
        }
    }

    /// The messages of a request begin their way.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch(self.way.as_deref().map(|way| (way, Moment::now())))
    }

    /// A message of the spool begins its way.
    pub(crate) fn again(&self, envelope: &Arc<Envelope>) -> Option<Again> {
        self.way.as_ref()?;
        let place = Place::below(envelope)?;
        Some(Again { envelope: Arc::clone(envelope), place, begun: Moment::now() })
    }

    /// It has come to this end.
    pub(crate) fn ended(&self, again: Again, fate: Fate<'_>) {
        if let Some(way) = &self.way {
            let Again { envelope, place, begun } = again;
            way.send(span::message(&envelope, place, Way::Spool, &way.exchange, begun, fate));
        }
    }
}

impl Watch<'_> {
    /// A message has come to this end.
    pub(crate) fn ended(&self, envelope: &Envelope, fate: Fate<'_>) {
        if let (Some((way, begun)), Some(place)) = (self.0, envelope.trace) {
            way.send(span::message(envelope, place, Way::Request, &way.exchange, begun, fate));
        }
    }
}

impl In {
    fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.metrics.traces_dropped.inc();
        }
    }
}

impl Exporter {
    /// Works until `stop`; then what is there has a moment to be taken.
    pub async fn run(mut self, stop: CancellationToken) {
        let overdue = async {
            stop.cancelled().await;
            Deadline::after(FLUSH_WITHIN).passed().await;
        };
        tokio::select! {
            () = self.work(&stop) => {}
            () = overdue => info!("the collector was too slow for the last spans"),
        }
    }

    async fn work(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let batch = self.gather(stop).await;
            self.export(batch, stop).await;
        }
        while !self.spans.is_empty() {
            let mut batch = Vec::new();
            self.spans.recv_many(&mut batch, BATCH_MAX).await;
            self.export(batch, stop).await;
        }
    }

    /// What is to be sent together: as much as has come some seconds after the first, or a full batch.
    async fn gather(&mut self, stop: &CancellationToken) -> Vec<Span> {
        let mut batch = Vec::new();
        let spans = &mut self.spans;
        let gathered = async {
            if spans.recv_many(&mut batch, BATCH_MAX).await == 0 {
                // Nobody is left who could send one.
                return stop.cancelled().await;
            }
            let rest = async {
                loop {
                    let room = BATCH_MAX - batch.len();
                    if room == 0 || spans.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            let (Ok(()) | Err(Elapsed)) = Deadline::after(BATCH_WITHIN).limit(rest).await;
        };
        let (Some(()) | None) = stop.run_until_cancelled(gathered).await;
        batch
    }

    /// Has the collector take a batch, or gives it up. While the daemon stops there is one try.
    async fn export(&mut self, batch: Vec<Span>, stop: &CancellationToken) {
        if batch.is_empty() {
            return;
        }
        self.in_hand = batch.len();
        let taken = self.have_taken(&batch, stop).await.min(batch.len());
        self.metrics.traces_exported.inc_by(taken as u64);
        self.metrics.traces_dropped.inc_by((batch.len() - taken) as u64);
        self.in_hand = 0;
    }

    /// How many of a batch the collector has taken.
    async fn have_taken(&mut self, batch: &[Span], stop: &CancellationToken) -> usize {
        let body = Bytes::from(otlp::request(batch, self.host.as_deref()));
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        for left in (0..TRIES).rev() {
            match self.post(body.clone()).await {
                Ok(rejected) => {
                    self.succeeds();
                    return batch.len().saturating_sub(rejected);
                }
                Err(error) => {
                    self.client = None;
                    self.fails(&error);
                    let is_over = left == 0 || !error.may_pass();
                    if is_over || stop.run_until_cancelled(backoff.pause()).await.is_none() {
                        return 0;
                    }
                }
            }
        }
        0
    }

    async fn post(&mut self, body: Bytes) -> Result<usize, ExportError> {
        let client = match self.client.take() {
            Some(client) => client,
            None if self.collector.endpoint.scheme_str() == Some("http") => Client::http(),
            None => Client::https(self.collector.ca_file.clone(), CA_FILE).await?,
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.collector.endpoint.clone();
        *request.headers_mut() = self.collector.headers.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = client.send(request, EXPORT_WITHIN).await?;
        if !answer.status().is_success() {
            return Err(ExportError::Status(answer.status()));
        }
        self.client = Some(client);
        Ok(otlp::rejected(answer.body()))
    }

    /// One line when it begins to fail, and one when it is over.
    fn fails(&mut self, error: &ExportError) {
        if std::mem::replace(&mut self.is_failing, true) {
            debug!(error = %Chain(error), "spans are still not exported");
        } else {
            warn!(event = "traces_not_exported", error = %Chain(error), "spans are not exported; those that wait too long are dropped");
        }
    }

    fn succeeds(&mut self) {
        if std::mem::replace(&mut self.is_failing, false) {
            info!("spans are exported again");
        }
    }
}

impl Drop for Exporter {
    /// Those that were too late.
    fn drop(&mut self) {
        self.metrics.traces_dropped.inc_by((self.spans.len() + self.in_hand) as u64);
    }
}

/// The setting of the authorities to believe.
const CA_FILE: &str = "traces.ca_file";
/// Spans that wait; each takes about a KiB.
const QUEUE_MAX: usize = 4096;
/// Spans of one request to the collector; as many as OpenTelemetry's own exporters send.
const BATCH_MAX: usize = 512;
/// Time from a span to its export, at most, while the collector takes them.
const BATCH_WITHIN: Duration = Duration::from_secs(5);
const EXPORT_WITHIN: Duration = Duration::from_secs(5);
/// Tries for a batch: a collector that is restarted loses none.
const TRIES: u32 = 4;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// Time for the last spans when the daemon stops.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

//! The second listener, for the operator: `/livez`, `/readyz`, `/metrics`, `/status`. No secrets in any of them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    acme::{Standing, Standings},
    delivery::{Delivery, State, spool::State as Spool},
    listener::{
        accept_few,
        socket::{Socket, Stream},
        tls::{Identity, Served},
    },
    metrics::{self, Books, Metrics, throttling::Outlook},
    sightings::{Overview, Sightings},
};

/// What the admin listener can tell.
#[derive(Debug)]
pub struct Admin {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The broker's state.
    pub delivery: Arc<Delivery>,
    /// The subscriptions that were seen.
    pub sightings: Arc<Sightings>,
    /// Addresses of the public listener.
    pub addresses: Vec<String>,
    /// Certificates of the public listener, if it has any.
    pub served: Option<Arc<Served>>,
    /// How it stands with its domains, if the daemon obtains certificates itself.
    pub acme: Option<Standings>,
    /// What has changed since the start, or would not.
    pub news: watch::Receiver<News>,
    /// Start of the process.
    pub started: SystemTime,
    /// Cancelled when the daemon begins to stop.
    pub stopping: CancellationToken,
}

/// What has changed since the start, or would not.
#[derive(Debug, Default)]
pub struct News {
    /// The last reload, if there was one.
    pub last_reload: Option<Reload>,
    /// Certificate files whose content is not what is served, and why.
    pub refused_certificates: BTreeMap<PathBuf, String>,
}

/// A reload of the configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Reload {
    at: String,
    ok: bool,
    message: String,
}

impl Reload {
    /// One that began `at` this time. What it was refused for never quotes a value.
    pub fn new(at: SystemTime, ok: bool, message: String) -> Self {
        Self { at: humantime::format_rfc3339_seconds(at).to_string(), ok, message }
    }

    /// Whether it is in force.
    pub fn is_taken(&self) -> bool {
        self.ok
    }
}

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    started_at: String,
    ready: bool,
    stopping: bool,
    listeners: &'a [String],
    broker: Part,
    spool: SpoolStatus,
    notifications: Books,
    graph: Outlook,
    subscriptions: Overview,
    certificates: Vec<Certificate>,
    /// Absent unless `server.tls.mode` is `acme`.
    #[serde(skip_serializing_if = "Option::is_none")]
    acme: Option<Vec<Standing>>,
    last_reload: Option<Reload>,
}

#[derive(Serialize)]
struct Part {
    state: &'static str,
}

#[derive(Serialize)]
struct SpoolStatus {
    state: &'static str,
    items: i64,
    parked_items: i64,
    set_aside_items: i64,
    bytes: i64,
    max_bytes: i64,
    oldest_item_at: Option<String>,
}

#[derive(Serialize)]
struct Certificate {
    hosts: Vec<String>,
    not_after: i64,
    file: Option<PathBuf>,
    /// Why what stands in the file is not served.
    refused: Option<String>,
}

impl Admin {
    /// Serves until `stop`.
    pub async fn run(self, socket: Socket, connections_max: usize, stop: CancellationToken) {
        let admin = Arc::new(self);
        let stopping = stop.clone();
        let serve = move |stream| {
            let (admin, stop) = (Arc::clone(&admin), stopping.clone());
            async move { admin.serve(stream, stop).await }
        };
        accept_few(socket, connections_max, stop, serve).await;
    }

    async fn serve(&self, stream: Stream, stop: CancellationToken) {
        let service = service_fn(|request: Request<Incoming>| {
            let response = self.answer(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        if let Some(Err(error)) = stop.run_until_cancelled(connection).await {
            debug!(%error, "an admin connection broke");
        }
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => page(StatusCode::OK, TEXT, "alive\n".to_owned()),
            "/readyz" => self.readiness(),
            "/metrics" => page(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.render()),
            "/status" => page(StatusCode::OK, JSON, self.status()),
            _ => page(
                StatusCode::NOT_FOUND,
                TEXT,
                "there is /livez, /readyz, /metrics and /status\n".to_owned(),
            ),
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let (status, word) = match (self.delivery.state(), self.delivery.spool_state()) {
            _ if self.stopping.is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            _ if self.lacks_certificate() => (StatusCode::SERVICE_UNAVAILABLE, "no certificate yet\n"),
            (State::Up, _) => (StatusCode::OK, "ready\n"),
            (State::Down, Spool::Ready) => (StatusCode::OK, "ready, into the spool: no broker\n"),
            (State::Blocked, Spool::Ready) => {
                (StatusCode::OK, "ready, into the spool: the broker blocks publishing\n")
            }
            (State::Down | State::Blocked, Spool::Full) => {
                (StatusCode::SERVICE_UNAVAILABLE, "no broker, and the spool is full\n")
            }
            (State::Down | State::Blocked, Spool::Broken) => {
                (StatusCode::SERVICE_UNAVAILABLE, "no broker, and no spool\n")
            }
        };
        page(status, TEXT, word.to_owned())
    }

    /// Whether no client can get through the TLS handshake, because the first certificate is still to come.
    fn lacks_certificate(&self) -> bool {
        self.served.as_ref().is_some_and(|served| served.identities().is_empty())
    }

    fn status(&self) -> String {
        let (state, stopping) = (self.delivery.state(), self.stopping.is_cancelled());
        let metrics = &self.metrics;
        let oldest = metrics.spool_oldest.get();
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            started_at: humantime::format_rfc3339_seconds(self.started).to_string(),
            ready: self.delivery.is_ready() && !self.lacks_certificate() && !stopping,
            stopping,
            listeners: &self.addresses,
            broker: Part { state: state.as_str() },
            spool: SpoolStatus {
                state: self.delivery.spool_state().as_str(),
                items: metrics.spool_items.get(),
                parked_items: metrics.spool_parked.get(),
                set_aside_items: metrics.spool_set_aside.get(),
                bytes: metrics.spool_bytes.get(),
                max_bytes: metrics.spool_max_bytes.get(),
                oldest_item_at: (oldest > 0).then(|| rfc3339(oldest)),
            },
            notifications: self.metrics.books(),
            graph: self.metrics.graph.outlook(Instant::now()),
            subscriptions: self.sightings.overview(SystemTime::now()),
            certificates: self.certificates(),
            acme: self.acme.as_ref().map(|standings| standings.borrow().clone()),
            last_reload: self.news.borrow().last_reload.clone(),
        };
        serde_json::to_string_pretty(&status).expect("strings and numbers are always JSON") + "\n"
    }

    fn certificates(&self) -> Vec<Certificate> {
        let identities = self.served.iter().flat_map(|served| served.identities());
        let news = self.news.borrow();
        identities.map(|identity| Certificate::new(&identity, &news.refused_certificates)).collect()
    }
}

impl Certificate {
    fn new(Identity { facts, file, .. }: &Identity, refused: &BTreeMap<PathBuf, String>) -> Self {
        Self {
            hosts: facts.hosts.clone(),
            not_after: facts.not_after,
            file: file.clone(),
            refused: file.as_ref().and_then(|file| refused.get(file)).cloned(),
        }
    }
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn rfc3339(seconds: i64) -> String {
    let since = Duration::from_secs(seconds.unsigned_abs());
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string()
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

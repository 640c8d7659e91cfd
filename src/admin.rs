//! The second listener, for the operator: `/livez`, `/readyz`, `/metrics`, `/status`. No secrets in any of them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    path::PathBuf,
    sync::Arc,
    time::{Instant, SystemTime},
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
    config::{Effective, Problem},
    delivery::{Delivery, State, Story, spool::State as Spool},
    listener::{
        accept_few,
        socket::{Socket, Stream},
        tls::{Identity, Served},
    },
    metrics::{self, Books, Metrics, throttling::Outlook},
    moment::{rfc3339, rfc3339_unix},
    sightings::{Overview, Sightings},
    subscriptions::steward,
    verify::rich,
    webhook::Webhook,
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
    /// How resource data is judged.
    pub webhook: Arc<Webhook>,
    /// Addresses of the public listener.
    pub addresses: Vec<String>,
    /// Where ACME's HTTP-01 challenges are answered, if they are.
    pub challenges: Option<String>,
    /// Certificates of the public listener, if it has any.
    pub served: Option<Arc<Served>>,
    /// How it stands with its domains, if the daemon obtains certificates itself.
    pub acme: Option<Standings>,
    /// How it stands with the subscriptions that we manage.
    pub management: watch::Receiver<steward::Overview>,
    /// The revision of their state that requests are judged by.
    pub state_in_force: watch::Receiver<u64>,
    /// What has changed since the start, or would not.
    pub news: watch::Receiver<News>,
    /// Start of the process.
    pub started: SystemTime,
    /// Cancelled when the daemon begins to stop.
    pub stopping: CancellationToken,
    /// Where it listens; known once it runs.
    pub own_address: String,
}

/// What has changed since the start, or would not.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// The last reload, if there was one.
    pub last_reload: Option<Reload>,
    /// The configuration in force.
    pub config: InForce,
    /// Certificate files whose content is not what is served, and why.
    pub refused_certificates: BTreeMap<PathBuf, String>,
}

/// The configuration in force.
#[derive(Clone, Debug, Default, Serialize)]
pub struct InForce {
    /// See [`Effective::hash`](crate::config::Effective::hash).
    pub hash: String,
    /// What works but deserves a look.
    pub warnings: Vec<String>,
}

impl InForce {
    /// What is to be said of a configuration that was loaded.
    pub fn new(effective: &Effective, warnings: &[Problem]) -> Self {
        Self { hash: effective.hash(), warnings: warnings.iter().map(Problem::to_string).collect() }
    }
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
        Self { at: rfc3339(at), ok, message }
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
    /// In words, why or why not.
    readiness: &'static str,
    stopping: bool,
    listeners: &'a [String],
    admin_listener: &'a str,
    /// Absent unless HTTP-01 challenges are answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    acme_listener: Option<&'a str>,
    config: InForce,
    broker: Broker,
    spool: SpoolStatus,
    notifications: Books,
    graph: Outlook,
    subscriptions: Overview,
    management: Management,
    /// Null unless `rich.deliver` says what becomes of resource data.
    rich: Option<rich::Overview>,
    certificates: Vec<Certificate>,
    /// Absent unless `server.tls.mode` is `acme`.
    #[serde(skip_serializing_if = "Option::is_none")]
    acme: Option<Vec<Standing>>,
    last_reload: Option<Reload>,
}

/// The subscriptions that we manage.
#[derive(Serialize)]
struct Management {
    /// The revision of their state that requests are judged by; 0 while there is none.
    revision: u64,
    #[serde(flatten)]
    overview: steward::Overview,
}

#[derive(Serialize)]
struct Broker {
    state: &'static str,
    /// Since when it is as it is.
    since: Option<String>,
    /// The node that we are connected to, or were last; without user and password.
    url: Option<String>,
    last_error: Option<Event>,
}

#[derive(Serialize)]
struct Event {
    at: String,
    message: String,
}

impl Broker {
    fn new(state: State, story: Option<Story>) -> Self {
        let (since, url, last_error) = match story {
            Some(Story { since, url, last_error }) => (Some(rfc3339(since)), url, last_error),
            None => (None, None, None),
        };
        let last_error = last_error.map(|(at, message)| Event { at: rfc3339(at), message });
        Self { state: state.as_str(), since, url, last_error }
    }
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
    not_after: String,
    file: Option<PathBuf>,
    /// Why what stands in the file is not served.
    refused: Option<String>,
}

impl Admin {
    /// Serves until `stop`.
    pub async fn run(mut self, socket: Socket, connections_max: usize, stop: CancellationToken) {
        self.own_address = socket.address();
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
            "/readyz" => self.readyz(),
            "/metrics" => page(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.render()),
            "/status" => page(StatusCode::OK, JSON, self.status()),
            _ => page(
                StatusCode::NOT_FOUND,
                TEXT,
                "there is /livez, /readyz, /metrics and /status\n".to_owned(),
            ),
        }
    }

    /// Whether a promise can be kept now, and why or why not.
    fn readiness(&self) -> (bool, &'static str) {
        match (self.delivery.state(), self.delivery.spool_state()) {
            _ if self.stopping.is_cancelled() => (false, "stopping"),
            _ if self.lacks_certificate() => (false, "no certificate yet"),
            (State::Up, _) => (true, "ready"),
            (State::Down, Spool::Ready) => (true, "ready, into the spool: no broker"),
            (State::Blocked, Spool::Ready) => (true, "ready, into the spool: the broker blocks publishing"),
            (State::Down | State::Blocked, Spool::Full) => (false, "no broker, and the spool is full"),
            (State::Down | State::Blocked, Spool::Broken) => (false, "no broker, and no spool"),
        }
    }

    fn readyz(&self) -> Response<Full<Bytes>> {
        let (is_ready, words) = self.readiness();
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        page(status, TEXT, format!("{words}\n"))
    }

    /// Whether no client can get through the TLS handshake, because the first certificate is still to come.
    fn lacks_certificate(&self) -> bool {
        self.served.as_ref().is_some_and(|served| served.identities().is_empty())
    }

    fn status(&self) -> String {
        let (state, (ready, readiness)) = (self.delivery.state(), self.readiness());
        let metrics = &self.metrics;
        let oldest = metrics.spool_oldest.get();
        // Each of these is let go before the next is taken: what is borrowed in the middle of an expression is held to its
        // end, and who borrows the same a second time waits for a writer who waits for the first.
        let news = self.news.borrow().clone();
        let revision = *self.state_in_force.borrow();
        let overview = self.management.borrow().clone();
        let acme = self.acme.as_ref().map(|standings| standings.borrow().clone());
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            started_at: rfc3339(self.started),
            ready,
            readiness,
            stopping: self.stopping.is_cancelled(),
            listeners: &self.addresses,
            admin_listener: &self.own_address,
            acme_listener: self.challenges.as_deref(),
            config: news.config,
            broker: Broker::new(state, self.delivery.story()),
            spool: SpoolStatus {
                state: self.delivery.spool_state().as_str(),
                items: metrics.spool_items.get(),
                parked_items: metrics.spool_parked.get(),
                set_aside_items: metrics.spool_set_aside.get(),
                bytes: metrics.spool_bytes.get(),
                max_bytes: metrics.spool_max_bytes.get(),
                oldest_item_at: (oldest > 0).then(|| rfc3339_unix(oldest)),
            },
            notifications: self.metrics.books(),
            graph: self.metrics.graph.outlook(Instant::now()),
            subscriptions: self.sightings.overview(SystemTime::now()),
            management: Management { revision, overview },
            rich: self.webhook.rich(),
            certificates: self.certificates(&news.refused_certificates),
            acme,
            last_reload: news.last_reload,
        };
        serde_json::to_string_pretty(&status).expect("strings and numbers are always JSON") + "\n"
    }

    fn certificates(&self, refused: &BTreeMap<PathBuf, String>) -> Vec<Certificate> {
        let identities = self.served.iter().flat_map(|served| served.identities());
        identities.map(|identity| Certificate::new(&identity, refused)).collect()
    }
}

impl Certificate {
    fn new(Identity { facts, file, .. }: &Identity, refused: &BTreeMap<PathBuf, String>) -> Self {
        Self {
            hosts: facts.hosts.clone(),
            not_after: rfc3339_unix(facts.not_after),
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

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

//! The second listener, for the operator: `/livez`, `/readyz`, `/metrics`, `/status`. No secrets in any of them.

use std::{convert::Infallible, sync::Arc, time::SystemTime};

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
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    delivery::{Delivery, State},
    listener::{accept, tls::Facts},
    metrics::{self, Books, Metrics},
};

/// What the admin listener can tell.
#[derive(Debug)]
pub struct Admin {
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The broker's state.
    pub delivery: Arc<Delivery>,
    /// Addresses of the public listener.
    pub addresses: Vec<String>,
    /// Certificate of the public listener, if it has one.
    pub certificate: Option<Facts>,
    /// Start of the process.
    pub started: SystemTime,
    /// Cancelled when the daemon begins to stop.
    pub stopping: CancellationToken,
}

#[derive(Serialize)]
struct Status<'a> {
    version: &'static str,
    started_at: String,
    ready: bool,
    stopping: bool,
    listeners: &'a [String],
    broker: Broker,
    notifications: Books,
    certificate: Option<Certificate<'a>>,
}

#[derive(Serialize)]
struct Broker {
    state: &'static str,
}

#[derive(Serialize)]
struct Certificate<'a> {
    hosts: &'a [String],
    not_after: i64,
}

impl Admin {
    /// Serves until `stop`.
    pub async fn run(self, socket: TcpListener, stop: CancellationToken) {
        let admin = Arc::new(self);
        let stopping = stop.clone();
        let serve = move |stream| {
            let (admin, stop) = (Arc::clone(&admin), stopping.clone());
            async move { admin.serve(stream, stop).await }
        };
        accept(socket, Arc::new(Semaphore::new(CONNECTIONS_MAX)), stop, serve).await;
    }

    async fn serve(&self, stream: TcpStream, stop: CancellationToken) {
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
        let (status, word) = match self.delivery.state() {
            _ if self.stopping.is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            State::Up => (StatusCode::OK, "ready\n"),
            State::Blocked => (StatusCode::SERVICE_UNAVAILABLE, "the broker blocks publishing\n"),
            State::Down => (StatusCode::SERVICE_UNAVAILABLE, "no broker\n"),
        };
        page(status, TEXT, word.to_owned())
    }

    fn status(&self) -> String {
        let (state, stopping) = (self.delivery.state(), self.stopping.is_cancelled());
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            started_at: humantime::format_rfc3339_seconds(self.started).to_string(),
            ready: state == State::Up && !stopping,
            stopping,
            listeners: &self.addresses,
            broker: Broker { state: state.as_str() },
            notifications: self.metrics.books(),
            certificate: self
                .certificate
                .as_ref()
                .map(|facts| Certificate { hosts: &facts.hosts, not_after: facts.not_after }),
        };
        serde_json::to_string_pretty(&status).expect("strings and numbers are always JSON") + "\n"
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
/// A scraper, a health check and an operator; more wait.
const CONNECTIONS_MAX: usize = 64;

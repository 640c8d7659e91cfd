//! The HTTP-01 listener: the pages of challenges that go on, and nothing else.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::challenge::Pages;
use crate::{
    deadline::Deadline,
    listener::{
        accept_few,
        socket::{Socket, Stream},
    },
};

/// Serves until `stop`.
pub(super) async fn serve(pages: Pages, socket: Socket, stop: CancellationToken) {
    let stopping = stop.clone();
    let serve = move |stream: Stream| {
        let (pages, stop) = (pages.clone(), stopping.clone());
        async move {
            let conversation = Deadline::after(CONVERSATION_WITHIN).limit(converse(pages, stream));
            if let Some(Err(_)) = stop.run_until_cancelled(conversation).await {
                debug!("a visitor of the HTTP-01 listener took too long");
            }
        }
    };
    accept_few(socket, CONNECTIONS_MAX, stop, serve).await;
}

/// One request: this port is open to everybody, and who has more to ask may come again.
async fn converse(pages: Pages, stream: Stream) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = answer(&pages, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "a connection of the HTTP-01 listener broke");
    }
}

fn answer(pages: &Pages, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let page = path.strip_prefix(FOLDER).and_then(|token| pages.of(token));
    let page = page.filter(|_| matches!(*method, Method::GET | Method::HEAD));
    let status = if page.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::new(Bytes::from(page.unwrap_or_default())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// RFC 8555, section 8.3.
const FOLDER: &str = "/.well-known/acme-challenge/";
/// An authority looks from a handful of places at a time; few enough for the descriptors that the listener keeps back.
const CONNECTIONS_MAX: usize = 16;
const CONVERSATION_WITHIN: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 8 << 10;

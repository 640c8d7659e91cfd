//! One connection: TLS handshake by a deadline, HTTP/1.1 or HTTP/2, a graceful end.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Shared, tls};
use crate::{config::Limits, deadline::Deadline, metrics::ConnectionFailure};

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, shared: &Shared, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "the connection ended before it began");
        return;
    }
    // A connection keeps the limits it began with, whatever is reloaded.
    let limits = shared.webhook.limits();
    let Some(tls) = &shared.tls else {
        return http(stream, shared, &limits, stop).await;
    };
    let handshake = Deadline::after(limits.handshake_within).limit(tls.accept(stream));
    // Who has not got through the handshake has no request that the stop should wait for.
    let Some(shaken) = stop.run_until_cancelled(handshake).await else { return };
    match shaken {
        Ok(Ok(stream)) if tls::is_challenge(&stream) => {}
        Ok(Ok(stream)) => http(stream, shared, &limits, stop).await,
        Ok(Err(error)) => {
            shared.metrics.connections_failed.count(ConnectionFailure::Tls);
            debug!(%error, "no TLS handshake");
        }
        Err(_) => {
            shared.metrics.connections_failed.count(ConnectionFailure::TlsTimeout);
            debug!("the TLS handshake took too long");
        }
    }
}

async fn http<S>(stream: S, shared: &Shared, limits: &Limits, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Cancelled by the daemon's stop, or by an answer that ends the connection.
    let closing = stop.child_token();
    let open = OpenRequests::default();
    let service = service_fn(|request: Request<Incoming>| {
        let webhook = Arc::clone(&shared.webhook);
        let closing = closing.clone();
        let request_is_open = open.begin();
        async move {
            let answer = webhook.answer(request).await;
            if answer.closes {
                closing.cancel();
            }
            drop(request_is_open);
            Ok::<_, Infallible>(answer.response)
        }
    });
    let builder = builder(limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = closing.cancelled() => None,
        // Whatever the peer does meanwhile (silence, half a head, pings, not reading): it is not a request.
        () = open.none_for(limits.header_within) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // Open requests are answered; HTTP/1.1 then closes, HTTP/2 has said GOAWAY.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = open.none_for(LINGER) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke");
    }
}

/// How many requests of a connection are being answered.
#[derive(Default)]
struct OpenRequests(watch::Sender<usize>);

/// One request, open until this is dropped.
struct OpenRequest(watch::Sender<usize>);

impl OpenRequests {
    fn begin(&self) -> OpenRequest {
        self.0.send_modify(|open| *open += 1);
        OpenRequest(self.0.clone())
    }

    /// Waits until no request has been open for this long.
    async fn none_for(&self, time: Duration) {
        let mut open = self.0.subscribe();
        loop {
            // The sender lives as long as `self`, so that neither wait can fail.
            drop(open.wait_for(|open| *open == 0).await);
            if Deadline::after(time).limit(open.wait_for(|open| *open > 0)).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_within)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(limits.header_within)
        .keep_alive_timeout(limits.handshake_within);
    builder
}

/// Time for the last answers of a connection to be read before it is dropped.
const LINGER: Duration = Duration::from_secs(1);
/// Longest head of a request; also the largest piece in which a body is read. Holds the longest token that is
/// echoed when all of it is percent-encoded.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

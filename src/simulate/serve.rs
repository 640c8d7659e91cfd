//! Connections to what plays Microsoft, and what they lead to.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{backoff::Backoff, deadline::Deadline};

/// What is behind an address.
pub(super) trait Inside: Clone + Send + Sync + 'static {
    /// What its answers hold.
    type Body: Body<Data = Bytes, Error = Severed> + Send + 'static;

    /// Answers a request, or lets go of the connection.
    fn answer(
        self,
        head: Parts,
        body: Bytes,
    ) -> impl Future<Output = Result<Response<Self::Body>, Severed>> + Send;
}

/// The connection ends here, and nobody gets an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
pub(super) struct Severed;

pub(super) async fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Takes connections for ever; they end with it.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, inside: impl Inside) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut pause = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("this semaphore is never closed");
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            pause.pause().await;
            continue;
        };
        pause.reset();
        let (tls, inside) = (tls.clone(), inside.clone());
        connections.spawn(async move {
            connection(stream, tls, inside).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, inside: impl Inside) {
    match tls {
        None => serve(stream, inside).await,
        Some(tls) => {
            // Who does not believe us goes away.
            if let Ok(Ok(stream)) = Deadline::after(HEAD_WITHIN).limit(tls.accept(stream)).await {
                serve(stream, inside).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, inside: impl Inside) {
    let service = service_fn(|request| answer(inside.clone(), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    // How it ends, its client knows.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer<I: Inside>(inside: I, request: Request<Incoming>) -> Result<Response<I::Body>, Severed> {
    let (head, body) = request.into_parts();
    #[expect(clippy::disallowed_methods, reason = "bounded by Limited and a deadline")]
    let body = Deadline::after(BODY_WITHIN).limit(Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let Ok(Ok(body)) = body else { return Err(Severed) };
    inside.answer(head, body.to_bytes()).await
}

const CONNECTIONS_MAX: usize = 256;
const HEAD_WITHIN: Duration = Duration::from_secs(30);
const BODY_WITHIN: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 256 << 10;

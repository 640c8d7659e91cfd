//! Connections, and what they lead to.

mod body;
mod visit;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Limited};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use self::{body::Body, visit::Visit};
use super::{ApiError, faults::Cut, world::World};
use crate::{backoff::Backoff, deadline::Deadline};

/// What is behind an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Door {
    /// Everything.
    Main,
    /// The identity endpoints of machines alone.
    Machines,
}

/// What connections lead to.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) door: Door,
    pub(super) world: Arc<World>,
    /// What has been begun for a caller is done whether they wait or not.
    pub(super) tracker: TaskTracker,
}

/// The connection ends here, and nobody gets an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Severed;

pub(super) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ApiError> {
    let failed = |source| ApiError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Takes connections for ever; they end with it.
pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, inside: Inside) {
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

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, inside: Inside) {
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

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, inside: Inside) {
    let service = service_fn(|request| answer(inside.clone(), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    // How it ends, its client knows.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(inside: Inside, request: Request<Incoming>) -> Result<Response<Body>, Severed> {
    let (head, body) = request.into_parts();
    #[expect(clippy::disallowed_methods, reason = "bounded by Limited and a deadline")]
    let body = Deadline::after(BODY_WITHIN).limit(Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let Ok(Ok(body)) = body else { return Err(Severed) };
    let Inside { door, world, tracker } = inside;
    let work =
        tracker.spawn(async move { Visit::new(&world, &head).answer(door, &head, &body.to_bytes()).await });
    work.await.unwrap_or(Err(Severed))
}

const CONNECTIONS_MAX: usize = 256;
const HEAD_WITHIN: Duration = Duration::from_secs(30);
const BODY_WITHIN: Duration = Duration::from_secs(30);
const BODY_BYTES_MAX: usize = 256 << 10;

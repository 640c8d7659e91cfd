//! The public listener: sockets, and the loop that accepts connections.
//!
//! Connections beyond the limit wait in the kernel's queue. When the process is out of file descriptors the
//! loop pauses and tries again; what is already open goes on.

mod connection;
pub mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{backoff::Backoff, config::Limits, error::Chain, metrics::Metrics, webhook::Webhook};

/// Listening sockets with what answers on them.
pub struct Listener {
    sockets: Vec<TcpListener>,
    shared: Arc<Shared>,
}

/// What every connection needs.
struct Shared {
    tls: Option<TlsAcceptor>,
    webhook: Arc<Webhook>,
    limits: Limits,
    metrics: Arc<Metrics>,
    connections: Arc<Semaphore>,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Binds one socket and says so in the log.
///
/// # Errors
///
/// [`BindError`]
pub async fn bind(address: SocketAddr, listener: &'static str) -> Result<TcpListener, BindError> {
    let socket = TcpListener::bind(address).await.map_err(|source| BindError { address, source })?;
    let address = socket.local_addr().map_err(|source| BindError { address, source })?;
    info!(listener, %address, "listening");
    Ok(socket)
}

impl Listener {
    /// A listener on these sockets; without `tls` it speaks plain HTTP.
    pub fn new(
        sockets: Vec<TcpListener>,
        tls: Option<TlsAcceptor>,
        webhook: Arc<Webhook>,
        limits: Limits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let connections = Arc::new(Semaphore::new(limits.connections_max));
        Self { sockets, shared: Arc::new(Shared { tls, webhook, limits, metrics, connections }) }
    }

    /// Accepts until `stop`; then closes the sockets, lets open requests be answered, and returns when the last
    /// connection has ended.
    pub async fn run(self, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        let loops = self.sockets.into_iter().map(|socket| {
            let shared = Arc::clone(&self.shared);
            accept_loop(socket, shared, tracker.clone(), stop.clone())
        });
        futures_util::future::join_all(loops).await;
        tracker.close();
        tracker.wait().await;
    }
}

async fn accept_loop(
    socket: TcpListener,
    shared: Arc<Shared>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&socket, &shared.connections) => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, permit)) => {
                backoff.reset();
                let shared = Arc::clone(&shared);
                let stop = stop.clone();
                tracker.spawn(async move {
                    shared.metrics.connections.inc();
                    connection::serve(stream, &shared, stop).await;
                    shared.metrics.connections.dec();
                    drop(permit);
                });
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                warn!(error = %Chain(&error), "cannot accept connections");
                tokio::select! {
                    () = backoff.pause() => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }
}

/// Takes a place first and a connection second, so that nothing is accepted that cannot be served.
async fn accept(
    socket: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.expect("this semaphore is never closed");
    let (stream, _) = socket.accept().await?;
    Ok((stream, permit))
}

/// Whether an accept failed for the sake of the connection at hand; all other failures are ours.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

//! The public listener: sockets, and the loop that accepts connections.
//!
//! Connections beyond the limit wait in the kernel's queue. When the process is out of file descriptors the
//! loop pauses and tries again; what is already open goes on.

mod connection;
pub mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{backoff::Backoff, error::Chain, metrics::Metrics, webhook::Webhook};

/// Listening sockets with what answers on them.
pub struct Listener {
    sockets: Vec<TcpListener>,
    places: Arc<Semaphore>,
    shared: Arc<Shared>,
}

/// What every connection needs.
struct Shared {
    tls: Option<TlsAcceptor>,
    webhook: Arc<Webhook>,
    metrics: Arc<Metrics>,
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
        connections_max: usize,
        metrics: Arc<Metrics>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(connections_max));
        Self { sockets, places, shared: Arc::new(Shared { tls, webhook, metrics }) }
    }

    /// Accepts until `stop`; then closes the sockets, lets open requests be answered, and returns when the last
    /// connection has ended.
    pub async fn run(self, stop: CancellationToken) {
        let loops = self.sockets.into_iter().map(|socket| {
            let (shared, stopping) = (Arc::clone(&self.shared), stop.clone());
            accept(socket, Arc::clone(&self.places), stop.clone(), move |stream| {
                let (shared, stop) = (Arc::clone(&shared), stopping.clone());
                async move {
                    shared.metrics.connections.inc();
                    connection::serve(stream, &shared, stop).await;
                    shared.metrics.connections.dec();
                }
            })
        });
        futures_util::future::join_all(loops).await;
    }
}

/// Accepts connections until `stop`, then waits until all have been served.
///
/// A place is taken first and a connection second, so that nothing is accepted that cannot be served.
pub async fn accept<F>(
    socket: TcpListener,
    places: Arc<Semaphore>,
    stop: CancellationToken,
    serve: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let tracker = TaskTracker::new();
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await.expect("this semaphore is never closed");
        socket.accept().await.map(|(stream, _)| (stream, place))
    };
    while let Some(accepted) = stop.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, place)) => {
                backoff.reset();
                let served = serve(stream);
                tracker.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                warn!(error = %Chain(&error), "cannot accept connections");
                // Whether the stop came first, the loop finds out by itself.
                let (Some(()) | None) = stop.run_until_cancelled(backoff.pause()).await;
            }
        }
    }
    drop(socket);
    tracker.close();
    tracker.wait().await;
}

/// Whether an accept failed for the sake of the connection at hand; all other failures are ours.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

//! The public listener: sockets, and the loop that accepts connections.
//!
//! Who comes in is settled at the [`door`]; from there a connection is on its own. When the process is out of file
//! descriptors the loop pauses and tries again; what is already open goes on.

mod activity;
mod connection;
pub mod door;
pub mod files;
pub mod forwarded;
pub mod proxy;
pub mod socket;
pub mod strict;
mod taken;
pub mod tls;

use std::{io, sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use self::{
    door::Door,
    socket::{Peer, Socket, Stream},
};
use crate::{backoff::Backoff, error::Chain, metrics::Metrics, webhook::Webhook};

/// Listening sockets with what answers on them.
pub struct Listener {
    sockets: Vec<Socket>,
    door: Arc<Door>,
    shared: Arc<Shared>,
}

/// What every connection needs.
struct Shared {
    tls: Option<TlsAcceptor>,
    webhook: Arc<Webhook>,
    metrics: Arc<Metrics>,
}

impl Listener {
    /// A listener on these sockets; without `tls` it speaks plain HTTP.
    pub fn new(
        sockets: Vec<Socket>,
        tls: Option<TlsAcceptor>,
        door: Arc<Door>,
        webhook: Arc<Webhook>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { sockets, door, shared: Arc::new(Shared { tls, webhook, metrics }) }
    }

    /// Accepts until `stop`; then closes the sockets, lets open requests be answered, and returns when the last
    /// connection has ended.
    pub async fn run(self, stop: CancellationToken) {
        let loops = self.sockets.into_iter().map(|socket| {
            let (shared, stopping, door) = (Arc::clone(&self.shared), stop.clone(), Arc::clone(&self.door));
            let enter = move |peer| Arc::clone(&door).enter(peer);
            accept(socket, enter, stop.clone(), move |stream, peer, guest| {
                let (shared, stop) = (Arc::clone(&shared), stopping.clone());
                async move { connection::serve(stream, peer, guest, &shared, stop).await }
            })
        });
        futures_util::future::join_all(loops).await;
    }
}

/// Accepts connections until `stop`, then waits until all have been served.
///
/// `enter` gives each a place, which `serve` holds; while it waits, nothing more is accepted.
async fn accept<P, E, F>(
    socket: Socket,
    enter: impl Fn(Peer) -> E,
    stop: CancellationToken,
    serve: impl Fn(Stream, Peer, P) -> F,
) where
    E: Future<Output = Result<P, door::TurnedAway>>,
    F: Future<Output = ()> + Send + 'static,
{
    let tracker = TaskTracker::new();
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    while let Some(accepted) = stop.run_until_cancelled(socket.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                backoff.reset();
                match stop.run_until_cancelled(enter(peer)).await {
                    Some(Ok(place)) => drop(tracker.spawn(serve(stream, peer, place))),
                    Some(Err(door::TurnedAway)) | None => drop(stream),
                }
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

/// Accepts for a listener beside the public one, until `stop`: at most `connections_max` connections, more wait.
pub async fn accept_few<F>(
    socket: Socket,
    connections_max: usize,
    stop: CancellationToken,
    serve: impl Fn(Stream) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(connections_max));
    let enter = |_| {
        let places = Arc::clone(&places);
        async move { Ok(places.acquire_owned().await.expect("this semaphore is never closed")) }
    };
    accept(socket, enter, stop, |stream, _, place| {
        let served = serve(stream);
        async move {
            served.await;
            drop(place);
        }
    })
    .await;
}

/// Whether an accept failed for the sake of the connection at hand; all other failures are ours.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | ConnectionRefused | Interrupted)
}

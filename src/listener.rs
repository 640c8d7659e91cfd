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

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use self::{
    door::Door,
    socket::{Peer, Socket, Stream},
};
use crate::{
    backoff::Backoff,
    error::Chain,
    failpoint::{self, Point},
    heart::{Heart, Hearts, Part},
    metrics::Metrics,
    telemetry::Sparse,
    webhook::Webhook,
};

/// Listening sockets with what answers on them.
pub struct Listener {
    sockets: Vec<Socket>,
    door: Arc<Door>,
    shared: Arc<Shared>,
    hearts: Hearts,
}

/// What every connection needs.
struct Shared {
    tls: Option<TlsAcceptor>,
    webhook: Arc<Webhook>,
    metrics: Arc<Metrics>,
    /// Keeps the log readable while nobody says whom he speaks for.
    no_proxy: Sparse,
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
        Self {
            sockets,
            door,
            shared: Arc::new(Shared { tls, webhook, metrics, no_proxy: Sparse::default() }),
            hearts: Hearts::default(),
        }
    }

    /// Has its loops watched.
    #[must_use]
    pub fn listened_to(self, hearts: &Hearts) -> Self {
        Self { hearts: hearts.clone(), ..self }
    }

    /// Accepts until `stop`; then closes the sockets, lets open requests be answered, and returns when the last
    /// connection has ended.
    pub async fn run(self, stop: CancellationToken) {
        let loops = self.sockets.into_iter().map(|socket| {
            let (shared, stopping, door) = (Arc::clone(&self.shared), stop.clone(), Arc::clone(&self.door));
            let enter = move |peer| Arc::clone(&door).enter(peer);
            let heart = self.hearts.heart(Part::Listener);
            accept(socket, heart, enter, stop.clone(), move |stream, peer, guest| {
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
    mut heart: Heart,
    enter: impl Fn(Peer) -> E,
    stop: CancellationToken,
    serve: impl Fn(Stream, Peer, P) -> F,
) where
    E: Future<Output = Result<P, door::TurnedAway>>,
    F: Future<Output = ()> + Send + 'static,
{
    let tracker = TaskTracker::new();
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    let complaints = Sparse::default();
    loop {
        heart.beat();
        // The admin listener, which tests look through, is not meant.
        if heart.is_listened_to() {
            failpoint::reached(Point::ListenerTurns);
        }
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = socket.accept() => accepted,
            () = heart.idle() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                backoff.reset();
                tokio::select! {
                    biased;
                    // Before the stop: whom the system has given to us, nobody else can serve.
                    entered = enter(peer) => match entered {
                        Ok(place) => drop(tracker.spawn(serve(stream, peer, place))),
                        Err(door::TurnedAway) => drop(stream),
                    },
                    () = stop.cancelled() => break,
                    // The house is full: whoever is asked to leave does so, or somebody goes by himself.
                    never = heart.wait() => match never {},
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if let Some(others) = complaints.pass(Instant::now()) {
                    warn!(event = "accept_failed", others, error = %Chain(&error), "cannot accept connections");
                }
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
    let heart = Hearts::default().heart(Part::Listener);
    accept(socket, heart, enter, stop, |stream, _, place| {
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

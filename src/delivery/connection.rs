//! One connection to a broker, kept alive for ever: connect, check the topology, publish, and begin again.
//!
//! Lapin's own recovery is not used: it gives up after some tries, knows one URL, and does not reopen a channel
//! closed by a soft error. Here any failure of a connection or a channel ends the session, everything in
//! flight is unsafe, and the next session is made anew, from the next URL, after a jittered pause.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::stream::StreamExt;
use lapin::{Connection, Event};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Link,
    dial::ConnectError,
    publisher::Signs,
    session::{Session, topology},
};
use crate::{
    backoff::Backoff,
    config::Broker,
    deadline::Deadline,
    error::Chain,
    metrics::{Connect, Metrics},
    telemetry::Sparse,
};

/// The task that keeps a connection to one of the brokers.
#[derive(Debug)]
pub struct Connector {
    broker: Broker,
    link: watch::Sender<Link>,
    metrics: Arc<Metrics>,
    returns: Sparse,
}

/// How a session ended.
enum End {
    Stopped,
    Broken,
}

impl Connector {
    pub(super) fn new(broker: Broker, link: watch::Sender<Link>, metrics: Arc<Metrics>) -> Self {
        Self { broker, link, metrics, returns: Sparse::default() }
    }

    /// Keeps a connection until `stop`, then lets what is in flight be confirmed and closes politely.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        for url in self.broker.urls.iter().cycle() {
            let begun = Instant::now();
            let session = tokio::select! {
                session = Session::open(url, &self.broker, Arc::clone(&self.metrics)) => session,
                () = stop.cancelled() => return,
            };
            match session {
                Ok(session) => {
                    self.metrics.connects.count(Connect::Ready);
                    info!(broker = %url.shown, "broker connected");
                    if let End::Stopped = self.keep(session, &stop).await {
                        return;
                    }
                    if begun.elapsed() > STABLE {
                        backoff.reset();
                    }
                }
                Err(error) => {
                    self.metrics.connects.count(Connect::Failed);
                    warn!(broker = %url.shown, error = %Chain(&error), "broker not connected");
                }
            }
            tokio::select! {
                () = backoff.pause() => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Offers a session to the requests until it breaks or the daemon stops.
    async fn keep(&self, mut session: Session, stop: &CancellationToken) -> End {
        self.show(Link::Up(Arc::clone(&session.senders)));
        let signs = Arc::clone(&session.signs);
        let end = {
            let Session { connection, events, publishers, senders, .. } = &mut session;
            let mut topology = pin!(self.watch_topology(connection, &signs));
            loop {
                tokio::select! {
                    event = events.next() => match event {
                        Some(Event::ConnectionBlocked(reason)) => {
                            warn!(%reason, "the broker blocks publishing");
                            signs.blocked.store(true, Ordering::Relaxed);
                            self.show(Link::Blocked);
                        }
                        Some(Event::ConnectionUnblocked) => {
                            info!("the broker takes messages again");
                            signs.blocked.store(false, Ordering::Relaxed);
                            self.show(Link::Up(Arc::clone(senders)));
                        }
                        // A channel that closed reports here too; if it was a publisher's, that one ends by itself.
                        Some(Event::Error(error)) if connection.status().connected() => {
                            debug!(error = %Chain(&error), "a channel closed");
                        }
                        Some(Event::Error(error)) => {
                            warn!(error = %Chain(&error), "broker connection lost");
                            break End::Broken;
                        }
                        Some(event) => debug!(?event, "broker connection"),
                        None => break End::Broken,
                    },
                    Some(ended) = publishers.join_next() => {
                        match ended {
                            Ok(Ok(())) => warn!("a publisher ended by itself"),
                            Ok(Err(error)) => warn!(error = %Chain(&error), "a publisher gave up its channel"),
                            Err(error) => tracing::error!(%error, "a publisher panicked"),
                        }
                        break End::Broken;
                    }
                    error = topology.as_mut() => {
                        warn!(error = %Chain(&error), "the topology is gone");
                        break End::Broken;
                    }
                    () = stop.cancelled() => break End::Stopped,
                }
            }
        };
        self.show(Link::Down);
        match end {
            // While the broker reads nothing from us, it would not hear a polite word either.
            End::Stopped if !signs.blocked.load(Ordering::Relaxed) => session.close().await,
            End::Stopped | End::Broken => session.cut(),
        }
        end
    }

    /// Looks at the topology when messages come back; returns when it is gone and cannot be made again.
    async fn watch_topology(&self, connection: &Connection, signs: &Signs) -> ConnectError {
        let mut checked = Deadline::after(RECHECK_AFTER);
        loop {
            checked.passed().await;
            signs.unroutable.notified().await;
            if let Some(others) = self.returns.pass(Instant::now().into_std()) {
                warn!(others, "the broker returns messages: no queue is bound for them");
            }
            match topology(connection, &self.broker).await {
                Err(error) if !signs.blocked.load(Ordering::Relaxed) => return error,
                Ok(()) | Err(_) => checked = Deadline::after(RECHECK_AFTER),
            }
        }
    }

    fn show(&self, link: Link) {
        self.metrics.connection_up.set(i64::from(matches!(link, Link::Up(_))));
        self.metrics.connection_blocked.set(i64::from(matches!(link, Link::Blocked)));
        self.link.send_replace(link);
    }
}

/// Ceiling of the first pause between two tries.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Ceiling of all later pauses: a broker that is back is found within this time.
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// A session that lasted this long was a success, and the pauses begin anew.
const STABLE: Duration = Duration::from_secs(30);
/// Returned messages have the topology looked at, but no more often than this.
const RECHECK_AFTER: Duration = Duration::from_secs(1);

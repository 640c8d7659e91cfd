//! The life of the daemon: what starts in which order, who owns the long tasks, and how everything stops.
//!
//! Start: sockets first, so that a handshake can be answered from the first moment; then the tasks; then
//! systemd hears that we are ready, whether or not there is a broker. Stop, each phase in what is left of
//! `server.stop_within`: accept nothing more → answer open requests → settle confirms → close the broker
//! politely → close the admin listener. A task that ends by itself stops the daemon, loudly.

pub mod signals;
mod systemd;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::signals::Signals;
use crate::{
    admin::Admin,
    config::{Config, Tls},
    deadline::Deadline,
    delivery::{Broker, Delivery},
    envelope::Router,
    listener::{
        BindError, Listener, bind,
        tls::{Identity, TlsError},
    },
    metrics::{Metrics, Outcome},
    notification::lifecycle::Kind,
    verify::Verifier,
    webhook::Webhook,
};

/// Why the daemon did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate cannot be served.
    #[error("no TLS")]
    Tls(#[from] TlsError),
    /// The system gives us no signals.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    /// A task that should live as long as the daemon ended.
    #[error("the {0} ended by itself")]
    Ended(&'static str),
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
///
/// [`ServeError`] when it cannot start, or when a part of it fails for good.
pub async fn serve(config: Config) -> Result<(), ServeError> {
    let started = SystemTime::now();
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    let metrics = Metrics::new();
    let identity = identity(&config.server.tls, &metrics)?;
    let (broker, connector) = Broker::new(&config.broker, Arc::clone(&metrics));
    let delivery = Arc::new(Delivery::Broker(broker));

    let mut sockets = Vec::new();
    for &address in &config.server.listen {
        sockets.push(bind(address, "public").await?);
    }
    let admin_socket = bind(config.admin.listen, "admin").await?;
    let addresses =
        sockets.iter().filter_map(|socket| socket.local_addr().ok()).map(|address| address.to_string());

    let stopping = CancellationToken::new();
    let admin = Admin {
        metrics: Arc::clone(&metrics),
        delivery: Arc::clone(&delivery),
        addresses: addresses.collect(),
        certificate: identity.as_ref().map(|identity| identity.facts.clone()),
        started,
        stopping: stopping.clone(),
    };
    let webhook = webhook(&config, delivery, Arc::clone(&metrics));
    let acceptor = identity.as_ref().map(Identity::acceptor);
    let listener = Listener::new(sockets, acceptor, webhook, config.server.limits, Arc::clone(&metrics));

    let mut tasks = Tasks::default();
    tasks.start(Part::Broker, |stop| connector.run(stop));
    tasks.start(Part::Admin, |stop| admin.run(admin_socket, stop));
    tasks.start(Part::Listener, |stop| listener.run(stop));
    info!(version = env!("CARGO_PKG_VERSION"), "graphhook is serving");
    systemd::ready();

    let failed = tokio::select! {
        signal = signals.stop() => {
            info!(?signal, "stopping");
            None
        }
        (part, ended) = tasks.ended() => {
            error!(part = part.as_str(), ?ended, "a part of the daemon ended by itself");
            Some(part)
        }
    };
    systemd::stopping();
    stopping.cancel();
    tasks.stop_all(config.server.stop_within, &mut signals).await;
    balance(&metrics);
    failed.map_or(Ok(()), |part| Err(ServeError::Ended(part.as_str())))
}

/// The road of this configuration.
pub fn webhook(config: &Config, delivery: Arc<Delivery>, metrics: Arc<Metrics>) -> Arc<Webhook> {
    let verifier = Verifier::new(&config.client_states);
    let router = Router::new(config.broker.routing_key.clone(), config.broker.client_state);
    Arc::new(Webhook::new(&config.server, verifier, router, delivery, metrics))
}

/// Reads the certificate and shows its end in the metrics.
fn identity(tls: &Tls, metrics: &Metrics) -> Result<Option<Identity>, TlsError> {
    let Tls::Files { certificate, private_key } = tls else {
        return Ok(None);
    };
    let identity = Identity::load(certificate, private_key)?;
    for host in &identity.facts.hosts {
        metrics.certificate(host, identity.facts.not_after);
    }
    if SystemTime::UNIX_EPOCH + Duration::from_secs(identity.facts.not_after.unsigned_abs())
        < SystemTime::now()
    {
        warn!(hosts = ?identity.facts.hosts, "the certificate has expired: Graph will not deliver to it");
    }
    Ok(Some(identity))
}

/// The last word: what became of everything that was received.
fn balance(metrics: &Metrics) {
    let outcome = |outcome| metrics.outcomes.get(outcome);
    let received: u64 = Kind::ALL.into_iter().map(|kind| metrics.received.get(kind)).sum();
    info!(
        received,
        published = outcome(Outcome::Published),
        refused = outcome(Outcome::Refused),
        unavailable = outcome(Outcome::Unavailable),
        in_flight = metrics.in_flight(),
        "graphhook has stopped"
    );
}

/// The long tasks, in the order in which they stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Listener,
    Broker,
    Admin,
}

impl Part {
    const STOP_ORDER: [Self; 3] = [Self::Listener, Self::Broker, Self::Admin];

    fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "public listener",
            Self::Broker => "broker connection",
            Self::Admin => "admin listener",
        }
    }
}

/// Tasks with their stop tokens. Dropping it ends them all.
#[derive(Default)]
struct Tasks {
    set: JoinSet<Part>,
    stops: Vec<(Part, CancellationToken)>,
}

impl Tasks {
    fn start<F>(&mut self, part: Part, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let work = task(stop.clone());
        self.stops.push((part, stop));
        self.set.spawn(async move {
            work.await;
            part
        });
    }

    /// The next task that ends; a panic counts as the end of the listener, for the log has its message.
    async fn ended(&mut self) -> (Part, Result<(), JoinError>) {
        match self.set.join_next().await {
            Some(Ok(part)) => (part, Ok(())),
            Some(Err(error)) => (Part::Listener, Err(error)),
            None => std::future::pending().await,
        }
    }

    /// Stops part after part. What has not ended by then ends with the process: no 2xx depends on it.
    async fn stop_all(mut self, within: Duration, signals: &mut Signals) {
        let owed = Deadline::after(within);
        for part in Part::STOP_ORDER {
            let Some((_, stop)) = self.stops.iter().find(|(other, _)| *other == part) else {
                continue;
            };
            stop.cancel();
            // The listener may take all but a second of the time; then the broker needs what is left.
            let phase =
                if part == Part::Listener { owed.or_after(within.saturating_sub(RESERVED)) } else { owed };
            let ended = async { while !self.set.is_empty() && self.ended().await.0 != part {} };
            tokio::select! {
                ended = phase.limit(ended) => if ended.is_err() {
                    warn!(part = part.as_str(), "did not end in time");
                },
                signal = signals.stop() => {
                    warn!(?signal, part = part.as_str(), "hurried");
                    return;
                }
            }
        }
    }
}

/// Kept of the stop's time for closing the broker politely.
const RESERVED: Duration = Duration::from_secs(3);

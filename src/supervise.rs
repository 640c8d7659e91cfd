//! The life of the daemon: what starts in which order, who owns the long tasks, and how everything stops.
//!
//! Start: certificate and spool, without which there is no daemon; then the sockets; then the tasks; then systemd
//! hears that we are ready, whether or not there is a broker. Stop, each phase in what is left of
//! `server.stop_within`: reload nothing, make no subscription and order no certificate any more → accept nothing more, answer open requests →
//! let the replay settle → close the broker politely → close the spool → close the admin listener. A task that ends by
//! itself stops the daemon, loudly.

mod certificates;
mod reload;
pub mod signals;
mod standing;
mod systemd;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::{
    certificates::Certificates,
    reload::{Reloader, with_made},
    signals::{Hangups, Signals},
    standing::View,
    systemd::{Herald, Systemd},
};
use crate::{
    acme::{Acme, Standings},
    admin::{Admin, InForce, News},
    config::{Loaded, Problem, Source, TlsSource},
    deadline::Deadline,
    delivery::{
        Delivery,
        spool::{Keeper, Spool, SpoolError},
    },
    gaps::{Gaps, losses::Losses},
    heart::Hearts,
    listener::{
        Listener,
        door::Door,
        files::Files,
        socket::{BindError, Passed, Socket},
        tls::{Served, TlsError},
    },
    metrics::{Books, Metrics},
    sightings::Sightings,
    subscriptions::{
        state::file::StateError,
        steward::{Manager, Overview, Steward, Wishes},
        table::Table,
    },
    telemetry::Logging,
    trace::export::Tracer,
    verify::keys::Keys,
    webhook::Webhook,
};

/// Why the daemon did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// An address is taken or not ours.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A pair of certificate and key cannot be used.
    #[error("no TLS{}", place(file, source))]
    Certificate {
        /// The certificate's file.
        file: PathBuf,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// There is no TLS with any certificate.
    #[error("no TLS")]
    Tls(#[from] TlsError),
    /// The spool belongs to somebody else.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// What a newer version has made of subscriptions could not be believed.
    #[error(transparent)]
    Subscriptions(#[from] StateError),
    /// The system gives us no signals.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    /// A task that should live as long as the daemon ended.
    #[error("the {0} ended by itself")]
    Ended(&'static str),
    /// The books do not balance at the end.
    #[error("the books are wrong by {items} items: received is not the sum of the outcomes")]
    Unbalanced {
        /// By how many.
        items: u64,
    },
}

/// Runs the daemon until it is told to stop. It reads its configuration again from `source` when it is told to.
///
/// # Errors
///
/// [`ServeError`] when it cannot start, or when a part of it fails for good.
pub async fn serve(loaded: Loaded, source: Source, log: &Logging) -> Result<(), ServeError> {
    let started = SystemTime::now();
    let Loaded { config, name: _, warnings, effective, files: _ } = loaded;
    let in_force = InForce::new(&effective, &warnings);
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    let hangups = Hangups::new().map_err(ServeError::Signals)?;
    let metrics = Metrics::new();
    metrics.configured(started, true);
    metrics.in_force(&in_force.hash, warnings.len(), None);
    warn_of(&warnings);
    log.count_dropped(&metrics.log_dropped);
    let systemd = Arc::new(Systemd::find(source.environment()));
    let watchdog = Systemd::watchdog(source.environment());
    let hearts = watchdog.map_or_else(Hearts::default, Hearts::listened_to);
    let certificates = Certificates::load(&config.server.tls, &metrics)?;
    let served = certificates.as_ref().map(|certificates| Arc::clone(certificates.served()));
    let acceptor = served.clone().map(|served| served.acceptor(&config.server.tls)).transpose()?;
    let (spool, keeper) = Spool::open(config.spool.clone(), Arc::clone(&metrics))?;
    // The keeper has the directory, or nobody has.
    let sightings = Sightings::open(&config.spool.directory, Arc::clone(&metrics), started);
    let table = Table::open(config.graph.as_ref().map(|graph| graph.directory.clone()))?;
    let (keys, key_keeper) = Keys::new(&metrics);
    let (tracer, exporter) = Tracer::new(&config.traces, &config.broker.exchange, hostname(), &metrics);
    let (delivery, connector, replay) =
        Delivery::new(&config.broker, spool.clone(), tracer.clone(), Arc::clone(&metrics));
    let delivery = Arc::new(delivery);
    let gaps = Gaps::new(Arc::clone(&delivery), config.broker.routing_key.clone(), Arc::clone(&metrics));
    let losses = Losses::open(
        Arc::clone(&gaps),
        Arc::clone(&sightings),
        spool.clone(),
        config.spool.directory.clone(),
        Arc::clone(&metrics),
    );

    let Passed { public: mut sockets, admin: admin_socket } = Passed::take(source.environment())?;
    if sockets.is_empty() {
        for listen in &config.server.listen {
            sockets.push(Socket::bind(listen, "public").await?);
        }
    }
    let admin_socket = match admin_socket {
        Some(socket) => socket,
        None => Socket::bind(&config.admin.listen.into(), "admin").await?,
    };
    let challenges = config.server.tls.source.challenges();
    let (acme, standings) = acme(&config.server.tls.source, served.as_ref(), &metrics).await?.unzip();
    let addresses: Vec<String> = sockets.iter().map(Socket::address).collect();

    let hash = in_force.hash.clone();
    let rich = config.rich.as_ref().map_or("unchecked", |rich| rich.deliver.as_str());
    let (news, told) = watch::channel(News { config: in_force, ..News::default() });
    let stopping = CancellationToken::new();
    let webhook = Webhook::new(
        &with_made(&config, &table),
        Arc::clone(&delivery),
        Arc::clone(&sightings),
        keys,
        tracer,
        Arc::clone(&metrics),
    );
    let webhook = Arc::new(webhook);
    let (wishes, wished) = watch::channel(Wishes::of(&config));
    let (managed, management) = watch::channel(Overview::of(Manager::Off));
    let steward = Steward {
        wishes: wished,
        in_force: table.revision(),
        lock: delivery.lock().clone(),
        inbox: sightings.nudges().inbox(),
        sightings: Arc::clone(&sightings),
        gaps: Arc::clone(&gaps),
        is_reachable: has_certificate(served.clone()),
        metrics: Arc::clone(&metrics),
        told: managed,
    };
    steward.announce();
    let admin = Admin {
        management,
        state_in_force: table.revision(),
        metrics: Arc::clone(&metrics),
        delivery: Arc::clone(&delivery),
        sightings: Arc::clone(&sightings),
        webhook: Arc::clone(&webhook),
        addresses: addresses.clone(),
        challenges,
        served: served.clone(),
        acme: standings,
        news: told.clone(),
        started,
        stopping: stopping.clone(),
        own_address: String::new(),
    };
    let view = View {
        addresses,
        delivery,
        metrics: Arc::clone(&metrics),
        served,
        webhook: Arc::clone(&webhook),
        news: told,
    };
    let view = Arc::new(view);
    let files = Files::raise();
    let door = Door::new(&config, files.public, Arc::clone(&metrics));
    let listener =
        Listener::new(sockets, acceptor, Arc::clone(&door), Arc::clone(&webhook), Arc::clone(&metrics));
    let stop_within = config.server.stop_within;
    let brokers: Vec<&str> = config.broker.urls.iter().map(|url| url.shown.as_str()).collect();
    let brokers = brokers.join(" ");
    let reloader = Reloader {
        source: Arc::new(source),
        config: Arc::new(config),
        certificates,
        hangups,
        door,
        webhook,
        gaps,
        levels: log.levels(),
        metrics: Arc::clone(&metrics),
        news,
        systemd: Arc::clone(&systemd),
        view: Arc::clone(&view),
        table,
        wishes,
    };
    let mut herald = Herald {
        systemd: Arc::clone(&systemd),
        view: Arc::clone(&view),
        hearts: hearts.clone(),
        watchdog,
        metrics: Arc::clone(&metrics),
        stopping: stopping.clone(),
        told: String::new(),
    };

    let mut tasks = Tasks::default();
    tasks.start(Part::Spool, |stop| keep(spool, keeper.listened_to(&hearts), stop));
    tasks.start(Part::Broker, |stop| connector.listened_to(&hearts).run(stop));
    tasks.start(Part::Replay, |stop| replay.listened_to(&hearts).run(stop));
    tasks.start(Part::Sightings, |stop| sightings.run(stop));
    tasks.start(Part::Gaps, |stop| losses.run(stop));
    tasks.start(Part::Admin, |stop| admin.run(admin_socket, files.admin, stop));
    tasks.start(Part::Listener, |stop| listener.listened_to(&hearts).run(stop));
    if let Some(acme) = acme {
        tasks.start(Part::Acme, |stop| acme.run(stop));
    }
    tasks.start(Part::SigningKeys, |stop| key_keeper.run(stop));
    if let Some(exporter) = exporter {
        tasks.start(Part::Traces, |stop| exporter.run(stop));
    }
    tasks.start(Part::Reload, |stop| reloader.run(stop));
    // Graph calls the listener while it is asked for a subscription.
    tasks.start(Part::Subscriptions, |stop| steward.run(stop));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        config = hash,
        listeners = view.addresses.join(" "),
        brokers,
        spool = view.delivery.spool_state().as_str(),
        spool_items = metrics.spool_items.get(),
        resource_data = rich,
        warnings = warnings.len(),
        "graphhook is serving"
    );
    herald.told = view.line();
    systemd.ready(&herald.told).await;
    tasks.start(Part::Herald, |stop| herald.run(stop));

    let failed = tokio::select! {
        signal = signals.stop() => {
            info!(?signal, "stopping");
            None
        }
        (part, ended) = tasks.ended() => {
            let panicked = ended.is_err();
            error!(event = "part_ended", part = part.as_str(), panicked, "a part of the daemon ended by itself");
            Some(part)
        }
    };
    stopping.cancel();
    systemd.stopping().await;
    let end = tasks.stop_all(stop_within, &mut signals, &systemd).await;
    let balanced = balance(&metrics, end);
    failed.map_or(balanced, |part| Err(ServeError::Ended(part.as_str())))
}

/// The file, unless the words that follow name it.
fn place(file: &Path, source: &TlsError) -> String {
    if source.names_file() { String::new() } else { format!(" with {}", file.display()) }
}

/// What obtains certificates, with those it has at hand, if that is what the configuration wants.
async fn acme(
    source: &TlsSource,
    served: Option<&Arc<Served>>,
    metrics: &Arc<Metrics>,
) -> Result<Option<(Acme, Standings)>, BindError> {
    let (TlsSource::Acme(config), Some(served)) = (source, served) else { return Ok(None) };
    let http = match config.http_listen {
        Some(address) => Some(Socket::bind(&address.into(), "acme").await?),
        None => None,
    };
    Ok(Some(Acme::open(config.clone(), http, served, metrics)))
}

/// Whether Graph could get through the TLS handshake.
fn has_certificate(served: Option<Arc<Served>>) -> Box<dyn Fn() -> bool + Send + Sync> {
    Box::new(move || served.as_ref().is_none_or(|served| !served.identities().is_empty()))
}

/// Logs what works but deserves a look.
fn warn_of(warnings: &[Problem]) {
    for warning in warnings {
        warn!(event = "config_warning", key = %warning.key, origin = %warning.origin, "{}", warning.message);
    }
}

/// The spool's thread, as a task.
async fn keep(spool: Spool, keeper: Keeper, stop: CancellationToken) {
    let mut thread = task::spawn_blocking(|| keeper.run());
    let ended = tokio::select! {
        ended = &mut thread => ended,
        () = stop.cancelled() => {
            spool.stop();
            thread.await
        }
    };
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic.into_panic());
    }
}

/// The machine's name, for spans.
fn hostname() -> Option<String> {
    let system = rustix::system::uname();
    Some(system.nodename().to_str().ok()?.to_owned()).filter(|name| !name.is_empty())
}

/// The last word: what became of everything that was received. An equation that does not hold is an error, because then
/// some item may have been lost, and nothing else would say so.
fn balance(metrics: &Metrics, end: End) -> Result<(), ServeError> {
    let Books { received, published, spooled, refused, unavailable, in_flight, conservation_error } =
        metrics.books();
    info!(received, published, spooled, refused, unavailable, in_flight, "graphhook has stopped");
    let wrong = match end {
        End::Orderly => metrics.imbalance(),
        // Requests may still be moving, and their items be in the one column and not yet in the other.
        End::Hurried => conservation_error,
    };
    if wrong == 0 {
        return Ok(());
    }
    error!(event = "books_wrong", wrong, "the books are wrong: received is not the sum of the outcomes");
    Err(ServeError::Unbalanced { items: wrong })
}

/// How the daemon stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// Part by part: nothing moves any more.
    Orderly,
    /// Something was left behind.
    Hurried,
}

/// The long tasks, in the order in which they stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Reload,
    Subscriptions,
    Acme,
    Listener,
    SigningKeys,
    Gaps,
    Sightings,
    Replay,
    Broker,
    Spool,
    Traces,
    Admin,
    Herald,
}

impl Part {
    const STOP_ORDER: [Self; 13] = [
        Self::Reload,
        Self::Subscriptions,
        Self::Acme,
        Self::Listener,
        Self::SigningKeys,
        Self::Gaps,
        Self::Sightings,
        Self::Replay,
        Self::Broker,
        Self::Spool,
        Self::Traces,
        Self::Admin,
        Self::Herald,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Subscriptions => "management of subscriptions",
            Self::Acme => "renewal of certificates",
            Self::Listener => "public listener",
            Self::SigningKeys => "fetch of signing keys",
            Self::Gaps => "word of gaps",
            Self::Sightings => "watch over subscriptions",
            Self::Replay => "replay",
            Self::Broker => "broker connection",
            Self::Spool => "spool",
            Self::Traces => "export of traces",
            Self::Admin => "admin listener",
            Self::Herald => "word to systemd",
        }
    }

    /// What its stop waits for, if that can take long.
    fn phase(self) -> Option<&'static str> {
        match self {
            Self::Listener => Some("stopping: open requests are answered"),
            Self::Replay | Self::Broker => Some("stopping: waiting for the broker's last confirms"),
            Self::Spool => Some("stopping: closing the spool"),
            Self::Reload
            | Self::Subscriptions
            | Self::Acme
            | Self::SigningKeys
            | Self::Gaps
            | Self::Sightings
            | Self::Traces
            | Self::Admin
            | Self::Herald => None,
        }
    }
}

/// Tasks with their stop tokens. Dropping it ends them all.
#[derive(Default)]
struct Tasks {
    set: JoinSet<()>,
    parts: Vec<(Part, task::Id, CancellationToken)>,
}

impl Tasks {
    fn start<F>(&mut self, part: Part, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let id = self.set.spawn(task(stop.clone())).id();
        self.parts.push((part, id, stop));
    }

    /// The next task that ends, and whether it panicked. It is no longer among the parts then.
    async fn ended(&mut self) -> (Part, Result<(), JoinError>) {
        let (id, ended) = match self.set.join_next_with_id().await {
            Some(Ok((id, ()))) => (id, Ok(())),
            Some(Err(error)) => (error.id(), Err(error)),
            None => return std::future::pending().await,
        };
        let index = self.parts.iter().position(|(_, other, _)| *other == id).expect("every task is a part");
        (self.parts.swap_remove(index).0, ended)
    }

    /// Stops part after part. What has not ended by then ends with the process: no 2xx depends on it.
    async fn stop_all(mut self, within: Duration, signals: &mut Signals, systemd: &Systemd) -> End {
        let (owed, mut end) = (Deadline::after(within), End::Orderly);
        for part in Part::STOP_ORDER {
            let Some((.., stop)) = self.parts.iter().find(|(other, ..)| *other == part) else {
                continue;
            };
            stop.cancel();
            if let Some(phase) = part.phase() {
                systemd.status(phase).await;
            }
            // The listener leaves some of the time for the replay, the broker and the spool.
            let phase =
                if part == Part::Listener { owed.or_after(within - RESERVED.min(within / 4)) } else { owed };
            let ended = async { while !self.set.is_empty() && self.ended().await.0 != part {} };
            tokio::select! {
                ended = phase.limit(ended) => if ended.is_err() {
                    end = End::Hurried;
                    warn!(event = "stop_part_late", part = part.as_str(), "a part of the daemon did not end in time");
                },
                signal = signals.stop() => {
                    warn!(event = "stop_hurried", ?signal, part = part.as_str(), "a second signal hurried the stop");
                    return End::Hurried;
                }
            }
        }
        end
    }
}

/// Kept of the stop's time for what comes after the listener: replay, broker, spool.
const RESERVED: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{metrics::Outcome, notification::lifecycle::Kind};

    #[test]
    fn wrong_books_are_an_error_at_the_end() {
        let check = |metrics: &Metrics, orderly: bool, hurried: bool| {
            assert_eq!(balance(metrics, End::Orderly).is_ok(), orderly);
            assert_eq!(balance(metrics, End::Hurried).is_ok(), hurried);
        };
        let metrics = Metrics::new();
        check(&metrics, true, true);
        // An item without an outcome is lost, unless a request still has it.
        metrics.received.count(Kind::Notification);
        check(&metrics, false, true);
        metrics.open.add(1);
        check(&metrics, true, true);
        metrics.open.settle(1);
        metrics.outcomes.count(Outcome::Published);
        check(&metrics, true, true);
        // Two outcomes of one item.
        metrics.outcomes.count(Outcome::Spooled);
        check(&metrics, false, false);
    }
}

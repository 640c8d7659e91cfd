//! The life of the daemon: what starts in which order, who owns the long tasks, and how everything stops.
//!
//! Start: certificate and spool, without which there is no daemon; then the sockets; then the tasks; then systemd
//! hears that we are ready, whether or not there is a broker. Stop, each phase in what is left of
//! `server.stop_within`: reload nothing and order no certificate any more → accept nothing more, answer open requests →
//! let the replay settle → close the broker politely → close the spool → close the admin listener. A task that ends by
//! itself stops the daemon, loudly.

mod certificates;
mod reload;
pub mod signals;
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
    reload::Reloader,
    signals::{Hangups, Signals},
};
use crate::{
    acme::{Acme, Standings},
    admin::{Admin, News},
    config::{Config, Source, TlsSource},
    deadline::Deadline,
    delivery::{
        Delivery,
        spool::{Keeper, Spool, SpoolError},
    },
    listener::{
        Listener,
        door::Door,
        files::Files,
        socket::{BindError, Passed, Socket},
        tls::{Served, TlsError},
    },
    metrics::{Books, Metrics},
    telemetry::Levels,
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
    /// The system gives us no signals.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    /// A task that should live as long as the daemon ended.
    #[error("the {0} ended by itself")]
    Ended(&'static str),
}

/// Runs the daemon until it is told to stop. It reads its configuration again from `source` when it is told to.
///
/// # Errors
///
/// [`ServeError`] when it cannot start, or when a part of it fails for good.
pub async fn serve(config: Config, source: Source, levels: Levels) -> Result<(), ServeError> {
    let started = SystemTime::now();
    let mut signals = Signals::new().map_err(ServeError::Signals)?;
    let hangups = Hangups::new().map_err(ServeError::Signals)?;
    let metrics = Metrics::new();
    metrics.configured(started, true);
    let certificates = Certificates::load(&config.server.tls, &metrics)?;
    let served = certificates.as_ref().map(|certificates| Arc::clone(certificates.served()));
    let acceptor = served.clone().map(|served| served.acceptor(&config.server.tls)).transpose()?;
    let (spool, keeper) = Spool::open(config.spool.clone(), Arc::clone(&metrics))?;
    let (delivery, connector, replay) = Delivery::new(&config.broker, spool.clone(), Arc::clone(&metrics));
    let delivery = Arc::new(delivery);

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
    let (acme, standings) = acme(&config.server.tls.source, served.as_ref(), &metrics).await?.unzip();
    let addresses = sockets.iter().map(Socket::address);

    let (news, told) = watch::channel(News::default());
    let stopping = CancellationToken::new();
    let admin = Admin {
        metrics: Arc::clone(&metrics),
        delivery: Arc::clone(&delivery),
        addresses: addresses.collect(),
        served,
        acme: standings,
        news: told,
        started,
        stopping: stopping.clone(),
    };
    let webhook = Arc::new(Webhook::new(&config, delivery, Arc::clone(&metrics)));
    let files = Files::raise();
    let door = Door::new(&config, files.public, Arc::clone(&metrics));
    let listener =
        Listener::new(sockets, acceptor, Arc::clone(&door), Arc::clone(&webhook), Arc::clone(&metrics));
    let stop_within = config.server.stop_within;
    let reloader = Reloader {
        source: Arc::new(source),
        config: Arc::new(config),
        certificates,
        hangups,
        door,
        webhook,
        levels,
        metrics: Arc::clone(&metrics),
        news,
    };

    let mut tasks = Tasks::default();
    tasks.start(Part::Spool, |stop| keep(spool, keeper, stop));
    tasks.start(Part::Broker, |stop| connector.run(stop));
    tasks.start(Part::Replay, |stop| replay.run(stop));
    tasks.start(Part::Admin, |stop| admin.run(admin_socket, files.admin, stop));
    tasks.start(Part::Listener, |stop| listener.run(stop));
    if let Some(acme) = acme {
        tasks.start(Part::Acme, |stop| acme.run(stop));
    }
    tasks.start(Part::Reload, |stop| reloader.run(stop));
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
    tasks.stop_all(stop_within, &mut signals).await;
    balance(&metrics);
    failed.map_or(Ok(()), |part| Err(ServeError::Ended(part.as_str())))
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

/// The last word: what became of everything that was received.
fn balance(metrics: &Metrics) {
    let Books { received, published, spooled, refused, unavailable, in_flight, .. } = metrics.books();
    info!(received, published, spooled, refused, unavailable, in_flight, "graphhook has stopped");
}

/// The long tasks, in the order in which they stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Reload,
    Acme,
    Listener,
    Replay,
    Broker,
    Spool,
    Admin,
}

impl Part {
    const STOP_ORDER: [Self; 7] =
        [Self::Reload, Self::Acme, Self::Listener, Self::Replay, Self::Broker, Self::Spool, Self::Admin];

    fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Acme => "renewal of certificates",
            Self::Listener => "public listener",
            Self::Replay => "replay",
            Self::Broker => "broker connection",
            Self::Spool => "spool",
            Self::Admin => "admin listener",
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
    async fn stop_all(mut self, within: Duration, signals: &mut Signals) {
        let owed = Deadline::after(within);
        for part in Part::STOP_ORDER {
            let Some((.., stop)) = self.parts.iter().find(|(other, ..)| *other == part) else {
                continue;
            };
            stop.cancel();
            // The listener leaves some of the time for the replay, the broker and the spool.
            let phase =
                if part == Part::Listener { owed.or_after(within - RESERVED.min(within / 4)) } else { owed };
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

/// Kept of the stop's time for what comes after the listener: replay, broker, spool.
const RESERVED: Duration = Duration::from_secs(3);

//! One connection to a broker, kept alive for ever: connect, check the topology, publish, and begin again.
//!
//! Lapin's own recovery is not used: it gives up after some tries, knows one URL, and does not reopen a channel
//! closed by a soft error. Here any failure of a connection or a channel ends the session, everything in
//! flight is unsafe, and the next session is made anew, from the next URL, after a jittered pause.

use std::{
    net::Shutdown,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::stream::{BoxStream, StreamExt};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, Event,
    options::ConfirmSelectOptions,
    tcp::{RustlsConnector, RustlsConnectorConfig},
    uri::{AMQPScheme, AMQPUri},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Link, Road,
    publisher::{Publisher, PublisherError, short},
    quarantine,
    topology::{TopologyError, establish, establish_quarantine, quarantine_name},
};
use crate::{
    backoff::Backoff,
    config::{Broker, BrokerTls, BrokerUrl},
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

/// Why a session did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// A step took longer than `broker.connect_within`.
    #[error("{step} took too long")]
    Slow {
        /// The step.
        step: &'static str,
    },
    /// Network, TLS, login or virtual host.
    #[error("{step} failed")]
    Refused {
        /// The step.
        step: &'static str,
        /// Why.
        #[source]
        source: lapin::Error,
    },
    /// Exchange, queue or binding.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The files of `broker.tls` hold no certificate or key.
    #[error("broker.tls cannot be used")]
    Tls(#[source] std::io::Error),
    /// The URL cannot be read.
    #[error("the URL cannot be read")]
    Url,
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
        let mut road = Some(session.road.clone());
        let mut checked = Instant::now();
        self.show(road.clone().map_or(Link::Down, Link::Up));
        let end = loop {
            tokio::select! {
                event = session.events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        warn!(%reason, "the broker blocks publishing");
                        self.show(Link::Blocked);
                    }
                    Some(Event::ConnectionUnblocked) => {
                        info!("the broker takes messages again");
                        self.show(road.clone().map_or(Link::Down, Link::Up));
                    }
                    // A channel that closed reports here too; if it was a publisher's, that one ends by itself.
                    Some(Event::Error(error)) if session.connection.status().connected() => {
                        debug!(error = %Chain(&error), "a channel closed");
                    }
                    Some(Event::Error(error)) => {
                        warn!(error = %Chain(&error), "broker connection lost");
                        break End::Broken;
                    }
                    Some(event) => debug!(?event, "broker connection"),
                    None => break End::Broken,
                },
                Some(ended) = session.publishers.join_next() => {
                    match ended {
                        Ok(Ok(())) => warn!("a publisher ended by itself"),
                        Ok(Err(error)) => warn!(error = %Chain(&error), "a publisher gave up its channel"),
                        Err(error) => tracing::error!(%error, "a publisher panicked"),
                    }
                    break End::Broken;
                }
                () = async {
                    tokio::time::sleep_until(checked + RECHECK_AFTER).await;
                    session.unroutable.notified().await;
                } => {
                    if let Some(others) = self.returns.pass(Instant::now().into_std()) {
                        warn!(others, "the broker returns messages: no queue is bound for them");
                    }
                    if let Err(error) = topology(&session.connection, &self.broker).await {
                        warn!(error = %Chain(&error), "the topology is gone");
                        break End::Broken;
                    }
                    checked = Instant::now();
                }
                () = stop.cancelled() => break End::Stopped,
            }
        };
        // Publishers end when nobody can reach them any more and all they have in flight is confirmed.
        road = None;
        drop(road);
        self.show(Link::Down);
        match end {
            End::Stopped => session.close().await,
            End::Broken => session.cut(),
        }
        end
    }

    fn show(&self, link: Link) {
        self.metrics.connection_up.set(i64::from(matches!(link, Link::Up(_))));
        self.metrics.connection_blocked.set(i64::from(matches!(link, Link::Blocked)));
        self.link.send_replace(link);
    }
}

/// Connects, checks the topology as `serve` would, and closes again.
///
/// # Errors
///
/// [`ProbeError`] says which step failed and why; it never holds a password.
pub async fn probe(url: &BrokerUrl, broker: &Broker) -> Result<(), ProbeError> {
    Session::open(url, broker, Metrics::new()).await?.close().await;
    Ok(())
}

/// A connection with everything that runs on it.
struct Session {
    connection: Connection,
    fuse: Fuse,
    events: BoxStream<'static, Event>,
    road: Arc<Road>,
    publishers: JoinSet<Result<(), PublisherError>>,
    quarantine: JoinSet<()>,
    unroutable: Arc<Notify>,
    /// Clones that are never used: lapin closes a channel when its last clone goes, and a channel that is just
    /// closing keeps the connection from closing politely.
    channels: Vec<Channel>,
}

impl Session {
    /// Connects and opens everything; each step has a deadline.
    async fn open(url: &BrokerUrl, broker: &Broker, metrics: Arc<Metrics>) -> Result<Self, ProbeError> {
        let within = broker.connect_within;
        let fuse = Fuse::default();
        let opened = async {
            let connection = connect(url, broker, &fuse).await?;
            let events = connection.events_listener().boxed();
            topology(&connection, broker).await?;
            let unroutable = Arc::new(Notify::new());
            let mut channels = Vec::with_capacity(broker.channels + 1);
            let mut publishers = JoinSet::new();
            let mut ways = Vec::with_capacity(broker.channels);
            for _ in 0..broker.channels {
                let channel = confirming_channel(&connection, within).await?;
                channels.push(channel.clone());
                let (way, parcels) = mpsc::channel(broker.in_flight_messages);
                let publisher =
                    Publisher::new(channel, broker, Arc::clone(&metrics), Arc::clone(&unroutable));
                publishers.spawn(publisher.run(parcels));
                ways.push(way);
            }
            let (way, quarantine) =
                open_quarantine(&connection, broker, Arc::clone(&metrics), &mut channels).await;
            let road = Arc::new(Road { publishers: ways, quarantine: way });
            Ok(Self {
                connection,
                fuse: fuse.clone(),
                events,
                road,
                publishers,
                quarantine,
                unroutable,
                channels,
            })
        };
        opened.await.inspect_err(|_| fuse.blow())
    }

    /// Waits for what is in flight, then closes politely. The daemon's stop bounds the waiting.
    async fn close(self) {
        let Self { connection, fuse, road, mut publishers, mut quarantine, channels, .. } = self;
        drop(road);
        while publishers.join_next().await.is_some() {}
        while quarantine.join_next().await.is_some() {}
        let closed = tokio::time::timeout(CLOSE_WITHIN, connection.close(200, "shutdown".into())).await;
        match closed {
            Ok(Ok(())) => info!("broker connection closed"),
            Ok(Err(error)) => warn!(error = %Chain(&error), "the broker connection did not close politely"),
            Err(_) => warn!("the broker did not close the connection in time"),
        }
        drop(channels);
        fuse.blow();
    }

    /// Ends everything at once.
    fn cut(self) {
        self.fuse.blow();
    }
}

/// Declares or checks the topology, on a channel of its own: a failure would close any other.
async fn topology(connection: &Connection, broker: &Broker) -> Result<(), ProbeError> {
    let channel = step(broker.connect_within, "opening a channel", connection.create_channel()).await?;
    match tokio::time::timeout(broker.connect_within, establish(&channel, broker)).await {
        Ok(established) => Ok(established?),
        Err(_) => Err(ProbeError::Slow { step: "the topology" }),
    }
}

async fn confirming_channel(connection: &Connection, within: Duration) -> Result<Channel, ProbeError> {
    let channel = step(within, "opening a channel", connection.create_channel()).await?;
    step(within, "asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

/// The quarantine never keeps the road closed: without its exchange, refused items are only counted.
async fn open_quarantine(
    connection: &Connection,
    broker: &Broker,
    metrics: Arc<Metrics>,
    channels: &mut Vec<Channel>,
) -> (Option<mpsc::Sender<quarantine::Parcel>>, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    if !broker.quarantine {
        return (None, tasks);
    }
    let opened = async {
        let channel = step(broker.connect_within, "opening a channel", connection.create_channel()).await?;
        establish_quarantine(&channel, broker).await?;
        Ok::<_, ProbeError>(channel)
    };
    let opened = tokio::time::timeout(broker.connect_within, opened).await;
    match opened.unwrap_or(Err(ProbeError::Slow { step: "the quarantine's topology" })) {
        Ok(channel) => {
            channels.push(channel.clone());
            let (way, parcels) = quarantine::way();
            tasks.spawn(quarantine::run(channel, short(&quarantine_name(broker)), parcels, metrics));
            (Some(way), tasks)
        }
        Err(error) => {
            warn!(error = %Chain(&error), "no quarantine: refused items are only counted");
            (None, tasks)
        }
    }
}

async fn step<T>(
    within: Duration,
    step: &'static str,
    work: impl Future<Output = lapin::Result<T>>,
) -> Result<T, ProbeError> {
    match tokio::time::timeout(within, work).await {
        Ok(done) => done.map_err(|source| ProbeError::Refused { step, source }),
        Err(_) => Err(ProbeError::Slow { step }),
    }
}

/// TCP, TLS and AMQP.
async fn connect(url: &BrokerUrl, broker: &Broker, fuse: &Fuse) -> Result<Connection, ProbeError> {
    let mut uri: AMQPUri = url.secret.expose().parse().map_err(|_| ProbeError::Url)?;
    // Lapin's parser takes an IPv6 address for no host at all, and goes to localhost.
    uri.authority.host.clone_from(&url.host);
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(Arc::new(tls(&broker.tls).map_err(ProbeError::Tls)?)),
    };
    let runtime = lapin::runtime::default_runtime()
        .map_err(|source| ProbeError::Refused { step: "finding the runtime", source })?;
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("graphhook {}", env!("CARGO_PKG_VERSION")).into());
    let (host, port, within, line) = (url.host.clone(), url.port, broker.connect_within, fuse.clone());
    // Dialling has its own deadline inside; the one outside is for the broker that accepts and then says nothing.
    let connection = Connection::connector(
        uri,
        runtime,
        async move |_, runtime| {
            let dial = async {
                let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), port)).await?.collect();
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    plain.get_ref().set_nodelay(true)?;
                    line.wire(plain.get_ref().as_fd().try_clone_to_owned()?.into());
                }
                match &tls {
                    None => Ok(stream),
                    Some(tls) => stream.into_rustls(tls, &host).await,
                }
            };
            let dialled = tokio::time::timeout(within, dial).await;
            Ok(dialled.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))?)
        },
        properties,
    );
    step(within * 2, "connecting", connection).await
}

fn tls(config: &BrokerTls) -> std::io::Result<RustlsConnector> {
    let invalid = |error| std::io::Error::new(std::io::ErrorKind::InvalidData, error);
    let trust = match &config.ca {
        None => RustlsConnectorConfig::new_with_native_certs()?,
        Some(pem) => {
            let certificates =
                CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(invalid)?;
            RustlsConnectorConfig::default().with_parsable_certificates(certificates)
        }
    };
    match &config.identity {
        None => trust.connector_with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::pem_slice_iter(&identity.certificate);
            let chain = chain.collect::<Result<_, _>>().map_err(invalid)?;
            let key =
                PrivateKeyDer::from_pem_slice(identity.private_key.expose().as_bytes()).map_err(invalid)?;
            trust.connector_with_single_cert(chain, key)
        }
    }
}

/// A second handle on the connection's socket, to end it from outside.
///
/// Lapin's I/O thread does not end while its socket is silent: not when a connect is given up, not while the
/// broker blocks us. Shutting the socket down ends the thread, and frees its buffers, every time.
#[derive(Clone, Debug, Default)]
struct Fuse(Arc<Mutex<Line>>);

#[derive(Debug, Default)]
struct Line {
    socket: Option<std::net::TcpStream>,
    blown: bool,
}

impl Fuse {
    /// Puts the fuse on a socket; if it has already blown, the socket ends at once.
    fn wire(&self, socket: std::net::TcpStream) {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if line.blown {
            end(&socket);
        }
        line.socket = Some(socket);
    }

    /// Ends the socket.
    fn blow(&self) {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.blown = true;
        if let Some(socket) = line.socket.take() {
            end(&socket);
        }
    }
}

fn end(socket: &std::net::TcpStream) {
    if let Err(error) = socket.shutdown(Shutdown::Both) {
        debug!(%error, "the socket to the broker had ended before");
    }
}

/// A hung broker is noticed after two of these. RabbitMQ advises 5 to 20 s.
const HEARTBEAT_SECONDS: u16 = 10;
/// Ceiling of the first pause between two tries.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Ceiling of all later pauses: a broker that is back is found within this time.
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// A session that lasted this long was a success, and the pauses begin anew.
const STABLE: Duration = Duration::from_secs(30);
/// Returned messages have the topology looked at, but no more often than this.
const RECHECK_AFTER: Duration = Duration::from_secs(1);
/// Time for the close handshake.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

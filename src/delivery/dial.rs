//! From a URL to an open AMQP connection, every step under a deadline, and a fuse on its socket.

use std::{
    io,
    net::Shutdown,
    ops::RangeInclusive,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties,
    options::ConfirmSelectOptions,
    protocol::constants::FRAME_MIN_SIZE,
    tcp::{RustlsConnector, RustlsConnectorConfig},
    uri::{AMQPScheme, AMQPUri},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use tracing::debug;

use super::{
    kit::Kit,
    topology::TopologyError,
    wire::{Socket, Taker, Wire, handover},
};
use crate::{
    client,
    config::{Broker, BrokerTls, BrokerUrl},
};

/// Why a session did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
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
    /// It was there, and ended before anything could be published.
    #[error("the connection was lost")]
    Lost,
    /// Exchange, queue or binding.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The files of `broker.tls` hold no certificate or key.
    #[error("broker.tls cannot be used")]
    Tls(#[source] io::Error),
    /// The URL cannot be read.
    #[error("the URL cannot be read")]
    Url,
}

/// TCP, TLS and AMQP, up to an open connection; with the place where its wire can be had.
pub(super) async fn dial(
    url: &BrokerUrl,
    broker: &Broker,
    fuse: &Fuse,
) -> Result<(Connection, Taker), ConnectError> {
    let mut uri: AMQPUri = url.secret.expose().parse().map_err(|_| ConnectError::Url)?;
    // Lapin's parser takes an IPv6 address for no host at all, and goes to localhost.
    uri.authority.host.clone_from(&url.host);
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    // Told beforehand, lapin need not make its buffers larger later: then it would touch all of their 8 MiB.
    uri.query.frame_max.get_or_insert(FRAME_BYTES_MAX);
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(Arc::new(tls(&broker.tls).map_err(ConnectError::Tls)?)),
    };
    let (giver, taker) = handover();
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("graphhook {}", env!("CARGO_PKG_VERSION")).into());
    let (host, port, within, fuse) = (url.host.clone(), url.port, broker.connect_within, fuse.clone());
    // Dialling has its own deadline inside; the one outside is for the broker that accepts and then says nothing.
    let connection = Connection::connector(
        uri,
        Kit::runtime(),
        async move |_, _| {
            let dialled = tokio::time::timeout(within, socket(&host, port, within, &tls, &fuse)).await;
            let socket = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            let (wire, end) = Wire::new(socket);
            giver.carry(wire);
            Ok(AsyncTcpStream::Plain(end))
        },
        properties,
    );
    Ok((step(within * 2, "connecting", connection).await?, taker))
}

/// TCP, and TLS if there is a connector.
async fn socket(
    host: &str,
    port: u16,
    within: Duration,
    tls: &Option<Arc<RustlsConnector>>,
    fuse: &Fuse,
) -> io::Result<Box<dyn Socket>> {
    let addresses = tokio::net::lookup_host((host, port)).await?;
    let dialled = client::dial(addresses, within).await;
    let stream =
        dialled.map_err(|last| last.map_or(io::ErrorKind::AddrNotAvailable.into(), |(_, error)| error))?;
    stream.set_nodelay(true)?;
    fuse.put_on(stream.as_fd().try_clone_to_owned()?.into());
    match tls {
        None => Ok(Box::new(stream)),
        Some(tls) => {
            let plain = AsyncTcpStream::Plain(TokioAsyncReadCompatExt::compat(stream));
            Ok(Box::new(FuturesAsyncReadCompatExt::compat(plain.into_rustls(tls, host).await?)))
        }
    }
}

/// What the first broker that answers gives; else why the last one did not.
pub(super) async fn first<T, E: From<ConnectError>>(
    broker: &Broker,
    open: impl AsyncFn(Connection, Fuse) -> Result<T, E>,
) -> Result<T, E> {
    let mut failed = ConnectError::Url.into();
    for url in &broker.urls {
        let fuse = Fuse::default();
        let opened = match dial(url, broker, &fuse).await {
            Ok((connection, _)) => open(connection, fuse.clone()).await,
            Err(error) => Err(error.into()),
        };
        match opened {
            Ok(opened) => return Ok(opened),
            Err(error) => {
                fuse.blow();
                failed = error;
            }
        }
    }
    Err(failed)
}

/// A channel.
pub(super) async fn channel(connection: &Connection, within: Duration) -> Result<Channel, ConnectError> {
    step(within, "opening a channel", connection.create_channel()).await
}

/// A channel in confirm mode.
pub(super) async fn confirming_channel(
    connection: &Connection,
    within: Duration,
) -> Result<Channel, ConnectError> {
    let channel = channel(connection, within).await?;
    step(within, "asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
}

/// Closes a connection politely, and ends it whatever the broker says to that. What holds its `channels` goes after it: lapin
/// closes a channel when its last handle goes, and that would get in the way.
pub(super) async fn close<T>(
    connection: Connection,
    channels: T,
    fuse: Fuse,
    within: Duration,
) -> Result<(), ConnectError> {
    let closed = step(within, "closing the connection", connection.close(200, "done".into())).await;
    drop(channels);
    fuse.blow();
    closed
}

/// One step of connecting, under its deadline.
pub(super) async fn step<T>(
    within: Duration,
    step: &'static str,
    work: impl Future<Output = lapin::Result<T>>,
) -> Result<T, ConnectError> {
    timely(within, step, work).await?.map_err(|source| ConnectError::Refused { step, source })
}

/// Waits for work of any kind, under its deadline.
pub(super) async fn timely<T>(
    within: Duration,
    step: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    tokio::time::timeout(within, work).await.map_err(|_| ConnectError::Slow { step })
}

fn tls(config: &BrokerTls) -> io::Result<RustlsConnector> {
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
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
pub(super) struct Fuse(Arc<Mutex<Line>>);

#[derive(Debug, Default)]
struct Line {
    socket: Option<std::net::TcpStream>,
    blown: bool,
}

impl Fuse {
    /// Puts the fuse on a socket; if it has already blown, the socket ends at once.
    fn put_on(&self, socket: std::net::TcpStream) {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if line.blown {
            end(&socket);
        }
        line.socket = Some(socket);
    }

    /// Ends the socket.
    pub(super) fn blow(&self) {
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

/// How large the largest frame may be. The head of a message goes out in one, and takes up to 7.7 KiB with its headers of up to
/// 1 KiB each; and lapin makes buffers for some of the largest.
pub const FRAME_BYTES: RangeInclusive<u32> = 8 << 10..=1 << 20;
// A broker that takes less is asked for this by lapin all the same, and refuses the connection.
const _: () = assert!(FRAME_MIN_SIZE >= *FRAME_BYTES.start());
/// RabbitMQ's own bound by default.
const FRAME_BYTES_MAX: u32 = 128 << 10;
/// A hung broker is noticed after two of these. RabbitMQ advises 5 to 20 s.
const HEARTBEAT_SECONDS: u16 = 10;

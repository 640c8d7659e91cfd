//! From a URL to an open AMQP connection, every step under a deadline, and a fuse on its socket.

use std::{
    net::Shutdown,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lapin::{
    AsyncTcpStream, Connection, ConnectionProperties,
    tcp::{RustlsConnector, RustlsConnectorConfig},
    uri::{AMQPScheme, AMQPUri},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tracing::debug;

use super::topology::TopologyError;
use crate::config::{Broker, BrokerTls, BrokerUrl};

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

/// TCP, TLS and AMQP, up to an open connection.
pub(super) async fn dial(url: &BrokerUrl, broker: &Broker, fuse: &Fuse) -> Result<Connection, ConnectError> {
    let mut uri: AMQPUri = url.secret.expose().parse().map_err(|_| ConnectError::Url)?;
    // Lapin's parser takes an IPv6 address for no host at all, and goes to localhost.
    uri.authority.host.clone_from(&url.host);
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(Arc::new(tls(&broker.tls).map_err(ConnectError::Tls)?)),
    };
    let runtime = lapin::runtime::default_runtime()
        .map_err(|source| ConnectError::Refused { step: "finding the runtime", source })?;
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

/// One step of connecting, under its deadline.
pub(super) async fn step<T>(
    within: Duration,
    step: &'static str,
    work: impl Future<Output = lapin::Result<T>>,
) -> Result<T, ConnectError> {
    match tokio::time::timeout(within, work).await {
        Ok(done) => done.map_err(|source| ConnectError::Refused { step, source }),
        Err(_) => Err(ConnectError::Slow { step }),
    }
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
pub(super) struct Fuse(Arc<Mutex<Line>>);

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

/// A hung broker is noticed after two of these. RabbitMQ advises 5 to 20 s.
const HEARTBEAT_SECONDS: u16 = 10;

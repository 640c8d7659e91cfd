//! A visit over the network: name, connection, TLS; each step under a deadline.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    RootCertStore,
    pki_types::{ServerName, pem},
};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    client::{self, dial, system_roots, tls},
    deadline::Deadline,
};

/// What a name stands for, and how long it took to find out.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) took: Duration,
}

/// Why a visit came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum VisitError {
    /// The name cannot be looked up, or stands for nothing.
    #[error("{host} has no address")]
    Name {
        host: String,
        #[source]
        source: io::Error,
    },
    /// Nobody takes the connection.
    #[error("cannot connect to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    /// No TLS, or no trust.
    #[error("no TLS")]
    Tls(#[source] io::Error),
    /// The authorities to trust cannot be had.
    #[error("no authorities to trust")]
    Trust(#[source] pem::Error),
    /// It took too long.
    #[error("{step} took more than {} s", STEP_WITHIN.as_secs())]
    Late { step: &'static str },
}

/// Looks a name up; never returns without an address.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Resolved, VisitError> {
    let begun = Instant::now();
    let found = in_time("DNS", lookup_host((host, port))).await?;
    let none = || io::Error::new(io::ErrorKind::NotFound, "the name stands for none");
    let addresses = found.map(Iterator::collect::<Vec<_>>);
    match addresses.and_then(|found| if found.is_empty() { Err(none()) } else { Ok(found) }) {
        Ok(addresses) => Ok(Resolved { addresses, took: begun.elapsed() }),
        Err(source) => Err(VisitError::Name { host: host.to_owned(), source }),
    }
}

/// Connects to the first address that takes it, and asks for this host by TLS.
pub(super) async fn connect(
    addresses: &[SocketAddr],
    host: &str,
    roots: RootCertStore,
) -> Result<TlsStream<TcpStream>, VisitError> {
    let dialled = dial(addresses.iter().copied().take(ADDRESSES_MAX), STEP_WITHIN).await;
    let stream = dialled.map_err(|last| match last {
        Some((address, source)) if source.kind() != io::ErrorKind::TimedOut => {
            VisitError::Connect { address, source }
        }
        Some(_) | None => VisitError::Late { step: "connecting" },
    })?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| VisitError::Tls(io::Error::other(error)))?;
    let mut config = tls(roots);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    in_time("TLS", connecting).await?.map_err(VisitError::Tls)
}

/// Waits for one step, not for ever.
pub(super) async fn in_time<T>(step: &'static str, work: impl Future<Output = T>) -> Result<T, VisitError> {
    Deadline::after(STEP_WITHIN).limit(work).await.map_err(|_| VisitError::Late { step })
}

/// The authorities in this PEM text, or those that the system trusts.
pub(super) fn roots(text: Option<&[u8]>) -> Result<RootCertStore, VisitError> {
    let found = text.map_or_else(|| Ok(system_roots()), client::roots).map_err(VisitError::Trust)?;
    if found.is_empty() { Err(VisitError::Trust(pem::Error::NoItemsFound)) } else { Ok(found) }
}

/// As [`roots`], from a file.
pub(super) fn roots_of(file: Option<&Path>) -> Result<RootCertStore, VisitError> {
    let text =
        file.map(std::fs::read).transpose().map_err(|error| VisitError::Trust(pem::Error::Io(error)))?;
    roots(text.as_deref())
}

/// The longest that each step may take. Graph gives a handshake 10 s in all.
const STEP_WITHIN: Duration = Duration::from_secs(10);
const ADDRESSES_MAX: usize = 4;

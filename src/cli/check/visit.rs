//! A visit over the network: name, connection, TLS; each step under a deadline.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::deadline::Deadline;

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
    Trust(#[source] io::Error),
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
    let stream = dial(addresses).await?;
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|error| VisitError::Tls(io::Error::other(error)))?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    in_time("TLS", connecting).await?.map_err(VisitError::Tls)
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, VisitError> {
    let mut failed = VisitError::Late { step: "connecting" };
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match in_time("connecting", TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => failed = VisitError::Connect { address: *address, source },
            Err(late) => failed = late,
        }
    }
    Err(failed)
}

/// Waits for one step, not for ever.
pub(super) async fn in_time<T>(step: &'static str, work: impl Future<Output = T>) -> Result<T, VisitError> {
    Deadline::after(STEP_WITHIN).limit(work).await.map_err(|_| VisitError::Late { step })
}

/// The authorities in this PEM text, or those that the system trusts.
pub(super) fn roots(pem: Option<&[u8]>) -> Result<RootCertStore, VisitError> {
    let mut roots = RootCertStore::empty();
    match pem {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(pem) => {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            let found = found.map_err(|error| VisitError::Trust(io::Error::other(error)))?;
            roots.add_parsable_certificates(found);
        }
    }
    let none = || VisitError::Trust(io::Error::new(io::ErrorKind::NotFound, "there are none"));
    if roots.is_empty() { Err(none()) } else { Ok(roots) }
}

/// As [`roots`], from a file.
pub(super) fn roots_of(file: Option<&Path>) -> Result<RootCertStore, VisitError> {
    let text = file.map(std::fs::read).transpose().map_err(VisitError::Trust)?;
    roots(text.as_deref())
}

/// The longest that each step may take. Graph gives a handshake 10 s in all.
const STEP_WITHIN: Duration = Duration::from_secs(10);
const ADDRESSES_MAX: usize = 4;

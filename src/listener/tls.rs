//! Certificate and key → what rustls needs to serve them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    CipherSuite, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A certificate with its key, ready to serve.
pub struct Identity {
    config: Arc<ServerConfig>,
    /// What the certificate says of itself.
    pub facts: Facts,
}

/// What an operator wants to know of a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// Names and addresses it is good for.
    pub hosts: Vec<String>,
    /// Begin of its validity, unix time.
    pub not_before: i64,
    /// End of its validity, unix time.
    pub not_after: i64,
    /// Whether it vouches for itself.
    pub is_self_signed: bool,
    /// Certificates in the file, its own among them.
    pub chain_len: usize,
}

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file without the PEM section that was looked for.
    #[error("{} holds no {what} in PEM form", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The first certificate of the file cannot be read.
    #[error("the certificate cannot be read")]
    NotX509,
    /// They do not belong together, or rustls knows no such key.
    #[error("certificate and private key cannot be used together")]
    Mismatch(#[source] rustls::Error),
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file; it never quotes one.
    pub fn load(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let (chain_pem, key_pem) = (read(certificate)?, read(private_key)?);
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain_pem)
            .collect::<Result<_, _>>()
            .and_then(
                |chain: Vec<_>| {
                    if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) }
                },
            )
            .map_err(|source| TlsError::NotPem {
                path: certificate.to_owned(),
                what: "certificate",
                source,
            })?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|source| TlsError::NotPem {
            path: private_key.to_owned(),
            what: "private key",
            source,
        })?;
        Self::new(chain, key)
    }

    /// Checks that both belong together.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotX509`], [`TlsError::Mismatch`]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let facts = Facts::of(&chain)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Mismatch)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(TlsError::Mismatch)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ignore_client_order = true;
        Ok(Self { config: Arc::new(config), facts })
    }

    /// What accepts connections with this identity.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }
}

/// Where the present lies in a certificate's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Validity {
    /// Before its begin.
    NotYet,
    /// Within, with this much left.
    Valid(Duration),
    /// After its end.
    Expired,
}

impl Facts {
    /// Where `now` lies in its life.
    pub fn validity(&self, now: SystemTime) -> Validity {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        match u64::try_from(self.not_after - now) {
            _ if now < self.not_before => Validity::NotYet,
            Ok(left) => Validity::Valid(Duration::from_secs(left)),
            Err(_) => Validity::Expired,
        }
    }

    fn of(chain: &[CertificateDer<'_>]) -> Result<Self, TlsError> {
        let certificate = chain.first().ok_or(TlsError::NotX509)?;
        let (_, x509) = X509Certificate::from_der(certificate).map_err(|_| TlsError::NotX509)?;
        let names = x509.subject_alternative_name().ok().flatten();
        let hosts = names.into_iter().flat_map(|names| &names.value.general_names).filter_map(host).collect();
        let validity = x509.validity();
        Ok(Self {
            hosts,
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            is_self_signed: x509.issuer() == x509.subject(),
            chain_len: chain.len(),
        })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "only names and addresses are hosts")]
fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv4Addr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

/// AES-128 with SHA-256 first: handshakes hash a great deal, and processors have SHA-256 built in, but not
/// SHA-384. It takes about a quarter off the cost of a handshake.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let is_later = |suite: CipherSuite| {
        !matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    provider.cipher_suites.sort_by_key(|suite| is_later(suite.suite()));
    provider
}

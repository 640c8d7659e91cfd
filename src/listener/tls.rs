//! TLS of the public listener: certificates and keys, from their files to what is shown to whom.

mod acceptor;
mod challenge;
mod clients;
mod facts;
mod pem;
mod served;
mod shelf;
mod trust;

use std::{
    fmt, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::CertifiedKey,
};

pub(crate) use self::pem::certificates;
pub use self::{
    challenge::{Challenge, is_challenge},
    clients::{AuthoritiesError, ClientAuthorities},
    facts::{Facts, Validity},
    pem::{Digest, Pem},
    served::Served,
};
use crate::config::PairFiles;

/// A certificate with its key, known to belong together.
pub struct Identity {
    key: Arc<CertifiedKey>,
    /// What the certificate says of itself.
    pub facts: Facts,
    /// The file that it was read from, if it was.
    pub file: Option<PathBuf>,
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
        source: rustls::pki_types::pem::Error,
    },
    /// The first certificate of the file cannot be read.
    #[error("the certificate cannot be read")]
    NotX509,
    /// They do not belong together, or rustls knows no such key.
    #[error("certificate and private key cannot be used together")]
    Mismatch(#[source] rustls::Error),
    /// No client would trust it any more.
    #[error("the certificate has expired")]
    Expired,
    /// No client would trust it yet.
    #[error("the certificate is not valid yet; is the clock right?")]
    NotYet,
    /// A certificate of the file was not issued by the one after it.
    #[error("the chain is not in order: the certificate comes first, then each one's issuer")]
    Disordered,
    /// Clients look for their host among the names, and find none.
    #[error("the certificate names no host (subjectAltName)")]
    Nameless,
    /// Its issuer's certificate has ended, or has not begun.
    #[error("the issuer of the certificate is not valid now: the second certificate of the file")]
    IssuerOutdated,
    /// Clients could not get from the certificate to the last one of the file.
    #[error("clients cannot trust the chain")]
    Untrusted(#[source] rustls::Error),
    /// There are no random numbers for the keys of session tickets.
    #[error("no keys for session tickets")]
    NoTickets(#[source] rustls::Error),
}

impl TlsError {
    /// Whether its words name the file already.
    pub fn names_file(&self) -> bool {
        match self {
            Self::Unreadable { .. } | Self::NotPem { .. } => true,
            Self::NotX509 | Self::Mismatch(_) | Self::Expired | Self::NotYet | Self::Disordered => false,
            Self::Nameless | Self::IssuerOutdated | Self::Untrusted(_) | Self::NoTickets(_) => false,
        }
    }
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names a file; it never quotes one.
    pub fn load(files: &PairFiles) -> Result<Self, TlsError> {
        Pem::read(files)?.identity()
    }

    /// Checks that both belong together.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotX509`], [`TlsError::Mismatch`]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let facts = Facts::of(&chain)?;
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(TlsError::Mismatch)?;
        Ok(Self { key: Arc::new(key), facts, file: None })
    }

    /// The certificate itself, as clients see it first.
    pub fn leaf(&self) -> &[u8] {
        self.key.cert.first().map_or(&[], |leaf| leaf)
    }

    /// Whether clients can be expected to trust it, and how long still; what runs is not given up for a pair that
    /// fails here.
    ///
    /// # Errors
    ///
    /// [`TlsError::Expired`], [`TlsError::NotYet`], [`TlsError::Nameless`], [`TlsError::Disordered`],
    /// [`TlsError::IssuerOutdated`], [`TlsError::Untrusted`]
    pub fn fit(&self, now: SystemTime) -> Result<Duration, TlsError> {
        trust::check(&self.key.cert, &self.facts, now)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.fmt(f)
    }
}

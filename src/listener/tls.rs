//! Certificate and key, from two files to what is shown to clients.

mod acceptor;
mod challenge;
mod facts;
mod served;
mod shelf;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::{
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

pub use self::{
    challenge::{Challenge, is_challenge},
    facts::{Facts, Validity},
    served::Served,
};

/// A certificate with its key, known to belong together.
pub struct Identity {
    key: Arc<CertifiedKey>,
    /// What the certificate says of itself.
    pub facts: Facts,
}

/// What the two files held at one moment, not understood yet.
pub struct Pem {
    certificate: PathBuf,
    private_key: PathBuf,
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// Tells one content of the two files from another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digest([u8; 32]);

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
    /// No client would trust it any more.
    #[error("the certificate has expired")]
    Expired,
    /// No client would trust it yet.
    #[error("the certificate is not valid yet; is the clock right?")]
    NotYet,
    /// A certificate of the file was not issued by the one after it.
    #[error("the chain is not in order: the certificate comes first, then each one's issuer")]
    Disordered,
    /// There are no random numbers for the keys of session tickets.
    #[error("no keys for session tickets")]
    NoTickets(#[source] rustls::Error),
}

impl Pem {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// [`TlsError::Unreadable`]
    pub fn read(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
        };
        let (chain, key) = (read(certificate)?, Zeroizing::new(read(private_key)?));
        Ok(Self { certificate: certificate.to_owned(), private_key: private_key.to_owned(), chain, key })
    }

    /// The same for the same content, wherever it lies.
    pub fn digest(&self) -> Digest {
        Digest::of([&*self.chain, &**self.key])
    }

    /// Understands it.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file; it never quotes one.
    pub fn identity(&self) -> Result<Identity, TlsError> {
        let chain = CertificateDer::pem_slice_iter(&self.chain).collect::<Result<Vec<_>, _>>();
        let chain =
            chain.and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) });
        let chain = chain.map_err(|source| TlsError::NotPem {
            path: self.certificate.clone(),
            what: "certificate",
            source,
        })?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| TlsError::NotPem {
            path: self.private_key.clone(),
            what: "private key",
            source,
        })?;
        Identity::new(chain, key)
    }
}

impl Identity {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file; it never quotes one.
    pub fn load(certificate: &Path, private_key: &Path) -> Result<Self, TlsError> {
        Pem::read(certificate, private_key)?.identity()
    }

    /// Checks that both belong together.
    ///
    /// # Errors
    ///
    /// [`TlsError::NotX509`], [`TlsError::Mismatch`]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let facts = Facts::of(&chain)?;
        let key = CertifiedKey::from_der(chain, key, &default_provider()).map_err(TlsError::Mismatch)?;
        Ok(Self { key: Arc::new(key), facts })
    }

    /// Whether clients can be expected to trust it; what runs is not given up for a pair that fails here.
    ///
    /// # Errors
    ///
    /// [`TlsError::Expired`], [`TlsError::NotYet`], [`TlsError::Disordered`]
    pub fn fit(&self, now: SystemTime) -> Result<(), TlsError> {
        match self.facts.validity(now) {
            Validity::Expired => Err(TlsError::Expired),
            Validity::NotYet => Err(TlsError::NotYet),
            Validity::Valid(_) if !self.facts.is_in_order => Err(TlsError::Disordered),
            Validity::Valid(_) => Ok(()),
        }
    }
}

impl Digest {
    /// The digest of these parts, told apart by their lengths.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.facts.fmt(f)
    }
}

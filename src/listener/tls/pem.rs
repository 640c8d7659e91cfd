//! Two files, as they were at one moment.

use std::{fs, path::Path};

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{Error, PemObject},
};
use zeroize::Zeroizing;

use super::{Identity, TlsError};
use crate::config::PairFiles;

/// What the two files held at one moment, not understood yet.
pub struct Pem {
    files: PairFiles,
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

/// Tells one content of the two files from another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digest([u8; 32]);

impl Pem {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// [`TlsError::Unreadable`]
    pub fn read(files: &PairFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            fs::read(path).map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
        };
        let (chain, key) = (read(&files.certificate)?, Zeroizing::new(read(&files.private_key)?));
        Ok(Self { files: files.clone(), chain, key })
    }

    /// The same for the same content, wherever it lies.
    pub fn digest(&self) -> Digest {
        Digest::of([&*self.chain, &**self.key])
    }

    /// Understands it.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names a file; it never quotes one.
    pub fn identity(&self) -> Result<Identity, TlsError> {
        let PairFiles { certificate, private_key } = &self.files;
        let not_pem = |path: &Path, what, source| TlsError::NotPem { path: path.to_owned(), what, source };
        let chain =
            certificates(&self.chain).map_err(|source| not_pem(certificate, "certificate", source))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|source| not_pem(private_key, "private key", source))?;
        Ok(Identity { file: Some(certificate.clone()), ..Identity::new(chain, key)? })
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

/// All certificates of a text; none is an error.
pub(crate) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>()?;
    if found.is_empty() { Err(Error::NoItemsFound) } else { Ok(found) }
}

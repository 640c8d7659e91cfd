//! Client certificates: for a proxy in front that has one, and for nobody else.

use std::{fmt, sync::Arc};

use rustls::{
    RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, pem},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::certificates;

/// Authorities, at least one: a client must be certified by one of them.
#[derive(Clone)]
pub struct ClientAuthorities {
    certificates: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Why a text names no authorities.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// It is something else.
    #[error("expected certificates of authorities in PEM form")]
    NotPem(#[source] pem::Error),
    /// It holds something in PEM form that is none.
    #[error("one of its certificates is none")]
    NotX509(#[source] rustls::Error),
}

impl ClientAuthorities {
    /// Reads them out of a file's text.
    ///
    /// # Errors
    ///
    /// [`AuthoritiesError`]
    pub fn from_pem(text: &[u8]) -> Result<Self, AuthoritiesError> {
        let certificates = certificates(text).map_err(AuthoritiesError::NotPem)?;
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            roots.add(certificate.clone()).map_err(AuthoritiesError::NotX509)?;
        }
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect("there is an authority, and no list of revoked certificates");
        Ok(Self { certificates, verifier })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }
}

impl PartialEq for ClientAuthorities {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl fmt::Debug for ClientAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAuthorities({})", self.certificates.len())
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn what_names_no_authority_is_refused() {
        let key = KeyPair::generate().expect("a key");
        let good = CertificateParams::default().self_signed(&key).expect("signed").pem();
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(ClientAuthorities::from_pem(good.as_bytes()).is_ok());
        for wrong in ["", "no PEM", &key.serialize_pem(), garbage, &format!("{good}{garbage}")] {
            assert!(ClientAuthorities::from_pem(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}

//! Certificates that resource data is encrypted for: read, and not judged. Graph looks at the key in them alone.

use std::fmt;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// A certificate as subscriptions name it. It holds nothing secret.
#[derive(Clone, Eq, PartialEq)]
pub struct Certificate {
    der: Box<[u8]>,
    /// SubjectPublicKeyInfo, DER.
    public: Box<[u8]>,
    /// Begin of its validity, unix time.
    pub not_before: i64,
    /// End of its validity, unix time.
    pub not_after: i64,
}

/// Why a text is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// No PEM with a certificate.
    #[error("no certificate in PEM")]
    NotPem,
    /// It is marked as one, and holds something else.
    #[error("no certificate that can be read")]
    NotX509,
}

impl Certificate {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    ///
    /// [`CertificateError`]
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| CertificateError::NotPem)?;
        Self::from_der(&der)
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`CertificateError::NotX509`]
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, x509) = X509Certificate::from_der(der).map_err(|_| CertificateError::NotX509)?;
        Ok(Self {
            public: x509.public_key().raw.into(),
            not_before: x509.validity().not_before.timestamp(),
            not_after: x509.validity().not_after.timestamp(),
            der: der.into(),
        })
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// SHA-1 over all of it, hexadecimal: `encryptionCertificateThumbprint`.
    pub fn thumbprint(&self) -> String {
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// All of it in base64, without line breaks: `encryptionCertificate`.
    pub fn encoded(&self) -> String {
        BASE64_STANDARD.encode(&self.der)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[certificate {}]", self.thumbprint())
    }
}

//! TLS-ALPN-01 (RFC 8737): an authority connects, and is shown a certificate that proves who answers for a domain.

use std::{fmt, sync::Arc};

use rustls::{
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::ClientHello,
    sign::CertifiedKey,
};
use tokio_rustls::server::TlsStream;

use super::TlsError;

/// The certificate that answers one challenge, with its key.
#[derive(Clone)]
pub struct Challenge(Arc<CertifiedKey>);

impl Challenge {
    /// Takes both as they are: the extension that makes it an answer is critical and unknown to rustls, which
    /// therefore cannot compare them.
    ///
    /// # Errors
    ///
    /// [`TlsError::Mismatch`]
    pub fn new(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Result<Self, TlsError> {
        let key = default_provider().key_provider.load_private_key(key).map_err(TlsError::Mismatch)?;
        Ok(Self(Arc::new(CertifiedKey::new(vec![certificate], key))))
    }

    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge")
    }
}

/// Whether a connection was made for a challenge only: it carries no request and ends with its handshake.
pub fn is_challenge<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(PROTOCOL)
}

/// An authority offers nothing else (RFC 8737, section 3).
pub(super) fn is_offered_alone(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|offered| offered.eq([PROTOCOL]))
}

/// The name in ALPN (RFC 8737, section 6.2).
pub(super) const PROTOCOL: &[u8] = b"acme-tls/1";

#[cfg(test)]
mod tests;

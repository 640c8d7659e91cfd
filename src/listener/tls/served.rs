//! The identity that new connections are shown, and how it is swapped.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    CipherSuite, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use super::{Facts, Identity};

/// One identity at a time, swapped whole. Connections go on with the one they were shown, and sessions can be
/// resumed across a swap: the memory of sessions belongs to the acceptor, and stays.
pub struct Served(RwLock<Arc<Identity>>);

impl Served {
    /// Begins with this one.
    pub fn new(identity: Identity) -> Self {
        Self(RwLock::new(Arc::new(identity)))
    }

    /// From now on new connections are shown this one. Returns what the one before said of itself.
    pub fn swap(&self, identity: Identity) -> Facts {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(identity)).facts.clone()
    }

    /// What the certificate says of itself.
    pub fn facts(&self) -> Facts {
        self.current().facts.clone()
    }

    /// What accepts connections. Call it once: sessions of one acceptor cannot be resumed with another.
    pub fn acceptor(self: Arc<Self>) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ignore_client_order = true;
        TlsAcceptor::from(Arc::new(config))
    }

    fn current(&self) -> Arc<Identity> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current().key))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
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

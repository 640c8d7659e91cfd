//! What rustls is told about the public listener.

use std::sync::Arc;

use rustls::{
    CipherSuite, ServerConfig,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, Ticketer},
    },
    server::NoClientAuth,
    sign::SingleCertAndKey,
};
use tokio_rustls::TlsAcceptor;

use super::{ClientAuthorities, Identity, Served, TlsError, challenge};
use crate::config::{Tls, TlsSource};

impl Identity {
    /// What accepts connections of HTTP/1.1 and shows this to everybody: for what plays a server, and is none.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&self.key))));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Served {
    /// What accepts connections. Call it once: sessions of one acceptor cannot be resumed with another.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoTickets`]
    pub fn acceptor(self: Arc<Self>, tls: &Tls) -> Result<TlsAcceptor, TlsError> {
        let clients =
            tls.client_ca.as_ref().map_or_else(|| Arc::new(NoClientAuth) as _, ClientAuthorities::verifier);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_client_cert_verifier(clients)
            .with_cert_resolver(self);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if answers_challenges(tls) {
            config.alpn_protocols.push(challenge::PROTOCOL.to_vec());
        }
        config.ignore_client_order = true;
        // The session lies with the client, under a key that is new every six hours and gone after twelve: any
        // number of clients can come back, and memory does not grow with them.
        config.ticketer = Ticketer::new().map_err(TlsError::NoTickets)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// Whether an authority may come with TLS-ALPN-01 challenges.
fn answers_challenges(tls: &Tls) -> bool {
    matches!(&tls.source, TlsSource::Acme(acme) if acme.http_listen.is_none())
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

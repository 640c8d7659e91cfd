//! A client that chooses what it says in the TLS handshake, and believes whatever certificate it is shown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, Error, HandshakeKind, ProtocolVersion, SignatureScheme,
    SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certs::Pair;
use super::eventually::within;

/// Comes, asks for `/healthz`, and goes.
#[derive(Clone)]
pub struct Visitor {
    address: SocketAddr,
    name: Option<String>,
    versions: Vec<&'static SupportedProtocolVersion>,
    suite: Option<CipherSuite>,
    certificate: Option<Pair>,
}

/// What it saw.
#[derive(Debug, PartialEq)]
pub struct Visit {
    /// The server's certificate, DER.
    pub certificate: Vec<u8>,
    /// The version of TLS.
    pub version: ProtocolVersion,
    /// The suite.
    pub suite: CipherSuite,
    /// Whether it went on from an earlier session.
    pub is_resumed: bool,
}

impl Visitor {
    /// One that asks for `localhost`.
    pub fn new(address: SocketAddr) -> Self {
        let name = Some("localhost".to_owned());
        Self { address, name, versions: vec![&TLS13, &TLS12], suite: None, certificate: None }
    }

    /// Asks for this host.
    pub fn of(&self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self.clone() }
    }

    /// Asks for no host.
    pub fn of_none(&self) -> Self {
        Self { name: None, ..self.clone() }
    }

    /// Speaks this version only.
    pub fn speaking(&self, version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..self.clone() }
    }

    /// Speaks this suite only.
    pub fn with_suite(&self, suite: CipherSuite) -> Self {
        Self { suite: Some(suite), ..self.clone() }
    }

    /// Has a certificate of its own.
    pub fn certified(&self, pair: &Pair) -> Self {
        Self { certificate: Some(pair.clone()), ..self.clone() }
    }

    /// What it tells rustls, with an empty memory of sessions.
    pub fn tls(&self) -> ClientConfig {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| self.suite.is_none_or(|wanted| suite.suite() == wanted));
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&self.versions)
            .expect("the suites fit the versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Believer::new()));
        let mut config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(Pair { certificate, key }) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect::<Result<_, _>>();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain.expect("certificates"), key).expect("a pair")
            }
        };
        config.enable_sni = self.name.is_some();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    /// Comes, asks for `/healthz`, and goes.
    pub async fn visit(&self) -> io::Result<Visit> {
        self.visit_with(&Arc::new(self.tls())).await
    }

    /// The same with a configuration of [`Visitor::tls`], which remembers sessions.
    pub async fn visit_with(&self, config: &Arc<ClientConfig>) -> io::Result<Visit> {
        within(BOUND, "a visit over TLS", self.come_and_go(config)).await
    }

    async fn come_and_go(&self, config: &Arc<ClientConfig>) -> io::Result<Visit> {
        let name = self.name.clone().unwrap_or_else(|| "unsaid.example".to_owned());
        let name = ServerName::try_from(name).expect("a name");
        let stream = TcpStream::connect(self.address).await?;
        let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
        // In TLS 1.3 only the first answer shows whether the server is content with us.
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let tls = stream.get_ref().1;
        Ok(Visit {
            certificate: tls.peer_certificates().expect("a server has one")[0].to_vec(),
            version: tls.protocol_version().expect("hands are shaken"),
            suite: tls.negotiated_cipher_suite().expect("hands are shaken").suite(),
            is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        })
    }
}

/// Checks that the server has the key of its certificate, and nothing else.
#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl Believer {
    fn new() -> Self {
        Self(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
    }
}

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Far beyond any time limit of the daemon's: this ends a test that hangs, and judges nothing.
const BOUND: Duration = Duration::from_secs(60);

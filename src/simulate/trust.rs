//! Whom the simulator believes on the way to a receiver.

use std::{fs, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DEFAULT_VERSIONS, DigitallySignedStruct, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, ServerName, UnixTime, pem},
};

use crate::client::{roots, system_roots, tls_of};

/// Which receivers are believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those that the system's authorities vouch for.
    System,
    /// Those that the authorities in this file vouch for; a self-signed certificate is its own authority.
    File(PathBuf),
    /// All.
    Anybody,
}

/// The file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the authorities in {}", path.display())]
pub struct TrustError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: pem::Error,
}

impl Trust {
    /// What rustls is told.
    ///
    /// # Errors
    ///
    /// [`TrustError`]
    pub fn config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        self.config_for(DEFAULT_VERSIONS)
    }

    /// What rustls is told for these versions of TLS alone.
    ///
    /// # Errors
    ///
    /// [`TrustError`]
    pub fn config_for(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Arc<ClientConfig>, TrustError> {
        let tls = |roots| tls_of(roots, versions);
        Ok(Arc::new(match self {
            Self::System => tls(system_roots()),
            Self::File(path) => {
                let read = fs::read(path).map_err(pem::Error::Io).and_then(|pem| roots(&pem));
                tls(read.map_err(|source| TrustError { path: path.clone(), source })?)
            }
            Self::Anybody => {
                let mut config = tls(RootCertStore::empty());
                config.dangerous().set_certificate_verifier(Arc::new(Believer(default_provider())));
                config
            }
        }))
    }
}

/// Checks that the receiver has the key of its certificate, and nothing else.
#[derive(Debug)]
struct Believer(CryptoProvider);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

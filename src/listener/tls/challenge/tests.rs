use std::io;

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{PrivatePkcs8KeyDer, ServerName, UnixTime},
};
use tokio::io::DuplexStream;
use tokio_rustls::{TlsConnector, client};

use super::*;
use crate::{
    config::{Acme, Tls, TlsSource, UnknownHost},
    listener::tls::{Identity, Served},
    metrics::Metrics,
};

/// Believes every certificate: what an authority makes of this one is its own affair.
#[derive(Debug)]
struct Believer;

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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate for the domain and its key; with the extension of RFC 8737 if it is for a challenge.
fn made(domain: &str, is_challenge: bool) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([domain.to_owned()]).expect("a name");
    if is_challenge {
        params.custom_extensions.push(CustomExtension::new_acme_identifier(&[7; 32]));
    }
    let certificate = params.self_signed(&key).expect("signed").der().clone();
    (certificate, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

fn tls(http_listen: Option<&str>) -> Tls {
    let acme = Acme {
        domains: vec!["a.example".to_owned(), "b.example".to_owned()],
        contact: None,
        directory: "https://ca.example/".to_owned(),
        cache: "/nonexistent".into(),
        ca_file: None,
        http_listen: http_listen.map(|address| address.parse().expect("an address")),
    };
    Tls { source: TlsSource::Acme(acme), unknown_host: UnknownHost::Default, client_ca: None }
}

struct Shown {
    certificate: CertificateDer<'static>,
    is_challenge: bool,
}

/// Shakes hands in memory, as a client that asks for this domain and offers these protocols.
async fn visit(
    served: &Arc<Served>,
    tls: &Tls,
    domain: &'static str,
    offered: &[&[u8]],
) -> io::Result<Shown> {
    let acceptor = Arc::clone(served).acceptor(tls).expect("random numbers");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("both")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Believer))
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.to_vec()).collect();
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let name = ServerName::try_from(domain).expect("a name");
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, theirs);
    let (accepted, connected) = tokio::join!(acceptor.accept(ours), connecting);
    let (accepted, connected): (_, client::TlsStream<DuplexStream>) = (accepted?, connected?);
    let certificate = connected.get_ref().1.peer_certificates().expect("servers have one")[0].clone();
    Ok(Shown { certificate, is_challenge: is_challenge(&accepted) })
}

#[tokio::test]
async fn a_challenge_is_shown_to_who_comes_for_it_and_to_nobody_else() {
    let (tls, own) = (tls(None), made("a.example", false));
    let served = Served::new(vec![None, None], tls.unknown_host, Metrics::new());
    let nobody = visit(&served, &tls, "a.example", &[b"h2"]).await;
    assert!(nobody.is_err(), "a handshake without a certificate");

    served.put(0, Arc::new(Identity::new(vec![own.0.clone()], own.1).expect("a pair")));
    let (certificate, key) = made("b.example", true);
    served.challenge("B.example", Some(Challenge::new(certificate.clone(), key).expect("a key")));
    let shown = visit(&served, &tls, "b.example", &[PROTOCOL]).await.expect("a handshake");
    assert!(shown.certificate == certificate && shown.is_challenge);
    for offered in [&[b"h2".as_slice(), PROTOCOL][..], &[b"http/1.1"], &[]] {
        let shown = visit(&served, &tls, "b.example", offered).await.expect("a handshake");
        assert!(shown.certificate == own.0 && !shown.is_challenge, "{offered:?}");
    }
    assert!(visit(&served, &tls, "a.example", &[PROTOCOL]).await.is_err(), "no challenge of this domain");

    served.challenge("b.example", None);
    assert!(visit(&served, &tls, "b.example", &[PROTOCOL]).await.is_err(), "the challenge is over");
}

#[tokio::test]
async fn nobody_speaks_of_challenges_that_come_by_http() {
    let (tls, own) = (tls(Some("[::]:80")), made("a.example", false));
    let served = Served::new(vec![None], tls.unknown_host, Metrics::new());
    served.put(0, Arc::new(Identity::new(vec![own.0], own.1).expect("a pair")));
    assert!(visit(&served, &tls, "a.example", &[PROTOCOL]).await.is_err());
    let (certificate, key) = made("a.example", true);
    served.challenge("a.example", Some(Challenge::new(certificate, key).expect("a key")));
    assert!(visit(&served, &tls, "a.example", &[PROTOCOL]).await.is_err());
    assert!(visit(&served, &tls, "a.example", &[PROTOCOL, b"h2"]).await.is_ok());
}

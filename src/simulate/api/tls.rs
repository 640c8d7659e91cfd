//! What the stand-in shows to those who come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::{ApiError, Identity};
use crate::listener::tls;

/// What accepts connections, and whom to believe for them.
pub(super) struct Shown {
    /// `None` for `http://`.
    pub(super) acceptor: Option<TlsAcceptor>,
    /// The authority of a throwaway certificate, PEM.
    pub(super) authority: Option<String>,
}

pub(super) fn shown(identity: &Identity) -> Result<Shown, ApiError> {
    match identity {
        Identity::Plain => Ok(Shown { acceptor: None, authority: None }),
        Identity::Files(files) => {
            let identity = tls::Identity::load(files)?;
            Ok(Shown { acceptor: Some(identity.acceptor()), authority: None })
        }
        Identity::Throwaway => {
            let (identity, authority) = throwaway().map_err(|error| ApiError::Certificate(error.into()))?;
            Ok(Shown { acceptor: Some(identity?.acceptor()), authority: Some(authority) })
        }
    }
}

/// A certificate for this machine, below an authority that lives no longer than this function: strict clients want
/// another one above a server's. Both lie in memory only.
fn throwaway() -> Result<(Result<tls::Identity, tls::TlsError>, String), rcgen::Error> {
    let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let mut authority = named("graphhook simulate api: authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let mut server = named("graphhook simulate api");
    server.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
    let private_key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Ok((tls::Identity::new(vec![certificate.der().clone()], private_key), authority_pem))
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

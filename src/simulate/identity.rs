//! What those who play Microsoft show to those who come.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::kept;
use crate::{
    config::PairFiles,
    listener::tls::{self, TlsError},
};

/// What is shown to those who come.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A certificate for `localhost` and the loopback addresses, by an authority that is made for it.
    Throwaway,
    /// The same, kept in this directory, and made when it is not there.
    Kept(PathBuf),
    /// This pair.
    Files(PairFiles),
    /// Nothing: `http://`.
    Plain,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No certificate can be made.
    #[error("no certificate can be made")]
    Certificate(#[from] rcgen::Error),
    /// The pair cannot be used.
    #[error("no certificate to show")]
    Pair(#[from] TlsError),
    /// It cannot be kept, or read again.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What accepts connections, and whom to believe for them.
pub(super) struct Shown {
    /// `None` for `http://`.
    pub(super) acceptor: Option<TlsAcceptor>,
    /// The authority of a certificate of our own making, PEM.
    pub(super) authority: Option<String>,
}

/// A certificate for this machine, its key and its authority.
struct Made {
    certificate: Certificate,
    key: KeyPair,
    authority: Certificate,
}

impl Identity {
    pub(super) fn shown(&self) -> Result<Shown, IdentityError> {
        match self {
            Self::Plain => Ok(Shown { acceptor: None, authority: None }),
            Self::Files(files) => {
                let identity = tls::Identity::load(files)?;
                Ok(Shown { acceptor: Some(identity.acceptor()), authority: None })
            }
            Self::Throwaway => Made::new()?.shown(),
            Self::Kept(directory) => kept(directory),
        }
    }
}

impl Made {
    /// Below an authority that lives no longer than this function: strict clients want another one above a server's.
    fn new() -> Result<Self, rcgen::Error> {
        let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let mut authority = named("graphhook simulate: authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let signed = authority.self_signed(&authority_key)?;
        let mut server = named("graphhook simulate");
        server.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key))?;
        Ok(Self { certificate, key, authority: signed })
    }

    fn shown(&self) -> Result<Shown, IdentityError> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let identity = tls::Identity::new(vec![self.certificate.der().clone()], key)?;
        Ok(Shown { acceptor: Some(identity.acceptor()), authority: Some(self.authority.pem()) })
    }

    /// The authority last: where it is, the others are.
    fn write(&self, files: &PairFiles, authority: &Path) -> Result<(), IdentityError> {
        let write = |path: &Path, text: &str, mode| kept::write(path, text, mode).map_err(failed(path));
        write(&files.certificate, &self.certificate.pem(), 0o644)?;
        write(&files.private_key, &Zeroizing::new(self.key.serialize_pem()), 0o600)?;
        write(authority, &self.authority.pem(), 0o644)
    }
}

/// What this directory keeps, made now if it keeps nothing.
fn kept(directory: &Path) -> Result<Shown, IdentityError> {
    let [certificate, private_key, authority] =
        [CERTIFICATE, PRIVATE_KEY, AUTHORITY].map(|name| directory.join(name));
    let files = PairFiles { certificate, private_key };
    if !authority.exists() {
        Made::new()?.write(&files, &authority)?;
    }
    let authority = kept::read(&authority).map_err(failed(&authority))?.to_string();
    Ok(Shown { acceptor: Some(tls::Identity::load(&files)?.acceptor()), authority: Some(authority) })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::File { path, source }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// What clients must believe, in a directory that keeps an identity.
pub const AUTHORITY: &str = "issuer-ca.pem";
const CERTIFICATE: &str = "issuer-tls-certificate.pem";
const PRIVATE_KEY: &str = "issuer-tls-key.pem";

//! A certificate authority for one test, and what it signs.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A certificate authority that nobody else trusts.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// What its certificates need beside them, PEM; nothing if it is a root.
    chain: String,
}

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Pair {
    /// The certificate, and what it needs beside it.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: String,
}

/// Where the files of an [`Authority`] lie once they are written.
#[derive(Clone)]
pub struct Files {
    /// The certificate of the authority.
    pub ca: PathBuf,
    /// The server's certificate, for `localhost` and the loopback addresses.
    pub certificate: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
    /// A client's certificate.
    pub client_certificate: PathBuf,
    /// The client's private key.
    pub client_key: PathBuf,
}

impl Authority {
    /// A new authority with a key of its own.
    pub fn generate() -> Self {
        let (params, key) = (authority("graphhook test authority"), new_key());
        let pem = params.self_signed(&key).expect("the parameters are complete").pem();
        Self { issuer: Issuer::new(params, key), pem, chain: String::new() }
    }

    /// An authority below this one; what it signs comes with its own certificate.
    pub fn intermediate(&self) -> Self {
        let (mut params, key) = (authority("graphhook test intermediate"), new_key());
        params.use_authority_key_identifier_extension = true;
        let pem = params.signed_by(&key, &self.issuer).expect("the parameters are complete").pem();
        Self { issuer: Issuer::new(params, key), chain: format!("{pem}{}", self.chain), pem }
    }

    /// The authority's certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `localhost`, 127.0.0.1 and ::1, good until 2049.
    pub fn server(&self) -> Pair {
        self.server_between((2020, 1, 1), (2049, 12, 31))
    }

    /// A certificate for these DNS names, good until 2048.
    pub fn server_for(&self, names: &[&str]) -> Pair {
        self.server_with(names, &new_key())
    }

    /// The same with this key.
    pub fn server_with(&self, names: &[&str], key: &KeyPair) -> Pair {
        let mut params = parameters("localhost");
        let name = |name: &&str| SanType::DnsName((*name).try_into().expect("a DNS name"));
        params.subject_alt_names = names.iter().map(name).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_after = date_time_ymd(2048, 12, 31);
        self.sign(params, key)
    }

    /// As [`Authority::server`], good from the first to the second day (year, month, day).
    pub fn server_between(&self, from: (i32, u8, u8), until: (i32, u8, u8)) -> Pair {
        let mut params = this_machine();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        self.sign(params, &new_key())
    }

    /// As [`Authority::server`], good for this long, to the second.
    pub fn server_of_life(&self, life: Duration) -> Pair {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is right");
        let mut params = this_machine();
        params.not_after = date_time_ymd(1970, 1, 1) + now + life;
        self.sign(params, &new_key())
    }

    /// A client certificate whose common name is `name`.
    pub fn client(&self, name: &str) -> Pair {
        let mut params = parameters(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params, &new_key())
    }

    /// Writes the authority, a server's and a client's pair into `directory`.
    pub fn write_into(&self, directory: &Path) -> Files {
        let files = Files {
            ca: directory.join("ca.pem"),
            certificate: directory.join("cert.pem"),
            key: directory.join("key.pem"),
            client_certificate: directory.join("client-cert.pem"),
            client_key: directory.join("client-key.pem"),
        };
        fs::write(&files.ca, &self.pem).expect("the directory can be written");
        self.server().write(&files.certificate, &files.key);
        self.client("graphhook test client").write(&files.client_certificate, &files.client_key);
        files
    }

    fn sign(&self, mut params: CertificateParams, key: &KeyPair) -> Pair {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).expect("the parameters are complete").pem();
        Pair { certificate: certificate + &self.chain, key: key.serialize_pem() }
    }
}

impl Pair {
    /// What a client sees of it first.
    pub fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate").to_vec()
    }

    /// Writes both files; the certificate first, as most tools that renew certificates do.
    pub fn write(&self, certificate: &Path, key: &Path) {
        fs::write(certificate, &self.certificate).expect("the certificate can be written");
        fs::write(key, &self.key).expect("the key can be written");
    }
}

fn authority(common_name: &str) -> CertificateParams {
    let mut params = parameters(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// For `localhost`, 127.0.0.1 and ::1.
fn this_machine() -> CertificateParams {
    let mut params = parameters("localhost");
    params.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into().expect("localhost is a DNS name")),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn parameters(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params
}

/// P-256, which RabbitMQ's TLS takes as readily as ours does.
fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

//! T4: versions, suites and kinds of keys.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize};
use rustls::CipherSuite::{
    self, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};

use super::further;
use crate::support::certs::{Authority, Pair};
use crate::support::daemon::Daemon;
use crate::support::visitor::Visitor;

const MODERN: [CipherSuite; 3] =
    [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
const RSA: [CipherSuite; 3] = [
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];
const ECDSA: [CipherSuite; 3] = [
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// Clients that know one version, or one suite of one version, with every kind of key in every form.
#[tokio::test]
async fn every_version_suite_and_kind_of_key_is_served() {
    let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::generate());
    let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size).expect("a key");
    let ecdsa = |kind| KeyPair::generate_for(kind).expect("a key");
    let hosts = [
        ("rsa-2048.example", rsa(RsaKeySize::_2048), RSA),
        ("rsa-4096.example", rsa(RsaKeySize::_4096), RSA),
        ("p-256.example", ecdsa(&PKCS_ECDSA_P256_SHA256), ECDSA),
        ("p-384.example", ecdsa(&PKCS_ECDSA_P384_SHA384), ECDSA),
    ];
    let pairs = hosts.each_ref().map(|(host, key, _)| (*host, authority.server_with(&[*host], key)));
    // PKCS#8 for some, and what older tools write for others: PKCS#1 and SEC1.
    let written = pairs.each_ref().map(|(host, pair)| {
        let is_old = ["rsa-2048.example", "p-384.example"].contains(host);
        (*host, if is_old { traditional(pair) } else { pair.clone() })
    });
    let certificates = further(directory.path(), &written.each_ref().map(|(host, pair)| (*host, pair)));
    let daemon =
        Daemon::configure().set("server.tls", "certificates", &certificates).without_broker().start().await;
    for ((host, _, old), (_, pair)) in hosts.iter().zip(&pairs) {
        let visitor = Visitor::new(daemon.public()).of(host);
        check(&visitor.speaking(&TLS12), &TLS12, None, pair).await;
        check(&visitor.speaking(&TLS13), &TLS13, None, pair).await;
        for suite in *old {
            check(&visitor.speaking(&TLS12).with_suite(suite), &TLS12, Some(suite), pair).await;
        }
        for suite in MODERN {
            check(&visitor.speaking(&TLS13).with_suite(suite), &TLS13, Some(suite), pair).await;
        }
    }
}

async fn check(
    visitor: &Visitor,
    version: &SupportedProtocolVersion,
    suite: Option<CipherSuite>,
    pair: &Pair,
) {
    let visit = visitor.visit().await.unwrap_or_else(|error| panic!("{version:?} {suite:?}: {error}"));
    assert_eq!(visit.version, version.version);
    assert!(suite.is_none_or(|suite| visit.suite == suite), "{suite:?}: {visit:?}");
    assert_eq!(visit.certificate, pair.der());
}

/// The key as PKCS#1 or SEC1: the octet string that is the third element of PKCS#8.
fn traditional(pair: &Pair) -> Pair {
    let PrivateKeyDer::Pkcs8(key) = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key") else {
        panic!("not PKCS#8");
    };
    let (body, _) = element(key.secret_pkcs8_der());
    let (_, rest) = element(body);
    let (algorithm, rest) = element(rest);
    let (inner, _) = element(rest);
    // 1.2.840.113549.1.1.1, rsaEncryption.
    let is_rsa = algorithm.starts_with(&[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]);
    let label = if is_rsa { "RSA PRIVATE KEY" } else { "EC PRIVATE KEY" };
    Pair { key: pem(label, inner), certificate: pair.certificate.clone() }
}

/// The content of the first element of DER, and what comes after it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(der[2]), 3),
        0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
        longer => panic!("a length of {longer:#x}"),
    };
    (&der[head..head + length], &der[head + length..])
}

fn pem(label: &str, der: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.chunks(3).map(base64).collect::<String>();
    let lines: Vec<String> = der.chunks(48).map(line).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Four letters for up to three bytes (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |index: usize| u32::from(bytes.get(index).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    let letter = |index: u32| match index as usize > bytes.len() {
        true => '=',
        false => char::from(LETTERS[(bits >> (18 - 6 * index)) as usize & 63]),
    };
    (0..4).map(letter).collect()
}

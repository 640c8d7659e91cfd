//! What `check` finds of resource data: keys that open it, and those that its tokens are signed with.

use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use super::{
    certificates::{WARNED_BEFORE, days},
    clock::Told,
    report::{Check, Finding},
};
use crate::{
    cli::words,
    client::Unanswered,
    config::{Deliver, Rich, RichKey},
    error::Chain,
    moment::{at_unix, rfc3339_unix},
    verify::{
        certificate::Certificate,
        keys::{FetchError, KeySource, Tried, try_document},
        seal::makes_round_trip,
    },
};

/// What needs no network.
pub(super) fn rich(config: &Rich, now: SystemTime) -> Vec<Finding> {
    let mut findings: Vec<_> = config.keys.iter().flat_map(|key| of_key(key, now)).collect();
    let delivered = match (config.deliver, config.keys.len()) {
        (Deliver::Opened, _) => "is delivered decrypted",
        (Deliver::Sealed, 0) => "is delivered encrypted",
        (Deliver::Sealed, _) => "is delivered encrypted, and no key is used",
    };
    let apps = words::number(config.expectations.app_ids.len() as u64, "app id");
    let tenants = words::number(config.expectations.tenants.len() as u64, "tenant");
    let words = format!("tokens for {apps} and {tenants}; what they vouch for {delivered}");
    findings.push(Finding::ok(CHECK, words));
    findings
}

fn of_key(key: &RichKey, now: SystemTime) -> Vec<Finding> {
    let RichKey { id, private_key, certificate } = key;
    if !makes_round_trip(private_key) {
        let words = format!("{id}: what is sealed for this key cannot be opened with it");
        return vec![Finding::failed(CHECK, words, "make another one: graphhook rich keygen")];
    }
    let bits = private_key.bits();
    let mut findings = Vec::from_iter(too_long(id, bits));
    let end = match certificate {
        None => "its certificate is not named, and its end not known".to_owned(),
        Some(certificate) => {
            findings.extend(odd(id, certificate, now));
            format!("its certificate ends at {}", rfc3339_unix(certificate.not_after))
        }
    };
    findings.push(Finding::ok(CHECK, format!("{id}: {bits} bits, opens what is sealed for it; {end}")));
    findings
}

fn too_long(id: &str, bits: usize) -> Option<Finding> {
    let words = format!("{id}: {bits} bits; Graph takes certificates of 2048 to {BITS_MAX}");
    (bits > BITS_MAX).then(|| Finding::warning(CHECK, words, "make another one: graphhook rich keygen"))
}

/// Decryption does not care about dates; but whether Graph does, nobody knows.
fn odd(id: &str, certificate: &Certificate, now: SystemTime) -> Option<Finding> {
    let (begin, end) = (at_unix(certificate.not_before), at_unix(certificate.not_after));
    let (words, advice) = match end.duration_since(now) {
        Err(_) | Ok(Duration::ZERO) => ("has expired".to_owned(), ROTATE),
        Ok(_) if now < begin => ("is not valid yet".to_owned(), "check the clock"),
        Ok(left) if left < WARNED_BEFORE => (format!("ends in {} days", days(left)), ROTATE),
        Ok(_) => return None,
    };
    Some(Finding::warning(CHECK, format!("{id}: its certificate {words}"), advice))
}

/// Every document of keys, and what time it is where they are.
pub(super) async fn documents(source: &KeySource) -> (Vec<Finding>, Vec<Told>) {
    let tried = source.documents.iter().map(async |url| {
        let asked = SystemTime::now();
        let tried = try_document(source, url).await;
        let date = tried.as_ref().ok().and_then(|tried| tried.date);
        let told = date.map(|date| Told::new(url.to_string(), date, asked, SystemTime::now()));
        (document(&url.to_string(), tried), told)
    });
    let (findings, told): (Vec<_>, Vec<_>) = join_all(tried).await.into_iter().unzip();
    (findings, told.into_iter().flatten().collect())
}

fn document(url: &str, tried: Result<Tried, FetchError>) -> Finding {
    match tried {
        Ok(Tried { keys, .. }) => {
            Finding::ok(CHECK, format!("{url}: {} for tokens", words::number(keys as u64, "key")))
        }
        Err(error) => {
            let words = Chain(&error).to_string();
            let advice = advice(&error, &words);
            Finding::failed(CHECK, format!("{url}: {words}"), advice)
        }
    }
}

fn advice(error: &FetchError, words: &str) -> &'static str {
    match error {
        FetchError::Unanswered(unanswered) => match unanswered {
            Unanswered::Trust { .. } => "let it be a PEM file of certificates, or leave the key out",
            Unanswered::NoTrust { .. } => "install the package ca-certificates, or name rich.ca_file",
            Unanswered::Url(_) => LOOK,
            Unanswered::Connect { .. } if words.contains("invalid peer certificate") => {
                "name its own authority in rich.ca_file; does a proxy in between read along?"
            }
            Unanswered::Connect { .. } if words.contains("lookup") => {
                "look at the name in rich.key_documents, and at this machine's DNS"
            }
            Unanswered::Connect { .. } | Unanswered::Late { .. } => {
                "is there a way out to it, through firewalls? No proxy is used"
            }
            Unanswered::Http { .. } | Unanswered::Answer { .. } => "try again: it broke off",
        },
        FetchError::Status { .. } | FetchError::Rubbish { .. } | FetchError::Astray(_) => LOOK,
    }
}

const CHECK: Check = Check::Rich;
/// What Graph takes.
const BITS_MAX: usize = 4096;
const ROTATE: &str = "make another one by graphhook rich keygen, and move the subscriptions to it";
const LOOK: &str = "look at rich.cloud and rich.key_documents";

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use aws_lc_rs::{encoding::AsDer, rsa::KeyPair, rsa::KeySize};
    use base64::{Engine, prelude::BASE64_STANDARD};
    use rcgen::{CertificateParams, date_time_ymd};

    use super::*;
    use crate::verify::{Expectations, decrypt::PrivateKey};

    fn private_key() -> Arc<PrivateKey> {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("DER");
        let text = BASE64_STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        Arc::new(PrivateKey::from_pem(&pem).expect("a key"))
    }

    /// Valid through 2026.
    fn certificate() -> Certificate {
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        let key = rcgen::KeyPair::generate().expect("a key");
        Certificate::from_der(params.self_signed(&key).expect("a certificate").der()).expect("a certificate")
    }

    fn on(year: i32, month: u8, day: u8) -> SystemTime {
        date_time_ymd(year, month, day).into()
    }

    fn config(deliver: Deliver, keys: Vec<RichKey>) -> Rich {
        let expectations = Expectations {
            app_ids: HashSet::from(["a".to_owned()]),
            tenants: HashSet::from(["b".to_owned(), "c".to_owned()]),
            issuer_v1: String::new(),
            issuer_v2: String::new(),
            publisher: String::new(),
            clock_skew: Duration::ZERO,
        };
        let signing_keys = KeySource { documents: Vec::new(), ca_file: None, refresh_after: Duration::ZERO };
        Rich { deliver, expectations, signing_keys, keys }
    }

    #[track_caller]
    fn check(found: &[Finding], words: &[&str]) {
        let said: Vec<String> = found.iter().map(|finding| format!("{finding:?}")).collect();
        assert_eq!(said.len(), words.len(), "{said:#?}");
        for (said, words) in said.iter().zip(words) {
            let (verdict, words) = words.split_once(' ').expect("a verdict and words");
            assert!(said.contains(verdict) && said.contains(words), "{verdict} {words}: {said}");
        }
    }

    #[test]
    fn dates_of_certificates_are_told_of() {
        let key =
            RichKey { id: "k".to_owned(), private_key: private_key(), certificate: Some(certificate()) };
        let good =
            "Ok k: 2048 bits, opens what is sealed for it; its certificate ends at 2027-01-01T00:00:00Z";
        check(&of_key(&key, on(2026, 12, 1)), &[good]);
        check(&of_key(&key, on(2026, 12, 20)), &["Warning k: its certificate ends in 12 days", good]);
        check(&of_key(&key, on(2027, 1, 1)), &["Warning k: its certificate has expired", good]);
        check(&of_key(&key, on(2025, 12, 31)), &["Warning k: its certificate is not valid yet", good]);
        let nameless = RichKey { certificate: None, ..key };
        check(&of_key(&nameless, on(2027, 1, 1)), &["Ok not named, and its end not known"]);
    }

    #[test]
    fn a_key_that_is_too_long_for_graph_is_told_of() {
        for bits in [2048, 3072, 4096] {
            assert!(too_long("k", bits).is_none(), "{bits}");
        }
        check(&Vec::from_iter(too_long("k", 8192)), &["Warning k: 8192 bits; Graph takes"]);
    }

    #[test]
    fn keys_that_are_not_used_are_told_of() {
        let of = |deliver, keys| rich(&config(deliver, keys), on(2026, 1, 1));
        check(
            &of(Deliver::Sealed, vec![]),
            &["Ok tokens for 1 app id and 2 tenants; what they vouch for is delivered encrypted\""],
        );
        let key = RichKey { id: "k".to_owned(), private_key: private_key(), certificate: None };
        check(&of(Deliver::Sealed, vec![key.clone()]), &["Ok k: 2048", "Ok and no key is used"]);
        check(&of(Deliver::Opened, vec![key]), &["Ok k: 2048", "Ok is delivered decrypted"]);
    }
}

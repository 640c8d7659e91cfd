//! What clients check before they trust a certificate, done here first: one that would fail is not shown to them.
//!
//! Whether they know the authority, nobody can tell but they.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::{Facts, TlsError, Validity};

/// Whether clients can trust this chain now, if they trust the last certificate of it, and how long still.
pub(super) fn check(
    chain: &[CertificateDer<'_>],
    facts: &Facts,
    now: SystemTime,
) -> Result<Duration, TlsError> {
    let left = match facts.validity(now) {
        Validity::Expired => return Err(TlsError::Expired),
        Validity::NotYet => return Err(TlsError::NotYet),
        Validity::Valid(left) => left,
    };
    let name = facts.hosts.iter().find_map(|host| name(host)).ok_or(TlsError::Nameless)?;
    if !facts.is_in_order {
        return Err(TlsError::Disordered);
    }
    // One that is alone vouches for itself, or its issuer is not at hand.
    if let [leaf, issuers @ .., last] = chain {
        // As an anchor the last one is believed whatever its dates are. Clients need not come as far as to it, but
        // they pass the issuer of the certificate itself.
        if issuers.is_empty() && !is_valid(last, now)? {
            return Err(TlsError::IssuerOutdated);
        }
        verify(leaf, issuers, last, &name, now).map_err(TlsError::Untrusted)?;
    }
    Ok(left)
}

/// Signatures, dates, purposes and constraints, from an anchor down to the leaf.
fn verify(
    leaf: &CertificateDer<'_>,
    issuers: &[CertificateDer<'_>],
    anchor: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: SystemTime,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .build()
        .expect("there is one anchor, and no list of revoked certificates");
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    verifier.verify_server_cert(leaf, issuers, name, &[], UnixTime::since_unix_epoch(now)).map(drop)
}

fn is_valid(certificate: &CertificateDer<'_>, now: SystemTime) -> Result<bool, TlsError> {
    let facts = Facts::of(std::slice::from_ref(certificate))?;
    Ok(matches!(facts.validity(now), Validity::Valid(_)))
}

/// A name that a client could ask for to be shown a certificate of this host.
fn name(host: &str) -> Option<ServerName<'static>> {
    let host = match host.strip_prefix("*.") {
        Some(parent) => format!("any.{parent}"),
        None => host.to_owned(),
    };
    ServerName::try_from(host).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
    };

    use super::*;

    /// A certificate authority or what it signs.
    struct Link {
        params: CertificateParams,
        key: KeyPair,
    }

    impl Link {
        fn new(names: &[&str]) -> Self {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let params = CertificateParams::new(names).expect("names");
            Self { params, key: KeyPair::generate().expect("a key") }.between(2020, 2040)
        }

        fn authority(name: &str) -> Self {
            let mut link = Self::new(&[]);
            link.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            link.params.distinguished_name.push(rcgen::DnType::CommonName, name);
            link
        }

        fn between(mut self, from: i32, until: i32) -> Self {
            self.params.not_before = date_time_ymd(from, 1, 1);
            self.params.not_after = date_time_ymd(until, 1, 1);
            self
        }

        fn signed_by(&self, issuer: &Self) -> CertificateDer<'static> {
            let issuer = Issuer::from_params(&issuer.params, &issuer.key);
            self.params.signed_by(&self.key, &issuer).expect("signed").der().clone()
        }

        fn self_signed(&self) -> CertificateDer<'static> {
            self.params.self_signed(&self.key).expect("signed").der().clone()
        }
    }

    /// What is wrong with it in the middle of 2026.
    #[track_caller]
    fn verdict(chain: &[CertificateDer<'_>]) -> Option<String> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_782_000_000);
        let checked = check(chain, &Facts::of(chain).expect("X.509"), now);
        checked.err().map(|error| crate::error::Chain(&error).to_string())
    }

    #[track_caller]
    fn refused(chain: &[CertificateDer<'_>], words: &str) {
        let verdict = verdict(chain);
        assert!(verdict.as_ref().is_some_and(|verdict| verdict.contains(words)), "{words:?}: {verdict:?}");
    }

    #[test]
    fn what_clients_can_trust_is_fit() {
        let (root, middle) = (Link::authority("root"), Link::authority("middle"));
        for names in [&["localhost"][..], &["*.example.com"], &["127.0.0.1"], &["not/a/name", "::1"]] {
            let leaf = Link::new(names);
            let (signed, issuer) = (leaf.signed_by(&middle), middle.signed_by(&root));
            assert_eq!(verdict(&[signed.clone(), issuer.clone(), root.self_signed()]), None);
            assert_eq!(verdict(&[signed.clone(), issuer]), None);
            assert_eq!(verdict(&[signed]), None);
            assert_eq!(verdict(&[leaf.self_signed()]), None);
        }
    }

    #[test]
    fn what_clients_cannot_trust_is_not() {
        let (root, middle) = (Link::authority("root"), Link::authority("middle"));
        let (leaf, issuer) = (Link::new(&["localhost"]).signed_by(&middle), middle.signed_by(&root));
        refused(&[Link::new(&["localhost"]).between(2020, 2021).signed_by(&root)], "has expired");
        refused(&[Link::new(&["localhost"]).between(2039, 2040).signed_by(&root)], "not valid yet");
        refused(&[Link::new(&[]).signed_by(&root)], "names no host");
        refused(&[leaf.clone(), root.self_signed(), issuer.clone()], "not in order");
        // The same name, another key: as if the authority's old certificate had been left in the file.
        let namesake = Link::authority("middle").signed_by(&root);
        refused(&[leaf.clone(), namesake.clone()], "BadSignature");
        refused(&[leaf.clone(), namesake, root.self_signed()], "BadSignature");
    }

    #[test]
    fn issuers_are_judged_as_well() {
        let root = Link::authority("root");
        let old = Link::authority("middle").between(2020, 2021);
        let (leaf, issuer) = (Link::new(&["localhost"]).signed_by(&old), old.signed_by(&root));
        refused(&[leaf.clone(), issuer.clone()], "issuer of the certificate is not valid");
        refused(&[leaf, issuer, root.self_signed()], "expired");
        // Clients that know the issuer never look at the old root behind it.
        let (root, middle) = (Link::authority("root").between(2020, 2021), Link::authority("middle"));
        let leaf = Link::new(&["localhost"]).signed_by(&middle);
        assert_eq!(verdict(&[leaf, middle.signed_by(&root), root.self_signed()]), None);
        let nobody = Link::new(&["middle.example"]);
        let leaf = Link::new(&["localhost"]).signed_by(&nobody);
        refused(&[leaf, nobody.signed_by(&root), root.self_signed()], "EndEntityUsedAsCa");
        let mut client = Link::new(&["localhost"]);
        client.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        refused(&[client.signed_by(&root), root.between(2020, 2040).self_signed()], "server authentication");
    }
}

//! A certificate as it lies in the cache: private key and chain in one PEM file.

use std::path::Path;

use instant_acme::CertificateIdentifier;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

use super::{AcmeError, cache::Cache, suggestion};
use crate::listener::tls::{Identity, TlsError, certificates};

/// A certificate that belongs to its key and its domain.
pub(crate) struct Held {
    /// Both, to be served.
    pub(crate) identity: Identity,
    /// The name that the certificate has for its authority.
    pub(super) name: Option<CertificateIdentifier<'static>>,
}

/// Why the cache has no certificate of a domain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotHeld {
    /// None has been obtained.
    #[error("no certificate yet")]
    Missing,
    /// What there is cannot be used.
    #[error(transparent)]
    Damaged(AcmeError),
}

impl Held {
    /// Reads the certificate of a domain.
    pub(crate) fn load(cache: &Cache, domain: &str) -> Result<Self, NotHeld> {
        let kept = cache.load_certificate(domain).map_err(|error| NotHeld::Damaged(error.into()))?;
        let pem = kept.ok_or(NotHeld::Missing)?;
        let held = Self::read(&pem, &cache.certificate(domain), domain);
        held.map_err(NotHeld::Damaged)
    }

    /// Understands key and chain, which lie in this file or will.
    pub(super) fn read(pem: &[u8], path: &Path, domain: &str) -> Result<Self, AcmeError> {
        let not_pem =
            |what| move |source| AcmeError::Unfit(TlsError::NotPem { path: path.to_owned(), what, source });
        let chain = certificates(pem).map_err(not_pem("certificate"))?;
        let name = chain.first().and_then(suggestion::name);
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(not_pem("private key"))?;
        let identity = Identity::new(chain, key).map_err(AcmeError::Unfit)?;
        if identity.facts.hosts.iter().any(|host| host == domain) {
            Ok(Self { identity, name })
        } else {
            Err(AcmeError::Misnamed(identity.facts.hosts))
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair(host: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([host.to_owned()]).expect("a name");
        (key.serialize_pem(), params.self_signed(&key).expect("signed").pem())
    }

    #[track_caller]
    fn check(pem: &str, words: &str) {
        let error = Held::read(pem.as_bytes(), Path::new("/cache/a.example.pem"), "a.example").err();
        let words_of = |error: &AcmeError| crate::error::Chain(error).to_string();
        assert!(error.as_ref().map_or("good".to_owned(), words_of).contains(words), "{error:?}");
    }

    #[test]
    fn only_a_whole_pair_for_its_domain_is_held() {
        let ((key, chain), (other_key, other_chain)) = (pair("a.example"), pair("b.example"));
        let whole = format!("{key}{chain}");
        check(&whole, "good");
        check(&whole[..whole.len() / 2], "holds no certificate");
        check(&chain, "holds no private key");
        check("", "holds no certificate");
        check(&format!("{other_key}{chain}"), "cannot be used together");
        check(&format!("{other_key}{other_chain}"), "another host");
    }
}

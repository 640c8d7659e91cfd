//! How a domain is proven to be ours: by TLS-ALPN-01 on the public listener, or by HTTP-01 on a small one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use instant_acme::{ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::AcmeError;
use crate::listener::tls::{Challenge, Served};

/// Where answers are shown.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    /// In a TLS handshake (RFC 8737).
    TlsAlpn(Arc<Served>),
    /// On a page (RFC 8555, section 8.3).
    Http(Pages),
}

/// Answers to HTTP-01 challenges that go on, by token.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages(Arc<Mutex<HashMap<String, String>>>);

/// An answer that is shown until this is dropped, however the order ends.
pub(super) struct Shown {
    answers: Answers,
    domain: String,
    token: String,
}

impl Answers {
    /// The kind of challenge that is answered here.
    pub(super) fn kind(&self) -> ChallengeType {
        match self {
            Self::TlsAlpn(_) => ChallengeType::TlsAlpn01,
            Self::Http(_) => ChallengeType::Http01,
        }
    }

    /// Shows the answer to a challenge.
    pub(super) fn show(
        &self,
        domain: &str,
        token: &str,
        answer: &KeyAuthorization,
    ) -> Result<Shown, AcmeError> {
        match self {
            Self::TlsAlpn(served) => served.challenge(domain, Some(certificate(domain, answer)?)),
            Self::Http(pages) => {
                pages.open().insert(token.to_owned(), answer.as_str().to_owned());
            }
        }
        Ok(Shown { answers: self.clone(), domain: domain.to_owned(), token: token.to_owned() })
    }
}

impl Pages {
    /// The page of a token.
    pub(super) fn of(&self, token: &str) -> Option<String> {
        self.open().get(token).cloned()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        match &self.answers {
            Answers::TlsAlpn(served) => served.challenge(&self.domain, None),
            Answers::Http(pages) => drop(pages.open().remove(&self.token)),
        }
    }
}

/// A certificate that vouches for itself and holds the answer (RFC 8737, section 3).
fn certificate(domain: &str, answer: &KeyAuthorization) -> Result<Challenge, AcmeError> {
    let mut params = CertificateParams::new([domain.to_owned()]).map_err(AcmeError::Key)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(answer.digest().as_ref())];
    let key = KeyPair::generate().map_err(AcmeError::Key)?;
    let certificate = params.self_signed(&key).map_err(AcmeError::Key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Challenge::new(certificate.der().clone(), key.into()).map_err(AcmeError::Unfit)
}

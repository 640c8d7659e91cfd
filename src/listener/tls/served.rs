//! The identities that new connections are shown, and how they are swapped.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{Challenge, Identity, challenge, shelf::Shelf};
use crate::{config::UnknownHost, metrics::Metrics};

/// A set of identities, each in its place, chosen by the name that a client asks for; the first is the default.
///
/// The set is swapped whole. Connections go on with what they were shown, and sessions can be resumed across a
/// swap: the memory of sessions belongs to the acceptor, and stays. The metric that tells when certificates end
/// follows the set by itself.
pub struct Served {
    shelf: RwLock<Arc<Shelf>>,
    /// By domain, in lower case.
    challenges: RwLock<HashMap<String, Challenge>>,
    metrics: Arc<Metrics>,
}

impl Served {
    /// Begins with these. Who comes while all places are empty gets no handshake.
    pub fn new(
        places: Vec<Option<Arc<Identity>>>,
        unknown_host: UnknownHost,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let served = Self {
            shelf: RwLock::new(Arc::new(Shelf::new(Vec::new(), unknown_host))),
            challenges: RwLock::default(),
            metrics,
        };
        served.change(|_| Shelf::new(places, unknown_host));
        Arc::new(served)
    }

    /// From now on new connections are shown these, and no others.
    pub fn swap(&self, identities: impl IntoIterator<Item = Arc<Identity>>, unknown_host: UnknownHost) {
        let places = identities.into_iter().map(Some).collect();
        self.change(|_| Shelf::new(places, unknown_host));
    }

    /// From now on new connections are shown this one in its place.
    pub fn put(&self, place: usize, identity: Arc<Identity>) {
        self.change(|shelf| shelf.with(place, identity));
    }

    /// What becomes of clients from now on that ask for an unknown host.
    pub fn answer_unknown(&self, unknown_host: UnknownHost) {
        self.change(|shelf| shelf.answering(unknown_host));
    }

    /// What an authority is shown that wants to see this challenge for the domain (TLS-ALPN-01, RFC 8737), until it
    /// is called with none. Nobody else sees it.
    pub fn challenge(&self, domain: &str, shown: Option<Challenge>) {
        let mut challenges = self.challenges.write().unwrap_or_else(PoisonError::into_inner);
        let domain = domain.to_ascii_lowercase();
        match shown {
            Some(shown) => challenges.insert(domain, shown),
            None => challenges.remove(&domain),
        };
    }

    /// Those that are served, in the order of their places.
    pub fn identities(&self) -> Vec<Arc<Identity>> {
        self.current().identities().cloned().collect()
    }

    fn change(&self, change: impl FnOnce(&Shelf) -> Shelf) {
        let mut current = self.shelf.write().unwrap_or_else(PoisonError::into_inner);
        let next = change(&current);
        self.metrics.certificates(&next.ends(), &current.ends());
        *current = Arc::new(next);
    }

    fn current(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn challenged(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let challenges = self.challenges.read().unwrap_or_else(PoisonError::into_inner);
        challenges.get(host?).map(Challenge::key)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has made it lower case.
        let host = hello.server_name();
        if challenge::is_offered_alone(&hello) {
            return self.challenged(host);
        }
        self.current().find(host).map(|identity| Arc::clone(&identity.key))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}

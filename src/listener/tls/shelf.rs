//! Which identity is shown to whom.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Identity;
use crate::config::UnknownHost;

/// All identities of one moment, each in its place; a place may be empty as long as its certificate is not there.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    places: Vec<Option<Arc<Identity>>>,
    unknown_host: UnknownHost,
    /// By host in lower case, wildcards as they are written. Of several that name one host the first has it.
    by_host: HashMap<String, Arc<Identity>>,
}

impl Shelf {
    pub(super) fn new(places: Vec<Option<Arc<Identity>>>, unknown_host: UnknownHost) -> Self {
        let mut by_host = HashMap::new();
        for identity in places.iter().flatten() {
            for host in &identity.facts.hosts {
                by_host.entry(host.clone()).or_insert_with(|| Arc::clone(identity));
            }
        }
        Self { places, unknown_host, by_host }
    }

    /// The same with another identity in this place, or with one more place at the end.
    pub(super) fn with(&self, place: usize, identity: Arc<Identity>) -> Self {
        let mut places = self.places.clone();
        match places.get_mut(place) {
            Some(there) => *there = Some(identity),
            None => places.push(Some(identity)),
        }
        Self::new(places, self.unknown_host)
    }

    /// The same with another word on unknown hosts.
    pub(super) fn answering(&self, unknown_host: UnknownHost) -> Self {
        Self { unknown_host, ..self.clone() }
    }

    /// What a client sees that asks for this host, in lower case, or for none.
    pub(super) fn find(&self, host: Option<&str>) -> Option<&Arc<Identity>> {
        let known = host.and_then(|host| self.by_host.get(host).or_else(|| self.by_wildcard(host)));
        known.or_else(|| match self.unknown_host {
            UnknownHost::Default => self.identities().next(),
            UnknownHost::Refuse => None,
        })
    }

    /// Those that are there, in the order of their places.
    pub(super) fn identities(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.places.iter().flatten()
    }

    /// When the certificate ends that is shown for a host, for each.
    pub(super) fn ends(&self) -> BTreeMap<String, i64> {
        self.by_host.iter().map(|(host, identity)| (host.clone(), identity.facts.not_after)).collect()
    }

    /// A wildcard stands for one label, the first (RFC 9525, section 6.3).
    fn by_wildcard(&self, host: &str) -> Option<&Arc<Identity>> {
        let (_, parent) = host.split_once('.')?;
        self.by_host.get(&format!("*.{parent}"))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn identity(hosts: &[&str]) -> Option<Arc<Identity>> {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let certificate = CertificateParams::new(names).expect("names").self_signed(&key).expect("signed");
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let identity = Identity::new(vec![certificate.der().clone()], key.into());
        Some(Arc::new(identity.expect("they belong together")))
    }

    /// The place of what is shown.
    #[track_caller]
    fn check(shelf: &Shelf, host: Option<&str>, place: Option<usize>) {
        let shown = shelf.find(host);
        let found =
            shown.map(|shown| shelf.places.iter().flatten().position(|other| Arc::ptr_eq(other, shown)));
        assert_eq!(found, place.map(Some), "{host:?}");
    }

    #[test]
    fn a_name_goes_before_a_wildcard_and_both_before_the_default() {
        let places = vec![
            identity(&["first.example.com", "FIRST.example.org"]),
            identity(&["*.example.com", "first.example.com"]),
            identity(&["second.example.com"]),
        ];
        let shelf = Shelf::new(places, UnknownHost::Default);
        for (host, place) in [
            ("first.example.com", 0),
            ("first.example.org", 0),
            ("second.example.com", 2),
            ("third.example.com", 1),
            ("example.com", 0),
            ("a.third.example.com", 0),
            ("com", 0),
        ] {
            check(&shelf, Some(host), Some(place));
        }
        check(&shelf, None, Some(0));
        let strict = shelf.answering(UnknownHost::Refuse);
        check(&strict, Some("third.example.com"), Some(1));
        check(&strict, Some("example.com"), None);
        check(&strict, None, None);
    }

    #[test]
    fn an_empty_place_is_filled_and_nobody_is_shown_it() {
        let shelf = Shelf::new(vec![None, None], UnknownHost::Default);
        check(&shelf, Some("a.example"), None);
        check(&shelf, None, None);
        let shelf = shelf.with(1, identity(&["b.example"]).expect("one"));
        check(&shelf, None, Some(0));
        let shelf = shelf.with(0, identity(&["a.example"]).expect("one"));
        check(&shelf, None, Some(0));
        check(&shelf, Some("a.example"), Some(0));
        check(&shelf, Some("b.example"), Some(1));
        assert_eq!(shelf.ends().into_keys().collect::<Vec<_>>(), ["a.example", "b.example"]);
    }
}

//! What `check` finds of certificates.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use super::{Report, Verdict};
use crate::{
    config::PairFiles,
    error::Chain,
    listener::tls::{Facts, Identity, TlsError},
};

impl Report {
    /// Returns whether `serve` would start with them; it would with those that no client trusts.
    pub(super) fn certificates(&mut self, pairs: &[PairFiles]) -> bool {
        let mut known = HashSet::new();
        let mut usable = true;
        for files in pairs {
            match Identity::load(files) {
                Ok(identity) => self.certificate(&identity, &mut known),
                Err(error) => {
                    let words = format!("{}: {}", files.certificate.display(), Chain(&error));
                    self.add(CHECK, Verdict::Failed, words);
                    usable = false;
                }
            }
        }
        usable
    }

    /// `known` has the hosts of those before it.
    fn certificate(&mut self, identity: &Identity, known: &mut HashSet<String>) {
        let facts = &identity.facts;
        let hosts = facts.hosts.join(", ");
        let left = match identity.fit(SystemTime::now()) {
            Ok(left) => left,
            Err(error) => {
                let words = format!("certificate of {hosts}: {}: {}", Chain(&error), advice(&error));
                return self.add(CHECK, Verdict::Failed, words);
            }
        };
        for oddity in oddities(facts, left) {
            self.add(CHECK, Verdict::Warning, format!("certificate of {hosts}: {oddity}"));
        }
        for host in &facts.hosts {
            if !known.insert(host.clone()) {
                let words = format!("certificate of {hosts}: an earlier one is served for {host}");
                self.add(CHECK, Verdict::Warning, words);
            }
        }
        self.ok(CHECK, format!("certificate and key match; {hosts}; {} days left", days(left)));
    }
}

/// What works, but perhaps not with Graph or not for long.
fn oddities(facts: &Facts, left: Duration) -> impl Iterator<Item = String> {
    let is_alone = facts.chain_len == 1 && !facts.is_self_signed;
    let words = [
        (facts.is_self_signed, "it is self-signed: Graph trusts public authorities only".to_owned()),
        (is_alone, "no intermediate certificate in the file: Graph needs the full chain".to_owned()),
        (left < WARNED_BEFORE, format!("it ends in {} days: renew it", days(left))),
    ];
    words.into_iter().filter(|(is_odd, _)| *is_odd).map(|(_, words)| words)
}

/// What to do about one that no client would trust.
fn advice(error: &TlsError) -> &'static str {
    match error {
        TlsError::Expired => "renew it",
        TlsError::NotYet => "check the clock",
        TlsError::Nameless => "have one made with the host as subjectAltName",
        TlsError::Disordered | TlsError::IssuerOutdated | TlsError::Untrusted(_) => {
            "put the certificate first, then the intermediates that the authority gave with it"
        }
        TlsError::Unreadable { .. }
        | TlsError::NotPem { .. }
        | TlsError::NotX509
        | TlsError::Mismatch(_)
        | TlsError::NoTickets(_) => "look at both files",
    }
}

pub(super) fn days(time: Duration) -> u64 {
    time.as_secs() / (24 * 60 * 60)
}

const CHECK: &str = "tls";
/// Graph stops delivering the moment a certificate ends; three weeks leave time to find out why renewal failed.
const WARNED_BEFORE: Duration = Duration::from_secs(21 * 24 * 60 * 60);

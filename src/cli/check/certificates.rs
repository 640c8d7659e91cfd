//! What `check` finds of certificates in files, and of TLS as it is offered.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use super::report::{Check, Finding};
use crate::{
    config::{PairFiles, PublicUrl, Tls, TlsSource, UnknownHost},
    error::Chain,
    listener::tls::{Facts, Identity, TlsError},
};

/// What was found, whether `serve` would start with it, and the certificates; it would with those that no client trusts.
pub(super) struct Pairs {
    pub(super) findings: Vec<Finding>,
    pub(super) are_usable: bool,
    pub(super) identities: Vec<Identity>,
}

pub(super) fn pairs(pairs: &[PairFiles]) -> Pairs {
    let mut known = HashSet::new();
    let mut found = Pairs { findings: Vec::new(), are_usable: true, identities: Vec::new() };
    for files in pairs {
        match Identity::load(files) {
            Ok(identity) => {
                found.findings.extend(certificate(&identity, &mut known));
                found.identities.push(identity);
            }
            Err(error) => {
                let place = if error.names_file() { None } else { Some(files.certificate.display()) };
                let words =
                    place.map_or(String::new(), |place| format!("{place}: ")) + &Chain(&error).to_string();
                found.findings.push(Finding::failed(CHECK, words, advice(&error)));
                found.are_usable = false;
            }
        }
    }
    found
}

/// `known` has the hosts of those before it.
fn certificate(identity: &Identity, known: &mut HashSet<String>) -> Vec<Finding> {
    let facts = &identity.facts;
    let hosts = facts.hosts.join(", ");
    let left = match identity.fit(SystemTime::now()) {
        Ok(left) => left,
        Err(error) => {
            let words = format!("certificate of {hosts}: {}", Chain(&error));
            return vec![Finding::failed(CHECK, words, advice(&error))];
        }
    };
    let odd = |(words, advice): (String, &str)| {
        Finding::warning(CHECK, format!("certificate of {hosts}: {words}"), advice)
    };
    let mut findings: Vec<_> = oddities(facts, left).map(odd).collect();
    for host in &facts.hosts {
        if !known.insert(host.clone()) {
            findings.push(odd((
                format!("an earlier one is served for {host}"),
                "take the name out of one of them",
            )));
        }
    }
    let words = format!("certificate and key match; {hosts}; {} days left", days(left));
    findings.push(Finding::ok(CHECK, words));
    findings
}

/// What works, but perhaps not with Graph or not for long.
fn oddities(facts: &Facts, left: Duration) -> impl Iterator<Item = (String, &'static str)> {
    let is_alone = facts.chain_len == 1 && !facts.is_self_signed;
    let words = [
        (facts.is_self_signed, "it is self-signed".to_owned(), "Graph trusts public authorities only"),
        (
            is_alone,
            "no intermediate certificate in the file".to_owned(),
            "Graph needs the full chain: put those after it that the authority gave with it",
        ),
        (left < WARNED_BEFORE, format!("it ends in {} days", days(left)), "renew it"),
    ];
    words.into_iter().filter(|(is_odd, ..)| *is_odd).map(|(_, words, advice)| (words, advice))
}

/// What to do about one that no client would trust, or that cannot be served.
fn advice(error: &TlsError) -> &'static str {
    match error {
        TlsError::Expired => "renew it",
        TlsError::NotYet => "check the clock",
        TlsError::Nameless => "have one made with the host as subjectAltName",
        TlsError::Disordered | TlsError::IssuerOutdated | TlsError::Untrusted(_) => {
            "put the certificate first, then the intermediates that the authority gave with it"
        }
        TlsError::Unreadable { .. } => "see that it is there and that the daemon's group may read it",
        TlsError::NotPem { .. } | TlsError::NotX509 => "see what is in it by openssl x509 or openssl pkey",
        TlsError::Mismatch(_) => "put the key there that the certificate was made for",
        TlsError::NoTickets(_) => "the system gave no random numbers: try again",
    }
}

/// How TLS is offered; and whether the host that Graph calls has a certificate.
pub(super) fn policy(tls: &Tls, identities: &[Identity], url: Option<&PublicUrl>) -> Vec<Finding> {
    let covers = |host: &str| match &tls.source {
        TlsSource::Files(_) => {
            identities.is_empty() || identities.iter().any(|identity| covers(&identity.facts.hosts, host))
        }
        TlsSource::Acme(acme) => covers(&acme.domains, host),
        TlsSource::Off => true,
    };
    let mut findings = Vec::new();
    if let Some(url) = url.filter(|url| !covers(url.host())) {
        let words = format!("no certificate is for {}, the host of server.public_url", url.host());
        let advice = "have one made for it, or let server.public_url name another host";
        findings.push(Finding::warning(CHECK, words, advice));
    }
    let unknown = match tls.unknown_host {
        UnknownHost::Default => "other hosts get the first one",
        UnknownHost::Refuse => "other hosts are refused",
    };
    let clients = match tls.client_ca {
        Some(_) => "clients must show a certificate",
        None => "no client certificates",
    };
    findings.push(Finding::ok(
        CHECK,
        match tls.source {
            TlsSource::Off => "off: a proxy in front terminates TLS".to_owned(),
            TlsSource::Files(_) | TlsSource::Acme(_) => {
                format!("TLS 1.2 and 1.3, HTTP/1.1 and 2; {clients}; {unknown}")
            }
        },
    ));
    findings
}

/// As clients match names (RFC 9525): a wildcard stands for one label.
fn covers(names: &[String], host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    names.iter().any(|name| match name.strip_prefix("*.") {
        None => *name == host,
        Some(parent) => host.split_once('.').is_some_and(|(_, above)| above == parent),
    })
}

pub(super) fn days(time: Duration) -> u64 {
    time.as_secs() / (24 * 60 * 60)
}

const CHECK: Check = Check::Tls;
/// Graph stops delivering the moment a certificate ends; three weeks leave time to find out why renewal failed.
pub(in crate::cli) const WARNED_BEFORE: Duration = Duration::from_secs(21 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_for_among_the_names() {
        let names = ["hooks.example.com".to_owned(), "*.example.org".to_owned()];
        for (host, expected) in [
            ("hooks.example.com", true),
            ("HOOKS.example.com", true),
            ("a.hooks.example.com", false),
            ("a.example.org", true),
            ("example.org", false),
            ("a.b.example.org", false),
        ] {
            assert_eq!(covers(&names, host), expected, "{host}");
        }
    }
}

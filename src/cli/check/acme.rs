//! What `check` finds of certificates that the daemon obtains itself. None of it keeps the daemon from starting: it goes
//! on trying.

use std::{os::unix::fs::MetadataExt, time::SystemTime};

use super::{
    certificates::days,
    ground::{Ground, Kind},
    report::{Check, Finding},
    user::User,
};
use crate::{
    acme::{
        held::NotHeld,
        inspect::{RequestError, Unusable, directory, held, probe},
    },
    client::Unanswered,
    config::Acme,
    error::Chain,
    listener::tls::Identity,
};

/// The cache, and what it has.
pub(super) fn acme(config: &Acme, user: &User) -> Vec<Finding> {
    let mut findings = cache(config, user);
    for (domain, held) in held(config) {
        findings.push(match held {
            Ok(held) => kept(domain, &held.identity),
            Err(NotHeld::Missing) => {
                let words = format!("{domain}: no certificate yet");
                Finding::warning(CHECK, words, "the daemon orders one when it runs")
            }
            Err(NotHeld::Damaged(error)) => {
                let words = format!("{domain}: {}", Chain(&error));
                Finding::warning(CHECK, words, "the daemon sets it aside and orders anew")
            }
        });
    }
    let challenges = match config.http_listen {
        Some(address) => format!("HTTP-01 at {address}, which the authority must reach as port 80"),
        None => "TLS-ALPN-01 at server.listen, which the authority must reach as port 443".to_owned(),
    };
    findings.push(Finding::ok(CHECK, format!("challenges are answered by {challenges}")));
    findings
}

fn cache(config: &Acme, user: &User) -> Vec<Finding> {
    let directory = directory(config);
    let shown = directory.display();
    let ground = match Ground::of(&directory) {
        Ok(ground) => ground,
        Err(error) => return vec![Finding::failed(CHECK, format!("{shown}: {error}"), MEND)],
    };
    let mut findings = Vec::new();
    if ground.exists {
        if let Err(obstacle) = user.may_write(&directory) {
            let obstacle = obstacle.display();
            let words = format!("{shown}: {} cannot write there, for the mode of {obstacle}", user.name());
            let advice = format!("chown -R {} {}", user.name(), config.cache.display());
            findings.push(Finding::failed(CHECK, words, advice));
        }
        if directory.metadata().is_ok_and(|file| file.mode() & 0o077 != 0) {
            let words = format!("{shown} holds private keys, and others may enter it");
            findings.push(Finding::warning(CHECK, words, format!("chmod 700 {shown}")));
        }
    }
    let passing = "is gone with the machine or container, and each new start orders certificates again";
    match &ground.kind {
        Kind::Memory | Kind::Layer => {
            let words = format!("{shown} {passing}");
            findings.push(Finding::warning(
                CHECK,
                words,
                "authorities have limits: choose a directory that stays",
            ));
        }
        Kind::Local | Kind::Remote(_) | Kind::Program(_) => {}
    }
    findings.push(match &ground.synced {
        Ok(_) if ground.exists => Finding::ok(CHECK, format!("{shown} can be written")),
        Ok(_) => Finding::ok(CHECK, format!("{shown} can be made")),
        Err(error) => {
            let words = format!("{} cannot be written ({error})", ground.there.display());
            Finding::failed(CHECK, words, MEND)
        }
    });
    findings
}

/// It is to be renewed when two thirds of its life are over: one in its last sixth has not been.
fn kept(domain: &str, identity: &Identity) -> Finding {
    let life = identity.facts.not_after - identity.facts.not_before;
    match identity.fit(SystemTime::now()) {
        Ok(left) => {
            let is_late = i64::try_from(left.as_secs()).is_ok_and(|left| left < life / 6);
            let words = format!("{domain}: {} days left", days(left));
            match is_late {
                false => Finding::ok(CHECK, words),
                true => Finding::warning(CHECK, words, "its renewal fails: see the log and /status"),
            }
        }
        Err(error) => {
            Finding::failed(CHECK, format!("{domain}: {}", Chain(&error)), "see the log and /status for why")
        }
    }
}

/// The authority, and what time it has there.
pub(super) async fn authority(config: &Acme) -> (Finding, Option<SystemTime>) {
    match probe(config).await {
        Ok(date) => (Finding::ok(CHECK, format!("{} is an ACME directory", config.directory)), date),
        Err(error) => {
            let words = Chain(&error).to_string();
            let advice = advice(&error, &words);
            (Finding::failed(CHECK, format!("{}: {words}", config.directory), advice), None)
        }
    }
}

fn advice(error: &Unusable, words: &str) -> &'static str {
    match error {
        Unusable::Request(RequestError::Status { .. }) => "look at server.tls.directory",
        Unusable::Request(RequestError::None(unanswered)) => match unanswered {
            Unanswered::Trust { .. } => "let it be a PEM file of certificates, or leave the key out",
            Unanswered::NoTrust { .. } => "without either nobody's TLS can be believed",
            Unanswered::Url(_) => "look at server.tls.directory",
            Unanswered::Connect { .. } if words.contains("UnknownIssuer") => {
                "name its own authority in server.tls.ca_file"
            }
            Unanswered::Connect { .. } if words.contains("lookup") => {
                "look at the name in server.tls.directory, and at this machine's DNS"
            }
            Unanswered::Connect { .. } | Unanswered::Late { .. } => {
                "is there a way out to it, through firewalls? No proxy is used"
            }
            Unanswered::Http { .. } | Unanswered::Answer { .. } => "try again: it broke off",
        },
        Unusable::Foreign(_) => "look at server.tls.directory",
        Unusable::Closed => "choose another one",
    }
}

const CHECK: Check = Check::Acme;
const MEND: &str = "run check as the daemon's user, or mend the directory";

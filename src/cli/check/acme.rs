//! What `check` finds of certificates that the daemon obtains itself.

use std::time::SystemTime;

use super::{Report, Verdict, certificates::days};
use crate::{
    acme::{
        held::NotHeld,
        inspect::{Unusable, held, outlook, probe},
    },
    config::Acme,
    error::Chain,
    listener::tls::Identity,
};

impl Report {
    /// Nothing of this keeps the daemon from starting: it goes on trying.
    pub(super) fn acme(&mut self, config: &Acme) {
        match outlook(config) {
            Ok(directory) => self.ok(CHECK, format!("{} can be written", directory.display())),
            Err((there, error)) => {
                let words = format!(
                    "{} cannot be written ({error}): run check as the daemon's user, or mend the directory",
                    there.display()
                );
                self.add(CHECK, Verdict::Failed, words);
            }
        }
        for (domain, held) in held(config) {
            match held {
                Ok(held) => self.kept(domain, &held.identity),
                Err(NotHeld::Missing) => {
                    let words = format!("{domain}: no certificate yet; the daemon orders one when it runs");
                    self.add(CHECK, Verdict::Warning, words);
                }
                Err(NotHeld::Damaged(error)) => {
                    let words =
                        format!("{domain}: {}; the daemon sets it aside and orders anew", Chain(&error));
                    self.add(CHECK, Verdict::Warning, words);
                }
            }
        }
        let challenges = match config.http_listen {
            Some(address) => format!("HTTP-01 at {address}, which the authority must reach as port 80"),
            None => "TLS-ALPN-01 at server.listen, which the authority must reach as port 443".to_owned(),
        };
        self.ok(CHECK, format!("challenges are answered by {challenges}"));
    }

    /// It is to be renewed when two thirds of its life are over: one in its last sixth has not been.
    fn kept(&mut self, domain: &str, identity: &Identity) {
        let life = identity.facts.not_after - identity.facts.not_before;
        match identity.fit(SystemTime::now()) {
            Ok(left) => {
                let is_late = i64::try_from(left.as_secs()).is_ok_and(|left| left < life / 6);
                let (verdict, words) = match is_late {
                    false => (Verdict::Ok, String::new()),
                    true => (Verdict::Warning, ": its renewal fails, see the log and /status".to_owned()),
                };
                self.add(CHECK, verdict, format!("{domain}: {} days left{words}", days(left)));
            }
            Err(error) => {
                let words = format!("{domain}: {}; see the log and /status for why", Chain(&error));
                self.add(CHECK, Verdict::Failed, words);
            }
        }
    }

    pub(super) async fn authority(&mut self, config: &Acme) {
        match probe(config).await {
            Ok(()) => self.ok(CHECK, format!("{} is an ACME directory", config.directory)),
            Err(error) => {
                let words = Chain(&error).to_string();
                let advice = match &error {
                    Unusable::Request(_) if words.contains("UnknownIssuer") => {
                        " (name its own authority in server.tls.ca_file)"
                    }
                    Unusable::Request(_) | Unusable::Foreign(_) => " (look at server.tls.directory)",
                    Unusable::Closed => " (choose another one)",
                };
                self.add(CHECK, Verdict::Failed, format!("{}: {words}{advice}", config.directory));
            }
        }
    }
}

const CHECK: &str = "acme";

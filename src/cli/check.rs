//! `graphhook check`: one line for each thing that was tried, and what to do about it.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::Failure;
use crate::{
    config::{self, Config, Environment, LoadError, Loaded, Tls},
    delivery::probe,
    error::Chain,
    listener::tls::{Facts, Identity, Validity},
};

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    message: String,
}

/// Findings in the order in which they were made.
#[derive(Debug, Default, Serialize)]
struct Report {
    findings: Vec<Finding>,
}

/// Reads the configuration as `serve` would, and tries what it says.
pub(super) async fn run(
    file: Option<&Path>,
    offline: bool,
    json: bool,
    environment: &Environment,
) -> Result<(), Failure> {
    let mut report = Report::default();
    let outcome = match config::load(file, environment) {
        Err(error) => {
            report.refused(&error);
            Err(Failure::Configuration)
        }
        Ok(Loaded { config, name, warnings }) => {
            report.ok("configuration", format!("{name} is right"));
            for warning in warnings {
                report.add("configuration", Verdict::Warning, warning.to_string());
            }
            report.offline(&config);
            let refused = report.has_failed().then_some(Failure::Configuration);
            if !offline {
                report.online(&config).await;
            }
            let failed = report.has_failed().then_some(Failure::Running);
            refused.or(failed).map_or(Ok(()), Err)
        }
    };
    report.print(json);
    outcome
}

impl Report {
    fn refused(&mut self, error: &LoadError) {
        match error {
            LoadError::Wrong(problems) => {
                for problem in &problems.0 {
                    self.add("configuration", Verdict::Failed, problem.to_string());
                }
            }
            LoadError::NoFile | LoadError::Unreadable { .. } => {
                self.add("configuration", Verdict::Failed, Chain(error).to_string());
            }
        }
    }

    fn offline(&mut self, config: &Config) {
        self.ok("client_states", format!("{} in the table", config.client_states.len()));
        match &config.server.tls {
            // The configuration's own warning has said what that means.
            Tls::Off => {}
            Tls::Files { certificate, private_key } => match Identity::load(certificate, private_key) {
                Ok(identity) => self.certificate(&identity.facts),
                Err(error) => self.add("tls", Verdict::Failed, Chain(&error).to_string()),
            },
        }
    }

    fn certificate(&mut self, facts: &Facts) {
        let hosts = facts.hosts.join(", ");
        let left = match facts.validity(SystemTime::now()) {
            Validity::Valid(left) => left,
            Validity::Expired => {
                return self.add(
                    "tls",
                    Verdict::Failed,
                    format!("the certificate of {hosts} has expired: renew it"),
                );
            }
            Validity::NotYet => {
                let message = format!("the certificate of {hosts} is not valid yet: check the clock");
                return self.add("tls", Verdict::Failed, message);
            }
        };
        let days = left.as_secs() / (24 * 60 * 60);
        for (is_odd, message) in [
            (facts.hosts.is_empty(), "it names no host (subjectAltName): Graph will not trust it".to_owned()),
            (facts.is_self_signed, "it is self-signed: Graph trusts public authorities only".to_owned()),
            (
                facts.chain_len == 1 && !facts.is_self_signed,
                "no intermediate certificate in the file: Graph needs the full chain".to_owned(),
            ),
            (left < WARNED_BEFORE, format!("it ends in {days} days: renew it")),
        ] {
            if is_odd {
                self.add("tls", Verdict::Warning, format!("certificate of {hosts}: {message}"));
            }
        }
        self.ok("tls", format!("certificate and key match; {hosts}; {days} days left"));
    }

    async fn online(&mut self, config: &Config) {
        for url in &config.broker.urls {
            match probe(url, &config.broker).await {
                Ok(()) => self.ok("broker", format!("{}: login, channels, confirms and topology", url.shown)),
                Err(error) => {
                    self.add("broker", Verdict::Failed, format!("{}: {}", url.shown, Chain(&error)))
                }
            }
        }
    }

    fn ok(&mut self, check: &'static str, message: String) {
        self.add(check, Verdict::Ok, message);
    }

    fn add(&mut self, check: &'static str, verdict: Verdict, message: String) {
        self.findings.push(Finding { check, verdict, message });
    }

    fn has_failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.verdict == Verdict::Failed)
    }

    #[expect(clippy::print_stdout, reason = "this is the result of the command")]
    fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string_pretty(self).expect("strings are always JSON"));
            return;
        }
        for Finding { check, verdict, message } in &self.findings {
            let word = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Failed => "failed",
            };
            println!("{word:<8} {check:<14} {message}");
        }
    }
}

/// Graph stops delivering the moment a certificate ends; three weeks leave time to find out why renewal failed.
const WARNED_BEFORE: Duration = Duration::from_secs(21 * 24 * 60 * 60);

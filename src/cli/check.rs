//! `graphhook check`: one line for each thing that was tried, and what to do about it.

mod acme;
mod certificates;

use std::path::Path;

use bytesize::ByteSize;
use serde::Serialize;

use super::Failure;
use crate::{
    config::{self, Config, Environment, LoadError, Loaded, Spool, TlsSource},
    delivery::{
        Probe, probe,
        spool::inspect::{Outlook, outlook},
    },
    error::Chain,
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
        Ok(Loaded { config, name, warnings, effective: _ }) => {
            report.ok("configuration", format!("{name} is right"));
            for warning in warnings {
                report.add("configuration", Verdict::Warning, warning.to_string());
            }
            let usable = report.offline(&config);
            if !offline {
                report.online(&config).await;
            }
            match usable {
                false => Err(Failure::Configuration),
                true if report.has_failed() => Err(Failure::Running),
                true => Ok(()),
            }
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

    /// Returns whether `serve` would start with it.
    fn offline(&mut self, config: &Config) -> bool {
        self.ok("client_states", format!("{} in the table", config.client_states.len()));
        let has_spool = self.spool(&config.spool);
        let pairs = match &config.server.tls.source {
            TlsSource::Files(pairs) => &**pairs,
            TlsSource::Acme(acme) => {
                self.acme(acme);
                &[]
            }
            // The configuration's own warning has said what that means.
            TlsSource::Off => &[],
        };
        self.certificates(pairs) && has_spool
    }

    /// Returns whether `serve` would start with it; a spool that cannot be used keeps nobody from starting.
    fn spool(&mut self, spool: &Spool) -> bool {
        let directory = spool.directory.display();
        match outlook(&spool.directory) {
            Ok(Outlook::Good { free }) if free < spool.bytes_max => {
                let words = format!("{directory}: the disk has {} left, less than max_size", ByteSize(free));
                self.add("spool", Verdict::Warning, words);
            }
            Ok(Outlook::Good { free }) => {
                self.ok("spool", format!("{directory} can be written; {} left on the disk", ByteSize(free)));
            }
            Ok(Outlook::Damaged(why)) => {
                let words = format!("{directory}: {why}; the daemon saves what it can when it starts");
                self.add("spool", Verdict::Warning, words);
            }
            Ok(Outlook::Newer(format)) => {
                let words =
                    format!("{directory} was written by a newer graphhook (format {format}): install that");
                self.add("spool", Verdict::Failed, words);
                return false;
            }
            Err(error) => {
                let words =
                    format!("{directory}: {error}; run check as the daemon's user, or mend the directory");
                self.add("spool", Verdict::Failed, words);
            }
        }
        true
    }

    async fn online(&mut self, config: &Config) {
        if let TlsSource::Acme(acme) = &config.server.tls.source {
            self.authority(acme).await;
        }
        for url in &config.broker.urls {
            match probe(url, &config.broker).await {
                Ok(Probe { lacks_quarantine: true }) => {
                    let message = "login and topology are right, but there is no quarantine exchange: refused items are only counted";
                    self.add("broker", Verdict::Warning, format!("{}: {message}", url.shown));
                }
                Ok(Probe { lacks_quarantine: false }) => {
                    self.ok("broker", format!("{}: login, channels, confirms and topology", url.shown))
                }
                Err(error) => {
                    let words = Chain(&error).to_string();
                    let advice = advice(&words).map_or(String::new(), |advice| format!(" ({advice})"));
                    self.add("broker", Verdict::Failed, format!("{}: {words}{advice}", url.shown));
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

/// What to do about the commonest failures, by the words in which libraries and brokers tell of them.
fn advice(words: &str) -> Option<&'static str> {
    let table = [
        ("ACCESS_REFUSED", "look at user, password and permissions"),
        ("InvalidContentType", "this port speaks no TLS: amqp:// instead of amqps://?"),
        ("ParserErrors", "this port speaks no plain AMQP: amqps:// instead of amqp://?"),
        ("PRECONDITION_FAILED", "it is there in another shape: delete it, or change broker.queue_type"),
        ("Connection refused", "is the broker running there?"),
        ("vhost", "write the virtual host after the port: /%2f is the one named /"),
        ("UnknownIssuer", "name the authority in broker.tls.ca_file"),
    ];
    table.into_iter().find(|(sign, _)| words.contains(sign)).map(|(_, advice)| advice)
}

//! `graphhook check`: one line for each thing that was tried, and what to do about it.

mod acme;
mod broker;
mod certificates;
mod clock;
mod files;
mod graph;
mod ground;
mod limits;
mod listen;
mod report;
mod rich;
mod routing;
mod secrets;
mod spool;
mod url;
mod user;
mod visit;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    pin::pin,
    time::{Duration, SystemTime},
};

use futures_util::future::{join_all, join5};

pub(super) use self::{certificates::WARNED_BEFORE, report::Style};
use self::{
    clock::Told,
    limits::Machine,
    listen::Daemon,
    report::{Check, Finding, Report, Verdict},
    user::User,
};
use super::Failure;
use crate::{
    acme::inspect::held,
    config::{self, Config, Environment, Loaded, TlsSource},
    deadline::Deadline,
    delivery::spool::inspect::is_in_use,
    listener::tls::Identity,
};

/// How `check` is called.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Try nothing over the network.
    #[arg(long)]
    offline: bool,
    /// PEM file: whom to believe at server.public_url, instead of the system's authorities.
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    ca: Option<PathBuf>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// Reads the configuration as `serve` would, and tries what it says.
pub(super) async fn run(options: Options, environment: &Environment) -> Result<(), Failure> {
    let (report, outcome) = match config::load(options.config.as_deref(), environment) {
        Err(error) => (Report::refused(&error), Err(Failure::Configuration)),
        Ok(loaded) => examine(loaded, &options).await,
    };
    report.print(options.json, Style::of(environment));
    outcome
}

async fn examine(loaded: Loaded, options: &Options) -> (Report, Result<(), Failure>) {
    let config = &loaded.config;
    let mut report = Report::default();
    let Offline { starts, identities } = offline(&loaded, &mut report);
    if !options.offline {
        report.extend(with_patience(online(config, &identities, options.ca.as_deref())).await);
    }
    let outcome = match starts {
        false => Err(Failure::Configuration),
        true if report.has_failed() => Err(Failure::Running),
        true => Ok(()),
    };
    (report, outcome)
}

/// What is known after all that needs no network.
struct Offline {
    /// Whether `serve` would start.
    starts: bool,
    /// What clients are shown, as far as it is at hand.
    identities: Vec<Identity>,
}

fn offline(loaded: &Loaded, report: &mut Report) -> Offline {
    let Loaded { config, name, warnings, effective: _, files } = loaded;
    let user = User::of_daemon(name);
    let daemon = match is_in_use(&config.spool.directory) {
        Ok(true) => Daemon::Running,
        Ok(false) | Err(_) => Daemon::Away,
    };
    report.add(Finding::ok(Check::Configuration, format!("{name} is right")));
    for warning in warnings {
        let concerns_secrets = warning.key.starts_with("client_states");
        let check = if concerns_secrets { Check::ClientStates } else { Check::Configuration };
        report.add(Finding::problem(check, Verdict::Warning, warning));
    }
    let (findings, can_read) = files::files(files, &user);
    report.extend(findings);
    report.extend(secrets::secrets(&config.client_states));
    report.extend(routing::routing(&config.broker.routing_key, &config.client_states));
    report.extend(limits::limits(config, Machine::ours()));
    report.extend(listen::listen(config, daemon, &user));
    let (findings, has_spool) = spool::spool(&config.spool, &user, daemon);
    report.extend(findings);
    let tls = tls(config, &user, report);
    if let Some(config) = &config.rich {
        report.extend(rich::rich(config, SystemTime::now()));
    }
    if let Some(settings) = &config.graph {
        report.extend(graph::offline(settings, config, &user));
    }
    Offline { starts: can_read && has_spool && tls.starts, ..tls }
}

fn tls(config: &Config, user: &User, report: &mut Report) -> Offline {
    let (tls, url) = (&config.server.tls, config.server.public_url.as_ref());
    let mut found = Offline { starts: true, identities: Vec::new() };
    if let TlsSource::Files(pairs) = &tls.source {
        let pairs = certificates::pairs(pairs);
        report.extend(pairs.findings);
        found = Offline { starts: pairs.are_usable, identities: pairs.identities };
    }
    report.extend(certificates::policy(tls, &found.identities, url));
    if let TlsSource::Acme(acme) = &tls.source {
        report.extend(acme::acme(acme, user));
        found.identities = held(acme).filter_map(|(_, held)| Some(held.ok()?.identity)).collect();
    }
    found
}

/// Everything at once, and told in order.
async fn online(config: &Config, identities: &[Identity], ca: Option<&Path>) -> Vec<Finding> {
    let authority = async {
        let TlsSource::Acme(acme) = &config.server.tls.source else { return (None, None) };
        let asked = SystemTime::now();
        let (finding, date) = acme::authority(acme).await;
        (Some(finding), told(&acme.directory, asked, date))
    };
    let brokers = join_all(config.broker.urls.iter().map(|url| broker::broker(url, &config.broker)));
    let public = async {
        let Some(url) = &config.server.public_url else { return (Vec::new(), None) };
        let asked = SystemTime::now();
        let (findings, date) = url::call(url, identities, ca).await;
        (findings, told(&url.to_string(), asked, date))
    };
    let documents = async {
        match &config.rich {
            Some(rich) => rich::documents(&rich.signing_keys).await,
            None => (Vec::new(), Vec::new()),
        }
    };
    let graph = async {
        match &config.graph {
            Some(settings) => graph::online(settings, config).await,
            None => (Vec::new(), None),
        }
    };
    let (
        (authority, by_authority),
        (documents, by_documents),
        brokers,
        (public, by_public),
        (graph, by_graph),
    ) = join5(authority, documents, brokers, public, graph).await;
    let times = by_authority.into_iter().chain(by_documents).chain(by_public).chain(by_graph);
    let times: Vec<Told> = times.collect();
    let findings = authority.into_iter().chain(documents).chain(brokers.into_iter().flatten()).chain(public);
    let findings = findings.chain(graph);
    findings.chain(clock::clock(&times)).collect()
}

fn told(by: &str, asked: SystemTime, date: Option<SystemTime>) -> Option<Told> {
    Some(Told::new(by.to_owned(), date?, asked, SystemTime::now()))
}

/// Whoever sits before a terminal is told that something takes its time.
async fn with_patience<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    match Deadline::after(SLOW).limit(&mut work).await {
        Ok(done) => done,
        Err(_) => {
            ask_for_patience();
            work.await
        }
    }
}

#[expect(clippy::print_stderr, reason = "it is said to who waits, and is no result")]
fn ask_for_patience() {
    if io::stderr().is_terminal() {
        eprintln!("graphhook: waiting for answers from the network; each step has its limit");
    }
}

const SLOW: Duration = Duration::from_secs(2);

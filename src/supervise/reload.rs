//! SIGHUP reads the configuration again, all or nothing; certificates and keys are looked at all the time.
//!
//! One task does both, so that there is one order of changes. What can fail is done first (reading, checking,
//! comparing with what runs); the change itself is a few swaps that cannot fail. Requests and connections take
//! what they need at their begin, and are not disturbed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    certificates::{Candidate, Certificates},
    signals::Hangups,
    standing::View,
    systemd::Systemd,
    warn_of,
};
use crate::{
    admin::{InForce, News, Reload},
    blocking::off_thread,
    config::{Config, LoadError, PairFiles, Problem, Problems, Reloaded, Source, TlsSource},
    deadline::Deadline,
    error::Chain,
    gaps::Gaps,
    listener::{
        door::Door,
        tls::{Digest, Pem, TlsError},
    },
    metrics::Metrics,
    subscriptions::{steward::Wishes, table::Table},
    telemetry::Levels,
    webhook::Webhook,
};

/// Changes what can change while the daemon runs.
pub(super) struct Reloader {
    pub(super) source: Arc<Source>,
    /// The configuration in force.
    pub(super) config: Arc<Config>,
    /// None when a proxy terminates TLS.
    pub(super) certificates: Option<Certificates>,
    pub(super) hangups: Hangups,
    pub(super) door: Arc<Door>,
    pub(super) webhook: Arc<Webhook>,
    pub(super) gaps: Arc<Gaps>,
    pub(super) levels: Levels,
    pub(super) metrics: Arc<Metrics>,
    pub(super) news: watch::Sender<News>,
    pub(super) systemd: Arc<Systemd>,
    pub(super) view: Arc<View>,
    /// The clientStates that we have made.
    pub(super) table: Table,
    pub(super) wishes: watch::Sender<Wishes>,
}

/// A configuration that was checked whole, with the certificates and keys that come with it.
struct Prepared {
    reloaded: Reloaded,
    /// None when they do not come from files.
    pairs: Option<Vec<Candidate>>,
}

impl Reloader {
    /// Waits for SIGHUP and for new certificates, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (Some(()) | None) = stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        // At once: a thread for reading comes with the first look, and the daemon shows all it needs from the start.
        let mut next_look = Deadline::after(Duration::ZERO);
        let mut next_state = Deadline::after(Duration::ZERO);
        loop {
            tokio::select! {
                () = self.hangups.next() => self.reload().await,
                () = next_state.passed() => {
                    self.look_at_state().await;
                    next_state = Deadline::after(LOOK_AT_STATE_EVERY);
                }
                () = next_look.passed() => {
                    self.look().await;
                    next_look = Deadline::after(LOOK_EVERY);
                }
            }
        }
    }

    async fn reload(&mut self) {
        self.systemd.reloading().await;
        let at = SystemTime::now();
        let (source, running) = (Arc::clone(&self.source), Arc::clone(&self.config));
        let served = self.certificates.as_ref().map(Certificates::digests).unwrap_or_default();
        let (changed, problems) = match off_thread(move || prepare(&source, &running, &served)).await {
            Ok(prepared) => (self.adopt(prepared), Vec::new()),
            Err(error) => (Vec::new(), problems(error)),
        };
        let is_taken = problems.is_empty();
        self.metrics.configured(at, is_taken);
        let refused_certificates = self.certificates.as_ref().map(Certificates::refused).unwrap_or_default();
        self.news.send_modify(|news| {
            news.last_reload = Some(Reload::new(at, is_taken, words(&problems)));
            news.refused_certificates = refused_certificates;
        });
        // Well or not: requests are answered.
        self.systemd.ready(&self.view.line()).await;
        for problem in &problems {
            error!(event = "reload_problem", key = %problem.key, origin = %problem.origin, "not reloaded: {}", problem.message);
        }
        if is_taken {
            let hash = self.news.borrow().config.hash.clone();
            info!(config = hash, keys = changed.join(" "), "configuration reloaded");
        } else {
            error!(
                event = "reload_refused",
                problems = problems.len(),
                "the configuration as it was stays in force, all of it"
            );
        }
    }

    /// The change itself: from here on nothing can fail, and nothing is waited for. Returns the keys that changed.
    fn adopt(&mut self, prepared: Prepared) -> Vec<&'static str> {
        let Prepared { reloaded: Reloaded { config, warnings, effective, .. }, pairs } = prepared;
        let changed = self.config.changed_to(&config);
        if self.config.rich.is_some() && config.rich.is_none() {
            warn!(
                event = "resource_data_unchecked",
                "[rich] is gone: resource data is judged by clientState alone, and nobody looks at its tokens"
            );
        }
        let in_force = InForce::new(&effective, &warnings);
        self.door.adopt(&config);
        self.table.follow(config.graph.as_ref().map(|graph| graph.directory.clone()));
        self.webhook.adopt(&with_made(&config, &self.table));
        self.wishes.send_replace(Wishes::of(&config));
        self.gaps.adopt(config.broker.routing_key.clone());
        self.levels.set(config.log.level);
        let unknown_host = config.server.tls.unknown_host;
        match (&mut self.certificates, pairs) {
            (Some(certificates), Some(pairs)) => certificates.adopt(pairs, unknown_host),
            (Some(certificates), None) => certificates.answer_unknown(unknown_host),
            (None, _) => {}
        }
        self.config = Arc::new(config);
        warn_of(&warnings);
        let before = self.news.borrow().config.hash.clone();
        self.metrics.in_force(&in_force.hash, in_force.warnings.len(), Some(&before));
        self.news.send_modify(|news| news.config = in_force);
        changed
    }

    /// The clientStates that were made since the last look are in force after this one.
    async fn look_at_state(&mut self) {
        let Some(found) = off_thread(self.table.look()).await else { return };
        if self.table.take(found) {
            self.webhook.adopt(&with_made(&self.config, &self.table));
            self.table.is_in_force();
        }
    }

    async fn look(&mut self) {
        let Some(certificates) = &mut self.certificates else { return };
        let files = certificates.files();
        let found = off_thread(move || files.iter().map(Pem::read).collect()).await;
        certificates.found(found, SystemTime::now());
        let refused = certificates.refused();
        self.news.send_if_modified(|news| {
            let is_new = news.refused_certificates != refused;
            news.refused_certificates = refused;
            is_new
        });
    }
}

/// This configuration, its table of secrets with the clientStates that we have made.
pub(super) fn with_made(config: &Config, table: &Table) -> Config {
    let mut config = config.clone();
    config.client_states.extend(table.client_states(&config.client_states));
    config
}

/// Everything that can fail.
fn prepare(source: &Source, running: &Config, served: &[Digest]) -> Result<Prepared, LoadError> {
    let reloaded = source.reload(running)?;
    let TlsSource::Files(files) = &reloaded.config.server.tls.source else {
        return Ok(Prepared { reloaded, pairs: None });
    };
    let (now, mut pairs, mut problems) = (SystemTime::now(), Vec::new(), Vec::new());
    for (index, files) in files.iter().enumerate() {
        match Candidate::read(files.clone(), served, now) {
            Ok(pair) => pairs.push(pair),
            Err(error) => {
                problems.push(reloaded.problem(&key(index, files, &error), Chain(&error).to_string()));
            }
        }
    }
    if problems.is_empty() {
        Ok(Prepared { reloaded, pairs: Some(pairs) })
    } else {
        Err(Problems(problems).into())
    }
}

/// The key of the file that is to blame, in the pair with this index.
fn key(index: usize, files: &PairFiles, error: &TlsError) -> String {
    let concerns_key = matches!(error, TlsError::Unreadable { path, .. } | TlsError::NotPem { path, .. }
        if *path == files.private_key);
    let file = if concerns_key { "private_key" } else { "certificate" };
    match index {
        0 => format!("server.tls.{file}"),
        _ => format!("server.tls.certificates.{}.{file}", index - 1),
    }
}

/// What is wrong, one by one; never nothing.
fn problems(error: LoadError) -> Vec<Problem> {
    let origin = match error {
        LoadError::Wrong(Problems(problems)) => return problems,
        LoadError::Unreadable { ref path, .. } => path.display().to_string(),
        LoadError::NoFile => String::new(),
    };
    vec![Problem { key: String::new(), origin, message: Chain(&error).to_string() }]
}

/// The outcome in `/status`.
fn words(problems: &[Problem]) -> String {
    if problems.is_empty() {
        return "in force".to_owned();
    }
    let words: Vec<String> = problems.iter().map(Problem::to_string).collect();
    words.join("; ")
}

/// A change is taken at the second look that sees it; it is to be noticed within 10 s.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What a subscription is made with has to be in force before it is made.
const LOOK_AT_STATE_EVERY: Duration = Duration::from_secs(1);

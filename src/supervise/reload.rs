//! SIGHUP reads the configuration again, all or nothing; certificate and key are looked at all the time.
//!
//! One task does both, so that there is one order of changes. What can fail is done first (reading, checking,
//! comparing with what runs); the change itself is a few swaps that cannot fail. Requests and connections take
//! what they need at their begin, and are not disturbed.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, task};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{certificate::Certificate, signals::Hangups, systemd};
use crate::{
    admin::{News, Reload},
    config::{Config, LoadError, PairFiles, Problem, Problems, Reloaded, Source, TlsSource},
    deadline::Deadline,
    error::Chain,
    listener::door::Door,
    listener::tls::{Digest, Identity, Pem, TlsError},
    metrics::Metrics,
    telemetry::Levels,
    webhook::Webhook,
};

/// Changes what can change while the daemon runs.
pub(super) struct Reloader {
    pub(super) source: Arc<Source>,
    /// The configuration in force.
    pub(super) config: Arc<Config>,
    /// None when a proxy terminates TLS.
    pub(super) certificate: Option<Certificate>,
    pub(super) hangups: Hangups,
    pub(super) door: Arc<Door>,
    pub(super) webhook: Arc<Webhook>,
    pub(super) levels: Levels,
    pub(super) metrics: Arc<Metrics>,
    pub(super) news: watch::Sender<News>,
}

/// A configuration that was checked whole, with the pair of certificate and key that comes with it.
struct Prepared {
    reloaded: Reloaded,
    /// None when the files hold what is served already.
    pair: Option<(Digest, Identity)>,
}

impl Reloader {
    /// Waits for SIGHUP and for new certificates, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let (Some(()) | None) = stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        // At once: a thread for reading comes with the first look, and the daemon shows all it needs from the start.
        let mut next_look = Deadline::after(Duration::ZERO);
        loop {
            tokio::select! {
                () = self.hangups.next() => self.reload().await,
                () = next_look.passed() => {
                    self.look().await;
                    next_look = Deadline::after(LOOK_EVERY);
                }
            }
        }
    }

    async fn reload(&mut self) {
        systemd::reloading();
        let at = SystemTime::now();
        let (source, running) = (Arc::clone(&self.source), Arc::clone(&self.config));
        let served = self.certificate.as_ref().map(Certificate::served);
        let problems = match blocking(move || prepare(&source, &running, served)).await {
            Ok(prepared) => {
                self.adopt(prepared);
                Vec::new()
            }
            Err(error) => problems(error),
        };
        let is_taken = problems.is_empty();
        self.metrics.configured(at, is_taken);
        let last_reload = Reload::new(at, is_taken, words(&problems));
        let refused_certificate = self.certificate.as_ref().and_then(Certificate::refused);
        self.news.send_replace(News { last_reload: Some(last_reload), refused_certificate });
        systemd::reloaded(is_taken);
        for problem in &problems {
            error!(key = %problem.key, origin = %problem.origin, "not reloaded: {}", problem.message);
        }
        if is_taken {
            info!("configuration reloaded");
        } else {
            error!(problems = problems.len(), "the configuration as it was stays in force, all of it");
        }
    }

    /// The change itself: from here on nothing can fail, and nothing is waited for.
    fn adopt(&mut self, Prepared { reloaded: Reloaded { config, warnings, .. }, pair }: Prepared) {
        self.door.adopt(&config);
        self.webhook.adopt(&config);
        self.levels.set(config.log.level);
        if let (Some(certificate), Some((digest, identity))) = (&mut self.certificate, pair) {
            certificate.take(digest, identity);
        }
        self.config = Arc::new(config);
        for warning in warnings {
            warn!(key = %warning.key, origin = %warning.origin, "{}", warning.message);
        }
    }

    async fn look(&mut self) {
        let (Some(certificate), TlsSource::Files(pairs)) =
            (&mut self.certificate, &self.config.server.tls.source)
        else {
            return;
        };
        let (chain, private_key) = (pairs[0].certificate.clone(), pairs[0].private_key.clone());
        let found = blocking(move || Pem::read(&chain, &private_key)).await;
        certificate.found(found, SystemTime::now());
        let refused = certificate.refused();
        self.news.send_if_modified(|news| {
            let is_new = news.refused_certificate != refused;
            news.refused_certificate = refused;
            is_new
        });
    }
}

/// Everything that can fail.
fn prepare(source: &Source, running: &Config, served: Option<Digest>) -> Result<Prepared, LoadError> {
    let reloaded = source.reload(running)?;
    let TlsSource::Files(pairs) = &reloaded.config.server.tls.source else {
        return Ok(Prepared { reloaded, pair: None });
    };
    let PairFiles { certificate, private_key } = &pairs[0];
    match new_pair(Pem::read(certificate, private_key), served) {
        Ok(pair) => Ok(Prepared { reloaded, pair }),
        Err(error) => {
            let concerns_key = matches!(&error, TlsError::Unreadable { path, .. } | TlsError::NotPem { path, .. }
                if path == private_key);
            let key = if concerns_key { "server.tls.private_key" } else { "server.tls.certificate" };
            Err(Problems(vec![reloaded.problem(key, Chain(&error).to_string())]).into())
        }
    }
}

/// What is served already is not judged again: that it has expired meanwhile must not keep a new secret out.
fn new_pair(
    read: Result<Pem, TlsError>,
    served: Option<Digest>,
) -> Result<Option<(Digest, Identity)>, TlsError> {
    let pem = read?;
    let digest = pem.digest();
    if Some(digest) == served {
        return Ok(None);
    }
    let identity = pem.identity()?;
    identity.fit(SystemTime::now())?;
    Ok(Some((digest, identity)))
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

/// Files may lie on a file system that hangs.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// A change is taken at the second look that sees it; it is to be noticed within 10 s.
const LOOK_EVERY: Duration = Duration::from_secs(2);

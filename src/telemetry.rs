//! Logging: where events go, and which are written.
//!
//! Events are facts with fields, each spelled one way everywhere: `request`, `trace`, `message_id`, `subscription` and `reason`
//! on the road; `broker` and `code` behind it; `listener`, `address`, `part`, `signal` in the daemon's life; `key` and
//! `origin` of settings; `error` with its causes; `others` for what [`Sparse`] held back. `error` = someone must act,
//! `warn` = it heals by itself, `info` = a state changed, `debug` = each request. Never a query, body, header, token
//! or clientState.

use std::{
    io::{self, IsTerminal},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::{Environment, Log, LogFormat, LogLevel};

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// There is no journal to write to.
    #[error("cannot reach journald; choose another log.format")]
    NoJournal(#[source] io::Error),
    /// Somebody else logs already.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Changes what is logged while the program runs.
#[derive(Clone, Debug)]
pub struct Levels(reload::Handle<Targets, Registry>);

/// Starts logging to standard error or to journald.
///
/// # Errors
///
/// [`TelemetryError`]
pub fn start(log: Log, environment: &Environment) -> Result<Levels, TelemetryError> {
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match resolve(log.format, environment) {
        LogFormat::Json => Box::new(tracing_subscriber::fmt::layer().json().with_writer(io::stderr)),
        LogFormat::Journald => Box::new(tracing_journald::layer().map_err(TelemetryError::NoJournal)?),
        LogFormat::Auto | LogFormat::Text => {
            let colours = io::stderr().is_terminal() && environment.get("NO_COLOR").is_none_or(str::is_empty);
            Box::new(
                tracing_subscriber::fmt::layer()
                    .with_ansi(colours)
                    .with_target(false)
                    .with_writer(io::stderr),
            )
        }
    };
    let (filter, handle) = reload::Layer::new(targets(log.level));
    let logged = tracing_subscriber::registry().with(layer.with_filter(filter));
    logged.try_init().map_err(|_| TelemetryError::AlreadySet)?;
    Ok(Levels(handle))
}

impl Levels {
    /// Logs from this level on.
    pub fn set(&self, level: LogLevel) {
        // It fails only without a subscriber, and then nobody would hear of it.
        drop(self.0.reload(targets(level)));
    }
}

/// Systemd names the journal's stream in `JOURNAL_STREAM` when standard error leads there.
fn resolve(format: LogFormat, environment: &Environment) -> LogFormat {
    match format {
        LogFormat::Auto if environment.get("JOURNAL_STREAM").is_some() && !io::stderr().is_terminal() => {
            LogFormat::Journald
        }
        LogFormat::Auto => LogFormat::Text,
        LogFormat::Text | LogFormat::Json | LogFormat::Journald => format,
    }
}

/// Our own events at the level that was asked for; libraries only when they are in need. Lapin not at all: it
/// logs returned messages with their payload, and with it clientStates.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("graphhook", level)
        .with_target("lapin", LevelFilter::OFF)
}

/// Keeps an event that repeats from filling the log: one in [`SPARSE`] passes, and says how many did not.
#[derive(Debug, Default)]
pub struct Sparse(Mutex<(Option<Instant>, u64)>);

impl Sparse {
    /// `Some` with the number of events held back since the last one that passed.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held_back) = &mut *state;
        if last.is_some_and(|last| now.duration_since(last) < SPARSE) {
            *held_back += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(held_back))
    }
}

/// Time between two events that pass [`Sparse`].
const SPARSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn only_auto_looks_for_the_journal() {
        let environment = Environment::default();
        assert_eq!(resolve(LogFormat::Auto, &environment), LogFormat::Text);
        for format in [LogFormat::Text, LogFormat::Json, LogFormat::Journald] {
            assert_eq!(resolve(format, &environment), format);
        }
    }

    #[test]
    fn repeated_events_are_counted() {
        let (sparse, now) = (Sparse::default(), Instant::now());
        assert_eq!(
            [0, 1, 9].map(|seconds| sparse.pass(now + Duration::from_secs(seconds))),
            [Some(0), None, None]
        );
        assert_eq!(sparse.pass(now + SPARSE), Some(2));
        assert_eq!(sparse.pass(now + SPARSE), None);
    }

    #[test]
    fn lapin_logs_nothing_at_any_level() {
        for level in [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug] {
            let targets = targets(level);
            assert!(!targets.would_enable("lapin::returned_messages", &Level::WARN));
            assert!(!targets.would_enable("lapin::io_loop", &Level::ERROR));
            assert!(targets.would_enable("graphhook::delivery", &Level::ERROR));
        }
    }
}

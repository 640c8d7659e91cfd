//! Logging: where events go, and which are written.
//!
//! Events are facts with fields, each spelled one way everywhere: `request`, `trace`, `message_id`, `subscription` and
//! `reason` on the road; `broker` and `code` behind it; `listener`, `address`, `part`, `signal` in the daemon's life; `key`,
//! `keys` and `origin` of settings; `config` for the hash of them all; `error` with its causes; `others` for what [`Sparse`]
//! held back; `operation`, `result`, `ids`, `took_ms` of requests to Graph. `error` = someone must act,
//! `warn` = it heals by itself, `info` = a state changed, `debug` = each request. Never a query, body, header, token or
//! clientState.
//!
//! Every warning and error has its name in the field `event`, under which `docs/logs.md` explains it; a test holds both
//! equal. Nobody waits for the log: see [`outbox`].

mod journal;
mod outbox;

use std::{
    any::Any,
    io::{self, ErrorKind, IsTerminal},
    os::unix::net::UnixDatagram,
    panic::{self, PanicHookInfo},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use prometheus_client::metrics::counter::Counter;
use tracing::{error, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use uuid::{Builder, Uuid};

use self::{
    journal::Journal,
    outbox::{Outbox, Sink},
};
use crate::{
    config::{Environment, Log, LogFormat, LogLevel},
    failpoint,
};

/// Logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// There is no journal to write to.
    #[error("cannot reach journald; choose another log.format")]
    NoJournal(#[source] io::Error),
    /// The system gives us no thread.
    #[error("cannot write the log")]
    NoThread(#[source] io::Error),
    /// Somebody else logs already.
    #[error("logging is already set up")]
    AlreadySet,
}

/// Changes what is logged while the program runs.
#[derive(Clone, Debug)]
pub struct Levels(reload::Handle<Targets, Registry>);

/// The log while it is open. Dropped, it waits a moment for its last lines to be written.
#[derive(Debug)]
#[must_use]
pub struct Logging {
    levels: Levels,
    outbox: Outbox,
}

/// Starts logging to standard error or to journald. Panics are logged from then on.
///
/// # Errors
///
/// [`TelemetryError`]
pub fn start(log: Log, environment: &Environment) -> Result<Logging, TelemetryError> {
    let (format, sink) = sink(log.format, environment)?;
    let outbox = Outbox::open(sink).map_err(TelemetryError::NoThread)?;
    let writer = outbox.clone();
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Json => Box::new(tracing_subscriber::fmt::layer().json().with_writer(writer)),
        LogFormat::Journald => Box::new(Journal { outbox: writer }),
        LogFormat::Auto | LogFormat::Text => {
            let colours = io::stderr().is_terminal() && environment.get("NO_COLOR").is_none_or(str::is_empty);
            Box::new(
                tracing_subscriber::fmt::layer().with_ansi(colours).with_target(false).with_writer(writer),
            )
        }
    };
    let (filter, handle) = reload::Layer::new(targets(log.level));
    let logged = tracing_subscriber::registry().with(layer.with_filter(filter));
    logged.try_init().map_err(|_| TelemetryError::AlreadySet)?;
    panic::set_hook(Box::new(complain));
    Ok(Logging { levels: Levels(handle), outbox })
}

impl Logging {
    /// What changes the levels.
    pub fn levels(&self) -> Levels {
        self.levels.clone()
    }

    /// Counts lines that were dropped here.
    pub fn count_dropped(&self, counter: &Counter) {
        self.outbox.count_dropped(counter.clone());
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.outbox.flush(FLUSH_WITHIN);
    }
}

impl Levels {
    /// Logs from this level on.
    pub fn set(&self, level: LogLevel) {
        // It fails only without a subscriber, and then nobody would hear of it.
        drop(self.0.reload(targets(level)));
    }
}

/// The name of an event as journald wants it (`MESSAGE_ID`): the first 16 bytes of the SHA-256 of
/// `graphhook event ` and the name, marked as a UUID of version 8 (RFC 9562).
pub fn message_id(event: &str) -> Uuid {
    let digest = digest::digest(&digest::SHA256, format!("graphhook event {event}").as_bytes());
    let bytes = digest.as_ref().first_chunk().expect("a SHA-256 has 32 bytes");
    Builder::from_custom_bytes(*bytes).into_uuid()
}

/// Where the log goes, and how it is written there. `auto` does without a journal that cannot be reached.
fn sink(format: LogFormat, environment: &Environment) -> Result<(LogFormat, Sink), TelemetryError> {
    let resolved = resolve(format, environment);
    match resolved {
        LogFormat::Journald => match reach(failpoint::journal()) {
            Ok(sink) => Ok((LogFormat::Journald, sink)),
            Err(_) if format == LogFormat::Auto => Ok((LogFormat::Text, Sink::StandardError)),
            Err(error) => Err(TelemetryError::NoJournal(error)),
        },
        LogFormat::Auto | LogFormat::Text | LogFormat::Json => Ok((resolved, Sink::StandardError)),
    }
}

/// Journald throws away empty datagrams; that there is somebody to do so is all we want to know.
fn reach(journal: &Path) -> io::Result<Sink> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match socket.send_to(&[], journal) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
        Ok(_) | Err(_) => socket.set_nonblocking(false)?,
    }
    Ok(Sink::Journal(socket, journal.to_owned()))
}

/// What std would print to standard error, whoever reads there; it could wait for that.
fn complain(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    error!(event = "panicked", place, error = own_words(panic.payload()), "a part of the program panicked");
}

/// A panic's words if they stand so in the program. Words that were made may quote what a stranger sent: a slice that is cut
/// wrong does.
fn own_words(payload: &(dyn Any + Send)) -> Option<&'static str> {
    payload.downcast_ref::<&'static str>().copied()
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

/// Keeps an event that repeats from filling the log: one in a while passes, and says how many did not.
#[derive(Debug)]
pub struct Sparse {
    every: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Default for Sparse {
    fn default() -> Self {
        Self::every(SPARSE)
    }
}

impl Sparse {
    /// One that lets an event pass in so much time.
    pub fn every(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// `Some` with the number of events held back since the last one that passed.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held_back) = &mut *state;
        if last.is_some_and(|last| now.duration_since(last) < self.every) {
            *held_back += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(held_back))
    }

    /// The state has changed: the next event is the first of its kind. Returns how many were held back.
    pub fn renew(&self) -> u64 {
        std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner)).1
    }
}

/// Time between two events that pass [`Sparse`], unless it was made otherwise.
const SPARSE: Duration = Duration::from_secs(10);
/// Time for the last lines to be written when the program ends.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

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
        assert_eq!(sparse.renew(), 1);
        assert_eq!(sparse.pass(now + SPARSE), Some(0));
    }

    #[test]
    fn message_ids_stay_what_they_are() {
        assert_eq!(message_id("spool_full").simple().to_string(), "cebd607e41bb88a087f5137e858bbc6e");
    }

    #[test]
    fn a_journal_that_is_not_there_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        assert!(reach(&path).is_err());
        let journal = UnixDatagram::bind(&path).expect("a socket");
        assert!(reach(&path).is_ok());
        drop(journal);
        assert!(reach(&path).is_err());
    }

    #[test]
    fn a_panic_quotes_nothing_that_it_was_given() {
        let words = |panics: fn()| own_words(&*panic::catch_unwind(panics).expect_err("a panic"));
        assert_eq!(words(|| panic!("a mistake of ours")), Some("a mistake of ours"));
        assert_eq!(words(|| panic!("a mistake with {}", std::env::args().count())), None);
        assert_eq!(words(|| drop("s\u{e9}cret".to_owned()[..2].to_owned())), None);
        assert_eq!(words(|| panic::panic_any(7)), None);
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

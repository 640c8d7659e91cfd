//! What systemd hears of us (`Type=notify`, sd_notify(3)), and its watchdog. Without systemd nobody listens.
//!
//! The line of `systemctl status` follows what happens. The watchdog hears from us only while every loop turns (see
//! [`heart`](crate::heart)); once it has not heard for `WatchdogSec=`, systemd kills and starts us anew, which is safe at
//! any moment. During the stop, which has its own end, the watchdog is kept quiet. Who judges the tasks is none of them: a
//! thread of its own sees also that all of them hang, and says so.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    panic, process,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use sd_notify::NotifyState;
use tokio::task;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::standing::View;
use crate::{
    backoff::Backoff,
    config::Environment,
    heart::{Hearts, Part},
    metrics::Metrics,
    telemetry::Sparse,
};

/// The way to systemd.
pub(super) struct Systemd {
    socket: Option<UnixDatagram>,
    complaints: Sparse,
}

/// Tells systemd how we stand, as long as we run.
pub(super) struct Herald {
    pub(super) systemd: Arc<Systemd>,
    pub(super) view: Arc<View>,
    pub(super) hearts: Hearts,
    /// The watchdog's time, if there is one.
    pub(super) watchdog: Option<Duration>,
    pub(super) metrics: Arc<Metrics>,
    /// Cancelled when the daemon begins to stop.
    pub(super) stopping: CancellationToken,
    /// The line that systemd has.
    pub(super) told: String,
}

impl Systemd {
    /// Finds the socket in `NOTIFY_SOCKET`.
    pub(super) fn find(environment: &Environment) -> Self {
        let systemd = |socket| Self { socket, complaints: Sparse::default() };
        let Some(name) = environment.get("NOTIFY_SOCKET") else { return systemd(None) };
        match connect(name) {
            Ok(socket) => systemd(Some(socket)),
            Err(error) => {
                let deaf = systemd(None);
                deaf.complain(&error);
                deaf
            }
        }
    }

    /// The time after which systemd kills us when it has not heard from us, if it does so at all.
    pub(super) fn watchdog(environment: &Environment) -> Option<Duration> {
        let watched = environment.get("WATCHDOG_PID");
        // Set by an ancestor's systemd, it is not for us.
        if watched.is_some_and(|pid| pid.parse() != Ok(process::id())) {
            return None;
        }
        let micros = environment.get("WATCHDOG_USEC")?.parse().ok()?;
        Some(Duration::from_micros(micros)).filter(|time| !time.is_zero())
    }

    /// The sockets are open and requests are answered.
    pub(super) async fn ready(&self, line: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(line)]).await;
    }

    /// The configuration is being read again. Systemd wants to know since when, so that it can tell our answer from one
    /// to an earlier reload (`Type=notify-reload`, from version 253 on).
    pub(super) async fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]).await,
            Err(error) => self.complain(&error),
        }
    }

    /// The stop has begun.
    pub(super) async fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]).await;
    }

    /// The line of `systemctl status`.
    pub(super) async fn status(&self, line: &str) {
        self.tell(&[NotifyState::Status(line)]).await;
    }

    /// Says it at once, or not at all.
    fn say(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        socket.send(lines.as_bytes()).map(|_| ())
    }

    /// Waits a little when systemd does not come to read; nothing that serves requests waits here.
    async fn tell(&self, states: &[NotifyState<'_>]) {
        let mut backoff = Backoff::new(TELL_WITHIN / 50, TELL_WITHIN / 5);
        let begun = Instant::now();
        loop {
            match self.say(states) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && begun.elapsed() < TELL_WITHIN => {
                    backoff.pause().await;
                }
                Err(error) => return self.complain(&error),
                Ok(()) => return,
            }
        }
    }

    fn complain(&self, error: &io::Error) {
        if let Some(others) = self.complaints.pass(Instant::now()) {
            warn!(event = "systemd_deaf", %error, others, "systemd does not hear us");
        }
    }
}

/// A name that begins with `@` is in the abstract namespace (unix(7)).
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(OsStr::new(name).as_bytes())?,
        None => SocketAddr::from_pathname(name)?,
    };
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Herald {
    /// Tells systemd what changes, and that we are alive, until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let (going, ended) = mpsc::channel();
        let thread = task::spawn_blocking(move || self.work(&ended));
        stop.cancelled().await;
        drop(going);
        if let Err(panicked) = thread.await {
            panic::resume_unwind(panicked.into_panic());
        }
    }

    fn work(mut self, ended: &Receiver<()>) {
        let every = self.watchdog.map_or(LOOK_EVERY, |watchdog| LOOK_EVERY.min(watchdog / 4));
        let mut stuck = Vec::new();
        let mut looked = Instant::now();
        while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            // Who was stopped himself, or starved, has to give the others their turn before he judges them.
            let is_late = looked.elapsed() > 2 * every;
            looked = Instant::now();
            let is_stopping = self.stopping.is_cancelled();
            if !is_stopping {
                self.tell_line();
            }
            if self.watchdog.is_some() {
                stuck = if is_late { Vec::new() } else { self.listen(&stuck) };
                if stuck.is_empty() || is_stopping {
                    self.ping();
                }
            }
        }
    }

    fn tell_line(&mut self) {
        let line = self.view.line();
        if line != self.told {
            match self.systemd.say(&[NotifyState::Status(&line)]) {
                Ok(()) => self.told = line,
                Err(error) => self.systemd.complain(&error),
            }
        }
    }

    /// Every loop turns.
    fn ping(&self) {
        match self.systemd.say(&[NotifyState::Watchdog]) {
            Ok(()) => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                self.metrics.watchdog_last_ping.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
            }
            Err(error) => self.systemd.complain(&error),
        }
    }

    /// The parts that hang; says which ones are new among them.
    fn listen(&self, before: &[Part]) -> Vec<Part> {
        let stuck = self.hearts.stuck(Instant::now());
        for stuck in stuck.iter().filter(|stuck| !before.contains(&stuck.part)) {
            let (part, seconds) = (stuck.part.as_str(), stuck.silence.as_secs());
            error!(
                event = "part_stuck",
                part,
                seconds,
                "a part of the daemon hangs; unless it goes on, systemd will kill and restart it"
            );
        }
        if stuck.is_empty() && !before.is_empty() {
            info!("all parts of the daemon go on");
        }
        stuck.into_iter().map(|stuck| stuck.part).collect()
    }
}

/// Time between two looks at how we stand.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Time that systemd has to take a word from us; its own queue holds hundreds.
const TELL_WITHIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_ours_and_has_a_time() {
        let ours = process::id().to_string();
        let (ours, time) = (Some(ours.as_str()), Some(Duration::from_secs(30)));
        for (usec, pid, expected) in [
            (None, None, None),
            (None, ours, None),
            (Some("30000000"), None, time),
            (Some("30000000"), ours, time),
            (Some("30000000"), Some("0"), None),
            (Some("30000000"), Some("me"), None),
            (Some("0"), ours, None),
            (Some("0"), None, None),
            (Some("-1"), None, None),
            (Some("soon"), None, None),
            (Some(""), None, None),
        ] {
            let variables = [("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)];
            let variables = variables.into_iter().filter_map(|(name, value)| Some((name, value?)));
            let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(Systemd::watchdog(&Environment { variables }), expected, "{usec:?} for {pid:?}");
        }
    }
}

//! Systemd's end of `NOTIFY_SOCKET`: hears all that a daemon says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::task::JoinSet;

use super::eventually::{eventually, eventually_within};

/// A socket that is listened to.
pub struct Ear {
    directory: TempDir,
    heard: Arc<Mutex<Vec<(Instant, String)>>>,
    /// Ends with us.
    _listening: JoinSet<()>,
}

impl Ear {
    /// An open ear.
    pub fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let socket = UnixDatagram::bind(directory.path().join(NAME)).expect("a socket");
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let kept = Arc::clone(&heard);
        let mut listening = JoinSet::new();
        listening.spawn(async move {
            let mut words = vec![0; 4096];
            while let Ok(length) = socket.recv(&mut words).await {
                let words = String::from_utf8_lossy(&words[..length]).into_owned();
                kept.lock().expect(NO_PANIC).push((Instant::now(), words));
            }
        });
        Self { directory, heard, _listening: listening }
    }

    /// What belongs into `NOTIFY_SOCKET`.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join(NAME)
    }

    /// All that was said, but for the watchdog's pings.
    pub fn words(&self) -> Vec<String> {
        let heard = self.heard();
        heard.iter().filter(|(_, words)| words != PING).map(|(_, words)| words.clone()).collect()
    }

    /// How often the watchdog was told that all is well.
    pub fn pings(&self) -> usize {
        self.heard().iter().filter(|(_, words)| words == PING).count()
    }

    /// Waits until something was said that contains `text`.
    #[track_caller]
    pub fn eventually_hears(&self, text: &str) -> impl Future<Output = String> {
        eventually(format!("{text:?} at {}", self.path().display()), async move || {
            self.words().into_iter().find(|words| words.contains(text))
        })
    }

    /// Waits for so many pings more.
    #[track_caller]
    pub fn eventually_pinged(&self, more: usize) -> impl Future<Output = ()> {
        let wanted = self.pings() + more;
        eventually_within(BOUND, format!("{more} pings more"), async move || {
            (self.pings() >= wanted).then_some(())
        })
    }

    /// Waits until no ping has come for so long.
    #[track_caller]
    pub fn eventually_silent(&self, silence: Duration) -> impl Future<Output = ()> {
        eventually_within(BOUND, format!("no ping for {silence:?}"), async move || {
            let last = self.heard().iter().rev().find(|(_, words)| words == PING).map(|(at, _)| *at);
            last.is_some_and(|last| last.elapsed() > silence).then_some(())
        })
    }

    fn heard(&self) -> MutexGuard<'_, Vec<(Instant, String)>> {
        self.heard.lock().expect(NO_PANIC)
    }
}

const NAME: &str = "notify";
const PING: &str = "WATCHDOG=1\n";
const NO_PANIC: &str = "nobody panics with it held";
const BOUND: Duration = Duration::from_secs(40);

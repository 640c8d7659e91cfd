//! A wall clock that goes wrong on command, for the real program: see `clock.c`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tempfile::TempDir;

use super::daemon::Configuration;
use super::preload;

/// The time of day as a daemon sees it.
pub struct Clock {
    home: TempDir,
    ahead: File,
}

impl Clock {
    /// A clock that is right.
    pub fn right() -> Self {
        let home = tempfile::Builder::new().prefix("graphhook-clock-").tempdir();
        let home = home.expect("a temporary directory can be made");
        let ahead = File::create(home.path().join("ahead")).expect("a file can be made");
        let clock = Self { home, ahead };
        clock.set_ahead(0);
        clock
    }

    /// Has a daemon go by it.
    pub fn under(&self, configuration: Configuration) -> Configuration {
        let variables = self.variables();
        variables.iter().fold(configuration, |configuration, (name, value)| configuration.env(name, value))
    }

    /// The same for a command: variables of its environment.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        let ahead = self.home.path().join("ahead");
        [("LD_PRELOAD", library().display().to_string()), ("CLOCK_AHEAD", ahead.display().to_string())]
    }

    /// From now on it is so many seconds ahead, or behind.
    pub fn set_ahead(&self, seconds: i64) {
        self.ahead.write_all_at(&seconds.to_ne_bytes(), 0).expect("the file can be written");
    }
}

/// The library, compiled by the first who asks.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| preload::compile("clock"))
}

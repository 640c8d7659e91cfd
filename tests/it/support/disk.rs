//! A disk that is watched and that fails on command, for the real program: see `disk.c`.
//!
//! Everything below [`Disk::root`] is on it. From the trace of what was done, [`Trace::power_cut`] makes the
//! directory as it may be after a power cut at any moment.

mod replay;
#[cfg(test)]
mod tests;
mod trace;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

pub use self::replay::Loss;
use self::trace::Base;
pub use self::trace::{Mark, Operation, Trace};
use super::daemon::Configuration;
use super::preload;

/// A watched directory. It ends, with all that is in it, when dropped.
pub struct Disk {
    home: TempDir,
    base: Base,
    control: File,
}

/// What can fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Op {
    /// Opening or creating a file; making a directory.
    Open,
    /// Writing, and making room beforehand.
    Write,
    /// `fsync` and `fdatasync`. What was not synced then is not synced by a later success either.
    Sync,
    /// Changing the length of a file.
    Truncate,
    /// Renaming, by the new name.
    Rename,
    /// Removing a file or a directory.
    Unlink,
}

/// How it fails.
#[derive(Clone, Copy, Debug)]
pub enum Errno {
    /// EIO: the disk is broken.
    Io,
    /// ENOSPC: it is full.
    Full,
    /// EROFS: it can only be read.
    ReadOnly,
}

/// How often it fails.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    /// The next so many.
    Next(u32),
    /// Until [`Disk::heal`].
    All,
}

/// Faults that took place.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// Operations that failed because a test wanted it, in the order of [`Op`].
    pub failed: [u64; OPS.len()],
    /// Syncs that were made to wait.
    pub delayed: u64,
    /// Syncs that were not done and said to be.
    pub faked: u64,
}

impl Disk {
    /// An empty disk.
    pub fn empty() -> Self {
        Self::holding(|_| {})
    }

    /// A disk that holds what `fill` puts into its directory; all of that counts as synced.
    pub fn holding(fill: impl FnOnce(&Path)) -> Self {
        let home = tempfile::Builder::new().prefix("graphhook-disk-").tempdir();
        let home = home.expect("a temporary directory can be made");
        let root = home.path().join("root");
        fs::create_dir(&root).expect("a directory can be made");
        fill(&root);
        File::create(home.path().join("trace")).expect("a file can be made");
        let control =
            File::options().create_new(true).read(true).write(true).open(home.path().join("control"));
        let control = control.expect("a file can be made");
        control.set_len(CONTROL_BYTES).expect("a file can be made longer");
        let base = Base::of(&root);
        Self { home, base, control }
    }

    /// The watched directory. A power cut may lose all that is in it, but not the directory itself.
    pub fn root(&self) -> PathBuf {
        self.home.path().join("root")
    }

    /// Where [`Disk::under`] puts the spool; made by the daemon.
    pub fn spool(&self) -> PathBuf {
        self.root().join("spool")
    }

    /// Puts a daemon's spool on this disk.
    pub fn under(&self, configuration: Configuration) -> Configuration {
        let configuration = configuration.spool(self.spool());
        self.environment().into_iter().fold(configuration, |it, (name, path)| it.env(name, path))
    }

    /// Has a command and its children watched.
    pub fn watch<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.environment())
    }

    /// From now on operations of a kind fail.
    pub fn fail(&self, op: Op, errno: Errno, times: Times) {
        self.fail_on("", op, errno, times);
    }

    /// As [`Disk::fail`], on files only whose names end so. A kind of operation has one fault at a time.
    pub fn fail_on(&self, suffix: &str, op: Op, errno: Errno, times: Times) {
        assert!(suffix.len() < SUFFIX_BYTES, "{suffix:?} is too long");
        let left = match times {
            Times::Next(count) => i64::from(count),
            Times::All => -1,
        };
        let mut name = [0; SUFFIX_BYTES];
        name[..suffix.len()].copy_from_slice(suffix.as_bytes());
        // The errno arms the rule, so it goes out first and comes last.
        self.put(op.rule(), 0);
        self.put_bytes(op.rule() + SUFFIX, &name);
        self.put(op.rule() + LEFT, left.cast_unsigned());
        self.put(op.rule(), errno.number());
    }

    /// From now on each sync takes this much longer.
    pub fn delay_syncs(&self, delay: Duration) {
        self.put(SYNC_DELAY, u64::try_from(delay.as_millis()).expect("a delay fits"));
    }

    /// From now on syncs do nothing and say that all is well. No program can stand a power cut then: a test of
    /// power cuts that still passes proves nothing.
    pub fn fake_syncs(&self) {
        self.put(SYNC_FAKED, 1);
    }

    /// From now on nothing fails, waits or is faked, but a sync that waits already does so to its end.
    pub fn heal(&self) {
        OPS.into_iter().for_each(|op| self.put(op.rule(), 0));
        self.put(SYNC_DELAY, 0);
        self.put(SYNC_FAKED, 0);
    }

    /// What took place so far.
    pub fn seen(&self) -> Seen {
        Seen {
            failed: OPS.map(|op| self.get(op.rule() + FAILED)),
            delayed: self.get(DELAYED),
            faked: self.get(FAKED),
        }
    }

    /// This moment in the trace. Everything before it is done; of what is being done, nothing counts yet.
    ///
    /// Taken when an answer arrives, it comes after all that the answer can have waited for.
    pub fn mark(&self) -> Mark {
        let length = fs::metadata(self.home.path().join("trace")).expect("the trace is there").len();
        Mark(length)
    }

    /// What was done so far.
    pub fn trace(&self) -> Trace {
        let bytes = fs::read(self.home.path().join("trace")).expect("the trace can be read");
        Trace::read(self.base.clone(), bytes)
    }

    /// Drops what was traced so far, for a test that runs for hours and cuts no power: marks and traces mean nothing
    /// afterwards.
    pub fn forget(&self) {
        let trace = File::options().write(true).open(self.home.path().join("trace"));
        // Everybody who writes to it appends.
        trace.and_then(|trace| trace.set_len(0)).expect("the trace can be cut");
    }

    fn environment(&self) -> [(&'static str, PathBuf); 4] {
        let home = |name: &str| self.home.path().join(name);
        [
            ("LD_PRELOAD", library().to_owned()),
            ("DISK_UNDER", home("root")),
            ("DISK_TRACE", home("trace")),
            ("DISK_CONTROL", home("control")),
        ]
    }

    fn put(&self, at: u64, value: u64) {
        self.put_bytes(at, &value.to_ne_bytes());
    }

    fn put_bytes(&self, at: u64, bytes: &[u8]) {
        self.control.write_all_at(bytes, at).expect("the control file can be written");
    }

    fn get(&self, at: u64) -> u64 {
        let mut value = [0; 8];
        self.control.read_exact_at(&mut value, at).expect("the control file can be read");
        u64::from_ne_bytes(value)
    }
}

impl Seen {
    /// How many operations of a kind failed because a test wanted it.
    pub fn failed(&self, op: Op) -> u64 {
        self.failed[op as usize]
    }
}

impl Op {
    /// Where its rule stands in the control file.
    fn rule(self) -> u64 {
        self as u64 * RULE_BYTES
    }
}

impl Errno {
    fn number(self) -> u64 {
        match self {
            Self::Io => 5,
            Self::Full => 28,
            Self::ReadOnly => 30,
        }
    }
}

/// The library, compiled by the first who asks.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| preload::compile("disk"))
}

const OPS: [Op; 6] = [Op::Open, Op::Write, Op::Sync, Op::Truncate, Op::Rename, Op::Unlink];
// `struct control` of disk.c.
const LEFT: u64 = 8;
const FAILED: u64 = 16;
const SUFFIX: u64 = 24;
const SUFFIX_BYTES: usize = 40;
const RULE_BYTES: u64 = 64;
const SYNC_DELAY: u64 = RULE_BYTES * OPS.len() as u64;
const DELAYED: u64 = SYNC_DELAY + 8;
const SYNC_FAKED: u64 = DELAYED + 8;
const FAKED: u64 = SYNC_FAKED + 8;
const CONTROL_BYTES: u64 = FAKED + 8;

//! What the keeper does when a file, a disk or a directory fails it, and what it does when it has time.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use tracing::{error, info, warn};

use super::{
    super::{
        Aside, Refused, SpoolError, State, aside, header,
        rescue::{Contents, Rescue, Step},
        salvage::{Judgement, judge},
        store::{self, OpenError, Store, StoreError},
    },
    Keeper,
};
use crate::{
    error::Chain,
    failpoint::{self, Point},
};

impl Keeper {
    /// Decides what an error means; returns what a request hears of it.
    pub(super) fn fail(&mut self, error: StoreError) -> Refused {
        match error {
            StoreError::Full => {
                self.show_state(State::Full);
                self.complain_of_room();
                Refused::Full
            }
            StoreError::Busy => {
                if let Some(others) = self.guests.pass(Instant::now()) {
                    warn!(event = "spool_shared", others, "another program is writing to the spool");
                }
                Refused::Slow
            }
            StoreError::Suspect(why) => {
                if self.store.is_some() {
                    self.set_aside(&Chain(&*why).to_string());
                }
                Refused::Broken
            }
        }
    }

    fn complain_of_room(&self) {
        if let Some(others) = self.shortages.pass(Instant::now()) {
            warn!(event = "spool_disk_full", others, "no room on the disk of the spool");
        }
    }

    /// Stops using the file, keeps it for rescue, and opens a fresh one.
    pub(super) fn set_aside(&mut self, why: &str) {
        let Some(mut store) = self.store.take() else { return };
        let items = store.recount().ok().map(|books| books.items);
        let contents = Contents { items, oldest: self.oldest() };
        self.metrics.spool_damaged.inc();
        error!(
            event = "spool_file_failed",
            why, "the spool file is not trusted any more; what it holds is saved into a fresh one"
        );
        self.last_seq = self.last_seq.max(store.last_seq());
        if store.is_in_place() {
            // Closing writes nothing: the log stays as it is.
            drop(store);
            self.contents = Some(contents);
        } else {
            self.rescues.push(Rescue::of_store(store, contents));
            self.contents = Some(Contents { items: Some(0), oldest: None });
        }
        // Also of a file that is gone, something may be left: a log, an index that would be taken for the new file's.
        self.must_move = true;
        // Its messages come back at their old places.
        self.handed_out = 0;
        self.reopen();
    }

    fn reopen(&mut self) {
        if let Err(error) = self.open() {
            self.give_up(&error);
        }
    }

    /// Opens the file, or a fresh one if that is damaged. What is the system's fault is tried again later.
    pub(super) fn open(&mut self) -> Result<(), SpoolError> {
        self.try_open(false)
    }

    fn try_open(&mut self, is_second_try: bool) -> Result<(), SpoolError> {
        let directory = self.settings.directory.clone();
        let opened = self.lock().and_then(|()| {
            if self.must_move {
                move_aside(&directory, SystemTime::now())?;
                self.must_move = false;
            }
            self.find_left_behind()?;
            judge(&header::log_of(&directory.join(store::FILE)))
        });
        let store = match opened {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                return Err(SpoolError::InUse(directory));
            }
            Err(error) if error.raw_os_error() == Some(EIO) && !self.must_move => {
                Err(OpenError::Damaged(error.into()))
            }
            Err(error) => Err(OpenError::Directory(error.into())),
            Ok(Judgement::Whole | Judgement::Torn) => Store::open(&directory),
            Ok(Judgement::Damaged) => Err(OpenError::Damaged("its log is damaged".into())),
            Ok(Judgement::Doubtful) => Err(OpenError::Damaged("the end of its log is in doubt".into())),
        };
        match store {
            Ok(mut store) => {
                store.raise(self.last_seq);
                self.has_chores = true;
                self.store = Some(store);
                self.show_state(State::Ready);
                Ok(())
            }
            Err(error @ OpenError::Newer { .. }) => Err(SpoolError::Newer(error)),
            Err(error @ OpenError::Directory(_)) => {
                self.give_up(&error);
                Ok(())
            }
            Err(OpenError::Damaged(why)) => {
                error!(event = "spool_file_damaged", why = %Chain(&*why), "the spool file is damaged; what it holds is saved into a fresh one");
                self.metrics.spool_damaged.inc();
                self.must_move = true;
                if is_second_try {
                    self.give_up(&*why);
                    return Ok(());
                }
                self.try_open(true)
            }
        }
    }

    /// Damaged files that are not being saved yet, of this run or of an earlier one that was interrupted.
    fn find_left_behind(&mut self) -> io::Result<()> {
        for path in left_behind(&self.settings.directory)? {
            if !self.rescues.iter().any(|rescue| rescue.path() == Some(&path)) {
                let contents = self.contents.take().unwrap_or_default();
                self.rescues.push(Rescue::of_file(path, contents));
            }
        }
        Ok(())
    }

    /// For now: it is tried again.
    fn give_up(&mut self, error: &(dyn std::error::Error + 'static)) {
        if let Some(others) = self.complaints.pass(Instant::now()) {
            error!(event = "spool_unusable", error = %Chain(error), others, "no spool: what the broker does not confirm is answered 503");
        }
        self.show_state(State::Broken);
        self.reopen_at = Instant::now() + REOPEN_AFTER;
    }

    /// One daemon at a time.
    fn lock(&mut self) -> io::Result<()> {
        let directory = &self.settings.directory;
        make_directory(directory)?;
        let lock = File::options().create(true).append(true).open(directory.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {
                self.lock = Some(lock);
                Ok(())
            }
            Err(TryLockError::WouldBlock) if self.has_locked(&lock) => Ok(()),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether this is the file that we hold the lock of.
    fn has_locked(&self, file: &File) -> bool {
        let inode = |file: &File| file.metadata().map(|file| (file.dev(), file.ino())).ok();
        self.lock.as_ref().is_some_and(|ours| inode(ours).is_some() && inode(ours) == inode(file))
    }

    /// What is written to a file that was deleted is lost with us.
    pub(super) fn notice_deletion(&mut self) {
        if self.store.as_ref().is_some_and(|store| !store.is_in_place()) {
            self.set_aside("the file is gone from its directory");
        }
    }

    /// What a deleted file holds can be read only as long as we live.
    pub(super) fn finish_rescues_of_deleted(&mut self) {
        let Some(store) = &mut self.store else { return };
        for rescue in self.rescues.iter_mut().filter(|rescue| rescue.path().is_none()) {
            while let Ok(Step::More { .. }) = rescue.step(store, |seq| self.delivered.contains(&seq)) {}
        }
    }

    /// What can wait, a little at a time: nothing of it may keep a request waiting.
    pub(super) fn do_chores(&mut self) {
        if self.store.is_none() && Instant::now() >= self.reopen_at {
            self.reopen();
        }
        self.has_chores = false;
        match self.try_chores() {
            Ok(more) => self.has_chores = more,
            // It is tried again. A damaged file cannot be saved without room, and its operator must know.
            Err(StoreError::Full) => self.complain_of_room(),
            Err(StoreError::Busy) => {}
            Err(error @ StoreError::Suspect(_)) => _ = self.fail(error),
        }
    }

    /// Returns whether there is more to do.
    fn try_chores(&mut self) -> Result<bool, StoreError> {
        self.notice_deletion();
        let Some(store) = &mut self.store else { return Ok(false) };
        if let Some(rescue) = self.rescues.first_mut() {
            let delivered = &self.delivered;
            let step = rescue.step(store, |seq| delivered.contains(&seq))?;
            self.handed_out = 0;
            match step {
                Step::More { restored } => {
                    failpoint::reached(Point::SpoolMidSalvage);
                    self.metrics.spool_salvaged.inc_by(restored as u64);
                    self.shared.arrived.notify_one();
                }
                Step::Done => {
                    let rescue = self.rescues.remove(0);
                    if rescue.has_lost() {
                        self.shared.lose(rescue.oldest());
                    }
                }
                // The next one, meanwhile.
                Step::Later => {
                    self.rescues.rotate_left(1);
                    return Ok(false);
                }
            }
            if self.rescues.is_empty() {
                self.delivered.clear();
            }
            return Ok(true);
        }
        let more = store.give_back()?;
        if !more && store.hides_something()? {
            return Err(StoreError::Suspect("it is empty, and yet large".into()));
        }
        Ok(more)
    }
}

/// Makes the directory, so that its name is on disk before anything in it is promised.
fn make_directory(directory: &Path) -> io::Result<()> {
    let parent = directory.parent().unwrap_or(directory);
    if !directory.exists() {
        if parent != directory {
            make_directory(parent)?;
        }
        DirBuilder::new().mode(0o700).create(directory)?;
    }
    match store::sync_directory(parent) {
        // Whoever may not read it has not made it, but systemd or an administrator, long ago.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Moves the file away with its log and the index of that, under a name that says when.
fn move_aside(directory: &Path, now: SystemTime) -> io::Result<()> {
    failpoint::reached(Point::SpoolBeforeAside);
    let from = directory.join(store::FILE);
    let to = aside(directory, Aside::Damaged, store::micros(now));
    // Somebody may have the index open: a fresh file must not get it.
    let done = [
        fs::remove_file(header::index_of(&from)),
        fs::rename(header::log_of(&from), header::log_of(&to)),
        fs::rename(&from, &to),
    ];
    if let Some(error) =
        done.into_iter().filter_map(Result::err).find(|error| error.kind() != io::ErrorKind::NotFound)
    {
        return Err(error);
    }
    store::sync_directory(directory)?;
    failpoint::reached(Point::SpoolAfterAside);
    info!(file = %to.display(), "moved aside");
    Ok(())
}

/// Damaged files that stand in the directory, oldest first; one that left only its log counts too.
fn left_behind(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let prefix = format!("{}.{}-", store::FILE, Aside::Damaged.as_str());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let is_ours = |name: &&str| name.starts_with(&prefix) && !name.ends_with("-shm");
        let Some(name) = name.to_str().filter(is_ours) else { continue };
        files.push(directory.join(name.strip_suffix("-wal").unwrap_or(name)));
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// The file that one daemon at a time has locked.
pub(in super::super) const LOCK: &str = "lock";
/// The disk gave no answer.
const EIO: i32 = 5;
/// Time between two tries to open a file.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

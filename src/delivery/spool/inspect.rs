//! The spool as commands see it: whether a daemon has it, and what stands in its directory. Makes nothing.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::Access;

use super::{
    Aside,
    header::{self, Header},
    keeper::LOCK,
    salvage::{Judgement, judge},
    store,
};

/// A file that stands beside that of the spool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Beside {
    /// Its path.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Whether it may hold messages that are nowhere else: the daemon takes them over.
    pub is_awaited: bool,
}

/// Whether a daemon has the spool.
///
/// The lock is taken for an instant to find out; a daemon that starts in that instant is refused it.
///
/// # Errors
///
/// Whatever the system says.
pub fn is_in_use(directory: &Path) -> io::Result<bool> {
    let lock = match File::open(directory.join(LOCK)) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether a file without a daemon may be written to: not while its log is in doubt, for what stands behind
/// the doubtful place would be lost.
///
/// # Errors
///
/// Whatever the system says.
pub fn is_sound(directory: &Path) -> io::Result<bool> {
    Ok(match judge(&header::log_of(&directory.join(store::FILE)))? {
        Judgement::Whole | Judgement::Torn => true,
        Judgement::Doubtful | Judgement::Damaged => false,
    })
}

/// Damaged and salvaged files, with their logs, by name.
///
/// # Errors
///
/// Whatever the system says.
pub fn beside(directory: &Path) -> io::Result<Vec<Beside>> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is = |kind: Aside| name.starts_with(&format!("{}.{}-", store::FILE, kind.as_str()));
        if is(Aside::Damaged) || is(Aside::Salvaged) {
            let bytes = entry.metadata().map_or(0, |file| file.len());
            files.push(Beside { path: entry.path(), bytes, is_awaited: is(Aside::Damaged) });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

/// Why there may be more messages than SQLite shows, if so.
///
/// # Errors
///
/// Whatever the system says.
pub fn hidden(directory: &Path) -> io::Result<Option<&'static str>> {
    Ok(if !is_in_use(directory)? && !is_sound(directory)? {
        Some("its log is in doubt, and hides messages until a daemon has mended it")
    } else if beside(directory)?.iter().any(|file| file.is_awaited) {
        Some("a damaged file stands beside it, whose messages are not saved yet")
    } else {
        None
    })
}

/// What a daemon would find that starts with this directory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outlook {
    /// It can work there, and the file system has so many bytes left.
    Good {
        /// Free bytes.
        free: u64,
    },
    /// It would mend the file.
    Damaged(&'static str),
    /// It would not start: a newer program wrote the file.
    Newer(u32),
}

/// Looks at file and directory, or where that would be made.
///
/// # Errors
///
/// Whatever the system says; above all that we may not write there.
pub fn outlook(directory: &Path) -> io::Result<Outlook> {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK)?;
    Ok(match header::read(&directory.join(store::FILE))? {
        Header::Newer(format) => Outlook::Newer(format),
        Header::Odd(why) => Outlook::Damaged(why),
        // While a daemon writes, its log is never at rest.
        Header::Absent | Header::Ours if !is_in_use(directory)? && !is_sound(directory)? => {
            Outlook::Damaged("its log is in doubt")
        }
        Header::Absent | Header::Ours => {
            let system = rustix::fs::statvfs(there)?;
            Outlook::Good { free: system.f_bavail.saturating_mul(system.f_frsize) }
        }
    })
}

/// The user that the spool belongs to.
///
/// # Errors
///
/// Whatever the system says.
pub fn owner(directory: &Path) -> io::Result<u32> {
    Ok(fs::metadata(directory)?.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_makes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(!is_in_use(directory.path()).expect("looked"));
        assert!(!is_in_use(&directory.path().join("none")).expect("looked"));
        assert_eq!(beside(directory.path()).expect("looked"), []);
        assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 0);
    }

    #[test]
    fn a_lock_tells_of_a_daemon_and_files_of_damage() {
        let directory = tempfile::tempdir().expect("a directory");
        let lock = File::create(directory.path().join(LOCK)).expect("made");
        assert!(!is_in_use(directory.path()).expect("looked"));
        lock.try_lock().expect("free");
        assert!(is_in_use(directory.path()).expect("looked"));
        for name in ["spool.db", "spool.db.salvaged-1", "spool.db.damaged-2", "spool.db.damaged-2-wal"] {
            fs::write(directory.path().join(name), "12345").expect("written");
        }
        let files = beside(directory.path()).expect("looked");
        assert_eq!(files.iter().map(|file| file.is_awaited).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(files[0].bytes, 5);
    }
}

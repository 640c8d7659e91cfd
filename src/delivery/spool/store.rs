//! The file of the spool: a SQLite database with a write-ahead log, and everything that is said to it in SQL.
//!
//! One row for each message, in the order of arrival. `messages` holds what waits; a message that the broker
//! did not want moves to `parked`, and `trouble` says why, how often, and when to try again. `books` counts, so
//! that nobody has to count rows.
//!
//! A commit is on disk when it returns: `synchronous=FULL` syncs the log for every transaction (SQLite, "PRAGMA
//! synchronous"). What was deleted is overwritten (`secure_delete`): delivered mail does not stay on the disk,
//! and a [`salvage`](super::salvage) does not bring it back.

mod changes;
mod file;
mod people;
mod rows;
#[cfg(test)]
mod tests;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rusqlite::{Connection, ErrorCode};

pub(super) use self::file::sync_directory;
use self::file::{PAGE_BYTES, check_pragma, checkpoint, connect, create, identity_of};
pub use self::{
    changes::Changes,
    people::{Unparked, Which},
    rows::{Found, Limit},
};
use super::header::{self, Header};
use crate::failpoint::{self, Point};

/// An open spool file.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    /// Device and inode: the file may be taken away under us.
    identity: (u64, u64),
    last_seq: u64,
    books: Books,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Books {
    /// Messages that wait, parked ones and those set aside among them.
    pub items: u64,
    /// Bytes of their columns.
    pub bytes: u64,
    /// Messages that the broker did not want, waiting for another try or set aside.
    pub parked: u64,
    /// Messages that nothing is tried with until somebody asks for it.
    pub set_aside: u64,
}

/// Why something could not be done with the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room; nothing has changed.
    #[error("no room on the disk")]
    Full,
    /// Another program holds the file for longer than we wait; nothing has changed.
    #[error("another program is writing to the spool")]
    Busy,
    /// The file is not what it should be, or the disk failed: whatever it says from now on is in doubt.
    #[error("the spool file is in doubt")]
    Suspect(#[source] AnyError),
}

/// Why there is no open file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A later version of the program made it. It is left as it is.
    #[error("the spool was written by a newer graphhook (format {found}, this one knows {FORMAT})")]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It is no spool, or a damaged one.
    #[error("the spool file is damaged")]
    Damaged(#[source] AnyError),
    /// The directory cannot be used.
    #[error("the spool directory cannot be used")]
    Directory(#[source] AnyError),
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Name of the file in the directory of the spool.
pub const FILE: &str = "spool.db";
/// `user_version` of the database.
pub const FORMAT: u32 = 1;

/// Version of the SQLite that is built in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

impl Store {
    /// Opens the file for writing, or makes it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; with all but `Directory` there is a file, and it is as it was.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        match Self::open_existing(directory)? {
            Some(store) => Ok(store),
            None => {
                create(directory).map_err(OpenError::Directory)?;
                Self::connect(&directory.join(FILE)).map_err(OpenError::Directory)
            }
        }
    }

    /// Opens the file if there is one, while a daemon writes to it or not.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open_existing(directory: &Path) -> Result<Option<Self>, OpenError> {
        let path = directory.join(FILE);
        match header::read(&path).map_err(|error| OpenError::Directory(error.into()))? {
            Header::Absent => return Ok(None),
            Header::Newer(found) => return Err(OpenError::Newer { found }),
            Header::Odd(why) => return Err(OpenError::Damaged(why.into())),
            Header::Ours => {}
        }
        Self::connect(&path).map(Some).map_err(|error| match error.downcast_ref() {
            // A file that cannot even be opened is not at fault: the directory is, or the system.
            Some(error) if !is_of_the_system(error) => OpenError::Damaged(error.to_string().into()),
            _ => OpenError::Directory(error),
        })
    }

    fn connect(path: &Path) -> Result<Self, AnyError> {
        let db = connect(path)?;
        check_pragma(&db, "auto_vacuum", "2")?;
        let identity = identity_of(path)?;
        let mut store = Self { db, path: path.to_owned(), identity, last_seq: 0, books: Books::default() };
        store.count()?;
        store.last_seq = store.db.query_row(LAST_SEQ, [], |row| row.get::<_, i64>(0))?.cast_unsigned();
        Ok(store)
    }

    /// How much there was after the last change that we made or looked at.
    pub fn books(&self) -> Books {
        self.books
    }

    /// Looks at the books again: other programs may have changed them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn recount(&mut self) -> Result<Books, StoreError> {
        self.count()?;
        Ok(self.books)
    }

    fn count(&mut self) -> rusqlite::Result<()> {
        self.books = self.db.prepare_cached("SELECT items, bytes, parked, set_aside FROM books")?.query_row(
            [],
            |row| {
                let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                Ok(Books { items: number(0)?, bytes: number(1)?, parked: number(2)?, set_aside: number(3)? })
            },
        )?;
        Ok(())
    }

    /// Bytes of the disk that are in use: pages that hold something, and the log.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn disk_bytes(&self) -> Result<u64, StoreError> {
        let pages = self.pragma("page_count")? - self.pragma("freelist_count")?;
        let log = fs::metadata(header::log_of(&self.path)).map_or(0, |file| file.len());
        Ok(pages * u64::from(PAGE_BYTES) + log)
    }

    fn pragma(&self, name: &str) -> rusqlite::Result<u64> {
        self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
    }

    /// The highest place it has given.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Has it give higher places than this one: messages from another file may come back to theirs.
    pub fn raise(&mut self, last_seq: u64) {
        self.last_seq = self.last_seq.max(last_seq);
    }

    /// Whether our file still stands where it was opened. Commits to a file that was deleted are lost.
    pub fn is_in_place(&self) -> bool {
        identity_of(&self.path).is_ok_and(|identity| identity == self.identity)
    }

    /// Place of the oldest message.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn oldest(&self) -> Result<Option<u64>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT min(seq) FROM (SELECT min(seq) AS seq FROM messages UNION ALL SELECT min(seq) FROM parked)",
        )?;
        Ok(statement.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(i64::cast_unsigned))
    }

    /// Gives some pages that hold nothing back to the file system; returns whether there may be more. While more than
    /// half of the file is in use nothing is done: what waits in it would be moved about for little.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn give_back(&mut self) -> Result<bool, StoreError> {
        let (free, all) = (self.pragma("freelist_count")?, self.pragma("page_count")?);
        let is_mostly_free = free > PAGES_KEPT && free > all / 2;
        if !(is_mostly_free || (free > 0 && self.books.items == 0)) {
            return Ok(false);
        }
        failpoint::reached(Point::SpoolBeforeGiveBack);
        self.db.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
        if free <= u64::from(PAGES_AT_ONCE) {
            checkpoint(&self.db)?;
        }
        Ok(true)
    }

    /// Writes the log back into the file, and cuts it down to nothing. Somebody who reads may keep it from that.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn shorten_log(&mut self) -> Result<(), StoreError> {
        Ok(checkpoint(&self.db)?)
    }

    /// Whether the file is larger than what it holds: pages belong to nobody, and perhaps messages are on them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn hides_something(&self) -> Result<bool, StoreError> {
        let empty = self.books.items == 0 && self.pragma("freelist_count")? == 0;
        Ok(empty && self.pragma("page_count")? > PAGES_OF_AN_EMPTY_FILE)
    }

    /// Everything that SQLite itself finds wrong with the file; reads all of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.db.prepare("PRAGMA integrity_check(20)")?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    /// Writes the log into the file, and closes it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the log holds everything then.
    pub fn close(self) -> Result<(), StoreError> {
        checkpoint(&self.db)?;
        Ok(())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Suspect(error.into()),
        }
    }
}

/// Whether the directory or the system is at fault, and not what stands in the file.
fn is_of_the_system(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::ReadOnly
                | ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::OutOfMemory
        )
    )
}

pub(super) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The time at which a message at this place was spooled.
pub fn spooled_at(seq: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(seq)
}

const LAST_SEQ: &str =
    "SELECT max(coalesce((SELECT max(seq) FROM messages), 0), coalesce((SELECT max(seq) FROM parked), 0))";
/// Free pages that are kept for what comes next: 4 MiB.
const PAGES_KEPT: u64 = 1024;
/// Pages moved in one step: some milliseconds, for appends wait behind it.
const PAGES_AT_ONCE: u32 = 256;
/// Header, schema, roots and maps of an empty file, with some to spare.
const PAGES_OF_AN_EMPTY_FILE: u64 = 16;

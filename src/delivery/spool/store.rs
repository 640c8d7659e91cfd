//! The file of the spool: a SQLite database with a write-ahead log, and everything that is said to it in SQL.
//!
//! One row for each message, in the order of arrival. `messages` holds what waits; a message that the broker
//! did not want moves to `parked`, and `trouble` says why, how often, and when to try again. `books` counts, so
//! that nobody has to count rows.
//!
//! A commit is on disk when it returns: `synchronous=FULL` syncs the log for every transaction (SQLite, "PRAGMA
//! synchronous"). What was deleted is overwritten (`secure_delete`): delivered mail does not stay on the disk,
//! and a [`salvage`](super::salvage) does not bring it back.

mod people;

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, config::DbConfig, params,
    types::ValueRef,
};

pub use self::people::{Unparked, Which};
use super::{
    header::{self, Header},
    record::Record,
    trouble::Trouble,
};
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

/// A row that was read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its place in the order; microseconds since 1970 at which it was spooled, or a little later.
    pub seq: u64,
    /// What it holds; nothing if that is not what was written.
    pub record: Option<Record>,
}

/// What one transaction does.
#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// Messages to add, each with its trouble if the broker has refused it already.
    pub append: Vec<(&'a Record, Option<Trouble>)>,
    /// Messages that are safe elsewhere.
    pub remove: Vec<u64>,
    /// Messages that the broker did not want.
    pub park: Vec<(u64, Trouble)>,
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
/// Its name while it is being made.
const FRESH: &str = "spool.db.new";
/// `user_version` of the database.
pub const FORMAT: u32 = 1;

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

    /// Whether our file still stands where it was opened. Commits to a file that was deleted are lost.
    pub fn is_in_place(&self) -> bool {
        identity_of(&self.path).is_ok_and(|identity| identity == self.identity)
    }

    /// Makes all changes, or none, and returns when they are on disk: the places of the appended messages.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn commit(&mut self, changes: &Changes<'_>, now: SystemTime) -> Result<Vec<u64>, StoreError> {
        failpoint::reached(Point::SpoolBeforeWrite);
        let mut seq = self.last_seq;
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut seqs = Vec::with_capacity(changes.append.len());
        let mut books = Delta::default();
        for (record, trouble) in &changes.append {
            seq = micros(now).max(seq + 1);
            books.add(record.bytes());
            match trouble {
                None => insert(&transaction, Table::Messages, seq, record)?,
                Some(trouble) => {
                    insert(&transaction, Table::Parked, seq, record)?;
                    note_trouble(&transaction, seq, trouble, &mut books)?;
                }
            }
            seqs.push(seq);
        }
        failpoint::reached(Point::SpoolMidWrite);
        for &seq in &changes.remove {
            remove(&transaction, seq, &mut books)?;
        }
        for (seq, trouble) in &changes.park {
            park(&transaction, *seq, trouble, &mut books)?;
        }
        books.write(&transaction)?;
        failpoint::reached(Point::SpoolBeforeCommit);
        transaction.commit()?;
        failpoint::reached(Point::SpoolAfterCommit);
        self.last_seq = seq;
        self.count()?;
        Ok(seqs)
    }

    /// Puts messages back that were found in a damaged file, at their old places, and remembers how far in the
    /// file we are. Messages that are there already are left alone; returns how many were not.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn restore(
        &mut self,
        found: &[(u64, Record)],
        from: &str,
        position: u64,
    ) -> Result<usize, StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut books, mut last, mut restored) = (Delta::default(), self.last_seq, 0);
        for (seq, record) in found {
            let seq = match crc_of(&transaction, *seq)? {
                Some(crc) if crc == record.crc(*seq) => continue,
                // Another message has its place: the clock was set back between two files.
                Some(_) => last + 1,
                None => *seq,
            };
            insert(&transaction, Table::Messages, seq, record)?;
            books.add(record.bytes());
            (last, restored) = (last.max(seq), restored + 1);
        }
        books.write(&transaction)?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO salvage VALUES (?1, ?2)")?
            .execute(params![from, position.cast_signed()])?;
        transaction.commit()?;
        self.last_seq = last;
        self.count()?;
        Ok(restored)
    }

    /// How far a damaged file has been read.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn salvaged(&self, from: &str) -> Result<u64, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT position FROM salvage WHERE file = ?1")?;
        let position: Option<i64> = statement.query_row([from], |row| row.get(0)).optional()?;
        Ok(position.unwrap_or_default().cast_unsigned())
    }

    /// The oldest messages that wait behind `after`, but for those that `skip` names, parked ones excepted.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn waiting(
        &self,
        after: u64,
        limit: Limit,
        skip: impl Fn(u64) -> bool,
    ) -> Result<Vec<Found>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT seq, crc, message_id, routing_key, properties, body FROM messages WHERE seq > ?1 ORDER BY seq",
        )?;
        let found = take(statement.query([after.cast_signed()])?, limit, skip)?;
        if found.is_sorted_by(|one, next| one.seq < next.seq) {
            Ok(found)
        } else {
            Err(StoreError::Suspect("its rows are out of order".into()))
        }
    }

    /// Parked messages whose next try is due, but for those that `skip` names.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn due(
        &self,
        now: SystemTime,
        limit: Limit,
        skip: impl Fn(u64) -> bool,
    ) -> Result<Vec<Found>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT seq, crc, message_id, routing_key, properties, body FROM trouble JOIN parked USING (seq)
             WHERE retry_at <= ?1 ORDER BY retry_at",
        )?;
        take(statement.query([micros(now).cast_signed()])?, limit, skip)
    }

    /// Messages behind `after` in order, parked or not, each with its trouble: for people to look at.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn list(&self, after: u64, limit: Limit) -> Result<Vec<(Found, Option<Trouble>)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT * FROM (
                 SELECT seq, crc, message_id, routing_key, properties, body FROM messages WHERE seq > ?1
                 UNION ALL
                 SELECT seq, crc, message_id, routing_key, properties, body FROM parked WHERE seq > ?1
             ) ORDER BY seq",
        )?;
        let found = take(statement.query([after.cast_signed()])?, limit, |_| false)?;
        self.with_trouble(found)
    }

    /// What the broker had against a message.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn trouble(&self, seq: u64) -> Result<Option<Trouble>, StoreError> {
        let mut statement =
            self.db.prepare_cached("SELECT fault, attempts, since, retry_at FROM trouble WHERE seq = ?1")?;
        Ok(statement.query_row([seq.cast_signed()], Trouble::of_row).optional()?)
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

/// How much is read at once; one message at least.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Messages.
    pub items: usize,
    /// Bytes of their columns.
    pub bytes: usize,
}

#[derive(Clone, Copy)]
enum Table {
    Messages,
    Parked,
}

/// A change of the books.
#[derive(Default)]
struct Delta {
    items: i64,
    bytes: i64,
    parked: i64,
    set_aside: i64,
}

impl Delta {
    fn add(&mut self, bytes: usize) {
        self.items += 1;
        self.bytes += bytes as i64;
    }

    fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        if (self.items, self.bytes, self.parked, self.set_aside) != (0, 0, 0, 0) {
            db.prepare_cached(
                "UPDATE books SET items = items + ?1, bytes = bytes + ?2, parked = parked + ?3, set_aside = set_aside + ?4",
            )?
            .execute(params![self.items, self.bytes, self.parked, self.set_aside])?;
        }
        Ok(())
    }
}

/// Bytes of a row's columns, as [`Record::bytes`] counts them.
macro_rules! columns_len {
    () => {
        "octet_length(message_id) + octet_length(routing_key) + octet_length(properties) + octet_length(body)"
    };
}

fn insert(db: &Connection, table: Table, seq: u64, record: &Record) -> rusqlite::Result<()> {
    let Record { message_id, routing_key, properties, body } = record;
    let mut statement = db.prepare_cached(match table {
        Table::Messages => "INSERT INTO messages VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        Table::Parked => "INSERT INTO parked VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    })?;
    let crc = record.crc(seq);
    statement.execute(params![seq.cast_signed(), crc, message_id, routing_key, properties, &body[..]])?;
    Ok(())
}

/// Checksum of the message at a place, if there is one.
fn crc_of(db: &Connection, seq: u64) -> rusqlite::Result<Option<u32>> {
    db.prepare_cached(
        "SELECT crc FROM messages WHERE seq = ?1 UNION ALL SELECT crc FROM parked WHERE seq = ?1",
    )?
    .query_row([seq.cast_signed()], |row| row.get(0))
    .optional()
}

fn remove(db: &Connection, seq: u64, books: &mut Delta) -> rusqlite::Result<()> {
    let mut delete = |statement: &str| -> rusqlite::Result<bool> {
        let mut statement = db.prepare_cached(statement)?;
        let bytes: Option<i64> = statement.query_row([seq.cast_signed()], |row| row.get(0)).optional()?;
        books.items -= i64::from(bytes.is_some());
        books.bytes -= bytes.unwrap_or_default();
        Ok(bytes.is_some())
    };
    if !delete(concat!("DELETE FROM messages WHERE seq = ?1 RETURNING ", columns_len!()))?
        && delete(concat!("DELETE FROM parked WHERE seq = ?1 RETURNING ", columns_len!()))?
    {
        forget_trouble(db, seq, books)?;
    }
    Ok(())
}

fn park(db: &Connection, seq: u64, trouble: &Trouble, books: &mut Delta) -> rusqlite::Result<()> {
    let moved = db
        .prepare_cached("INSERT INTO parked SELECT * FROM messages WHERE seq = ?1")?
        .execute([seq.cast_signed()])?;
    if moved > 0 {
        db.prepare_cached("DELETE FROM messages WHERE seq = ?1")?.execute([seq.cast_signed()])?;
    }
    let is_there = db
        .prepare_cached("SELECT 1 FROM parked WHERE seq = ?1")?
        .query_row([seq.cast_signed()], |_| Ok(()))
        .optional()?
        .is_some();
    // Somebody may have purged it meanwhile.
    if is_there {
        note_trouble(db, seq, trouble, books)?;
    }
    Ok(())
}

fn note_trouble(db: &Connection, seq: u64, trouble: &Trouble, books: &mut Delta) -> rusqlite::Result<()> {
    forget_trouble(db, seq, books)?;
    let Trouble { fault, attempts, since, retry } = trouble;
    let since = micros(*since).cast_signed();
    db.prepare_cached("INSERT INTO trouble VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        seq.cast_signed(),
        fault.as_str(),
        attempts,
        since,
        retry.column()
    ])?;
    books.parked += 1;
    books.set_aside += i64::from(retry.column().is_none());
    Ok(())
}

fn forget_trouble(db: &Connection, seq: u64, books: &mut Delta) -> rusqlite::Result<()> {
    let was_aside: Option<bool> = db
        .prepare_cached("DELETE FROM trouble WHERE seq = ?1 RETURNING retry_at IS NULL")?
        .query_row([seq.cast_signed()], |row| row.get(0))
        .optional()?;
    books.parked -= i64::from(was_aside.is_some());
    books.set_aside -= i64::from(was_aside == Some(true));
    Ok(())
}

/// Reads rows up to the limit. A row that is not what was written comes without its record.
fn take(
    mut rows: rusqlite::Rows<'_>,
    limit: Limit,
    skip: impl Fn(u64) -> bool,
) -> Result<Vec<Found>, StoreError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let seq = row.get::<_, i64>(0)?.cast_unsigned();
        if skip(seq) {
            continue;
        }
        let record = read(row)?.filter(|(crc, record)| *crc == record.crc(seq)).map(|(_, record)| record);
        bytes += record.as_ref().map_or(0, Record::bytes);
        if !found.is_empty() && bytes > limit.bytes {
            break;
        }
        found.push(Found { seq, record });
        if found.len() >= limit.items {
            break;
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Option<(u32, Record)>> {
    let text = |column| -> rusqlite::Result<Option<String>> {
        Ok(match row.get_ref(column)? {
            ValueRef::Text(text) => String::from_utf8(text.to_vec()).ok(),
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => None,
        })
    };
    let (message_id, routing_key, properties) = (text(2)?, text(3)?, text(4)?);
    let body = row.get_ref(5)?.as_blob().ok().map(Bytes::copy_from_slice);
    let crc = row.get_ref(1)?.as_i64().ok().and_then(|crc| u32::try_from(crc).ok());
    Ok((|| {
        let record = Record {
            message_id: message_id?,
            routing_key: routing_key?,
            properties: properties?,
            body: body?,
        };
        Some((crc?, record))
    })())
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

/// Makes an empty file, whole or not at all.
fn create(directory: &Path) -> Result<(), AnyError> {
    let path = directory.join(FRESH);
    for leftover in [path.clone(), header::log_of(&path)] {
        match fs::remove_file(leftover) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
    }
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let db = Connection::open(&path)?;
    db.pragma_update(None, "page_size", PAGE_BYTES)?;
    db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    db.pragma_update(None, "synchronous", SYNCHRONOUS)?;
    db.execute_batch(SCHEMA)?;
    drop(db);
    fs::rename(&path, directory.join(FILE))?;
    sync_directory(directory)?;
    Ok(())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_WITHIN)?;
    // Closing a file in doubt must not write to it once more.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    for (pragma, value, expected) in
        [("journal_mode", "WAL", "wal"), ("synchronous", SYNCHRONOUS, "2"), ("secure_delete", "ON", "1")]
    {
        db.pragma_update(None, pragma, value)?;
        check_pragma(&db, pragma, expected)?;
    }
    db.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(db)
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn check_pragma(db: &Connection, name: &str, expected: &str) -> rusqlite::Result<()> {
    let value = db.pragma_query_value(None, name, |row| match row.get_ref(0)? {
        ValueRef::Integer(number) => Ok(number.to_string()),
        ValueRef::Text(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Ok(String::new()),
    })?;
    if value == expected {
        return Ok(());
    }
    let message = format!("SQLite says {name} = {value}, not {expected}");
    Err(rusqlite::Error::ToSqlConversionFailure(message.into()))
}

pub(super) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The time at which a message at this place was spooled.
pub fn spooled_at(seq: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(seq)
}

/// STRICT: a column holds what it says, so that a checksum over it means something.
const SCHEMA: &str = "
    BEGIN;
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY,
        crc INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        routing_key TEXT NOT NULL,
        properties TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE parked (
        seq INTEGER PRIMARY KEY,
        crc INTEGER NOT NULL,
        message_id TEXT NOT NULL,
        routing_key TEXT NOT NULL,
        properties TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE trouble (
        seq INTEGER PRIMARY KEY,
        fault TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        since INTEGER NOT NULL,
        retry_at INTEGER
    ) STRICT;
    CREATE INDEX trouble_due ON trouble (retry_at);
    CREATE TABLE books (
        id INTEGER PRIMARY KEY CHECK (id = 0),
        items INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        parked INTEGER NOT NULL,
        set_aside INTEGER NOT NULL
    ) STRICT;
    INSERT INTO books VALUES (0, 0, 0, 0, 0);
    CREATE TABLE salvage (file TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT;
    PRAGMA application_id = 1735549288;
    PRAGMA user_version = 1;
    COMMIT;
";
const LAST_SEQ: &str =
    "SELECT max(coalesce((SELECT max(seq) FROM messages), 0), coalesce((SELECT max(seq) FROM parked), 0))";
/// The strongest promise of SQLite but one; EXTRA adds nothing with a write-ahead log.
const SYNCHRONOUS: &str = "FULL";
const PAGE_BYTES: u32 = 4096;
/// What stays of the log's file after it was written back: room that deletions find on a full disk.
const LOG_BYTES_KEPT: u32 = 16 << 20;
/// More than there are statements in this file.
const STATEMENTS: usize = 64;
/// Free pages that are kept for what comes next: 4 MiB.
const PAGES_KEPT: u64 = 1024;
/// Pages moved in one step: some milliseconds, for appends wait behind it.
const PAGES_AT_ONCE: u32 = 256;
/// Header, schema, roots and maps of an empty file, with some to spare.
const PAGES_OF_AN_EMPTY_FILE: u64 = 16;
/// How long another program, such as `graphhook spool purge`, may hold the file at a time.
const BUSY_WITHIN: Duration = Duration::from_millis(500);

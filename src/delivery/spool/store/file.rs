//! The file itself: how it is made, opened and synced, and its schema.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, types::ValueRef};

use super::{super::header, AnyError, FILE};

/// Makes an empty file, whole or not at all.
pub(super) fn create(directory: &Path) -> Result<(), AnyError> {
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

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
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
pub(in super::super) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

pub(super) fn identity_of(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

pub(super) fn checkpoint(db: &Connection) -> rusqlite::Result<()> {
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

pub(super) fn check_pragma(db: &Connection, name: &str, expected: &str) -> rusqlite::Result<()> {
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
/// Its name while it is being made.
const FRESH: &str = "spool.db.new";
/// The strongest promise of SQLite but one; EXTRA adds nothing with a write-ahead log.
const SYNCHRONOUS: &str = "FULL";
pub(super) const PAGE_BYTES: u32 = 4096;
/// What stays of the log's file after it was written back: room that deletions find on a full disk.
const LOG_BYTES_KEPT: u32 = 16 << 20;
/// More than there are statements in this file.
const STATEMENTS: usize = 64;
/// How long another program, such as `graphhook spool purge`, may hold the file at a time.
const BUSY_WITHIN: Duration = Duration::from_millis(500);

//! Writing: everything that one transaction does, and the books that go with it.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::{
    super::{record::Record, trouble::Trouble},
    Store, StoreError, micros,
};
use crate::failpoint::{self, Point};

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

impl Store {
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
}

#[derive(Clone, Copy)]
enum Table {
    Messages,
    Parked,
}

/// A change of the books.
#[derive(Default)]
pub(super) struct Delta {
    pub(super) items: i64,
    pub(super) bytes: i64,
    pub(super) parked: i64,
    pub(super) set_aside: i64,
}

impl Delta {
    fn add(&mut self, bytes: usize) {
        self.items += 1;
        self.bytes += bytes as i64;
    }

    pub(super) fn write(&self, db: &Connection) -> rusqlite::Result<()> {
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

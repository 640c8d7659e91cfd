//! What people ask of the file, and changes that commands make while a daemon uses it: a little at a time, for
//! the daemon waits meanwhile, and the requests with it.

use std::time::SystemTime;

use rusqlite::{TransactionBehavior, params};

use super::{Found, Limit, Store, StoreError, changes::Delta, micros, rows::take};
use crate::delivery::spool::trouble::Trouble;

/// Which messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Which {
    /// All.
    All,
    /// Those that nothing is tried with until somebody asks for it.
    SetAside,
}

/// What one [`Store::unpark`] did.
#[derive(Clone, Copy, Debug)]
pub struct Unparked {
    /// Messages that are due now.
    pub many: usize,
    /// Place of the last one.
    pub last: u64,
}

impl Store {
    /// The message at a place, with its trouble.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn get(&self, seq: u64) -> Result<Option<(Found, Option<Trouble>)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT seq, crc, message_id, routing_key, properties, body FROM messages WHERE seq = ?1
             UNION ALL
             SELECT seq, crc, message_id, routing_key, properties, body FROM parked WHERE seq = ?1",
        )?;
        let one = Limit { items: 1, bytes: 0 };
        let found = take(statement.query([seq.cast_signed()])?, one, |_| false)?;
        Ok(self.with_trouble(found)?.pop())
    }

    /// Messages behind `after` that the broker did not want, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn parked(&self, after: u64, limit: Limit) -> Result<Vec<(Found, Option<Trouble>)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT seq, crc, message_id, routing_key, properties, body FROM parked WHERE seq > ?1 ORDER BY seq",
        )?;
        let found = take(statement.query([after.cast_signed()])?, limit, |_| false)?;
        self.with_trouble(found)
    }

    pub(super) fn with_trouble(
        &self,
        found: Vec<Found>,
    ) -> Result<Vec<(Found, Option<Trouble>)>, StoreError> {
        let with_trouble = |found: Found| {
            let trouble = self.trouble(found.seq)?;
            Ok((found, trouble))
        };
        found.into_iter().map(with_trouble).collect()
    }

    /// Places behind `after`, up to `last`, in order; so many at most.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn places(&self, which: Which, after: u64, last: u64, many: usize) -> Result<Vec<u64>, StoreError> {
        let mut statement = self.db.prepare_cached(match which {
            Which::All => {
                "SELECT seq FROM messages WHERE seq > ?1 AND seq <= ?2
                 UNION ALL
                 SELECT seq FROM parked WHERE seq > ?1 AND seq <= ?2
                 ORDER BY seq LIMIT ?3"
            }
            Which::SetAside => {
                "SELECT seq FROM trouble WHERE seq > ?1 AND seq <= ?2 AND retry_at IS NULL
                 ORDER BY seq LIMIT ?3"
            }
        })?;
        let bounds = params![after.cast_signed(), last.cast_signed(), many as i64];
        let rows = statement.query_map(bounds, |row| row.get::<_, i64>(0).map(i64::cast_unsigned))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Place of the newest message, as of the opening or of our last change; 0 if there was none.
    pub fn newest(&self) -> u64 {
        self.last_seq
    }

    /// Makes the next parked messages behind `after` due now, those set aside as well; `None` if there are no more.
    ///
    /// What cannot be read stays: it will not be readable at the next try either.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn unpark(&mut self, after: u64, now: SystemTime) -> Result<Option<Unparked>, StoreError> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (last, many, set_aside) = transaction
            .prepare_cached(
                "SELECT max(seq), count(*), sum(retry_at IS NULL) FROM (
                     SELECT seq, retry_at FROM trouble WHERE seq > ?1 AND fault <> 'unreadable'
                     ORDER BY seq LIMIT ?2
                 )",
            )?
            .query_row(params![after.cast_signed(), UNPARKED_AT_ONCE], |row| {
                Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?))
            })?;
        let Some(last) = last else { return Ok(None) };
        transaction
            .prepare_cached(
                "UPDATE trouble SET retry_at = ?1, since = ?1, attempts = 0
                 WHERE seq > ?2 AND seq <= ?3 AND fault <> 'unreadable'",
            )?
            .execute(params![micros(now).cast_signed(), after.cast_signed(), last])?;
        let books = Delta { set_aside: -set_aside.unwrap_or_default(), ..Delta::default() };
        books.write(&transaction)?;
        transaction.commit()?;
        self.count()?;
        Ok(Some(Unparked { many: usize::try_from(many).unwrap_or_default(), last: last.cast_unsigned() }))
    }
}

/// Rows changed in one transaction: some milliseconds.
const UNPARKED_AT_ONCE: i64 = 1000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::spool::{
        record::Record,
        store::Changes,
        trouble::{Fault, Retry},
    };

    const HOUR: Duration = Duration::from_secs(3600);

    fn record(id: &str) -> Record {
        Record {
            message_id: id.to_owned(),
            routing_key: "key".to_owned(),
            properties: "{}".to_owned(),
            body: "{}".into(),
        }
    }

    /// A store with a message that waits, one that is tried again, and one set aside for each fault given.
    fn store(directory: &std::path::Path, faults: &[Fault]) -> (Store, Vec<u64>) {
        let mut store = Store::open(directory).expect("a store");
        let now = SystemTime::now();
        let records: Vec<Record> =
            (0..faults.len() + 2).map(|number| record(&format!("m{number}"))).collect();
        let aside =
            faults.iter().map(|&fault| Trouble { fault, attempts: 3, since: now, retry: Retry::SetAside });
        let troubles = [None, Some(Trouble::next(None, Fault::Nacked, now, HOUR))];
        let troubles = troubles.into_iter().chain(aside.map(Some));
        let changes = Changes { append: records.iter().zip(troubles).collect(), ..Changes::default() };
        let seqs = store.commit(&changes, now).expect("written");
        (store, seqs)
    }

    #[test]
    fn one_message_is_found_wherever_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, seqs) = store(directory.path(), &[Fault::Returned]);
        for (number, &seq) in seqs.iter().enumerate() {
            let (found, trouble) = store.get(seq).expect("read").expect("there");
            assert_eq!(found.record.expect("whole").message_id, format!("m{number}"));
            assert_eq!(trouble.is_some(), number > 0);
        }
        assert!(store.get(seqs[0] - 1).expect("read").is_none());
        let parked = store.parked(0, Limit { items: 9, bytes: 999 }).expect("read");
        assert_eq!(parked.iter().map(|(found, _)| found.seq).collect::<Vec<_>>(), seqs[1..]);
    }

    #[test]
    fn places_have_bounds() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, seqs) = store(directory.path(), &[Fault::Returned, Fault::Unreadable]);
        let places = |which, after, last| store.places(which, after, last, 10).expect("read");
        assert_eq!(places(Which::All, 0, store.newest()), seqs);
        assert_eq!(places(Which::All, seqs[0], seqs[2]), seqs[1..3]);
        assert_eq!(places(Which::SetAside, 0, store.newest()), seqs[2..]);
        assert_eq!(store.places(Which::All, 0, u64::MAX >> 1, 1).expect("read"), seqs[..1]);
    }

    #[test]
    fn what_can_be_read_becomes_due_and_the_books_agree() {
        let directory = tempfile::tempdir().expect("a directory");
        let faults = [Fault::Returned, Fault::Unreadable, Fault::Rejected];
        let (mut store, seqs) = store(directory.path(), &faults);
        assert_eq!(store.books().set_aside, 3);
        let unparked = store.unpark(0, SystemTime::now()).expect("written").expect("some");
        assert_eq!((unparked.many, unparked.last), (3, seqs[4]));
        assert_eq!((store.books().set_aside, store.books().parked), (1, 4));
        assert!(store.unpark(unparked.last, SystemTime::now()).expect("read").is_none());
        let due = store.due(SystemTime::now(), Limit { items: 9, bytes: 999 }, |_| false).expect("read");
        assert_eq!(due.len(), 3);
    }
}

//! Reading: rows as they are handed out, each checked against its checksum.

use std::time::SystemTime;

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, types::ValueRef};

use super::{
    super::{
        record::Record,
        trouble::{PAUSE_LONGEST, Trouble},
    },
    Store, StoreError, micros,
};

/// A row that was read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its place in the order; microseconds since 1970 at which it was spooled, or a little later.
    pub seq: u64,
    /// What it holds; nothing if that is not what was written.
    pub record: Option<Record>,
}

/// How much is read at once; one message at least.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Messages.
    pub items: usize,
    /// Bytes of their columns.
    pub bytes: usize,
}

impl Store {
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
             WHERE retry_at <= ?1 OR retry_at > ?2 ORDER BY retry_at",
        )?;
        // No pause is that long: the clock was set back.
        let impossible = now + 2 * PAUSE_LONGEST;
        take(statement.query([micros(now).cast_signed(), micros(impossible).cast_signed()])?, limit, skip)
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
}

/// Reads rows up to the limit. A row that is not what was written comes without its record.
pub(super) fn take(
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

//! The files of a spool, damaged in any way.

use crate::delivery::spool::{
    record::Record,
    salvage::{Judgement, Salvage, judge_bytes},
};

/// Four bytes say how long the database is, the log is the rest. Whatever they are, the search ends; each row that it
/// finds has the checksum and the words that stand in the files; and a search that is interrupted finds the same.
pub fn salvage(data: &[u8]) {
    let Some((length, files)) = data.split_first_chunk() else { return };
    let (db, wal) = files.split_at(files.len().min(u32::from_le_bytes(*length) as usize));
    check_judgement(wal);
    let mut salvage = Salvage::of_bytes(db, wal);
    let mut before = salvage.place();
    while let Some(found) = salvage.next() {
        for (seq, record) in &found {
            assert!(stands_in(files, *seq, record), "a row that was never written");
        }
        let mut resumed = Salvage::of_bytes(db, wal);
        resumed.seek_to(before);
        assert_eq!(resumed.next(), Some(found), "a search that goes on finds something else");
        assert!(salvage.place() > before, "it stands still");
        before = salvage.place();
    }
    assert!(before >= salvage.end(), "it stops too early");
}

/// What is cut off a whole log was never synced: that is no damage.
fn check_judgement(wal: &[u8]) {
    if judge_bytes(wal) == Judgement::Whole {
        let damaged = |cut: &usize| judge_bytes(&wal[..*cut]) == Judgement::Damaged;
        assert_eq!((0..wal.len()).step_by(ODD).find(damaged), None, "a cut is taken for damage");
    }
}

/// Whether the row's checksum stands there as SQLite writes a number: without its leading zeros. 0 and 1 are not written
/// at all. What is short is in one piece.
fn stands_in(files: &[u8], seq: u64, record: &Record) -> bool {
    let has = |part: &[u8]| part.is_empty() || files.windows(part.len()).any(|bytes| bytes == part);
    let crc = record.crc(seq).to_be_bytes();
    let first = crc.iter().position(|byte| *byte != 0).unwrap_or(3);
    let columns = [record.message_id.as_bytes(), record.routing_key.as_bytes(), record.properties.as_bytes()];
    let is_short = record.bytes() <= SHORT;
    (crc == [0, 0, 0, 1] || crc == [0; 4] || has(&crc[first..]))
        && (!is_short || has(&[&columns.concat()[..], &record.body].concat()))
}

/// At least 39 bytes of a payload are in one page; the header of a record and its checksum take 31 at most.
const SHORT: usize = 8;
/// So that cuts are in all parts of frames.
const ODD: usize = 509;

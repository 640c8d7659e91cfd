//! Whether a write-ahead log has lost anything, before SQLite opens it: SQLite ignores everything behind the first
//! bad frame, and says nothing.
//!
//! The end of a log may well be bad: a transaction that was being written when the power went. What lies behind a
//! transaction that was synced cannot. So a bad frame is damage if a transaction ends behind it, or with it, and
//! another one goes on from there: SQLite syncs the log before it starts the next one (`synchronous=FULL`).

use std::{io, path::Path};

use super::{
    medium::{Medium, OnDisk},
    wal::{Header, Log, Standing},
};

/// What a log is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Judgement {
    /// Nothing is missing, as far as the log itself can tell. A log that is not there counts as whole.
    Whole,
    /// The end is bad, and no transaction ends there: what a crash leaves.
    Torn,
    /// The last transaction is bad, but its last frame is there: torn by a power cut before it was synced, or
    /// damaged after that.
    Doubtful,
    /// Synced frames are lost to SQLite.
    Damaged,
}

/// Judges the log at `wal`.
///
/// # Errors
///
/// When it is there and cannot be read.
pub(in super::super) fn judge(wal: &Path) -> io::Result<Judgement> {
    judge_medium(&OnDisk::open(wal)?)
}

/// Judges a log that is these bytes.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn judge_bytes(wal: &[u8]) -> Judgement {
    judge_medium(&wal.to_owned()).expect("bytes can be read")
}

pub(super) fn judge_medium(medium: &dyn Medium) -> io::Result<Judgement> {
    let mut log = Log::read(medium, None);
    match log.error.take() {
        Some(error) => Err(error),
        None => Ok(judge_log(&log)),
    }
}

fn judge_log(log: &Log) -> Judgement {
    if log.header == Header::Bad {
        return judge_headless(log);
    }
    let end = log.frames.len();
    let bad = log.frames.iter().position(|frame| frame.standing != Standing::Sound).unwrap_or(end);
    // A frame that is cut off was never synced.
    let ends = |frame: usize| log.frames[frame].ends() && !(log.is_cut() && frame + 1 == end);
    if bad == end {
        if log.is_cut() { Judgement::Torn } else { Judgement::Whole }
    } else if log.frames[bad..].iter().all(|frame| frame.standing == Standing::Old) {
        Judgement::Whole
    } else if (bad..end).any(|frame| log.is_synced(frame)) {
        Judgement::Damaged
    } else if (bad..end).any(ends) {
        Judgement::Doubtful
    } else {
        Judgement::Torn
    }
}

/// SQLite takes a log with a bad header for empty. It syncs the header before the first frame.
fn judge_headless(log: &Log) -> Judgement {
    let alike = log.frames.iter().filter(|frame| frame.page != 0 && frame.standing == Standing::Bad).count();
    if log.bytes == 0 {
        Judgement::Whole
    } else if alike > 1 || log.frames.iter().any(|frame| frame.is_proven()) {
        Judgement::Damaged
    } else {
        Judgement::Torn
    }
}

//! Which versions of a page count: the file's, and those of its log.

use std::collections::HashMap;

use super::wal::{Frame, Log, Standing};

/// The log over the file.
pub(super) struct Overlay {
    /// The newest proven frame of each page in the transactions that are known to be committed.
    committed: HashMap<u32, usize>,
    /// The newest frame of each page, whatever it is.
    newest: HashMap<u32, usize>,
    /// The first frame behind those transactions.
    open: usize,
    /// Size of the database in pages after them, if it is known.
    pages: Option<u32>,
}

impl Overlay {
    pub(super) fn of(log: &Log) -> Self {
        let open = committed(log);
        let last = open.checked_sub(1).map(|last| log.frames[last]);
        let pages = last.filter(Frame::is_proven).map(|last| last.commit);
        let mut overlay = Self { committed: HashMap::new(), newest: HashMap::new(), open, pages };
        for (index, frame) in log.frames.iter().enumerate() {
            if frame.standing != Standing::Old {
                overlay.newest.insert(frame.page, index);
            }
            if index < open && frame.is_proven() {
                overlay.committed.insert(frame.page, index);
            }
        }
        overlay
    }

    /// Whether the rows of a page of the file count.
    pub(super) fn shows(&self, page: u32) -> bool {
        self.is_within(page) && !self.committed.contains_key(&page)
    }

    /// Whether the rows of a frame count. Those of a bad one always do, since its page number may be the damage;
    /// so do those of a transaction that may not have been committed, next to those it would replace: it may have
    /// moved rows to a page that was never written.
    pub(super) fn shows_frame(&self, index: usize, frame: &Frame) -> bool {
        match frame.standing {
            Standing::Old => false,
            Standing::Bad | Standing::Strange => true,
            Standing::Sound | Standing::Mended => {
                index >= self.open
                    || (self.is_within(frame.page) && self.committed.get(&frame.page) == Some(&index))
            }
        }
    }

    /// The frame that holds a page in the last state that is known to be committed.
    pub(super) fn committed(&self, page: u32) -> Option<usize> {
        self.committed.get(&page).copied()
    }

    /// The frame that was written last for a page.
    pub(super) fn newest(&self, page: u32) -> Option<usize> {
        self.newest.get(&page).copied()
    }

    fn is_within(&self, page: u32) -> bool {
        self.pages.is_none_or(|pages| page <= pages)
    }
}

/// How many frames belong to transactions that are known to be committed: synced, or proven throughout.
fn committed(log: &Log) -> usize {
    let synced = (0..log.frames.len()).rev().find(|index| log.is_synced(*index)).map_or(0, |index| index + 1);
    let proven = log.frames[synced..].iter().take_while(|frame| frame.is_proven()).count();
    let last = log.frames[synced..synced + proven].iter().rposition(Frame::ends);
    last.map_or(synced, |last| synced + last + 1)
}

//! Gets every undamaged row out of a damaged spool, without SQLite: damage costs only what is damaged.
//!
//! SQLite stops at the first thing it cannot make sense of, and may lose a whole page, a whole tree or the rest of
//! a log to one bit. But each row carries its own checksum, so no structure around it needs to be right for it to
//! be believed: the [`page`]s are searched for [`cell`]s, and a cell counts if its checksum fits. The write-ahead
//! log ([`wal`]) is laid over the file ([`overlay`]) as far as its frames prove themselves. Before SQLite opens a
//! log, [`judge()`] tells whether SQLite would lose some of it.
//!
//! What is found beyond the rows SQLite would show are rows that were deleted or never committed, and only where
//! there is damage.

mod cell;
mod judge;
mod medium;
mod overlay;
mod page;
#[cfg(test)]
mod tests;
mod wal;

use std::{fmt, io, path::Path};

pub(crate) use self::judge::Judgement;
pub(super) use self::judge::judge;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::judge::judge_bytes;
use self::{
    cell::Chain,
    medium::{Medium, OnDisk, fill},
    overlay::Overlay,
    wal::{Header, Log, PAGE_BYTES},
};
use super::{header::log_of, record::Record};

/// How many pages one step reads at most.
const STEP_PAGES: usize = 64;

/// How many bytes of rows end a step. One page more may come on top: eight rows, if they are long ones.
const STEP_BYTES: usize = 4 << 20;

/// A spool that is being searched. Its position counts the pages of the file, then the frames of the log.
///
/// Each step gives the rows of a run of pages, in no order, maybe none. A row may come more than once.
pub(crate) struct Salvage {
    spool: Spool,
    position: u64,
    unreadable: u64,
}

/// The files of a spool.
struct Spool {
    db: Box<dyn Medium>,
    wal: Box<dyn Medium>,
    db_pages: u64,
    log: Log,
    overlay: Overlay,
}

/// The pages as the last transaction that is known to be committed left them.
struct Committed<'a>(&'a Spool);

/// The pages as they were written last.
struct Newest<'a>(&'a Spool);

impl Salvage {
    /// Opens the spool at `db` and its log. Either may be missing, cut or of any bytes. Reads the log once.
    ///
    /// # Errors
    ///
    /// When a file is there and cannot be opened. What cannot be read is left out, and counted.
    pub(super) fn open(db: &Path) -> io::Result<Self> {
        Ok(Self::of(Box::new(OnDisk::open(db)?), Box::new(OnDisk::open(&log_of(db))?)))
    }

    /// The spool that these bytes are.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn of_bytes(db: &[u8], wal: &[u8]) -> Self {
        Self::of(Box::new(db.to_owned()), Box::new(wal.to_owned()))
    }

    fn of(db: Box<dyn Medium>, wal: Box<dyn Medium>) -> Self {
        let mut log = Log::read(&*wal, None);
        let page_bytes = page_bytes(&*db, &log);
        if page_bytes != log.page_bytes {
            log = Log::read(&*wal, Some(page_bytes));
        }
        let db_pages = db.len().div_ceil(log.page_bytes as u64);
        let overlay = Overlay::of(&log);
        Self { spool: Spool { db, wal, db_pages, log, overlay }, position: 0, unreadable: 0 }
    }

    /// How far it is: what [`Salvage::seek_to`] takes, now or after a restart, as long as the files stay as they are.
    pub(crate) fn place(&self) -> u64 {
        self.position
    }

    /// Goes on from a position.
    pub(crate) fn seek_to(&mut self, position: u64) {
        self.position = position;
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> u64 {
        self.spool.db_pages + self.spool.log.frames.len() as u64
    }

    /// How many pages could not be read since it was opened.
    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }
}

impl fmt::Debug for Salvage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Salvage").field("place", &self.position).field("end", &self.end()).finish()
    }
}

impl Iterator for Salvage {
    type Item = Vec<(u64, Record)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.end() {
            return None;
        }
        let mut found = Vec::new();
        let mut page = vec![0; self.spool.log.page_bytes];
        let mut bytes = 0;
        for _ in 0..STEP_PAGES {
            let before = found.len();
            if self.position < self.end() && self.spool.records(self.position, &mut page, &mut found).is_err()
            {
                self.unreadable += 1;
            }
            self.position += 1;
            bytes += found[before..].iter().map(|(_, record)| record.bytes()).sum::<usize>();
            if bytes >= STEP_BYTES || self.position >= self.end() {
                break;
            }
        }
        Some(found)
    }
}

impl Spool {
    /// Adds the rows of what is at a position, if they count.
    fn records(&self, position: u64, page: &mut [u8], found: &mut Vec<(u64, Record)>) -> io::Result<()> {
        if position < self.db_pages {
            let shown = u32::try_from(position + 1).is_ok_and(|number| self.overlay.shows(number));
            if !shown {
                return Ok(());
            }
            fill(&*self.db, page, position * page.len() as u64)?;
        } else {
            let index = (position - self.db_pages) as usize;
            if !self.overlay.shows_frame(index, &self.log.frames[index]) {
                return Ok(());
            }
            fill(&*self.wal, page, self.log.offset(index))?;
        }
        page::records(page, &[&Committed(self), &Newest(self)], found);
        Ok(())
    }

    fn read(&self, number: u32, frame: Option<usize>, page: &mut [u8]) -> Option<()> {
        let (medium, offset) = match frame {
            Some(frame) => (&*self.wal, self.log.offset(frame)),
            None => (&*self.db, u64::from(number.checked_sub(1)?) * page.len() as u64),
        };
        // Nothing at all is the end of the file.
        fill(medium, page, offset).ok().filter(|read| *read > 0).map(|_| ())
    }
}

impl Chain for Committed<'_> {
    fn read(&self, number: u32, page: &mut [u8]) -> Option<()> {
        self.0.read(number, self.0.overlay.committed(number), page)
    }
}

impl Chain for Newest<'_> {
    fn read(&self, number: u32, page: &mut [u8]) -> Option<()> {
        self.0.read(number, self.0.overlay.newest(number), page)
    }
}

/// The size of a page: as the log has it if its header proves itself, else as the file says (section 1.3).
fn page_bytes(db: &dyn Medium, log: &Log) -> usize {
    if log.header == Header::Sound || log.frames.iter().any(wal::Frame::is_proven) {
        return log.page_bytes;
    }
    let mut header = [0; 18];
    let said =
        fill(db, &mut header, 0).ok().and_then(|_| match u16::from_be_bytes([header[16], header[17]]) {
            1 => Some(65_536),
            said => wal::page_bytes(u32::from(said)),
        });
    said.unwrap_or(PAGE_BYTES)
}

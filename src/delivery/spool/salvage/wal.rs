//! The frames of a write-ahead log, each judged on its own.
//!
//! The log is a header of 32 bytes and frames: 24 bytes and a page each ("SQLite file format", sections 4.1 and
//! 4.2, <https://www.sqlite.org/fileformat2.html>). The checksum of a frame goes on from that of the frame before,
//! so to SQLite everything behind a bad frame is bad. But the checksum it goes on from is stored: every frame can
//! be checked without those before it.
//!
//! The log is written again from its start after a checkpoint, with new salts: what is left of the generation
//! before lies behind, with its own salts.

use std::io;

use super::medium::{Medium, fill};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

/// Page size of a spool, where nothing else is known.
pub(super) const PAGE_BYTES: usize = 4096;

/// How many bad frames of one log are tried for a lost commit: each takes 32 checksums of 4 KiB, together some
/// hundredths of a second.
const TRIES_MAX: usize = 256;

/// How many generations back what lies behind the current one may come from. One in 65,536 strange frames is
/// taken for an old one by chance.
const GENERATIONS: u32 = 1 << 16;

/// What a log holds.
pub(super) struct Log {
    pub(super) page_bytes: usize,
    /// Whether its header is as SQLite wrote it.
    pub(super) header: Header,
    pub(super) frames: Vec<Frame>,
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// What went wrong first in reading it.
    pub(super) error: Option<io::Error>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Header {
    Sound,
    Bad,
}

/// A frame without its page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Frame {
    /// The page it is a version of. True if the frame is.
    pub(super) page: u32,
    /// The size of the database in pages if this frame ends a transaction, else 0. True if the frame is; of a bad
    /// one, 0 is true but for a flipped bit.
    pub(super) commit: u32,
    pub(super) standing: Standing,
}

/// What is known of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Good in itself: SQLite takes it if it takes those before.
    Sound,
    /// Page, commit and content are proven, although salts or checksum are damaged, or zeros at its end are cut
    /// off: SQLite stops here.
    Mended,
    /// Of this generation by its salts, but not as it was written.
    Bad,
    /// Nothing is known of it.
    Strange,
    /// Of a generation before, or never written in this one.
    Old,
}

type Salts = [u8; 8];
type Sum = [u32; 2];

/// The order of bytes in the words that are summed up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    Little,
    Big,
}

/// How the frames of a log are to be read.
#[derive(Clone, Copy)]
struct Key {
    order: Order,
    salts: Salts,
}

/// The frame before, as the next one sees it.
#[derive(Clone, Copy)]
struct Before {
    /// Its checksum as it is stored.
    stored: Sum,
    /// Its checksum as it should be.
    computed: Sum,
    /// Whether it is of this generation.
    current: bool,
    /// How many more bad frames may be tried for a lost commit.
    tries: usize,
}

impl Frame {
    /// Whether page, commit and content are proven.
    pub(super) fn is_proven(&self) -> bool {
        matches!(self.standing, Standing::Sound | Standing::Mended)
    }

    /// Whether it ends a transaction of this generation, as far as it is to be believed.
    pub(super) fn ends(&self) -> bool {
        self.commit != 0 && (self.is_proven() || self.standing == Standing::Bad)
    }
}

impl Log {
    /// Reads the log from one end to the other. What cannot be read is strange. Where the size of its pages does not
    /// prove itself, it is `expected`.
    pub(super) fn read(medium: &dyn Medium, expected: Option<usize>) -> Self {
        let mut header = [0; HEADER_BYTES];
        let mut error = fill(medium, &mut header, 0).err();
        let said = page_bytes(u32::from_be_bytes(word(&header, 8)));
        let sound = said.and_then(|_| sound_header(&header));
        let (page_bytes, key) = match (said, sound) {
            (Some(page_bytes), Some(key)) => (page_bytes, key),
            _ => guess(medium, &header, expected.or(said)),
        };
        let header_standing = if sound.is_some() { Header::Sound } else { Header::Bad };
        let mut log = Self {
            page_bytes,
            header: header_standing,
            frames: Vec::new(),
            bytes: medium.len(),
            error: None,
        };
        let mut before = Before {
            stored: stored(&header, 24),
            computed: sum(key.order, [0, 0], &header[..24]),
            current: true,
            tries: TRIES_MAX,
        };
        let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
        let mut offset = HEADER_BYTES as u64;
        while offset + FRAME_HEADER_BYTES as u64 <= log.bytes {
            let read = fill(medium, &mut frame, offset).unwrap_or_else(|failed| {
                error.get_or_insert(failed);
                frame.fill(0);
                frame.len()
            });
            log.take(key, &mut before, &mut frame, read);
            offset += frame.len() as u64;
        }
        log.error = error;
        log
    }

    /// Where the page of a frame is in the file.
    pub(super) fn offset(&self, frame: usize) -> u64 {
        let bytes = (FRAME_HEADER_BYTES + self.page_bytes) as u64;
        HEADER_BYTES as u64 + bytes * frame as u64 + FRAME_HEADER_BYTES as u64
    }

    /// Whether the file ends within a frame.
    pub(super) fn is_cut(&self) -> bool {
        self.bytes > HEADER_BYTES as u64
            && !(self.bytes - HEADER_BYTES as u64)
                .is_multiple_of((FRAME_HEADER_BYTES + self.page_bytes) as u64)
    }

    /// Whether the transaction that ends with a frame is known to be whole on disk: the frame behind goes on from
    /// it, and nothing is written before the transaction before is synced.
    pub(super) fn is_synced(&self, frame: usize) -> bool {
        self.frames[frame].ends() && self.frames.get(frame + 1).is_some_and(Frame::is_proven)
    }

    fn take(&mut self, key: Key, before: &mut Before, frame: &mut [u8], read: usize) {
        let own = stored(frame, 16);
        let ours = frame[8..16] == key.salts;
        let computed = frame_sum(key.order, before.stored, frame);
        let mut proven = computed == own;
        if !proven && before.computed != before.stored {
            proven = frame_sum(key.order, before.computed, frame) == own;
            if proven && let Some(last) = self.frames.last_mut().filter(|last| last.page != 0) {
                last.standing = Standing::Mended;
            }
        }
        let page = u32::from_be_bytes(word(frame, 0));
        let standing = if page != 0 && proven && ours && read == frame.len() {
            Standing::Sound
        } else if page != 0 && proven && (ours || before.current) {
            Standing::Mended
        } else if ours {
            Standing::Bad
        } else if page != 0 && is_older(frame, key.salts) {
            Standing::Old
        } else {
            Standing::Strange
        };
        let mut commit = u32::from_be_bytes(word(frame, 4));
        if standing == Standing::Bad && commit == 0 && before.tries > 0 {
            before.tries -= 1;
            commit = lost_commit(key.order, before.stored, frame).unwrap_or(0);
        }
        self.frames.push(Frame { page, commit, standing });
        let current = !matches!(standing, Standing::Old | Standing::Strange);
        before.stored = own;
        before.computed = if proven { own } else { computed };
        before.current = current;
    }
}

/// A page size as both headers give it, if it can be one.
pub(super) fn page_bytes(said: u32) -> Option<usize> {
    (said.is_power_of_two() && (512..=65_536).contains(&said)).then_some(said as usize)
}

/// How to read the frames behind a header, if SQLite would take it.
fn sound_header(header: &[u8; HEADER_BYTES]) -> Option<Key> {
    let order = match u32::from_be_bytes(word(header, 0)) {
        0x377f_0682 => Order::Little,
        0x377f_0683 => Order::Big,
        _ => return None,
    };
    let version = u32::from_be_bytes(word(header, 4));
    let sound = version == 3_007_000 && sum(order, [0, 0], &header[..24]) == stored(header, 24);
    sound.then(|| Key { order, salts: salts(header, 16) })
}

/// How to read the frames behind a damaged header: by the first of them that proves itself.
fn guess(medium: &dyn Medium, header: &[u8], said: Option<usize>) -> (usize, Key) {
    let other = (said != Some(PAGE_BYTES)).then_some(PAGE_BYTES);
    let sizes = said.into_iter().chain(other);
    let found = sizes.into_iter().find_map(|bytes| Some((bytes, guess_key(medium, header, bytes)?)));
    found.unwrap_or_else(|| {
        let mut first = [0; FRAME_HEADER_BYTES];
        let salts = match fill(medium, &mut first, HEADER_BYTES as u64) {
            Ok(_) => salts(&first, 8),
            Err(_) => [0; 8],
        };
        (said.unwrap_or(PAGE_BYTES), Key { order: Order::Little, salts })
    })
}

fn guess_key(medium: &dyn Medium, header: &[u8], page_bytes: usize) -> Option<Key> {
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    let mut before = stored(header, 24);
    let mut offset = HEADER_BYTES as u64;
    while offset + FRAME_HEADER_BYTES as u64 <= medium.len() {
        if fill(medium, &mut frame, offset).is_err() {
            frame.fill(0);
        }
        for order in [Order::Little, Order::Big] {
            let computed = sum(order, [0, 0], &header[..24]);
            let starts = [Some(before), (offset == HEADER_BYTES as u64).then_some(computed)];
            // A row of zeros proves itself, and nothing.
            let proves =
                |start: Sum| start != [0, 0] && frame_sum(order, start, &frame) == stored(&frame, 16);
            if starts.into_iter().flatten().any(proves) {
                return Some(Key { order, salts: salts(&frame, 8) });
            }
        }
        before = stored(&frame, 16);
        offset += frame.len() as u64;
    }
    None
}

/// What stood in place of the zero that says that a frame ends no transaction, if it was one bit. It may have been a
/// bit of the page as well: the checksum tells the high bits of words badly apart. Both are damage.
fn lost_commit(order: Order, start: Sum, frame: &mut [u8]) -> Option<u32> {
    let own = stored(frame, 16);
    let found = (0..32).map(|bit| 1_u32 << bit).find(|commit| {
        frame[4..8].copy_from_slice(&commit.to_be_bytes());
        frame_sum(order, start, frame) == own
    });
    frame[4..8].fill(0);
    found
}

/// The first salt counts generations, the second is random (section 4.1).
fn is_older(frame: &[u8], current: Salts) -> bool {
    let behind = u32::from_be_bytes(word(&current, 0)).wrapping_sub(u32::from_be_bytes(word(frame, 8)));
    (1..=GENERATIONS).contains(&behind)
}

fn frame_sum(order: Order, start: Sum, frame: &[u8]) -> Sum {
    sum(order, sum(order, start, &frame[..8]), &frame[FRAME_HEADER_BYTES..])
}

/// The checksum of section 4.2: two sums, over pairs of words.
fn sum(order: Order, [mut first, mut second]: Sum, bytes: &[u8]) -> Sum {
    let read = match order {
        Order::Little => u32::from_le_bytes,
        Order::Big => u32::from_be_bytes,
    };
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    for [one, other] in pairs {
        first = first.wrapping_add(read(*one)).wrapping_add(second);
        second = second.wrapping_add(read(*other)).wrapping_add(first);
    }
    [first, second]
}

fn stored(bytes: &[u8], at: usize) -> Sum {
    [u32::from_be_bytes(word(bytes, at)), u32::from_be_bytes(word(bytes, at + 4))]
}

fn salts(bytes: &[u8], at: usize) -> Salts {
    let mut salts = [0; 8];
    salts.copy_from_slice(&bytes[at..at + 8]);
    salts
}

fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    word
}

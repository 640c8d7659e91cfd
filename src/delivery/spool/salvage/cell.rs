//! One cell of a table leaf: how a row of ours looks in the file, and when it is believed.
//!
//! A cell is the length of its payload, its rowid, and the payload; the payload is a record header (its own
//! length, then a type for each column) and the columns ("SQLite file format", sections 1.6 and 2.1,
//! <https://www.sqlite.org/fileformat2.html>). A payload that does not fit ends with the number of a page that
//! goes on with it. The record header alone says how long everything is, so the length of the payload is never
//! looked at: one damaged byte less that costs a record.

use bytes::Bytes;

use super::super::record::Record;

/// The longest payload that is believed. No message comes near it.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// How long the record header of a row of ours can be: its own length, the types of `seq` and `crc`, one byte
/// each, and the types of four columns, one to five bytes each.
const HEADER_BYTES: std::ops::RangeInclusive<u8> = 7..=23;

/// Finds the pages a payload goes on in.
pub(super) trait Chain {
    /// Fills `page` with the page of this number.
    fn read(&self, number: u32, page: &mut [u8]) -> Option<()>;
}

/// What a record header says of the columns, and where they are.
struct Layout {
    /// Where the record header starts in the page.
    header: usize,
    header_bytes: usize,
    /// Bytes of each column that takes any.
    columns: [usize; 5],
    /// The checksum, if its type says it.
    crc: Option<u32>,
}

/// Whether a record header of ours may start with these three bytes.
pub(super) fn may_start(bytes: [u8; 3]) -> bool {
    // `seq` is the rowid, for which NULL is stored; `crc` is an integer.
    bytes[1] == 0 && HEADER_BYTES.contains(&bytes[0]) && matches!(bytes[2], 1..=6 | 8 | 9)
}

/// The row whose record header is at `header`, if its checksum says that there is one.
pub(super) fn read(page: &[u8], header: usize, chains: &[&dyn Chain]) -> Option<(u64, Record)> {
    let layout = Layout::of(page, header)?;
    let local = local_bytes(layout.payload_bytes(), page.len());
    let start = page.get(header..header + local)?;
    let crc = layout.crc(start)?;
    if local == layout.payload_bytes() {
        return layout.believe(page, crc, start.to_vec());
    }
    let next = u32::from_be_bytes(*page.get(header + local..)?.first_chunk()?);
    chains.iter().find_map(|chain| {
        let payload = follow(*chain, start, next, layout.payload_bytes(), page.len())?;
        layout.believe(page, crc, payload)
    })
}

/// How many bytes a cell takes in its page, and how far in its record header is.
pub(super) fn extent(page: &[u8], at: usize) -> Option<(usize, usize)> {
    let (payload, first) = varint(page.get(at..)?)?;
    let (_, second) = varint(page.get(at + first..)?)?;
    let payload = usize::try_from(payload).ok().filter(|payload| *payload <= PAYLOAD_BYTES_MAX)?;
    let local = local_bytes(payload, page.len());
    let pointer = if local < payload { 4 } else { 0 };
    // A freed cell must have room for the head of a free block.
    Some(((first + second + local + pointer).max(4), first + second))
}

impl Layout {
    fn of(page: &[u8], header: usize) -> Option<Self> {
        let bytes = page.get(header..)?;
        if !may_start(*bytes.first_chunk()?) {
            return None;
        }
        let header_bytes = usize::from(bytes[0]);
        let (crc_bytes, crc) = match bytes[2] {
            known @ 1..=4 => (usize::from(known), None),
            5 => (6, None),
            6 => (8, None),
            8 => (0, Some(0)),
            9 => (0, Some(1)),
            _ => return None,
        };
        let mut types = bytes.get(3..header_bytes)?;
        let mut columns = [crc_bytes, 0, 0, 0, 0];
        for (index, column) in columns.iter_mut().enumerate().skip(1) {
            let (kind, length) = varint(types)?;
            types = &types[length..];
            // Texts are odd from 13 on, blobs even from 12 on.
            let base = if index < 4 { 13 } else { 12 };
            let twice = kind.checked_sub(base).filter(|twice| twice % 2 == 0)?;
            *column = usize::try_from(twice / 2).ok().filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX)?;
        }
        let layout = Self { header, header_bytes, columns, crc };
        (types.is_empty() && layout.payload_bytes() <= PAYLOAD_BYTES_MAX).then_some(layout)
    }

    fn payload_bytes(&self) -> usize {
        self.header_bytes + self.columns.iter().sum::<usize>()
    }

    /// The checksum column. It is never beyond the first page: at least 39 bytes of any payload are there.
    fn crc(&self, payload: &[u8]) -> Option<u32> {
        let column = payload.get(self.header_bytes..self.header_bytes + self.columns[0])?;
        let value = column.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        self.crc.or_else(|| u32::try_from(value).ok())
    }

    fn believe(&self, page: &[u8], crc: u32, payload: Vec<u8>) -> Option<(u64, Record)> {
        let mut at = self.header_bytes + self.columns[0];
        let mut text = |column: usize| {
            let bytes = payload.get(at..at + self.columns[column])?;
            at += bytes.len();
            Some(std::str::from_utf8(bytes).ok()?.to_owned())
        };
        let (message_id, routing_key, properties) = (text(1)?, text(2)?, text(3)?);
        let body = Bytes::from(payload).slice(at..);
        let record = Record { message_id, routing_key, properties, body };
        let seq = rowids(page, self.header).find(|rowid| record.crc(*rowid) == crc)?;
        Some((seq, record))
    }
}

/// The rowids that may end before `end`, the longest first: the length before it ends with a byte below 0x80, so
/// that one is right unless that byte is damaged.
fn rowids(page: &[u8], end: usize) -> impl Iterator<Item = u64> {
    (1..=9.min(end)).rev().filter_map(move |length| {
        let (rowid, read) = varint(&page[end - length..end])?;
        (read == length && i64::try_from(rowid).is_ok()).then_some(rowid)
    })
}

/// Puts a payload together that goes on in page `next`. It takes as many pages as its length says, so a chain that
/// comes back to itself ends as well.
fn follow(
    chain: &dyn Chain,
    start: &[u8],
    mut next: u32,
    payload_bytes: usize,
    page_bytes: usize,
) -> Option<Vec<u8>> {
    let mut payload = start.to_vec();
    let mut page = vec![0; page_bytes];
    while payload.len() < payload_bytes {
        chain.read(next, &mut page)?;
        let (number, content) = page.split_first_chunk()?;
        next = u32::from_be_bytes(*number);
        payload.extend_from_slice(&content[..content.len().min(payload_bytes - payload.len())]);
    }
    Some(payload)
}

/// How many bytes of a payload are in the leaf itself (section 1.6). Nothing is reserved at the end of our pages:
/// U is the size of a page.
fn local_bytes(payload: usize, page: usize) -> usize {
    let most = page - 35;
    if payload <= most {
        return payload;
    }
    let least = (page - 12) * 32 / 255 - 23;
    let fitting = least + (payload - least) % (page - 4);
    if fitting <= most { fitting } else { least }
}

/// A number of one to nine bytes, and how many they are (section 1.6).
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if *byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_sqlite_writes_them() {
        #[track_caller]
        fn check(bytes: &[u8], expected: Option<(u64, usize)>) {
            assert_eq!(varint(bytes), expected, "{bytes:x?}");
        }
        check(&[], None);
        check(&[0x7f, 1], Some((127, 1)));
        check(&[0x81, 0x00], Some((128, 2)));
        check(&[0x81], None);
        check(&[0xff; 9], Some((u64::MAX, 9)));
        check(&[0xff; 8], None);
    }

    #[test]
    fn as_much_stays_in_the_leaf_as_the_format_says() {
        // U = 4096: X = 4061, M = 489.
        for (payload, expected) in [(4061, 4061), (4062, 489), (489 + 4092, 489), (489 + 4092 + 9, 498)] {
            assert_eq!(local_bytes(payload, 4096), expected, "{payload}");
        }
        assert_eq!(local_bytes(600, 512), 39 + (600 - 39) % 508);
        assert_eq!(local_bytes(1000, 512), 39);
    }

    #[test]
    fn a_chain_that_comes_back_to_itself_ends() {
        struct Circle;
        impl Chain for Circle {
            fn read(&self, number: u32, page: &mut [u8]) -> Option<()> {
                page[..4].copy_from_slice(&number.to_be_bytes());
                Some(())
            }
        }
        // Three empty texts, and a body of 16 MiB, or of more than is believed.
        for body in [[0x90, 0x80, 0x80, 0x0c], [0xff, 0xff, 0xff, 0x7e]] {
            let mut page = [0; 4096];
            page[2..12].copy_from_slice(&[[10, 0, 8, 13, 13, 13].as_slice(), &body].concat());
            assert_eq!(read(&page, 2, &[&Circle]), None);
        }
    }
}

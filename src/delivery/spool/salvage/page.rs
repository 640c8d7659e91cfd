//! The rows of one page.
//!
//! A leaf in which every byte is accounted for is read as SQLite reads it: what lies in its free space are old
//! copies of rows that may be gone by now. Any other page is searched at every byte, so that it costs nothing but
//! the rows that are damaged themselves: not a page header, not a cell pointer, not a neighbour.
//!
//! Every row of ours has a NUL byte in its record header, and the bodies are JSON, which has none: nobody can hide
//! a row of his own in a body. (The number before a piece of a body has some, but is in front of [`NEAREST`].)

use super::{
    super::record::Record,
    cell::{self, Chain},
};

/// The first byte of a leaf of a table (section 1.6).
const LEAF: u8 = 0x0d;

/// Where the first record header of a leaf can be: behind eight bytes of page header, a cell pointer of two, the
/// length of the payload and the rowid.
const NEAREST: usize = 12;

/// Adds the rows of a page, each once.
pub(super) fn records(page: &[u8], chains: &[&dyn Chain], found: &mut Vec<(u64, Record)>) {
    let before = found.len();
    let mut look = |header: usize| {
        if let Some(row) = cell::read(page, header, chains)
            && !found[before..].contains(&row)
        {
            found.push(row);
        }
    };
    match headers(page) {
        Some(headers) => headers.into_iter().for_each(look),
        None => candidates(page).for_each(&mut look),
    }
}

/// Where a record header may be in a page of any bytes.
fn candidates(page: &[u8]) -> impl Iterator<Item = usize> {
    let starts = page.array_windows().enumerate().skip(NEAREST);
    starts.filter(|(_, bytes)| cell::may_start(**bytes)).map(|(at, _)| at)
}

/// Where the record headers are in a leaf in which cells, free blocks and fragments (section 1.6) fill the
/// content area without a gap and without overlap.
fn headers(page: &[u8]) -> Option<Vec<usize>> {
    if page.first() != Some(&LEAF) {
        return None;
    }
    let cells = usize::from(number(page, 3)?);
    let content = match number(page, 5)? {
        0 => 65_536,
        content => usize::from(content),
    };
    let fragments = usize::from(*page.get(7)?);
    if 8 + 2 * cells > content || content > page.len() {
        return None;
    }
    let mut headers = Vec::with_capacity(cells);
    let mut taken = free_blocks(page)?;
    for cell in 0..cells {
        let at = usize::from(number(page, 8 + 2 * cell)?);
        let (bytes, header) = cell::extent(page, at)?;
        headers.push(at + header);
        taken.push((at, bytes));
    }
    taken.sort_unstable();
    let mut end = content;
    let mut loose = 0;
    for (start, bytes) in taken {
        loose += start.checked_sub(end)?;
        end = start + bytes;
    }
    loose += page.len().checked_sub(end)?;
    (loose == fragments).then_some(headers)
}

/// Place and bytes of the free blocks. They are in order, so their list ends.
fn free_blocks(page: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut blocks = Vec::new();
    let mut next = usize::from(number(page, 1)?);
    let mut end = 0;
    while next != 0 {
        let bytes = usize::from(number(page, next + 2)?);
        if next < end || bytes < 4 {
            return None;
        }
        blocks.push((next, bytes));
        end = next + bytes;
        next = usize::from(number(page, next)?);
    }
    Some(blocks)
}

fn number(page: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*page.get(at..)?.first_chunk()?))
}

//! stub
use super::record::Record;
use std::{io, path::Path};
#[derive(Debug)]
pub(super) struct Salvage;
#[derive(Debug)]
pub(super) enum Judgement {
    Whole,
    Torn,
    Doubtful,
    Damaged,
}
pub(super) fn judge(_: &Path) -> io::Result<Judgement> {
    Ok(Judgement::Whole)
}
impl Salvage {
    pub(super) fn open(_: &Path) -> io::Result<Self> {
        Ok(Self)
    }
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<(u64, Record)>>> {
        Ok(None)
    }
    pub(super) fn position(&self) -> u64 {
        0
    }
    pub(super) fn seek_to(&mut self, _: u64) {}
}

//! Files that are named on the command line: read whole, up to a bound; and reports.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
};

use anyhow::Context;

use super::Unusable;

/// What the file holds; `-` is standard input.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(whole(path).map_err(Unusable)?)
}

fn whole(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        return bounded(io::stdin().lock()).context("cannot read standard input");
    }
    File::open(path).and_then(bounded).with_context(|| format!("cannot read {}", path.display()))
}

/// The same of a file that is text.
pub(super) fn read_text(path: &Path) -> anyhow::Result<String> {
    let text = String::from_utf8(read(path)?);
    Ok(text.with_context(|| format!("{} is no text in UTF-8", path.display())).map_err(Unusable)?)
}

fn bounded(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("it is longer than 64 MiB"));
    }
    Ok(bytes)
}

/// A file that cannot be written is better known before a run than behind it.
pub(super) fn create(path: Option<&Path>) -> anyhow::Result<Option<(&Path, File)>> {
    let file = |path| File::create(path).map(|file| (path, file)).with_context(|| unwritten(path));
    path.map(file).transpose()
}

pub(super) fn write(file: Option<(&Path, File)>, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    match file {
        Some((path, mut file)) => file.write_all(text().as_bytes()).with_context(|| unwritten(path)),
        None => Ok(()),
    }
}

fn unwritten(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// More than any receiver takes.
pub(super) const BYTES_MAX: u64 = 64 << 20;

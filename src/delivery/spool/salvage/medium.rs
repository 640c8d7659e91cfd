//! What a salvage reads from: a file of any bytes, which may fail at any place.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
};

/// Bytes that can be read at any place.
pub(super) trait Medium: Send {
    /// How many there are.
    fn len(&self) -> u64;

    /// Reads as many as there are from `offset` on, at most as many as `buffer` holds, and says how many.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A file, or none.
pub(super) struct OnDisk(Option<(File, u64)>);

impl OnDisk {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => {
                let length = file.metadata()?.len();
                Ok(Self(Some((file, length))))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }
}

impl Medium for OnDisk {
    fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, |(_, length)| *length)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let Some((file, _)) = &self.0 else { return Ok(0) };
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Medium for Vec<u8> {
    fn len(&self) -> u64 {
        Vec::len(self) as u64
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }
}

/// Fills `buffer` from `offset` on; what the medium does not have is zero.
pub(super) fn fill(medium: &dyn Medium, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let read = medium.read_at(buffer, offset)?;
    buffer[read..].fill(0);
    Ok(read)
}

//! What a spool file says of itself, read before SQLite touches it: a file of a newer program stays as it is.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::store::FORMAT;

/// What stands at the beginning of the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Header {
    /// There is no file.
    Absent,
    /// A spool of this format.
    Ours,
    /// A spool of a later format.
    Newer(u32),
    /// Anything else.
    Odd(&'static str),
}

/// Reads the header of the database at `path`.
pub(super) fn read(path: &Path) -> io::Result<Header> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let has_log = log_of(path).metadata().is_ok_and(|log| log.len() > 0);
            return Ok(if has_log {
                Header::Odd("the file is gone, but its log is there")
            } else {
                Header::Absent
            });
        }
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER_BYTES];
    Ok(match file.read_exact(&mut header) {
        Ok(()) => judge(&header),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Header::Odd("the file is cut short"),
        Err(error) => return Err(error),
    })
}

/// The write-ahead log of the database at `path`.
pub(super) fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// The shared index of that log.
pub(super) fn index_of(path: &Path) -> PathBuf {
    let mut index = path.as_os_str().to_owned();
    index.push("-shm");
    index.into()
}

/// "SQLite file format", section 1.3: "The Database Header".
fn judge(header: &[u8; HEADER_BYTES]) -> Header {
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (format, application) = (number(60), number(68));
    if !header.starts_with(b"SQLite format 3\0") {
        Header::Odd("it is no SQLite database")
    } else if application != APPLICATION {
        Header::Odd("it is the database of another program")
    } else if format == FORMAT {
        Header::Ours
    } else if format > FORMAT && (format ^ FORMAT).count_ones() > 1 {
        Header::Newer(format)
    } else {
        // One bit away from our own: formats count from 1, and the ones after it are numbered 2, 4, 6 and so on.
        Header::Odd("its format is not a number that was ever used")
    }
}

/// `application_id`: "grah".
pub(super) const APPLICATION: u32 = 0x6772_6168;
const HEADER_BYTES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(application: u32, format: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..16].copy_from_slice(b"SQLite format 3\0");
        header[60..64].copy_from_slice(&format.to_be_bytes());
        header[68..72].copy_from_slice(&application.to_be_bytes());
        header
    }

    #[test]
    fn only_our_own_format_is_opened_and_only_a_newer_one_is_refused() {
        assert_eq!(judge(&header(APPLICATION, FORMAT)), Header::Ours);
        for newer in [2, 4, 6, 999] {
            assert_eq!(judge(&header(APPLICATION, newer)), Header::Newer(newer));
        }
        assert!(matches!(judge(&header(0, FORMAT)), Header::Odd(_)));
        assert!(matches!(judge(&header(APPLICATION, 0)), Header::Odd(_)));
        for bit in 0..32 {
            assert!(matches!(judge(&header(APPLICATION, FORMAT ^ (1 << bit))), Header::Odd(_)), "bit {bit}");
        }
    }
}

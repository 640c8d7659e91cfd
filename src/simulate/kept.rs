//! Small files that one run of the simulator leaves for the next: written whole, and never over another. Their
//! directory is made if it is not there, for nobody else to look into.

use std::{
    fs::{DirBuilder, File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Writes a file that is not there yet.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut file = NamedTempFile::new_in(directory)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.write_all(text.as_bytes())?;
    file.persist_noclobber(path).map_err(|error| error.error).map(drop)
}

/// Reads one that may hold a secret.
pub(super) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX));
    let read = File::open(path)?.take(BYTES_MAX as u64).read_to_string(&mut text)?;
    if read == BYTES_MAX { Err(io::Error::other("it is too long")) } else { Ok(text) }
}

const BYTES_MAX: usize = 64 << 10;

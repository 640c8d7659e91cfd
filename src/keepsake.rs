//! Small files in which a part of the daemon outlives a restart: read whole within a bound, replaced whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

use rustix::fs::OFlags;
use serde::Serialize;

/// Replaces the file by this as JSON; after a power cut either the old one is there or the new one.
pub(crate) fn replace(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let fresh = path.with_added_extension("new");
    // What lies there is of a write that was cut off, or of somebody who would lead us elsewhere.
    match fs::remove_file(&fresh) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let mut file = BufWriter::new(file);
    serde_json::to_writer(&mut file, content)?;
    file.flush()?;
    // Else a power cut may leave an empty file under the name of the old one.
    file.get_ref().sync_all()?;
    fs::rename(&fresh, path)
}

/// The first bytes of the file; nothing if there is none. What is no file is an error.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    // Neither a link nor a pipe that nobody writes to.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = Vec::new();
    file.take(bytes_max).read_to_end(&mut text)?;
    Ok(Some(text))
}

/// User and group that the directory belongs to.
pub(crate) type Owner = (u32, u32);

/// Makes it, for us alone, unless it is there. Tells whose it is.
pub(crate) fn make_directory(directory: &Path) -> io::Result<Owner> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let metadata = fs::metadata(directory)?;
    Ok((metadata.uid(), metadata.gid()))
}

/// Root may write what a daemon of another user reads.
pub(crate) fn belong(file: &File, (user, group): Owner) -> io::Result<()> {
    let metadata = file.metadata()?;
    if (metadata.uid(), metadata.gid()) == (user, group) {
        return Ok(());
    }
    match fchown(file, Some(user), Some(group)) {
        // A directory of somebody else that we may write to: it is his business.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        changed => changed,
    }
}

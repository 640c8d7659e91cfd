//! Small files in which a part of the daemon outlives a restart: read whole within a bound, replaced whole. They belong to
//! whom their directory belongs to, whoever writes: root may write what a daemon of another user reads.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
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
    let directory = path.parent().unwrap_or(Path::new("/"));
    belong(&file, directory)?;
    let mut file = BufWriter::new(file);
    serde_json::to_writer(&mut file, content)?;
    file.flush()?;
    // Else a power cut may leave an empty file under the name of the old one.
    file.get_ref().sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(directory)?.sync_all()
}

/// Gives the file to whom this directory belongs to.
pub(crate) fn belong(file: &File, directory: &Path) -> io::Result<()> {
    let [ours, theirs] = [file.metadata()?, fs::metadata(directory)?].map(|it| (it.uid(), it.gid()));
    if ours == theirs {
        return Ok(());
    }
    match fchown(file, Some(theirs.0), Some(theirs.1)) {
        // A directory of somebody else that we may write to: it is his business.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        changed => changed,
    }
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    #[test]
    fn a_file_belongs_to_whom_its_directory_belongs_to() {
        let directory = tempfile::tempdir().expect("a directory");
        // Only root can give things away; for all others both are their own.
        chown(directory.path(), Some(65_534), Some(65_534)).ok();
        let path = directory.path().join("kept.json");
        for content in ["first", "second"] {
            replace(&path, &content).expect("written");
        }
        let [file, home] = [&*path, directory.path()].map(|path| fs::metadata(path).expect("it is there"));
        assert_eq!((file.uid(), file.gid(), file.mode() & 0o777), (home.uid(), home.gid(), 0o600));
        assert_eq!(read(&path, 100).expect("read"), Some(b"\"second\"".to_vec()));
    }
}

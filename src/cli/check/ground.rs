//! What a directory stands on: the file system, and whether it keeps what it was told to keep.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{major, minor, statfs};

/// A directory, or the nearest one above it that is there.
#[derive(Debug)]
pub(super) struct Ground {
    /// Where it was tried.
    pub(super) there: PathBuf,
    /// Whether that is the directory itself.
    pub(super) exists: bool,
    /// On what kind of file system.
    pub(super) kind: Kind,
    /// How long a file and its directory took to be synced.
    pub(super) synced: io::Result<Duration>,
}

/// Kinds of file systems, by what an fsync on them is worth.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A disk of this machine, as far as is known.
    Local,
    /// Another machine's: locks and shared memory do not work as on a disk.
    Remote(String),
    /// In memory.
    Memory,
    /// A container's own layer, gone with the container.
    Layer,
    /// A program's.
    Program(String),
}

impl Ground {
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let there = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        // The constants are of 32 bits; where the type has 64, its sign may have been carried over.
        let magic = statfs(there)?.f_type as u64 & 0xffff_ffff;
        Ok(Self {
            there: there.to_owned(),
            exists: there == directory,
            kind: kind(magic, name(there).as_deref()),
            synced: sync(there),
        })
    }
}

/// A file without a name, so that nothing is left whatever happens; then the directory.
fn sync(directory: &Path) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut file = tempfile::tempfile_in(directory)?;
    file.write_all(&[b' '; TRIAL_BYTES])?;
    file.sync_all()?;
    File::open(directory)?.sync_all()?;
    Ok(begun.elapsed())
}

/// statfs(2) and the kernel's magic.h; `name` tells programs' file systems apart, as in `fuse.sshfs`.
fn kind(magic: u64, name: Option<&str>) -> Kind {
    let remote = |name: &str| Kind::Remote(name.to_owned());
    match magic {
        0x6969 => remote("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => remote("SMB"),
        0x0102_1997 => remote("9P"),
        0x5346_414f | 0x6b41_4653 => remote("AFS"),
        0x00c3_6400 => remote("Ceph"),
        0x0102_1994 | 0x8584_58f6 => Kind::Memory,
        0x794c_7630 => Kind::Layer,
        FUSE => {
            let name = name.unwrap_or("fuse");
            if REMOTE_PROGRAMS.iter().any(|remote| name.ends_with(remote)) {
                remote(name)
            } else {
                Kind::Program(name.to_owned())
            }
        }
        _ => Kind::Local,
    }
}

/// What the mount is called, proc_pid_mountinfo(5).
fn name(path: &Path) -> Option<String> {
    let device = path.metadata().ok()?.dev();
    let device = format!("{}:{}", major(device), minor(device));
    let mounts = procfs::process::Process::myself().ok()?.mountinfo().ok()?;
    mounts.into_iter().find(|mount| mount.majmin == device).map(|mount| mount.fs_type)
}

const FUSE: u64 = 0x6573_5546;
const REMOTE_PROGRAMS: [&str; 5] = ["sshfs", "glusterfs", "rclone", "s3fs", "gcsfuse"];
/// Some pages: more than a file system would keep beside its inode.
const TRIAL_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_are_told_apart() {
        let remote = |name: &str| Kind::Remote(name.to_owned());
        for (magic, name, expected) in [
            (0xef53, Some("ext4"), Kind::Local),
            (0x5846_5342, Some("xfs"), Kind::Local),
            (0x6969, Some("nfs4"), remote("NFS")),
            (0xff53_4d42, Some("cifs"), remote("SMB")),
            (0x0102_1994, Some("tmpfs"), Kind::Memory),
            (0x794c_7630, Some("overlay"), Kind::Layer),
            (FUSE, Some("fuse.sshfs"), remote("fuse.sshfs")),
            (FUSE, Some("fuseblk"), Kind::Program("fuseblk".to_owned())),
            (FUSE, None, Kind::Program("fuse".to_owned())),
        ] {
            assert_eq!(kind(magic, name), expected, "{magic:x}");
        }
    }

    #[test]
    fn a_directory_is_tried_and_nothing_is_left_there() {
        let place = tempfile::tempdir().expect("a directory");
        let ground = Ground::of(place.path()).expect("looked");
        assert!(ground.exists && ground.synced.is_ok(), "{ground:?}");
        let ground = Ground::of(&place.path().join("a/b")).expect("looked");
        assert!(!ground.exists && ground.there == place.path(), "{ground:?}");
        assert_eq!(std::fs::read_dir(place.path()).expect("read").count(), 0);
        let memory = Ground::of(Path::new("/dev/shm")).expect("looked");
        assert_eq!(memory.kind, Kind::Memory);
    }
}

//! What `disk.c` wrote down, read.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::replay::{Loss, Replay, Tree};
use super::{OPS, Op};

/// All that was done to a disk, in the order in which it was done.
pub struct Trace {
    base: Base,
    operations: Vec<Recorded>,
}

/// A moment in a trace; see [`Disk::mark`](super::Disk::mark).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mark(pub(super) u64);

/// One thing that was done. Files are told by the kernel's inode numbers, for names change.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the names of the fields say it all")]
pub enum Operation {
    /// A new file, or directory, and its name.
    Created { inode: u64, path: PathBuf, kind: Kind },
    /// Bytes were written.
    Wrote { inode: u64, at: u64, bytes: Vec<u8> },
    /// The length was changed.
    Resized { inode: u64, length: u64 },
    /// A sync of a file or a directory has begun.
    SyncBegan { inode: u64, number: u64 },
    /// That sync has come to a good end.
    SyncEnded { inode: u64, number: u64 },
    /// A file or directory has another name, at the cost of who had it before.
    Renamed { from: PathBuf, to: PathBuf },
    /// A name of a file or a directory is gone.
    Removed { path: PathBuf },
    /// It was made to fail.
    Failed { inode: u64, op: Op, errno: u64, path: PathBuf },
}

/// What has a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// What was there before the first operation, parents before what is in them.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// The root's own inode number.
    pub(super) root: u64,
    pub(super) entries: Vec<Found>,
}

#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) inode: u64,
    pub(super) path: PathBuf,
    /// `None` for a directory.
    pub(super) bytes: Option<Vec<u8>>,
}

struct Recorded {
    operation: Operation,
    /// Where its record ends in the trace.
    end: u64,
}

impl Trace {
    /// How many operations there are.
    pub fn count(&self) -> usize {
        self.operations.len()
    }

    /// The operations.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().map(|recorded| &recorded.operation)
    }

    /// How many operations were done before a mark.
    pub fn before(&self, mark: Mark) -> usize {
        self.operations.partition_point(|recorded| recorded.end <= mark.0)
    }

    /// The disk as it may be when the power fails after the first `count` operations.
    pub fn power_cut(&self, count: usize, loss: Loss) -> TempDir {
        let directory = tempfile::Builder::new().prefix("graphhook-power-cut-").tempdir();
        let directory = directory.expect("a temporary directory can be made");
        self.tree(count, loss).write_into(directory.path());
        directory
    }

    /// Checks that the trace is complete: nothing was done to `root` by ways that `disk.c` does not see.
    ///
    /// Nobody may be at work there.
    #[track_caller]
    pub fn check_whole(&self, root: &Path) {
        let told = self.tree(self.count(), Loss::Nothing);
        let mut real = Tree::default();
        for found in Base::of(root).entries {
            real.0.insert(found.path, found.bytes);
        }
        let names = |tree: &Tree| tree.0.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&told), names(&real), "the trace does not tell of all files");
        for (path, bytes) in &told.0 {
            assert!(bytes == &real.0[path], "the trace does not tell all of {}", path.display());
        }
    }

    pub(super) fn read(base: Base, bytes: Vec<u8>) -> Self {
        let mut operations = Vec::new();
        let mut at = 0;
        while let Some(record) = next_record(&bytes, at) {
            at = record.end;
            let end = u64::try_from(at).expect("a length fits");
            operations.push(Recorded { operation: record.operation(), end });
        }
        Self { base, operations }
    }

    fn tree(&self, count: usize, loss: Loss) -> Tree {
        let mut replay = Replay::new(&self.base);
        for operation in self.operations().take(count) {
            replay.done(operation);
        }
        replay.tree(loss)
    }
}

impl Base {
    pub(super) fn of(root: &Path) -> Self {
        let mut entries = Vec::new();
        let mut open = vec![PathBuf::new()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(root.join(&directory)).expect("a directory can be read") {
                let entry = entry.expect("a directory can be read");
                let path = directory.join(entry.file_name());
                if path.as_os_str().as_bytes().ends_with(b"-shm") {
                    continue;
                }
                let inode = entry.metadata().expect("an entry is there").ino();
                let is_directory = entry.file_type().expect("an entry is there").is_dir();
                let bytes = (!is_directory).then(|| fs::read(entry.path()).expect("a file can be read"));
                if is_directory {
                    open.push(path.clone());
                }
                entries.push(Found { inode, path, bytes });
            }
        }
        let root = fs::metadata(root).expect("the root is there").ino();
        Self { root, entries }
    }
}

/// A record as it stands in the trace.
struct Raw<'a> {
    kind: u64,
    inode: u64,
    number: u64,
    data: &'a [u8],
    end: usize,
}

impl Raw<'_> {
    fn operation(&self) -> Operation {
        let Self { kind, inode, number, data, .. } = *self;
        let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        match kind {
            1 => Operation::Created { inode, path: path(data), kind: Kind::File },
            2 => Operation::Wrote { inode, at: number, bytes: data.to_vec() },
            3 => Operation::Resized { inode, length: number },
            4 => Operation::SyncBegan { inode, number },
            5 => Operation::SyncEnded { inode, number },
            6 => {
                let middle = data.iter().position(|byte| *byte == 0).expect("two names");
                Operation::Renamed { from: path(&data[..middle]), to: path(&data[middle + 1..]) }
            }
            7 | 9 => Operation::Removed { path: path(data) },
            8 => Operation::Created { inode, path: path(data), kind: Kind::Directory },
            10 => {
                let op = OPS[usize::try_from(number >> 32).expect("a small number")];
                Operation::Failed { inode, op, errno: number & 0xffff_ffff, path: path(data) }
            }
            _ => panic!("a record of kind {kind}"),
        }
    }
}

/// The next whole record. One that a kill cut short is followed by that of another process, or by none.
fn next_record(bytes: &[u8], from: usize) -> Option<Raw<'_>> {
    (from..bytes.len()).find_map(|at| {
        let numbers = bytes[at..].strip_prefix(HEAD)?;
        let number = |index: usize| {
            let number = numbers.get(index * 8..index * 8 + 8)?;
            Some(u64::from_ne_bytes(number.try_into().expect("eight bytes")))
        };
        let rest = numbers.get(32..)?;
        let (data, rest) = rest.split_at_checked(usize::try_from(number(3)?).ok()?)?;
        let end = bytes.len() - rest.strip_prefix(TAIL)?.len();
        Some(Raw { kind: number(0)?, inode: number(1)?, number: number(2)?, data, end })
    })
}

const HEAD: &[u8] = b"\xd1sk<op>\n";
const TAIL: &[u8] = b"\xd1sk</op\n";

//! What a disk may hold when the power fails: POSIX's promises, and not a bit more.
//!
//! What was written before a sync of the file that came to a good end is there. Of everything else, each write
//! may be there, or not, or in part, sector by sector; each change of a directory that was not synced itself may
//! be there or not. A failed sync of a file makes what it was for unsure for ever, as Linux does.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::Op;
use super::trace::{Base, Kind, Operation};

/// What becomes of that which was not synced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loss {
    /// All of it is lost.
    Everything,
    /// All of it is there.
    Nothing,
    /// Chance decides, the same way for the same number.
    Seeded(u64),
}

/// Files with their bytes and directories with none, by path.
#[derive(Default)]
pub(super) struct Tree(pub(super) BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Tree {
    pub(super) fn write_into(&self, directory: &Path) {
        for (path, bytes) in &self.0 {
            let path = directory.join(path);
            match bytes {
                Some(bytes) => fs::write(path, bytes).expect("a file can be written"),
                None => fs::create_dir(path).expect("a directory can be made"),
            }
        }
    }
}

/// A disk while operations are done to it.
pub(super) struct Replay<'a> {
    nodes: Vec<Node<'a>>,
    /// Who has an inode number now; the kernel gives it to another once a file is gone.
    inodes: HashMap<u64, Id>,
    /// The names as the running system sees them.
    names: Names,
    /// Changes of names that a power cut might still undo, and those before them.
    renames: Vec<Renaming>,
    /// Names that no power cut undoes.
    durable: Names,
    syncs: HashMap<u64, usize>,
    done: usize,
}

type Id = usize;
type Names = BTreeMap<(Id, OsString), Id>;
const ROOT: Id = 0;

/// A file or directory, whatever its names.
struct Node<'a> {
    kind: Kind,
    /// What no power cut undoes.
    base: Vec<u8>,
    changes: Vec<Change<'a>>,
}

/// A change of a file.
struct Change<'a> {
    /// When.
    at: usize,
    what: What<'a>,
    fate: Fate,
}

enum What<'a> {
    Bytes { at: usize, bytes: &'a [u8] },
    Length(usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Pending,
    Durable,
    /// A sync of it has failed: no later one tells anything about it.
    Doubtful,
}

/// A change of one directory, or of two at once.
struct Renaming {
    at: usize,
    gone: Option<(Id, OsString)>,
    new: Option<((Id, OsString), Id)>,
    /// Directories that were not synced since.
    unsynced: Vec<Id>,
}

impl<'a> Replay<'a> {
    pub(super) fn new(base: &'a Base) -> Self {
        let mut replay = Self {
            nodes: vec![Node::new(Kind::Directory)],
            inodes: HashMap::from([(base.root, ROOT)]),
            names: Names::new(),
            renames: Vec::new(),
            durable: Names::new(),
            syncs: HashMap::new(),
            done: 0,
        };
        for found in &base.entries {
            let kind = if found.bytes.is_some() { Kind::File } else { Kind::Directory };
            let id = replay.node(found.inode, kind);
            replay.nodes[id].base = found.bytes.clone().unwrap_or_default();
            let name = replay.place(&found.path);
            replay.names.insert(name, id);
        }
        replay.durable = replay.names.clone();
        replay
    }

    /// One more operation is done.
    pub(super) fn done(&mut self, operation: &'a Operation) {
        self.done += 1;
        match operation {
            Operation::Created { inode, path, kind } => {
                let id = self.node(*inode, *kind);
                let place = self.place(path);
                self.rename(None, Some((place, id)));
            }
            Operation::Wrote { inode, at, bytes } => {
                self.change(*inode, What::Bytes { at: fits(*at), bytes });
            }
            Operation::Resized { inode, length } => self.change(*inode, What::Length(fits(*length))),
            Operation::SyncBegan { number, .. } => _ = self.syncs.insert(*number, self.done),
            Operation::SyncEnded { inode, number } => self.synced(self.inodes[inode], self.syncs[number]),
            Operation::Renamed { from, to } => {
                let (from, to) = (self.place(from), self.place(to));
                let id = self.names[&from];
                self.rename(Some(from), Some((to, id)));
            }
            Operation::Removed { path } => {
                let place = self.place(path);
                self.rename(Some(place), None);
            }
            Operation::Failed { inode, op: Op::Sync, .. } => {
                let changes = &mut self.nodes[self.inodes[inode]].changes;
                let pending = changes.iter_mut().filter(|change| change.fate == Fate::Pending);
                pending.for_each(|change| change.fate = Fate::Doubtful);
            }
            Operation::Failed { .. } => {}
        }
    }

    /// What is there after a power cut now.
    pub(super) fn tree(&self, loss: Loss) -> Tree {
        let mut chance = Chance::new(loss);
        let mut names = self.durable.clone();
        for renaming in &self.renames {
            if renaming.unsynced.is_empty() || chance.keeps() {
                renaming.apply(&mut names);
            }
        }
        let mut tree = Tree::default();
        self.collect(ROOT, Path::new(""), &names, &mut chance, &mut tree);
        tree
    }

    fn collect(&self, directory: Id, path: &Path, names: &Names, chance: &mut Chance, tree: &mut Tree) {
        let within = (directory, OsString::new())..(directory + 1, OsString::new());
        for ((_, name), id) in names.range(within) {
            let path = path.join(name);
            let node = &self.nodes[*id];
            tree.0.insert(path.clone(), (node.kind == Kind::File).then(|| node.bytes(chance)));
            if node.kind == Kind::Directory {
                self.collect(*id, &path, names, chance, tree);
            }
        }
    }

    fn node(&mut self, inode: u64, kind: Kind) -> Id {
        self.nodes.push(Node::new(kind));
        self.inodes.insert(inode, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    /// The directory that a path leads to, and the name in it.
    fn place(&self, path: &Path) -> (Id, OsString) {
        let mut names = path.iter();
        let last = names.next_back().expect("a path below the root");
        let directory = names.fold(ROOT, |directory, name| self.names[&(directory, name.to_owned())]);
        (directory, last.to_owned())
    }

    fn rename(&mut self, gone: Option<(Id, OsString)>, new: Option<((Id, OsString), Id)>) {
        let mut unsynced: Vec<Id> =
            gone.iter().chain(new.iter().map(|(place, _)| place)).map(|p| p.0).collect();
        unsynced.dedup();
        let renaming = Renaming { at: self.done, gone, new, unsynced };
        renaming.apply(&mut self.names);
        self.renames.push(renaming);
    }

    fn change(&mut self, inode: u64, what: What<'a>) {
        let change = Change { at: self.done, what, fate: Fate::Pending };
        self.nodes[self.inodes[&inode]].changes.push(change);
    }

    /// A sync that began after operation `from` has ended well.
    fn synced(&mut self, id: Id, from: usize) {
        self.nodes[id].synced(from);
        for renaming in self.renames.iter_mut().filter(|renaming| renaming.at <= from) {
            renaming.unsynced.retain(|directory| *directory != id);
        }
        let settled = self.renames.iter().take_while(|renaming| renaming.unsynced.is_empty()).count();
        for renaming in self.renames.drain(..settled) {
            renaming.apply(&mut self.durable);
        }
    }
}

impl Renaming {
    fn apply(&self, names: &mut Names) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((place, id)) = &self.new {
            names.insert(place.clone(), *id);
        }
    }
}

impl Node<'_> {
    fn new(kind: Kind) -> Self {
        Self { kind, base: Vec::new(), changes: Vec::new() }
    }

    fn synced(&mut self, from: usize) {
        for change in self.changes.iter_mut().filter(|change| change.at <= from) {
            if change.fate == Fate::Pending {
                change.fate = Fate::Durable;
            }
        }
        let settled = self.changes.iter().take_while(|change| change.fate == Fate::Durable).count();
        for change in self.changes.drain(..settled) {
            change.what.apply(&mut self.base);
        }
    }

    fn bytes(&self, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.base.clone();
        for change in &self.changes {
            if change.fate == Fate::Durable {
                change.what.apply(&mut bytes);
            } else {
                change.what.apply_in_part(&mut bytes, chance);
            }
        }
        bytes
    }
}

impl What<'_> {
    fn apply(&self, file: &mut Vec<u8>) {
        match *self {
            Self::Bytes { at, bytes } => put(file, at, bytes),
            Self::Length(length) => file.resize(length, 0),
        }
    }

    fn apply_in_part(&self, file: &mut Vec<u8>, chance: &mut Chance) {
        let Self::Bytes { at, bytes } = *self else {
            if chance.keeps() {
                self.apply(file);
            }
            return;
        };
        match chance.part() {
            Part::All => self.apply(file),
            Part::None => {}
            Part::Start => {
                let sectors: Vec<_> = sectors(at, bytes).collect();
                let kept = chance.below(sectors.len() + 1);
                sectors[..kept].iter().for_each(|(at, bytes)| put(file, *at, bytes));
            }
            Part::Some => {
                let kept = sectors(at, bytes).filter(|_| chance.keeps());
                kept.collect::<Vec<_>>().into_iter().for_each(|(at, bytes)| put(file, at, bytes));
            }
        }
    }
}

/// The pieces of a write, by the sectors of the file.
fn sectors(mut at: usize, mut bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    std::iter::from_fn(move || {
        let (piece, rest) = bytes.split_at(bytes.len().min(SECTOR - at % SECTOR));
        let sector = (at, piece);
        at += piece.len();
        bytes = rest;
        (!piece.is_empty()).then_some(sector)
    })
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[at..end].copy_from_slice(bytes);
}

fn fits(number: u64) -> usize {
    usize::try_from(number).expect("files are small")
}

/// Chance that is the same for the same seed: SplitMix64.
struct Chance {
    loss: Loss,
    state: u64,
    /// How many of eight are kept, for some cuts lose nearly everything and some nearly nothing.
    eighths: usize,
}

/// How much of a write is there.
enum Part {
    All,
    None,
    Start,
    Some,
}

impl Chance {
    fn new(loss: Loss) -> Self {
        let state = if let Loss::Seeded(seed) = loss { seed } else { 0 };
        let mut chance = Self { loss, state, eighths: 0 };
        chance.eighths = 1 + chance.below(7);
        chance
    }

    fn keeps(&mut self) -> bool {
        match self.loss {
            Loss::Everything => false,
            Loss::Nothing => true,
            Loss::Seeded(_) => self.below(8) < self.eighths,
        }
    }

    fn part(&mut self) -> Part {
        match self.loss {
            Loss::Everything => Part::None,
            Loss::Nothing => Part::All,
            Loss::Seeded(_) => match (self.below(4), self.keeps()) {
                (0, _) => Part::Start,
                (1, _) => Part::Some,
                (_, true) => Part::All,
                (_, false) => Part::None,
            },
        }
    }

    /// A number under `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }
}

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

//! Messages of a file that is not trusted any more, on their way into a fresh one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tracing::{debug, error, info};

use super::{
    Aside, header,
    record::Record,
    salvage::Salvage,
    store::{self, Limit, Store, StoreError},
};

/// One file that is being emptied.
#[derive(Debug)]
pub(super) struct Rescue {
    source: Source,
    contents: Contents,
    restored: u64,
    /// Found, and delivered meanwhile.
    delivered: u64,
    /// Something could not be read.
    has_holes: bool,
}

/// What was known of a file when it was given up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contents {
    /// Messages in it.
    pub(super) items: Option<u64>,
    /// None of them came before this.
    pub(super) oldest: Option<SystemTime>,
}

#[derive(Debug)]
enum Source {
    /// A file that was moved aside: its pages are searched for messages.
    File { path: PathBuf, salvage: Option<Box<Salvage>> },
    /// A file that was deleted under us, and whose rows can still be read as long as it is open.
    Store { store: Box<Store>, after: u64 },
}

/// What one step did.
#[derive(Debug)]
pub(super) enum Step {
    /// There is more.
    More {
        /// Messages put back.
        restored: usize,
    },
    /// It cannot be read now.
    Later,
    /// Nothing is left in it.
    Done,
}

impl Rescue {
    pub(super) fn of_file(path: PathBuf, contents: Contents) -> Self {
        Self::of(Source::File { path, salvage: None }, contents)
    }

    pub(super) fn of_store(store: Store, contents: Contents) -> Self {
        Self::of(Source::Store { store: Box::new(store), after: 0 }, contents)
    }

    fn of(source: Source, contents: Contents) -> Self {
        Self { source, contents, restored: 0, delivered: 0, has_holes: false }
    }

    /// Whether messages may be lost, once it is done. Of a file of which nothing was known, nobody can say that none are.
    pub(super) fn has_lost(&self) -> bool {
        self.has_holes || self.contents.items.is_none_or(|items| self.restored + self.delivered < items)
    }

    /// Messages that are still to come out of it. Of a file of which nothing is known, one is expected: it is not empty
    /// before it was read.
    pub(super) fn left(&self) -> u64 {
        let out = self.restored + self.delivered;
        self.contents.items.map_or(1, |items| items.saturating_sub(out))
    }

    /// None of them came before this.
    pub(super) fn oldest(&self) -> Option<SystemTime> {
        self.contents.oldest
    }

    /// Where the file is, if it has a name.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::File { path, .. } => Some(path),
            Source::Store { .. } => None,
        }
    }

    /// Puts the next messages into `store`, but for those that were delivered meanwhile. A step that fails is done
    /// again: what it found is nowhere else.
    pub(super) fn step(
        &mut self,
        store: &mut Store,
        is_delivered: impl Fn(u64) -> bool,
    ) -> Result<Step, StoreError> {
        let next = match &mut self.source {
            Source::Store { store: old, after } => next_rows(old, *after, &mut self.has_holes),
            Source::File { path, salvage } => next_pages(path, salvage, store)?,
        };
        let (mut found, name, before) = match next {
            Next::Found(found, name, before) => (found, name, before),
            Next::Later => return Ok(Step::Later),
            Next::End => {
                self.finish();
                return Ok(Step::Done);
            }
        };
        let last = found.last().map_or(before, |(seq, _)| *seq);
        let place = match &self.source {
            Source::File { salvage: Some(salvage), .. } => salvage.place(),
            Source::File { salvage: None, .. } | Source::Store { .. } => last,
        };
        let all = found.len();
        found.retain(|(seq, _)| !is_delivered(*seq));
        let delivered = all - found.len();
        match store.restore(&found, &name, place) {
            Ok(restored) => {
                self.restored += restored as u64;
                self.delivered += delivered as u64;
                if let Source::Store { after, .. } = &mut self.source {
                    *after = last;
                }
                Ok(Step::More { restored })
            }
            Err(error) => {
                if let Source::File { salvage: Some(salvage), .. } = &mut self.source {
                    salvage.seek_to(before);
                }
                Err(error)
            }
        }
    }

    fn finish(&mut self) {
        let restored = self.restored;
        match &self.source {
            Source::Store { .. } => info!(restored, "the messages of the deleted spool file are saved"),
            Source::File { path, salvage } => {
                let unreadable_pages = salvage.as_ref().map(|salvage| salvage.unreadable());
                self.has_holes |= unreadable_pages.is_some_and(|pages| pages > 0);
                info!(restored, unreadable_pages, file = %path.display(), "the damaged spool file is saved");
                if let Err(error) = retire(path) {
                    error!(event = "spool_damaged_file_stays", %error, file = %path.display(), "the damaged file keeps its name, and is read again");
                }
            }
        }
    }
}

/// What comes next out of a file.
enum Next {
    /// Messages, the name to remember the file by, and the place before them.
    Found(Vec<(u64, Record)>, String, u64),
    /// It cannot be read now.
    Later,
    /// Nothing.
    End,
}

fn next_rows(old: &Store, after: u64, has_holes: &mut bool) -> Next {
    let found = match old.list(after, AT_ONCE) {
        Ok(found) => found,
        Err(StoreError::Busy | StoreError::Full) => return Next::Later,
        Err(error) => {
            *has_holes = true;
            error!(event = "spool_deleted_file_unreadable", %error, "the rest of the deleted spool file cannot be read");
            return Next::End;
        }
    };
    if found.is_empty() {
        return Next::End;
    }
    // A row that cannot be read is lost with the file that was deleted; the others are not.
    *has_holes |= found.iter().any(|(found, _)| found.record.is_none());
    let records = found.into_iter().filter_map(|(found, _)| Some((found.seq, found.record?)));
    Next::Found(records.collect(), "deleted".to_owned(), after)
}

fn next_pages(path: &Path, salvage: &mut Option<Box<Salvage>>, store: &Store) -> Result<Next, StoreError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let opened = match salvage {
        Some(opened) => opened,
        None => match Salvage::open(path) {
            Ok(mut opened) => {
                opened.seek_to(store.salvaged(&name)?);
                salvage.insert(Box::new(opened))
            }
            Err(error) => {
                debug!(%error, file = %path.display(), "a damaged spool file cannot be opened now");
                return Ok(Next::Later);
            }
        },
    };
    let before = opened.place();
    Ok(opened.next().map_or(Next::End, |found| Next::Found(found, name, before)))
}

/// Gives the file a name under which it is not read again; it stays for people to look at.
fn retire(path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let retired = path.with_file_name(name.replace(Aside::Damaged.as_str(), Aside::Salvaged.as_str()));
    for (from, to) in [(header::log_of(path), header::log_of(&retired)), (path.to_owned(), retired)] {
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    store::sync_directory(path.parent().unwrap_or(path))
}

const AT_ONCE: Limit = Limit { items: 256, bytes: 1 << 20 };

//! Messages of a file that is not trusted any more, on their way into a fresh one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tracing::{error, info};

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
    restored: u64,
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
    /// Nothing is left in it.
    Done,
}

impl Rescue {
    pub(super) fn of_file(path: PathBuf) -> Self {
        Self { source: Source::File { path, salvage: None }, restored: 0 }
    }

    pub(super) fn of_store(store: Store) -> Self {
        Self { source: Source::Store { store: Box::new(store), after: 0 }, restored: 0 }
    }

    /// Puts the next messages into `store`, but for those that were delivered meanwhile.
    pub(super) fn step(
        &mut self,
        store: &mut Store,
        is_delivered: impl Fn(u64) -> bool,
    ) -> Result<Step, StoreError> {
        let next = match &mut self.source {
            Source::Store { store: old, after } => next_rows(old, after),
            Source::File { path, salvage } => next_pages(path, salvage, store)?,
        };
        let Some((mut found, name, position)) = next else {
            self.finish();
            return Ok(Step::Done);
        };
        found.retain(|(seq, _)| !is_delivered(*seq));
        let restored = store.restore(&found, &name, position)?;
        self.restored += restored as u64;
        Ok(Step::More { restored })
    }

    fn finish(&self) {
        let restored = self.restored;
        match &self.source {
            Source::Store { .. } => info!(restored, "the messages of the deleted spool file are saved"),
            Source::File { path, salvage } => {
                let unreadable_pages = salvage.as_ref().map(|salvage| salvage.unreadable());
                info!(restored, unreadable_pages, file = %path.display(), "the damaged spool file is saved");
                if let Err(error) = retire(path) {
                    error!(%error, file = %path.display(), "the damaged file keeps its name, and is read again");
                }
            }
        }
    }
}

type Found = (Vec<(u64, Record)>, String, u64);

fn next_rows(old: &Store, after: &mut u64) -> Option<Found> {
    let found = match old.list(*after, AT_ONCE) {
        Ok(found) => found,
        Err(error) => {
            error!(%error, "the rest of the deleted spool file cannot be read");
            return None;
        }
    };
    *after = found.last()?.0.seq;
    let records = found.into_iter().filter_map(|(found, _)| Some((found.seq, found.record?)));
    Some((records.collect(), "deleted".to_owned(), *after))
}

fn next_pages(
    path: &Path,
    salvage: &mut Option<Box<Salvage>>,
    store: &Store,
) -> Result<Option<Found>, StoreError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let opened = match salvage {
        Some(opened) => opened,
        None => match Salvage::open(path) {
            Ok(mut opened) => {
                opened.seek_to(store.salvaged(&name)?);
                salvage.insert(Box::new(opened))
            }
            Err(error) => {
                error!(%error, file = %path.display(), "a damaged spool file cannot be read at all");
                return Ok(None);
            }
        },
    };
    Ok(opened.next().map(|found| (found, name, opened.place())))
}

/// Gives the file a name under which it is not read again; it stays for people to look at.
fn retire(path: &Path) -> io::Result<()> {
    let retired = path.to_string_lossy().replace(Aside::Damaged.as_str(), Aside::Salvaged.as_str());
    let retired = PathBuf::from(retired);
    for (from, to) in [(header::log_of(path), header::log_of(&retired)), (path.to_owned(), retired)] {
        match fs::rename(from, to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    store::sync_directory(path.parent().unwrap_or(path))
}

const AT_ONCE: Limit = Limit { items: 256, bytes: 1 << 20 };

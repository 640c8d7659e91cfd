//! Messages that the broker does not have yet, on disk: a receipt is given only after fsync.
//!
//! One thread owns the file, the [`keeper`]: it writes what many requests want in one transaction, so that they
//! share one fsync. A [`Spool`] is the way to it. What is in the hands of somebody who may settle it (a publish
//! whose confirm is late, a message on its way out) is [`Held`]; whoever lets go of it without a word gives
//! it back.

mod header;
pub mod inspect;
mod keeper;
pub mod record;
mod rescue;
pub(crate) mod salvage;
pub mod store;
pub mod trouble;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, SyncSender},
    },
    time::SystemTime,
};

use tokio::sync::{Notify, oneshot, watch};

pub use self::{keeper::Keeper, store::OpenError};
use self::{record::Record, store::Limit, trouble::Fault};
use super::room::{Room, Taken};
use crate::{
    config,
    deadline::{Deadline, Elapsed},
    envelope::Envelope,
    metrics::{Metrics, SpoolWrite},
};

/// The way to the spool.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Shared>);

/// What the spool is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It takes messages.
    Ready,
    /// There is no room: its own bound, or the disk.
    Full,
    /// There is no file that can be trusted; it is tried again and again.
    Broken,
}

/// A message to be spooled.
#[derive(Debug)]
pub struct Stowed {
    /// What to write.
    pub record: Record,
    /// What the broker said to it.
    pub fault: Option<Fault>,
    /// Whether its publish may still be confirmed: then it is held.
    pub is_in_flight: bool,
}

/// Why messages were not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// There is no room.
    #[error("the spool is full")]
    Full,
    /// There is no file that can be trusted.
    #[error("the spool cannot be written")]
    Broken,
    /// It was not on disk in time.
    #[error("the spool is too slow")]
    Slow,
}

/// A message of the spool in somebody's hands: nobody else gets it as long as this lives.
pub struct Held {
    seq: u64,
    shared: Arc<Shared>,
    is_settled: bool,
}

/// A message that is on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The message.
    pub envelope: Envelope,
    /// Settles it.
    pub held: Held,
}

/// Messages that cannot be read any more; which they were, nobody can say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Loss {
    /// None of them came before; nothing when that is not known either.
    pub from: Option<SystemTime>,
}

#[derive(Debug)]
struct Shared {
    commands: SyncSender<Command>,
    settled: Mutex<Vec<(u64, Fate)>>,
    room: Room,
    arrived: Notify,
    state: watch::Sender<State>,
    metrics: Arc<Metrics>,
    is_stopping: AtomicBool,
    /// What was lost and nobody has heard of.
    lost: Mutex<Option<Loss>>,
}

#[derive(Debug)]
enum Command {
    Append(Append),
    Take(Limit, oneshot::Sender<Vec<Outgoing>>),
    /// Somebody has settled something, or it is time to stop.
    Wake,
}

#[derive(Debug)]
struct Append {
    messages: Vec<Stowed>,
    reply: oneshot::Sender<Result<Vec<Option<Held>>, Refused>>,
    _room: Taken,
}

/// What became of a message that was held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    Delivered,
    Failed(Fault),
    Released,
}

/// Why the daemon cannot have this spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another daemon has it.
    #[error("another graphhook uses the spool in {0}")]
    InUse(PathBuf),
    /// A newer version wrote it.
    #[error(transparent)]
    Newer(OpenError),
}

impl Spool {
    /// The two ends of the spool: what requests use, and the thread's work. Whatever is wrong with file or disk is
    /// the keeper's to mend; only what must not be touched is an error.
    ///
    /// # Errors
    ///
    /// [`SpoolError`].
    pub fn open(settings: config::Spool, metrics: Arc<Metrics>) -> Result<(Self, Keeper), SpoolError> {
        let (sender, commands) = mpsc::sync_channel(COMMANDS_MAX);
        let shared = Arc::new(Shared {
            commands: sender,
            settled: Mutex::default(),
            room: Room::new(COMMANDS_MAX, settings.waiting_bytes),
            arrived: Notify::new(),
            state: watch::Sender::new(State::Broken),
            metrics: Arc::clone(&metrics),
            is_stopping: AtomicBool::new(false),
            lost: Mutex::default(),
        });
        let keeper = Keeper::new(settings, commands, Arc::clone(&shared), metrics)?;
        Ok((Self(shared), keeper))
    }

    /// Writes the messages, all or none, and returns when they are on disk; with something to hold for each that
    /// is in flight.
    ///
    /// # Errors
    ///
    /// [`Refused`]. After `Slow` they may be on disk all the same, and will be delivered then.
    ///
    /// # Cancel safety
    ///
    /// As after `Slow`.
    pub async fn append(&self, messages: Vec<Stowed>, owed: Deadline) -> Result<Vec<Option<Held>>, Refused> {
        let many = messages.len();
        let appended = self.try_append(messages, owed).await;
        if appended.as_ref().is_err_and(|why| *why == Refused::Slow) {
            // Of almost everything else the keeper keeps count.
            self.0.metrics.spool_writes.count_many(SpoolWrite::Slow, many);
        }
        appended
    }

    async fn try_append(&self, messages: Vec<Stowed>, owed: Deadline) -> Result<Vec<Option<Held>>, Refused> {
        let many = messages.len();
        let bytes = messages.iter().map(|message| message.record.bytes()).sum();
        let room = self.0.room.try_take(bytes).ok_or(Refused::Slow)?;
        let (reply, answer) = oneshot::channel();
        let append = Command::Append(Append { messages, reply, _room: room });
        self.0.commands.try_send(append).map_err(|_| Refused::Slow)?;
        match owed.limit(answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => {
                // The keeper is gone, and could not count it.
                self.0.metrics.spool_writes.count_many(SpoolWrite::Broken, many);
                Err(Refused::Broken)
            }
            Err(Elapsed) => Err(Refused::Slow),
        }
    }

    /// The oldest messages that nobody holds and that are due; none if there are none.
    pub async fn take(&self, limit: Limit) -> Vec<Outgoing> {
        let (reply, answer) = oneshot::channel();
        if self.0.commands.try_send(Command::Take(limit, reply)).is_err() {
            return Vec::new();
        }
        answer.await.unwrap_or_default()
    }

    /// Waits until there may be more to take.
    ///
    /// # Cancel safety
    ///
    /// An arrival that nobody waited for ends the next wait at once.
    pub async fn arrived(&self) {
        self.0.arrived.notified().await;
    }

    /// What it is good for now.
    pub fn state(&self) -> State {
        *self.0.state.borrow()
    }

    /// What was lost since this was asked last.
    pub fn take_loss(&self) -> Option<Loss> {
        self.0.lost().take()
    }

    /// Has the keeper write what is settled, close the file and end.
    pub fn stop(&self) {
        self.0.is_stopping.store(true, Ordering::Release);
        self.0.wake();
    }
}

impl State {
    /// The word in `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Full => "full",
            Self::Broken => "broken",
        }
    }
}

impl Shared {
    fn settle(&self, seq: u64, fate: Fate) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.push((seq, fate));
        if settled.len() == 1 {
            self.wake();
        }
    }

    /// Messages are lost; none of them came before `from`.
    fn lose(&self, from: Option<SystemTime>) {
        let mut lost = self.lost();
        let from = lost.map_or(from, |known| known.from.zip(from).map(|(one, other)| one.min(other)));
        *lost = Some(Loss { from });
    }

    fn lost(&self) -> MutexGuard<'_, Option<Loss>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Full: the keeper is awake and will look. Gone: nobody is left to care.
        drop(self.commands.try_send(Command::Wake));
    }

    fn settled(&self) -> Vec<(u64, Fate)> {
        std::mem::take(&mut *self.settled.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Held {
    /// It is safe with the broker: the spool forgets it.
    pub fn delivered(mut self) {
        self.settle(Fate::Delivered);
    }

    /// The broker does not want it: it is tried again after a pause.
    pub fn failed(mut self, fault: Fault) {
        self.settle(Fate::Failed(fault));
    }

    fn settle(&mut self, fate: Fate) {
        self.is_settled = true;
        self.shared.settle(self.seq, fate);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_settled {
            self.settle(Fate::Released);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.seq).finish()
    }
}

/// Where a file goes that is not trusted any more.
fn aside(directory: &Path, kind: Aside, stamp: u64) -> PathBuf {
    directory.join(format!("{}.{}-{stamp}", store::FILE, kind.as_str()))
}

/// What stands beside the spool file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Aside {
    /// A damaged file that may hold messages.
    Damaged,
    /// One from which everything readable was taken over; kept for people.
    Salvaged,
}

impl Aside {
    fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Salvaged => "salvaged",
        }
    }
}

/// Requests that wait for the keeper: all of them are in its next transaction.
const COMMANDS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn what_a_lost_keeper_leaves_unanswered_is_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = config::Spool {
            directory: directory.path().to_owned(),
            bytes_max: 1 << 20,
            set_aside_after: Duration::from_secs(60),
            waiting_bytes: 1 << 20,
        };
        let metrics = Metrics::new();
        let (spool, keeper) = Spool::open(settings, Arc::clone(&metrics)).expect("a spool");
        let word = |word: &str| word.to_owned();
        let record = |_| Record {
            message_id: word("id"),
            routing_key: word("key"),
            properties: word("{}"),
            body: Bytes::from_static(b"body"),
        };
        let stowed = |record| Stowed { record, fault: None, is_in_flight: false };
        let messages = (0..3).map(record).map(stowed).collect();
        let owed = Deadline::after(Duration::from_secs(60));
        // They are in the queue when the keeper goes.
        let (appended, ()) = tokio::join!(spool.append(messages, owed), async { drop(keeper) });
        assert_eq!(appended.expect_err("nobody writes"), Refused::Broken);
        assert_eq!(metrics.spool_writes.get(SpoolWrite::Broken), 3);
    }
}

//! The thread that owns the spool file.
//!
//! It takes everything that waits for it into one transaction, so that many requests share one fsync; hands out
//! what is due; and mends. A file that is damaged, or that the disk failed on, is never written again: it is moved
//! aside, a fresh one takes its place at once, and what can be read of the old one is put into it
//! piece by piece. An fsync that failed is not tried again on the same file, because the kernel may have
//! forgotten what it could not write (PostgreSQL wiki, "Fsync Errors").

mod mend;

pub(super) use self::mend::LOCK;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use tracing::{debug, error, warn};

use super::{
    Append, COMMANDS_MAX, Command, Fate, Held, Outgoing, Refused, Shared, SpoolError, State,
    rescue::{Contents, Rescue},
    store::{Changes, Limit, Store, StoreError, spooled_at},
    trouble::{Fault, Trouble},
};
use crate::{
    config,
    error::Chain,
    failpoint::{self, Point},
    heart::{Hearts, Part, Pulse},
    metrics::{Metrics, SpoolWrite},
    moment::at_unix,
    telemetry::Sparse,
};

/// The owner of the spool file; [`Keeper::run`] is a thread of its own.
#[derive(Debug)]
pub struct Keeper {
    settings: config::Spool,
    commands: Receiver<Command>,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    /// Keeps other daemons away, as long as it is open.
    lock: Option<File>,
    store: Option<Store>,
    /// When a file may be tried again, while there is none.
    reopen_at: Instant,
    /// Places of messages in somebody's hands.
    held: HashSet<u64>,
    /// Everything up to this place has been handed out, or is parked.
    handed_out: u64,
    /// What was settled and is not written yet.
    settled: HashMap<u64, Fate>,
    /// The highest place that was ever given.
    last_seq: u64,
    /// What stands in the way of a fresh file must be moved first.
    must_move: bool,
    /// Whether a message that had trouble goes before one that had none.
    parked_first: bool,
    /// What is known of a file that is not trusted any more, until its rescue begins.
    contents: Option<Contents>,
    /// Messages that are saved from damaged files.
    rescues: Vec<Rescue>,
    /// Delivered while a rescue may still find them.
    delivered: HashSet<u64>,
    has_chores: bool,
    complaints: Sparse,
    shortages: Sparse,
    fullness: Sparse,
    guests: Sparse,
    pulse: Arc<Pulse>,
}

impl Keeper {
    pub(super) fn new(
        settings: config::Spool,
        commands: Receiver<Command>,
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SpoolError> {
        metrics.spool_max_bytes.set(i64::try_from(settings.bytes_max).unwrap_or(i64::MAX));
        let mut keeper = Self {
            settings,
            commands,
            shared,
            metrics,
            lock: None,
            store: None,
            reopen_at: Instant::now(),
            held: HashSet::new(),
            handed_out: 0,
            settled: HashMap::new(),
            last_seq: 0,
            must_move: false,
            parked_first: false,
            contents: None,
            rescues: Vec::new(),
            delivered: HashSet::new(),
            has_chores: true,
            complaints: Sparse::default(),
            shortages: Sparse::default(),
            fullness: Sparse::default(),
            guests: Sparse::default(),
            pulse: Hearts::default().pulse(Part::Spool),
        };
        keeper.open()?;
        keeper.show();
        Ok(keeper)
    }

    /// Has its loop watched.
    #[must_use]
    pub fn listened_to(self, hearts: &Hearts) -> Self {
        Self { pulse: hearts.pulse(Part::Spool), ..self }
    }

    /// Works until it is told to stop, then closes the file.
    pub fn run(mut self) {
        loop {
            self.pulse.beat();
            failpoint::reached(Point::SpoolTurns);
            let first = self.wait();
            let (mut appends, mut takes) = (Vec::new(), Vec::new());
            for command in first.into_iter().chain(self.commands.try_iter().take(COMMANDS_MAX)) {
                match command {
                    Command::Append(append) => appends.push(append),
                    Command::Take(limit, reply) => takes.push((limit, reply)),
                    Command::Wake => {}
                }
            }
            self.write(appends);
            for (limit, reply) in takes {
                // Whoever asked may have gone: what was handed out comes back by itself then.
                drop(reply.send(self.hand_out(limit)));
            }
            self.pulse.beat();
            self.do_chores();
            self.show();
            if self.shared.is_stopping.load(Ordering::Acquire) {
                return self.close();
            }
        }
    }

    /// The next command, if one comes before something else is to be done.
    fn wait(&mut self) -> Option<Command> {
        let patience = if self.has_chores { Duration::ZERO } else { TICK };
        match self.commands.recv_timeout(patience) {
            // One settled message is followed by others, and they share a transaction.
            Ok(Command::Wake) if !self.shared.is_stopping.load(Ordering::Acquire) => {
                self.commands.recv_timeout(LINGER).ok()
            }
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Writes messages and what was settled in one transaction, and tells everyone.
    fn write(&mut self, appends: Vec<Append>) {
        self.settled.extend(self.shared.settled());
        let (admitted, refused) = self.admit(appends);
        for (append, why) in refused {
            answer(append, Err(why), &self.metrics);
        }
        let has_released = self.release();
        if has_released {
            self.shared.arrived.notify_one();
        }
        if admitted.is_empty() && self.settled.is_empty() {
            return;
        }
        match self.commit_or_mend(&admitted) {
            Ok(seqs) => self.confirm(admitted, &seqs),
            Err(why) => {
                for append in admitted {
                    answer(append, Err(why), &self.metrics);
                }
                if why == Refused::Full && !self.settled.is_empty() {
                    // What was delivered makes room: without it there would never be any again.
                    self.commit(&[]).map_err(|error| self.fail(error)).ok();
                }
            }
        }
    }

    /// A file that fails is replaced, and the fresh one gets its chance at once.
    fn commit_or_mend(&mut self, appends: &[Append]) -> Result<Vec<u64>, Refused> {
        let error = match self.commit(appends) {
            Ok(seqs) => return Ok(seqs),
            Err(error) => error,
        };
        let had_file = self.store.is_some();
        match self.fail(error) {
            Refused::Broken if had_file && self.store.is_some() => {
                self.commit(appends).map_err(|error| self.fail(error))
            }
            why @ (Refused::Full | Refused::Broken | Refused::Slow) => Err(why),
        }
    }

    /// Sorts out what nobody waits for any more, and what there is no room for.
    fn admit(&mut self, appends: Vec<Append>) -> (Vec<Append>, Vec<(Append, Refused)>) {
        let (mut admitted, mut refused) = (Vec::new(), Vec::new());
        if appends.is_empty() {
            return (admitted, refused);
        }
        self.notice_deletion();
        let sizes: Vec<u64> = appends.iter().map(disk_bytes).collect();
        let mut room = match self.make_room(sizes.iter().sum()) {
            Ok(room) => room,
            Err(error) => {
                let why = self.fail(error);
                return (admitted, appends.into_iter().map(|append| (append, why)).collect());
            }
        };
        for (append, bytes) in appends.into_iter().zip(sizes) {
            if append.reply.is_closed() {
                debug!("a request stopped waiting for the spool");
            } else if let Some(left) = room.checked_sub(bytes) {
                room = left;
                admitted.push(append);
            } else {
                refused.push((append, Refused::Full));
            }
        }
        self.show_state(if refused.is_empty() { State::Ready } else { State::Full });
        (admitted, refused)
    }

    /// Room for so many bytes, if there is that much; the log is written back first if that helps.
    fn make_room(&mut self, wanted: u64) -> Result<u64, StoreError> {
        let room = self.room()?;
        match &mut self.store {
            Some(store) if room < wanted => {
                store.shorten_log()?;
                self.room()
            }
            Some(_) | None => Ok(room),
        }
    }

    /// Bytes that may be added: within our own bound, and leaving the file system its share.
    fn room(&self) -> Result<u64, StoreError> {
        let store = self.store.as_ref().ok_or_else(|| StoreError::Suspect("there is no file".into()))?;
        let ours = self.settings.bytes_max.saturating_sub(store.disk_bytes()? + BESIDE_ROWS);
        // A system that cannot be asked says so again when it is written to.
        let free = rustix::fs::statvfs(&self.settings.directory).map_or(u64::MAX, |system| {
            let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
            let kept = KEPT_FREE.min(bytes(system.f_blocks) / 20);
            bytes(system.f_bavail).saturating_sub(kept)
        });
        Ok(ours.min(free))
    }

    /// Takes back what was let go of; returns whether there was any.
    fn release(&mut self) -> bool {
        let released = self.settled.extract_if(|_, fate| *fate == Fate::Released);
        let mut any = false;
        for (seq, _) in released {
            self.held.remove(&seq);
            self.handed_out = self.handed_out.min(seq.saturating_sub(1));
            any = true;
        }
        any
    }

    fn commit(&mut self, appends: &[Append]) -> Result<Vec<u64>, StoreError> {
        let now = SystemTime::now();
        let set_aside_after = self.settings.set_aside_after;
        let Some(store) = &mut self.store else {
            return Err(StoreError::Suspect("there is no file".into()));
        };
        let mut changes = Changes::default();
        for message in appends.iter().flat_map(|append| &append.messages) {
            let trouble = message.fault.map(|fault| Trouble::next(None, fault, now, set_aside_after));
            changes.append.push((&message.record, trouble));
        }
        for (&seq, &fate) in &self.settled {
            match fate {
                Fate::Delivered => changes.remove.push(seq),
                Fate::Failed(fault) => {
                    let trouble = Trouble::next(store.trouble(seq)?, fault, now, set_aside_after);
                    changes.park.push((seq, trouble));
                }
                Fate::Released => {}
            }
        }
        let begun = Instant::now();
        let seqs = store.commit(&changes, now)?;
        self.metrics.spool_fsync_duration.observe(begun.elapsed().as_secs_f64());
        self.metrics.spool_drained.inc_by(changes.remove.len() as u64);
        for (seq, fate) in self.settled.drain() {
            self.held.remove(&seq);
            if fate == Fate::Delivered && !self.rescues.is_empty() {
                self.delivered.insert(seq);
            }
        }
        self.has_chores |= !changes.remove.is_empty();
        Ok(seqs)
    }

    /// Tells requests that their messages are on disk.
    fn confirm(&mut self, appends: Vec<Append>, seqs: &[u64]) {
        failpoint::reached(Point::SpoolBeforeReply);
        let mut seqs = seqs.iter();
        for append in appends {
            let held = append.messages.iter().zip(&mut seqs).map(|(message, &seq)| {
                message.is_in_flight.then(|| {
                    self.held.insert(seq);
                    Held { seq, shared: Arc::clone(&self.shared), is_settled: false }
                })
            });
            let held = held.collect();
            answer(append, Ok(held), &self.metrics);
        }
        self.shared.arrived.notify_one();
    }

    /// What is due, parked messages and waiting ones, and is in nobody's hands.
    fn hand_out(&mut self, limit: Limit) -> Vec<Outgoing> {
        match self.try_hand_out(limit) {
            Ok(found) => found,
            Err(error) => {
                self.fail(error);
                Vec::new()
            }
        }
    }

    fn try_hand_out(&mut self, limit: Limit) -> Result<Vec<Outgoing>, StoreError> {
        // Whatever leaves while deletions fail would leave again after a restart.
        if self.settled.len() > UNWRITTEN_MAX {
            return Ok(Vec::new());
        }
        let Some(store) = &mut self.store else { return Ok(Vec::new()) };
        let held = &self.held;
        let is_held = |seq| held.contains(&seq);
        // Messages that had trouble do not keep others from leaving.
        let few = Limit { items: limit.items.div_ceil(4), bytes: limit.bytes / 4 };
        self.parked_first = !self.parked_first;
        let mut found = match limit.items {
            1 if !self.parked_first => Vec::new(),
            _ => store.due(SystemTime::now(), few, is_held)?,
        };
        let rest = Limit { items: limit.items - found.len().min(limit.items), ..limit };
        if rest.items > 0 {
            let waiting = store.waiting(self.handed_out, rest, is_held)?;
            match waiting.last() {
                Some(last) => self.handed_out = last.seq,
                None if !self.is_short()? => {}
                None if self.handed_out > 0 => self.handed_out = 0,
                None => return Err(StoreError::Suspect("rows that it counts are not there".into())),
            }
            found.extend(waiting);
        }
        let mut outgoing = Vec::with_capacity(found.len());
        for one in found {
            self.held.insert(one.seq);
            let held = Held { seq: one.seq, shared: Arc::clone(&self.shared), is_settled: false };
            match one.record.map(|record| record.envelope()) {
                Some(Ok(envelope)) => outgoing.push(Outgoing { envelope, held }),
                Some(Err(_)) | None => {
                    error!(
                        event = "spool_message_damaged",
                        seq = one.seq,
                        "a spooled message is damaged; it is set aside"
                    );
                    self.metrics.spool_unreadable.inc();
                    self.shared
                        .lose(self.oldest().map(|oldest| oldest.min(spooled_at(one.seq) - BEFORE_SPOOLED)));
                    held.failed(Fault::Unreadable);
                }
            }
        }
        Ok(outgoing)
    }

    /// Nothing in the file came before this, as far as that is known.
    fn oldest(&self) -> Option<SystemTime> {
        let oldest = self.metrics.spool_oldest.get();
        (oldest > 0).then(|| at_unix(oldest) - BEFORE_SPOOLED)
    }

    /// Whether fewer messages were found than there are. Other programs may have purged some meanwhile.
    fn is_short(&mut self) -> Result<bool, StoreError> {
        let Some(store) = &mut self.store else { return Ok(false) };
        let books = store.recount()?;
        Ok(books.items > books.parked + self.held.len() as u64)
    }

    fn show_state(&self, state: State) {
        self.metrics.spool_writable.set(i64::from(state == State::Ready));
        let is_new = self.shared.state.send_if_modified(|shown| std::mem::replace(shown, state) != state);
        if is_new && state == State::Full {
            self.tell_full();
        }
    }

    fn tell_full(&self) {
        if let Some(others) = self.fullness.pass(Instant::now()) {
            warn!(
                event = "spool_full",
                others, "the spool is full; what the broker does not confirm is answered 503"
            );
        }
    }

    /// Shows the books.
    fn show(&mut self) {
        if let Ok(system) = rustix::fs::statvfs(&self.settings.directory) {
            let free = system.f_bavail.saturating_mul(system.f_frsize);
            self.metrics.spool_disk_free.set(i64::try_from(free).unwrap_or(i64::MAX));
        }
        let Some(store) = &mut self.store else { return };
        let Ok(books) = store.recount() else { return };
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        // What waits in a file that was set aside is in the spool, too.
        let to_save: u64 = self.rescues.iter().map(Rescue::left).sum();
        self.metrics.spool_items.set(gauge(books.items.saturating_add(to_save)));
        self.metrics.spool_parked.set(gauge(books.parked));
        self.metrics.spool_set_aside.set(gauge(books.set_aside));
        self.metrics.spool_bytes.set(gauge(store.disk_bytes().unwrap_or_default()));
        let oldest = store.oldest().ok().flatten().unwrap_or_default();
        self.metrics.spool_oldest.set(gauge(oldest / 1_000_000));
        // A spool that was full has room again when messages have left, not only when the next one comes.
        if *self.shared.state.borrow() == State::Full
            && self.room().is_ok_and(|room| room > ROOM_TO_RESUME.min(self.settings.bytes_max / 8))
        {
            self.show_state(State::Ready);
        }
    }

    fn close(mut self) {
        self.write(Vec::new());
        self.notice_deletion();
        self.finish_rescues_of_deleted();
        if let Some(Err(error)) = self.store.take().map(Store::close) {
            warn!(event = "spool_close_unclean", error = %Chain(&error), "the spool did not close cleanly; the next start mends it");
        }
        debug!("spool closed");
    }
}

/// Bytes of the disk that messages need: their rows, and the pages of the log on which they are written first.
fn disk_bytes(append: &Append) -> u64 {
    let rows = append.messages.iter().map(|message| message.record.bytes() + ROW_BYTES);
    2 * rows.sum::<usize>() as u64
}

/// Tells a request, and counts; one that has gone gives back by itself what it would have held.
fn answer(append: Append, answer: Result<Vec<Option<Held>>, Refused>, metrics: &Metrics) {
    let result = match &answer {
        Ok(_) => Some(SpoolWrite::Written),
        Err(Refused::Full) => Some(SpoolWrite::Full),
        Err(Refused::Broken) => Some(SpoolWrite::Broken),
        // Who asked counts these, because it does so also when it gets no answer.
        Err(Refused::Slow) => None,
    };
    if let Some(result) = result {
        metrics.spool_writes.count_many(result, append.messages.len());
    }
    if append.reply.send(answer).is_err() {
        debug!("a request was gone before its messages were spooled");
    }
}

/// Longest time between two looks at the books.
const TICK: Duration = Duration::from_millis(500);
/// Time in which settled messages gather.
const LINGER: Duration = Duration::from_millis(5);
/// A message came so long before it was spooled, at the most: requests have seconds.
const BEFORE_SPOOLED: Duration = Duration::from_secs(60);
/// Settled messages that may be unwritten before nothing more is handed out.
const UNWRITTEN_MAX: usize = 4096;
/// Pages of the tree, and of what is removed while it is full: rows do not account for them.
const BESIDE_ROWS: u64 = 128 << 10;
/// What a row costs beside its columns, roughly.
const ROW_BYTES: usize = 64;
/// Left to others on the file system, or a twentieth of it: room in which deletions can be written.
const KEPT_FREE: u64 = 64 << 20;
/// A full spool is ready again when there is this much room.
const ROOM_TO_RESUME: u64 = 1 << 20;

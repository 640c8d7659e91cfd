//! The watch over the subscriptions from which genuine items came: which of them is silent, and when each one ends.
//!
//! It needs no permission at Graph, for it goes by the traffic alone. A request notes what it brings, under a lock
//! that is held for a few items at a time; a task looks at all of it every second, shows the gauges, tells the log what
//! has changed, and saves it ([`mod@file`]). What silence is, [`rhythm`] says; what an end is, [`end`].

mod book;
mod end;
mod file;
mod rhythm;
mod sighting;
mod tidings;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use self::book::Known;
use self::{
    book::{Book, ID_BYTES_MAX, Listed, Survey},
    file::FileError,
    sighting::{About, Sign, SignKind},
    tidings::Tidings,
};
use crate::{
    blocking::off_thread,
    config::ClientState,
    deadline::Deadline,
    error::Chain,
    metrics::{Census, Metrics},
    moment::{at, rfc3339},
    notification::{
        Notification,
        lifecycle::{Event, Kind},
    },
    subscriptions::nudge::{Nudge, Nudges},
    verify::{Authentic, Verified},
};

/// A moment, as time since 1970.
type Moment = Duration;

/// The subscriptions that were seen.
#[derive(Debug)]
pub struct Sightings {
    book: Mutex<Book>,
    /// None in `dev`, which remembers nothing.
    file: Option<PathBuf>,
    /// Until when the daemon before this one is known to have lived.
    lived_until: Option<Moment>,
    nudges: Arc<Nudges>,
    is_writing: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// What `/status` tells of subscriptions.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// All that are watched.
    pub seen: u64,
    /// Quieter than they should be.
    pub silent: u64,
    /// Soon at their end.
    pub ending: u64,
    /// Past it.
    pub ended: u64,
    /// Those of these three states, each once: one that ends may be silent as well.
    pub troubled: u64,
    /// The most urgent ones: ending before silent before ended.
    pub list: Vec<Seen>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct Seen {
    id: String,
    client_state: String,
    first_at: String,
    last_at: String,
    expires_at: Option<String>,
    /// The longest quiet that is no silence; absent as long as there is no rhythm.
    silent_after_seconds: Option<u64>,
    silent: bool,
    ending: bool,
    ended: bool,
}

impl Sightings {
    /// Goes on with what was saved in this directory.
    pub fn open(directory: &Path, metrics: Arc<Metrics>, now: SystemTime) -> Arc<Self> {
        let file = directory.join(file::NAME);
        let known = file::load(&file, moment(now)).unwrap_or_else(|error| {
            warn!(
                event = "subscriptions_not_loaded",
                file = %file.display(),
                error = %Chain(&error),
                "what was known of subscriptions is forgotten: they are watched from now on"
            );
            None
        });
        let lived_until = known.as_ref().map(|known| known.saved_at);
        let book = Mutex::new(Book::of(known.into_iter().flat_map(|known| known.sightings)));
        Self::with(book, Some(file), lived_until, metrics)
    }

    /// Remembers nothing, and saves nothing.
    pub fn unsaved(metrics: Arc<Metrics>) -> Arc<Self> {
        Self::with(Mutex::default(), None, None, metrics)
    }

    fn with(
        book: Mutex<Book>,
        file: Option<PathBuf>,
        lived_until: Option<Moment>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let nudges = Nudges::new(Arc::clone(&metrics));
        Arc::new(Self { book, file, lived_until, nudges, is_writing: Arc::default(), metrics })
    }

    /// Where the lifecycle items are posted that are noted here.
    pub fn nudges(&self) -> &Nudges {
        &self.nudges
    }

    /// Until when the daemon before this one is known to have lived, if there was one that saw subscriptions.
    pub fn lived_until(&self) -> Option<SystemTime> {
        self.lived_until.map(at)
    }

    /// The subscriptions that had not ended by then.
    pub fn alive(&self, then: SystemTime) -> Vec<Known> {
        self.book().alive(moment(then))
    }

    /// What is known of this subscription.
    pub fn known(&self, id: &str) -> Option<Known> {
        self.book().known(id)
    }

    /// Goes by this table from now on.
    pub fn adopt(&self, table: &[ClientState]) {
        let mut book = self.book();
        book.adopt(table.iter().map(|state| (state.name.as_str(), state.silent_after)));
        // Under the lock, so that a look of before shows none of what is gone.
        self.metrics.client_states.adopt(table.iter().map(|state| state.name.as_str()));
    }

    /// In the place of these subscriptions there are others: their silence and their end are as they should be.
    pub fn succeed(&self, ids: HashSet<String>) {
        self.book().succeed(ids);
    }

    /// Notes what a request brings.
    pub fn note(&self, verified: &Verified<'_>, now: SystemTime) {
        if verified.authentic().is_empty() {
            return;
        }
        let (now, mut dropped, mut nudges) = (moment(now), 0, Vec::new());
        // Nobody waits for the whole of a large request.
        for few in verified.authentic().chunks(AT_ONCE) {
            let mut book = self.book();
            for item in few {
                if let Some(id) = item.notification.subscription_id.as_deref() {
                    nudges.extend(nudge(id, item, &book, now));
                    dropped += book.note(id, &item.client_state, sign(&item.notification), now);
                }
            }
        }
        self.nudges.post(&nudges);
        self.metrics.subscriptions_dropped.inc_by(dropped as u64);
    }

    /// Looks and saves until `stop`, and saves a last time.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tidings = Tidings::default();
        let mut keeping = Keeping { due: Deadline::after(SAVE_EVERY), skipped: 0, has_failed: false };
        loop {
            tidings.add(self.look(SystemTime::now()));
            tidings.tell(Instant::now());
            tokio::select! {
                () = stop.cancelled() => break,
                () = keeping.due.passed() => {
                    let (Some(()) | None) = stop.run_until_cancelled(self.keep(&mut keeping)).await;
                }
                () = Deadline::after(LOOK_EVERY).passed() => {}
            }
        }
        if let Err(error) = self.save().await {
            complain(&error);
        }
    }

    /// What `/status` tells.
    pub fn overview(&self, now: SystemTime) -> Overview {
        // Formatted without the lock, for requests want it.
        let survey = self.book().survey(moment(now), LISTED_MAX);
        let Survey { census, troubled, listed } = survey;
        let Census { seen, silent, ending, ended, expiry: _ } = census;
        Overview { seen, silent, ending, ended, troubled, list: listed.iter().map(Seen::of).collect() }
    }

    fn look(&self, now: SystemTime) -> Vec<book::Change> {
        let mut book = self.book();
        let changes = book.look(moment(now));
        for (name, census) in book.census() {
            self.metrics.client_states.show(name, census);
        }
        changes
    }

    /// Saves what is new, and now and then the time: what passes without us is told from silence by it.
    async fn keep(&self, keeping: &mut Keeping) {
        keeping.due = Deadline::after(SAVE_EVERY);
        if !self.book().has_news && keeping.skipped < SKIPPED_MAX {
            keeping.skipped += 1;
            return;
        }
        keeping.skipped = 0;
        match self.save().await {
            Ok(()) => keeping.has_failed = false,
            Err(error) => {
                if !std::mem::replace(&mut keeping.has_failed, true) {
                    complain(&error);
                }
            }
        }
    }

    /// Writes the file. A disk that hangs keeps one thread, and nobody else.
    async fn save(&self) -> Result<(), FileError> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let is_writing = Arc::clone(&self.is_writing);
        if is_writing.swap(true, Ordering::AcqRel) {
            return Err(FileError::Slow);
        }
        let all = {
            let mut book = self.book();
            book.has_news = false;
            book.all()
        };
        let saved = off_thread(move || {
            // Nothing is known, and nothing was: no file is needed to say so.
            let is_needless = all.is_empty() && !file.exists();
            let saved = if is_needless { Ok(()) } else { file::save(&file, &all, moment(SystemTime::now())) };
            is_writing.store(false, Ordering::Release);
            saved
        });
        let saved = Deadline::after(SAVE_WITHIN).limit(saved).await;
        let saved = saved.unwrap_or(Err(FileError::Slow));
        self.book().has_news |= saved.is_err();
        saved
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the file is written.
struct Keeping {
    due: Deadline,
    /// How often there was nothing new.
    skipped: u32,
    /// Somebody has been told that it cannot be.
    has_failed: bool,
}

impl Seen {
    fn of(listed: &Listed) -> Self {
        let Listed { id, sighting, standing, patience } = listed;
        Self {
            id: id.to_string(),
            client_state: sighting.client_state.to_string(),
            first_at: rfc3339(at(sighting.first_at)),
            last_at: rfc3339(at(sighting.last_at)),
            expires_at: sighting.end.as_ref().map(|end| rfc3339(at(end.at))),
            silent_after_seconds: patience.map(|patience| patience.as_secs()),
            silent: standing.silent,
            ending: standing.ending,
            ended: standing.ended,
        }
    }
}

fn sign<'a>(notification: &'a Notification<'_>) -> Sign<'a> {
    let kind = match notification.kind {
        Kind::Notification => SignKind::Change,
        Kind::Lifecycle => match notification.event() {
            Some(Event::SubscriptionRemoved) => SignKind::Removed,
            Some(Event::ReauthorizationRequired | Event::Missed | Event::Other) | None => SignKind::Lifecycle,
        },
    };
    let resource_type = notification.resource_type.as_deref().filter(|_| kind == SignKind::Change);
    let about = About { tenant_id: notification.tenant_id.as_deref(), resource_type };
    Sign { kind, end: notification.expires.as_deref(), about }
}

/// What a lifecycle item asks for, before it is noted itself.
fn nudge(id: &str, item: &Authentic<'_>, book: &Book, now: Moment) -> Option<Nudge> {
    let notification = &item.notification;
    if notification.kind != Kind::Lifecycle || id.len() > ID_BYTES_MAX {
        return None;
    }
    // What a lifecycle item calls its resource is the subscription itself.
    let tenant_id = notification.tenant_id.as_deref().filter(|id| id.len() <= ID_BYTES_MAX);
    Some(Nudge {
        subscription_id: id.into(),
        event: notification.event()?,
        client_state: Arc::clone(&item.client_state),
        tenant_id: tenant_id.map(str::to_owned),
        before: book.last_at(id).map(at),
        first_at: at(now),
        last_at: at(now),
        times: 1,
    })
}

fn complain(error: &FileError) {
    warn!(
        event = "subscriptions_not_saved",
        error = %Chain(error),
        "what is known of subscriptions is not saved: after a restart it would be forgotten"
    );
}

fn moment(time: SystemTime) -> Moment {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Items that are noted under one lock.
const AT_ONCE: usize = 64;
/// Time between two looks at all of them, which take half a millisecond at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time between two writes of what is new.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Writes that may be left out when nothing is new.
const SKIPPED_MAX: u32 = 9;
/// Time for one of them: the last one is part of the daemon's stop.
const SAVE_WITHIN: Duration = Duration::from_secs(1);
/// Subscriptions in `/status`.
const LISTED_MAX: usize = 100;

//! Keys that tokens are signed with: fetched by one task for all who wait, and kept until there are better ones.
//!
//! A request looks a key up and, if it is not there, asks for a fetch and waits for one that begins after that; not past
//! its deadline, and not when too many asked before. The task fetches at the start, when the keys are of some age, when
//! a fetch has failed, and when it is asked. A document that cannot be had, or is rubbish, leaves its keys of before in
//! force.

mod document;
mod keeper;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use hyper::Uri;
use jsonwebtoken::DecodingKey;
use tokio::sync::{Notify, watch};

#[cfg(any(test, feature = "fuzzing"))]
use self::document::Document;
pub(crate) use self::keeper::{FetchError, Tried, try_document};
pub use self::{document::Rubbish, keeper::KeyKeeper};
use crate::{deadline::Deadline, metrics::Metrics};

/// A key, and who may use it.
#[derive(Clone)]
pub struct SigningKey {
    pub(super) key: DecodingKey,
    /// In the form of version 2.0, perhaps with `{tenantid}`; without one, whoever publishes it.
    pub(super) issuer: Option<String>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[key of {:?}]", self.issuer)
    }
}

/// Keys by their id; one id may stand for several.
#[derive(Clone, Debug, Default)]
pub struct SigningKeys(HashMap<String, Vec<SigningKey>>);

impl SigningKeys {
    fn of<'a>(published: impl Iterator<Item = &'a (String, SigningKey)>) -> Self {
        let mut keys = Self::default();
        for (kid, key) in published {
            keys.0.entry(kid.clone()).or_default().push(key.clone());
        }
        // Documents of version 1.0 name no issuers, and must not widen what is said elsewhere of the same key.
        for named in keys.0.values_mut().filter(|keys| keys.iter().any(|key| key.issuer.is_some())) {
            named.retain(|key| key.issuer.is_some());
        }
        keys
    }

    /// The keys of one document; an OpenID configuration holds none itself.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn read(document: &[u8]) -> Result<Self, Rubbish> {
        match Document::read(document)? {
            Document::Keys(keys) => Ok(Self::of(keys.iter())),
            Document::Elsewhere(_) => Err(Rubbish::NoKeys),
        }
    }

    /// Those with this id.
    pub fn named(&self, kid: &str) -> &[SigningKey] {
        self.0.get(kid).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many ids there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySource {
    /// OpenID configurations or key sets, `https://`.
    pub documents: Vec<Uri>,
    /// PEM file: the only authorities to trust for them, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// They are fetched again at this age.
    pub refresh_after: Duration,
}

/// What is known of keys.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// The keys.
    pub keys: Arc<SigningKeys>,
    /// When all documents were read well for the last time.
    pub fetched_at: Option<SystemTime>,
    /// Whether the last fetch brought all of them; it may be that none has been made.
    is_current: bool,
    /// Fetches that have begun.
    begun: u64,
    /// The last one that has ended, counted from 1.
    ended: u64,
}

impl Shelf {
    /// Whether the last fetch has not brought all of them.
    pub fn is_failing(&self) -> bool {
        self.ended > 0 && !self.is_current
    }
}

/// Looks keys up.
#[derive(Clone, Debug)]
pub struct Keys {
    shelf: watch::Receiver<Shelf>,
    source: Arc<watch::Sender<Option<KeySource>>>,
    asking: Arc<Asking>,
}

#[derive(Debug)]
struct Asking {
    notify: Notify,
    budget: Mutex<Budget>,
}

/// No key can be had now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the keys that tokens are signed with cannot be had")]
pub struct NoKeys;

impl Keys {
    /// Nothing known yet; and the task that changes that, once it is told where keys come from.
    pub fn new(metrics: &Arc<Metrics>) -> (Self, KeyKeeper) {
        let (shelf, looked_at) = watch::channel(Shelf::default());
        let (source, told) = watch::channel(None);
        let asking =
            Arc::new(Asking { notify: Notify::new(), budget: Mutex::new(Budget::full(Instant::now())) });
        let keeper = KeyKeeper::new(told, shelf, Arc::clone(&asking), metrics);
        (Self { shelf: looked_at, source: Arc::new(source), asking }, keeper)
    }

    /// Keys come from there from now on.
    pub fn adopt(&self, source: Option<KeySource>) {
        self.source.send_if_modified(|known| {
            let is_new = *known != source;
            *known = source;
            is_new
        });
    }

    /// What is known now.
    pub fn shelf(&self) -> Shelf {
        self.shelf.borrow().clone()
    }

    /// What is known after a fetch that begins now, whether or not it brought everything. All who ask while none has begun
    /// share one.
    ///
    /// # Errors
    ///
    /// [`NoKeys`] when it is not done by `owed`, or would be one too many.
    pub async fn fresh(&self, owed: Deadline) -> Result<Shelf, NoKeys> {
        let wanted = self.ask().ok_or(NoKeys)?;
        let mut shelf = self.shelf.clone();
        let ended = owed.limit(shelf.wait_for(|shelf| shelf.ended >= wanted)).await;
        Ok(ended.map_err(|_| NoKeys)?.map_err(|_| NoKeys)?.clone())
    }

    /// The number of the fetch to wait for.
    fn ask(&self) -> Option<u64> {
        let mut budget = self.asking.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let (begun, ended) = {
            let shelf = self.shelf.borrow();
            (shelf.begun, shelf.ended)
        };
        if ended == 0 {
            // The first is on its way, and nothing is older.
            return Some(1);
        }
        if budget.asked <= begun {
            if !budget.take(Instant::now()) {
                return None;
            }
            budget.asked = begun + 1;
            self.asking.notify.notify_one();
        }
        Some(budget.asked)
    }
}

/// How many fetches may be asked for: some at once, and then one from time to time. Anybody who knows a clientState
/// could ask for one with every token.
#[derive(Debug)]
struct Budget {
    left: u32,
    counted: Instant,
    /// The fetch that was asked for last.
    asked: u64,
}

impl Budget {
    fn full(now: Instant) -> Self {
        Self { left: ASKED_MAX, counted: now, asked: 0 }
    }

    fn take(&mut self, now: Instant) -> bool {
        let more = now.duration_since(self.counted).as_secs() / ASKED_EVERY.as_secs();
        if more > 0 {
            self.left = ASKED_MAX.min(self.left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)));
            self.counted = now;
        }
        let is_left = self.left > 0;
        self.left = self.left.saturating_sub(1);
        is_left
    }
}

/// Keys are published a day before they are used: more is hardly ever asked for.
const ASKED_MAX: u32 = 5;
const ASKED_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;

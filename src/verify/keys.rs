//! Keys that tokens are signed with: fetched by one task for all who wait, and kept until there are better ones.
//!
//! A request looks a key up and, if it is not there, asks for a fetch and waits for one that begins after that; not past
//! its deadline, and not when too many asked before. The task fetches at the start, when the keys are of some age, when
//! a fetch has failed, and when it is asked. A document that cannot be had, or is rubbish, leaves its keys of before in
//! force.

mod document;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Empty;
use hyper::{
    Request, StatusCode, Uri,
    header::{ACCEPT, DATE},
};
use jsonwebtoken::DecodingKey;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::document::Document;
pub use self::document::Rubbish;
use crate::{
    backoff::{Backoff, jittered},
    client::{Client, Unanswered},
    deadline::Deadline,
    error::Chain,
    metrics::{KeyFetch, Metrics},
};

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
        let keeper = KeyKeeper {
            source: told,
            documents: Vec::new(),
            shelf,
            asking: Arc::clone(&asking),
            is_failing: false,
            metrics: Arc::clone(metrics),
        };
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

/// The task that fetches keys.
#[derive(Debug)]
pub struct KeyKeeper {
    source: watch::Receiver<Option<KeySource>>,
    documents: Vec<Published>,
    shelf: watch::Sender<Shelf>,
    asking: Arc<Asking>,
    is_failing: bool,
    metrics: Arc<Metrics>,
}

/// The keys of one document, as they were read last.
#[derive(Clone, Debug)]
struct Published {
    url: Uri,
    keys: Vec<(String, SigningKey)>,
    /// What time it was there.
    date: Option<SystemTime>,
}

/// Why a document brought no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// No answer, or no trust.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// Another status than 200. A redirect is not followed.
    #[error("{host} answers {status}")]
    Status {
        /// Whose answer.
        host: String,
        /// What it is.
        status: StatusCode,
    },
    /// The content is of no use.
    #[error("{host}")]
    Rubbish {
        /// Whose answer.
        host: String,
        /// Why.
        #[source]
        source: Rubbish,
    },
    /// An OpenID configuration points at something else than `https://`, or at another one.
    #[error("{0} points at no key set")]
    Astray(String),
}

impl FetchError {
    fn label(&self) -> KeyFetch {
        match self {
            Self::Unanswered(_) | Self::Status { .. } => KeyFetch::Unanswered,
            Self::Rubbish { .. } | Self::Astray(_) => KeyFetch::Unusable,
        }
    }
}

impl KeyKeeper {
    /// Fetches keys, until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let (Some(()) | None) = stop.run_until_cancelled(self.work()).await;
    }

    async fn work(&mut self) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        loop {
            let source = self.source.borrow_and_update().clone();
            let Some(source) = source else {
                self.forget();
                // Nobody asks while nothing is checked.
                changed(&mut self.source).await;
                continue;
            };
            let mut told = self.source.clone();
            let fetched = tokio::select! {
                fetched = self.fetch(&source) => fetched,
                // Whoever hangs does not keep us from asking the next. Who waits for this fetch waits for that one.
                () = changed(&mut told) => {
                    backoff.reset();
                    continue;
                }
            };
            let next = if fetched {
                backoff.reset();
                jittered(source.refresh_after)
            } else {
                backoff.next_pause()
            };
            tokio::select! {
                () = self.asking.notify.notified() => {}
                () = Deadline::after(next).passed() => {}
                () = changed(&mut self.source) => {}
            }
        }
    }

    fn forget(&mut self) {
        self.documents.clear();
        // Numbers go on: somebody may wait for one.
        self.shelf.send_modify(|shelf| *shelf = Shelf { begun: shelf.begun, ..Shelf::default() });
        self.metrics.rich.signing_keys.set(0);
    }

    /// Reads every document; whether all of them brought keys.
    async fn fetch(&mut self, source: &KeySource) -> bool {
        self.documents.retain(|document| source.documents.contains(&document.url));
        let keys = self.keys();
        self.shelf.send_modify(|shelf| {
            shelf.begun += 1;
            // Of a document that is not listed any more, nothing stays in force meanwhile.
            shelf.keys = keys;
        });
        let number = self.shelf.borrow().begun;
        let fetched = match Client::https(source.ca_file.clone(), CA_FILE).await {
            Ok(client) => join_all(source.documents.iter().map(|url| published(&client, url))).await,
            Err(error) => vec![Err(error.into())],
        };
        let mut failure = None;
        for fetched in fetched {
            self.metrics
                .rich
                .key_fetches
                .count(fetched.as_ref().map_or_else(FetchError::label, |_| KeyFetch::Ok));
            match fetched {
                Ok(document) => {
                    self.documents.retain(|known| known.url != document.url);
                    self.documents.push(document);
                }
                Err(error) => failure = Some(error),
            }
        }
        self.tell(failure.as_ref());
        let (keys, is_current) = (self.keys(), failure.is_none());
        self.metrics.rich.signing_keys.set(i64::try_from(keys.len()).unwrap_or(i64::MAX));
        let now = SystemTime::now();
        if is_current {
            self.metrics.rich.keys_fetched(now);
        }
        self.shelf.send_modify(|shelf| {
            shelf.keys = keys;
            shelf.is_current = is_current;
            shelf.ended = number;
            if is_current {
                shelf.fetched_at = Some(now);
            }
        });
        is_current
    }

    fn keys(&self) -> Arc<SigningKeys> {
        Arc::new(SigningKeys::of(self.documents.iter().flat_map(|document| &document.keys)))
    }

    /// Once when it begins to fail, and once when it is well again.
    fn tell(&mut self, failure: Option<&FetchError>) {
        let was_failing = std::mem::replace(&mut self.is_failing, failure.is_some());
        match failure {
            Some(error) if !was_failing => warn!(
                event = "signing_keys_not_fetched",
                error = %Chain(error),
                known = self.documents.iter().map(|document| document.keys.len()).sum::<usize>(),
                "cannot fetch the keys that tokens are signed with: those that are known stay in force"
            ),
            None if was_failing => info!("the keys that tokens are signed with are there again"),
            Some(_) | None => {}
        }
    }
}

/// The next change. Who lets go of the other end ends us by `stop`.
async fn changed(source: &mut watch::Receiver<Option<KeySource>>) {
    if source.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Reads a document, and the key set that it may point at.
async fn published(client: &Client, url: &Uri) -> Result<Published, FetchError> {
    let astray = || FetchError::Astray(host(url));
    let (document, date) = read(client, url).await?;
    let keys = match document {
        Document::Keys(keys) => keys,
        Document::Elsewhere(place) => {
            let place: Uri = place.parse().map_err(|_| astray())?;
            if place.scheme_str() != Some("https") {
                return Err(astray());
            }
            match read(client, &place).await? {
                (Document::Keys(keys), _) => keys,
                (Document::Elsewhere(_), _) => return Err(astray()),
            }
        }
    };
    Ok(Published { url: url.clone(), keys, date })
}

/// What a document says when it is asked once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    /// How many keys it brings.
    pub(crate) keys: usize,
    /// What time it is there.
    pub(crate) date: Option<SystemTime>,
}

/// Asks once for one of the documents of `source`.
pub(crate) async fn try_document(source: &KeySource, url: &Uri) -> Result<Tried, FetchError> {
    let client = Client::https(source.ca_file.clone(), CA_FILE).await?;
    let Published { keys, date, .. } = published(&client, url).await?;
    Ok(Tried { keys: keys.len(), date })
}

/// Also, what time it is there.
async fn read(client: &Client, url: &Uri) -> Result<(Document, Option<SystemTime>), FetchError> {
    let request = Request::get(url.clone()).header(ACCEPT, "application/json").body(Empty::<Bytes>::new());
    let request = request.map_err(|_| FetchError::Astray(host(url)))?;
    let answer = client.send(request, ANSWER_WITHIN).await?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status { host: host(url), status: answer.status() });
    }
    let date =
        answer.headers().get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let document = Document::read(answer.body());
    let document = document.map_err(|source| FetchError::Rubbish { host: host(url), source })?;
    Ok((document, date))
}

fn host(url: &Uri) -> String {
    url.host().unwrap_or_default().to_owned()
}

/// The setting that names authorities.
const CA_FILE: &str = "rich.ca_file";
/// Two requests are no load for a server, and nobody on the road waits for so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Keys are published a day before they are used: more is hardly ever asked for.
const ASKED_MAX: u32 = 5;
const ASKED_EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;

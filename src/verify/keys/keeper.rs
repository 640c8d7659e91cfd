//! The task that fetches keys, and what it asks.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Empty;
use hyper::{
    Request, StatusCode, Uri,
    header::{ACCEPT, DATE},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Asking, KeySource, Shelf, SigningKey, SigningKeys,
    document::{Document, Rubbish},
};
use crate::{
    backoff::{Backoff, jittered},
    client::{Client, Unanswered},
    deadline::Deadline,
    error::Chain,
    metrics::{KeyFetch, Metrics},
};

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
    pub(super) fn new(
        source: watch::Receiver<Option<KeySource>>,
        shelf: watch::Sender<Shelf>,
        asking: Arc<Asking>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let metrics = Arc::clone(metrics);
        Self { source, documents: Vec::new(), shelf, asking, is_failing: false, metrics }
    }

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
                "cannot fetch the keys that tokens are signed with: those that are known stay in force; without any, resource data is answered 503"
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

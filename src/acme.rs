//! Certificates by ACME (RFC 8555): obtained, renewed and kept on disk, for as long as the daemon runs.
//!
//! Each domain has a certificate and a life of its own ([`domain`]): what fails for one is no matter to the others. Only
//! the orders themselves take turns. Nothing here is waited for by a request: what is served stays served until
//! something better is at hand, and it is swapped in then.

/// Asks, and asks again as long as the authority only wants another nonce, which it may do at any time (RFC 8555, section
/// 6.5). The library does so too, but gives up at the third.
macro_rules! again {
    ($ask:expr) => {{
        let mut left = $crate::acme::NONCES;
        loop {
            left -= 1;
            match $ask.await {
                Err(error) if left > 0 && $crate::acme::wants_nonce(&error) => {}
                done => break done,
            }
        }
    }};
}

pub(crate) mod held;
pub(crate) mod inspect;

mod account;
mod cache;
mod challenge;
mod client;
mod domain;
mod order;
mod pages;
mod schedule;
mod suggestion;

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use self::{
    cache::{Cache, CacheError},
    challenge::{Answers, Pages},
    client::RequestError,
    domain::Domain,
};
use crate::{
    config,
    listener::{
        socket::Socket,
        tls::{Served, TlsError},
    },
    metrics::Metrics,
};

/// Keeps certificates good.
pub struct Acme {
    domains: Vec<Domain>,
    /// Where HTTP-01 challenges are answered, if they are.
    http: Option<(Socket, Pages)>,
}

/// What is known of each domain, in the order of the configuration.
pub type Standings = watch::Receiver<Vec<Standing>>;

/// How it stands with a domain's certificate. It holds no secret.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Standing {
    /// The domain.
    pub domain: String,
    /// In a word.
    pub state: State,
    /// End of the certificate, unix time, if there is one; shown as RFC 3339.
    #[serde(serialize_with = "crate::moment::serialize_unix")]
    pub not_after: Option<i64>,
    /// When the authority is asked for a new one.
    pub next_attempt_at: Option<String>,
    /// What went wrong, if the last attempt failed.
    pub last_error: Option<String>,
}

/// How it stands with a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There is none yet.
    Missing,
    /// There is one, to be renewed in time.
    Good,
    /// There is one, but its renewal has failed so far.
    Failing,
}

/// Who certifies us, and all that the orders of its certificates share.
struct Authority {
    config: config::Acme,
    cache: Cache,
    answers: Answers,
    served: Arc<Served>,
    metrics: Arc<Metrics>,
    /// One order at a time: there is one account, and nobody is in a hurry.
    turn: Semaphore,
    told: watch::Sender<Vec<Standing>>,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    #[error(transparent)]
    Protocol(#[from] instant_acme::Error),
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Nothing is ordered that cannot be kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("cannot make a key or a request")]
    Key(#[source] rcgen::Error),
    #[error("the authority offers no challenge of type {kind}")]
    NoChallenge { kind: &'static str },
    #[error("the authority could not see that this domain is ours")]
    Unproven(#[source] instant_acme::Problem),
    #[error("the authority has given the order up without a reason")]
    Invalid,
    #[error("the certificate cannot be served")]
    Unfit(#[source] TlsError),
    #[error("the certificate is for another host: {0:?}")]
    Misnamed(Vec<String>),
    #[error("the order took too long")]
    Late,
}

impl AcmeError {
    /// Whether the authority has never heard of it: then trying again soon costs nothing, and uses up no limit.
    fn is_unheard(&self) -> bool {
        let request = match self {
            Self::Request(error) => Some(error),
            // Requests that the library makes with our client.
            Self::Protocol(error) => wrapped(error),
            Self::Cache(_) => return true,
            Self::Key(_)
            | Self::NoChallenge { .. }
            | Self::Unproven(_)
            | Self::Invalid
            | Self::Unfit(_)
            | Self::Misnamed(_)
            | Self::Late => None,
        };
        request.is_some_and(RequestError::is_unheard)
    }

    /// Whether the authority does not know our account.
    fn is_stranger(&self) -> bool {
        let Self::Protocol(error) = self else { return false };
        problem_type(error).is_some_and(|kind| kind.ends_with(":accountDoesNotExist"))
    }
}

impl Acme {
    /// Serves the certificates that are kept on disk, each in the place of its domain; the others are ordered when this
    /// runs.
    pub fn open(
        config: config::Acme,
        http: Option<Socket>,
        served: &Arc<Served>,
        metrics: &Arc<Metrics>,
    ) -> (Self, Standings) {
        let pages = Pages::default();
        let http = http.map(|socket| (socket, pages.clone()));
        let answers =
            if http.is_some() { Answers::Http(pages) } else { Answers::TlsAlpn(Arc::clone(served)) };
        let authority = Arc::new(Authority {
            cache: Cache::new(&config.cache, &config.directory),
            answers,
            served: Arc::clone(served),
            metrics: Arc::clone(metrics),
            turn: Semaphore::new(1),
            told: watch::Sender::new(config.domains.iter().map(|domain| Standing::missing(domain)).collect()),
            config,
        });
        let told = authority.told.subscribe();
        let domains =
            (0..authority.config.domains.len()).map(|place| Domain::open(&authority, place)).collect();
        (Self { domains, http }, told)
    }

    /// Works until `stop`. An order that is going on then is left as it is: nothing rests on it.
    pub async fn run(self, stop: CancellationToken) {
        let Self { domains, http } = self;
        let pages = async {
            if let Some((socket, pages)) = http {
                pages::serve(pages, socket, stop.clone()).await;
            }
        };
        let domains = futures_util::future::join_all(domains.into_iter().map(Domain::keep));
        let domains = async { stop.run_until_cancelled(domains).await.map_or((), drop) };
        futures_util::future::join(pages, domains).await;
    }
}

impl Standing {
    fn missing(domain: &str) -> Self {
        Self {
            domain: domain.to_owned(),
            state: State::Missing,
            not_after: None,
            next_attempt_at: None,
            last_error: None,
        }
    }
}

/// Whether a request was refused for its nonce alone.
fn wants_nonce(error: &instant_acme::Error) -> bool {
    problem_type(error).is_some_and(|kind| kind.ends_with(":badNonce"))
}

/// What kind of problem an authority has (RFC 8555, section 6.7).
fn problem_type(error: &instant_acme::Error) -> Option<&str> {
    let instant_acme::Error::Api(problem) = error else { return None };
    problem.r#type.as_deref()
}

/// An error of our client's, as the library hands it on.
fn wrapped(error: &instant_acme::Error) -> Option<&RequestError> {
    let instant_acme::Error::Other(error) = error else { return None };
    error.downcast_ref()
}

const NONCES: u32 = 5;

//! Access tokens: kept while they are good, fetched anew before they end, by one caller for all.

mod assertion;
mod command;
mod device;
mod endpoint;
mod error;
mod identity;
mod source;
mod store;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use hyper::header::HeaderValue;
use tokio::{sync::Semaphore, time::Instant};
use tracing::{info, warn};

pub use self::{
    device::{Prompt, SignedIn, sign_in},
    error::{AuthError, OAuthError},
};
use self::{endpoint::Granted, source::Source};
use super::claims::TokenClaims;
use crate::{
    backoff::Backoff,
    config,
    error::Chain,
    metrics::{Metrics, TokenFetch},
    secret::Secret,
};

/// Has a token for whoever asks Graph.
pub(super) struct Auth {
    source: Source,
    state: Mutex<State>,
    /// Who holds it fetches a token.
    turn: Semaphore,
    metrics: Arc<Metrics>,
}

struct State {
    token: Option<Arc<Token>>,
    failure: Option<Failure>,
    backoff: Backoff,
}

/// The last fetch failed: nobody asks again before this moment.
struct Failure {
    error: AuthError,
    until: Instant,
}

/// A token while it is good.
pub(super) struct Token {
    pub(super) secret: Secret,
    /// From then on a new one is fetched.
    due: Instant,
    /// Nobody uses it after this.
    end: Instant,
}

/// What there is now.
enum Held {
    Good(Arc<Token>),
    Due(Arc<Token>),
    Failed(AuthError),
    Nothing,
}

impl Auth {
    /// Reads and checks what is needed; asks nobody.
    pub(super) async fn new(settings: &config::Graph, metrics: Arc<Metrics>) -> Result<Self, AuthError> {
        let state = State { token: None, failure: None, backoff: Backoff::new(RETRY_FIRST, RETRY_MAX) };
        let source = Source::new(settings).await?;
        Ok(Self { source, state: Mutex::new(state), turn: Semaphore::new(1), metrics })
    }

    /// A token that is good now.
    ///
    /// One caller at a time fetches one: the others wait for it, or go on with the one there is. After a failure all get
    /// the same error for a while, so that a storm of calls is none at the identity platform.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the turn to the next caller. A refresh token that was just granted may be lost with it;
    /// the platform takes the one before it for that.
    pub(super) async fn token(&self) -> Result<Arc<Token>, AuthError> {
        match self.held() {
            Held::Good(token) => return Ok(token),
            Held::Failed(error) => return Err(error),
            Held::Due(token) => {
                let Ok(_turn) = self.turn.try_acquire() else { return Ok(token) };
                // Another may have just been here.
                return match self.held() {
                    Held::Due(token) => Ok(self.fetch().await.unwrap_or(token)),
                    Held::Good(token) => Ok(token),
                    Held::Failed(error) => Err(error),
                    Held::Nothing => self.fetch().await,
                };
            }
            Held::Nothing => {}
        }
        let _turn = self.turn.acquire().await;
        match self.held() {
            Held::Good(token) | Held::Due(token) => Ok(token),
            Held::Failed(error) => Err(error),
            Held::Nothing => self.fetch().await,
        }
    }

    /// Graph does not take this one any more. Of many who say so, one throws it away.
    pub(super) fn discard(&self, token: &Arc<Token>) {
        let mut state = self.state();
        if state.token.as_ref().is_some_and(|held| Arc::ptr_eq(held, token)) {
            state.token = None;
        }
    }

    fn held(&self) -> Held {
        let (state, now) = (self.state(), Instant::now());
        let failed = state.failure.as_ref().filter(|failure| now < failure.until);
        match (&state.token, failed) {
            (Some(token), None) if token.due <= now && now < token.end => Held::Due(Arc::clone(token)),
            (Some(token), _) if now < token.end => Held::Good(Arc::clone(token)),
            (Some(_) | None, Some(failure)) => Held::Failed(failure.error.clone()),
            (Some(_) | None, None) => Held::Nothing,
        }
    }

    async fn fetch(&self) -> Result<Arc<Token>, AuthError> {
        let asked = Instant::now();
        let fetched = self.source.fetch().await;
        let mut state = self.state();
        match fetched {
            Ok(granted) => {
                let token = Arc::new(Token::new(granted, asked, &self.metrics));
                self.metrics.graph_api.tokens.count(TokenFetch::Ok);
                if state.failure.take().is_some() {
                    info!("signed in to Graph again");
                }
                state.backoff.reset();
                state.token = Some(Arc::clone(&token));
                Ok(token)
            }
            Err(error) => {
                self.metrics.graph_api.tokens.count(TokenFetch::of(&error));
                if state.failure.is_none() {
                    warn!(
                        event = "graph_sign_in_failed",
                        error = %Chain(&error),
                        "cannot sign in to Graph: subscriptions are neither made nor renewed until that works"
                    );
                }
                let told = error.retry_after().unwrap_or_default().min(TOLD_MAX);
                let until = Instant::now() + state.backoff.next_pause().max(told);
                state.failure = Some(Failure { error: error.clone(), until });
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Token {
    fn new(granted: Granted, asked: Instant, metrics: &Metrics) -> Self {
        let now = SystemTime::now();
        let in_token = || {
            let end = TokenClaims::read(&granted.access)?.expires_at?;
            Some(end.duration_since(now).unwrap_or_default())
        };
        let life = granted.life.or_else(in_token).unwrap_or(UNTOLD).min(LIFE_MAX);
        metrics.graph_api.token_expires(now + life);
        let (due, end) = terms(life);
        Self { secret: granted.access, due: asked + due, end: asked + end }
    }

    /// For the header `Authorization`.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.secret.expose())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// When a token of this life is fetched anew, and when it is used no more.
fn terms(life: Duration) -> (Duration, Duration) {
    let due = life.mul_f64(0.7);
    let due = life.checked_sub(EARLY).filter(|early| *early > life / 2).map_or(due, |early| due.min(early));
    (due, life - MARGIN.min(life / 10))
}

/// A token is fetched anew when 70 % of its life are over, and this long before its end if it lives for long enough.
const EARLY: Duration = Duration::from_secs(5 * 60);
/// The time of a request on its way, and of clocks that differ.
const MARGIN: Duration = Duration::from_secs(30);
/// Of a token that does not say it.
const UNTOLD: Duration = Duration::from_secs(5 * 60);
/// Nothing is taken on trust for longer.
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// The platform may want us to wait, but not for ever.
const TOLD_MAX: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests;

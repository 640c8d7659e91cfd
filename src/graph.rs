//! Microsoft Graph, as far as subscriptions go.
//!
//! Every request goes the same way: room within Graph's limits ([`limits`]), a token ([`auth`]), one [`call`] under a
//! deadline, and again after a pause where that can do no harm. What can be said twice is said again; a subscription is
//! only created again when a look at the list has shown that it was not ([`create`]).

mod answer;
pub mod auth;
mod call;
pub mod claims;
mod clock;
mod create;
mod envelope;
mod error;
mod limits;
pub mod operation;
mod pages;
pub mod resources;
pub mod subscription;

use std::{
    collections::HashSet,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use hyper::{Method, Uri};

use self::{
    auth::Auth,
    call::Asked,
    limits::Limits,
    operation::Operation,
    pages::PAGE_BYTES_MAX,
    subscription::{Change, NewSubscription, Subscription},
};
pub use self::{
    claims::TokenClaims,
    clock::ClockOffset,
    envelope::{ErrorEnvelope, RequestIds},
    error::{Cause, GraphError, Refusal},
};
use crate::{client::Client, config, metrics::Metrics, notification::id::SubscriptionId};

/// Asks Graph for subscriptions, as one app or one user. A clone is the same.
#[derive(Clone)]
pub struct Graph(Arc<Inner>);

struct Inner {
    client: Client,
    auth: Auth,
    limits: Limits,
    /// `https://graph.microsoft.com`
    base: String,
    client_id: String,
    answer_within: Duration,
    clock: Mutex<Option<ClockOffset>>,
    metrics: Arc<Metrics>,
}

/// What became of a subscription that was to be deleted: it is gone either way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Deleted {
    /// It was there until now.
    Now,
    /// It had ended before.
    WasGone,
}

impl Graph {
    /// Reads and checks what it needs; asks nobody.
    ///
    /// # Errors
    ///
    /// [`GraphError::Setup`] and [`GraphError::SignIn`] for settings that cannot be used.
    pub async fn new(settings: &config::Graph, metrics: Arc<Metrics>) -> Result<Self, GraphError> {
        let client = client_for(&settings.url, settings.ca_file.as_ref()).await.map_err(GraphError::Setup)?;
        let auth = Auth::new(settings, Arc::clone(&metrics)).await.map_err(GraphError::SignIn)?;
        Ok(Self(Arc::new(Inner {
            client: client.answers_up_to(PAGE_BYTES_MAX),
            auth,
            limits: Limits::new(),
            base: base(&settings.url),
            client_id: settings.client_id.clone(),
            answer_within: settings.answer_within,
            clock: Mutex::new(None),
            metrics,
        })))
    }

    /// All subscriptions of the app (or of the user, through the app), expired ones perhaps among them. Without their
    /// clientStates, which Graph does not tell here.
    ///
    /// # Errors
    ///
    /// [`GraphError`]; half a list is none.
    pub async fn list(&self) -> Result<Vec<Subscription>, GraphError> {
        pages::list(&self.0).await
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// [`GraphError`], [`Gone`](GraphError::Gone) among them.
    pub async fn get(&self, id: &SubscriptionId<'_>) -> Result<Subscription, GraphError> {
        let asked = Asked::about(&self.0, Operation::Get, Method::GET, id, "")?;
        call::insist(&self.0, &asked).await?.subscription_with(id)
    }

    /// Creates one; `known` are the ids that were listed before. Once it is not known what became of a try, there is a
    /// look first: a subscription that is not among them and is in all what was asked for is the one.
    ///
    /// # Errors
    ///
    /// [`GraphError`], [`Uncertain`](GraphError::Uncertain) among them: list before you create again.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the subscription may be there or not.
    pub async fn create(
        &self,
        new: &NewSubscription,
        known: &HashSet<SubscriptionId<'static>>,
    ) -> Result<Subscription, GraphError> {
        create::create(&self.0, new, known).await
    }

    /// Renews or moves one, or has its certificate replaced.
    ///
    /// # Errors
    ///
    /// [`GraphError`], [`Gone`](GraphError::Gone) among them.
    pub async fn update(&self, id: &SubscriptionId<'_>, change: &Change) -> Result<Subscription, GraphError> {
        let asked = Asked::about(&self.0, Operation::Update, Method::PATCH, id, "")?.with(change)?;
        call::insist(&self.0, &asked).await?.subscription_with(id)
    }

    /// Has Graph go on with one. Never within ten minutes of a renewal, which does the same ("Reduce missing
    /// subscriptions and change notifications",
    /// <https://learn.microsoft.com/graph/change-notifications-lifecycle-events>).
    ///
    /// # Errors
    ///
    /// [`GraphError`], [`Gone`](GraphError::Gone) among them.
    pub async fn reauthorize(&self, id: &SubscriptionId<'_>) -> Result<(), GraphError> {
        let asked = Asked::about(&self.0, Operation::Reauthorize, Method::POST, id, "/reauthorize")?;
        call::insist(&self.0, &asked).await.map(drop)
    }

    /// Deletes one.
    ///
    /// # Errors
    ///
    /// [`GraphError`]; that it is gone is none.
    pub async fn delete(&self, id: &SubscriptionId<'_>) -> Result<Deleted, GraphError> {
        let asked = Asked::about(&self.0, Operation::Delete, Method::DELETE, id, "")?;
        match call::insist(&self.0, &asked).await {
            Ok(_) => Ok(Deleted::Now),
            Err(GraphError::Gone(_)) => Ok(Deleted::WasGone),
            Err(error) => Err(error),
        }
    }

    /// What our access token says of itself.
    ///
    /// # Errors
    ///
    /// [`GraphError::SignIn`] without one, [`GraphError::Opaque`] for one that is no JWT.
    pub async fn token_claims(&self) -> Result<TokenClaims, GraphError> {
        let token = self.0.auth.token().await.map_err(GraphError::SignIn)?;
        TokenClaims::read(&token.secret).ok_or(GraphError::Opaque)
    }

    /// What time it is at Graph, as far as its last answer tells: the end of a subscription is by that clock.
    pub fn now(&self) -> SystemTime {
        clock::at_graph(self.clock_offset(), SystemTime::now())
    }

    /// What time it was at Graph with its last answer, if there was one.
    pub fn clock_offset(&self) -> Option<ClockOffset> {
        *self.0.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[subscriptions at {}]", self.0.base)
    }
}

/// A client for this URL.
async fn client_for(url: &Uri, ca_file: Option<&PathBuf>) -> Result<Client, Cause> {
    if url.scheme_str() == Some("http") {
        return Ok(Client::http());
    }
    Client::https(ca_file.cloned(), "graph.ca_file").await.map_err(Cause::new)
}

/// A URL without a path, and without a slash at its end.
fn base(url: &Uri) -> String {
    let authority = url.authority().map(|authority| authority.as_str()).unwrap_or_default();
    format!("{}://{authority}", url.scheme_str().unwrap_or("https"))
}

//! The calls below /subscriptions, for a caller who is known.

use std::{sync::Arc, time::SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::StatusCode;
use serde_json::{Map, Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    calls::{Caller, Operation},
    journal::{Sent, SentKind},
    notify,
    refusal::{Refusal, Reply},
    rules::{Change, Rules},
    subscription::{Show, Subscription},
    world::World,
};
use crate::{error::Chain, simulate::receiver::Unreached};

/// A call.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) world: &'a Arc<World>,
    pub(super) caller: Caller,
    /// Scheme, host and port that the caller has called.
    pub(super) origin: &'a str,
    pub(super) version: &'static str,
    pub(super) query: &'a str,
    /// Its place in the journal.
    pub(super) number: u64,
}

impl Asked<'_> {
    pub(super) async fn answer(
        self,
        operation: Operation,
        id: Option<&str>,
        body: &Body<'_>,
    ) -> Result<Reply, Refusal> {
        match (operation, id) {
            (Operation::Create, None) => self.create(body).await,
            (Operation::List, None) => self.list(),
            (Operation::Get, Some(id)) => self.get(id),
            (Operation::Update, Some(id)) => self.update(id, body).await,
            (Operation::Reauthorize, Some(id)) => self.find(id).map(|_| Reply::empty(StatusCode::NO_CONTENT)),
            (Operation::Delete, Some(id)) => self.delete(id),
            (Operation::Token | Operation::DeviceCode | Operation::Identity, _)
            | (Operation::Create | Operation::List, Some(_))
            | (Operation::Get | Operation::Update | Operation::Reauthorize | Operation::Delete, None) => {
                Err(Refusal::not_found())
            }
        }
    }

    /// The URLs prove themselves before anything exists.
    async fn create(&self, body: &Body<'_>) -> Result<Reply, Refusal> {
        let body = body.object()?;
        let subscription = self.rules().create(&body, Uuid::now_v7().to_string(), self.caller.clone())?;
        self.admit(&subscription)?;
        for endpoint in
            [Some(&subscription.notification_url), subscription.lifecycle_url.as_ref()].into_iter().flatten()
        {
            self.shake_hands(&endpoint.url, None).await?;
        }
        let id = subscription.id.clone();
        self.world.add(self.number, |call| call.subscription = Some(id.clone()));
        let shown = self.entity(&subscription, Show::ClientState);
        self.insert(subscription)?;
        if self.world.settings().overtakes {
            // What the receiver says is in the journal.
            drop(notify::changes(self.world, &id, 1).await);
        }
        Ok(Reply::json(StatusCode::CREATED, shown))
    }

    fn list(&self) -> Result<Reply, Refusal> {
        let state = self.world.state();
        let (now, settings) = (state.clock.now(), &state.settings);
        let from = page_begin(self.query)?;
        let (page, next) =
            state.store.page(&self.caller, settings.lists_expired, from, settings.page_size, now);
        let shown: Vec<Value> = page.iter().map(|kept| kept.json(Show::NoClientState)).collect();
        let mut list = json!({ "@odata.context": self.context(""), "value": shown });
        if let Some(next) = next {
            let origin = settings.next_link_origin.as_deref().unwrap_or(self.origin);
            let token = BASE64_URL_SAFE_NO_PAD.encode(format!("{PAGE}{next}"));
            list["@odata.nextLink"] =
                json!(format!("{origin}/{}/subscriptions?$skiptoken={token}", self.version));
        }
        Ok(Reply::json(StatusCode::OK, list))
    }

    fn get(&self, id: &str) -> Result<Reply, Refusal> {
        let show =
            if self.world.settings().shows_client_state { Show::ClientState } else { Show::NoClientState };
        Ok(Reply::json(StatusCode::OK, self.entity(&self.find(id)?, show)))
    }

    async fn update(&self, id: &str, body: &Body<'_>) -> Result<Reply, Refusal> {
        let old = self.find(id)?;
        let keeps_certificates = self.world.settings().keeps_certificates;
        let Change { changed, is_moved } = self.rules().update(&body.object()?, &old, keeps_certificates)?;
        if is_moved {
            self.shake_hands(&changed.notification_url.url, Some(&old.id)).await?;
        }
        let shown = self.entity(&changed, Show::ClientState);
        let mut state = self.world.state();
        let now = state.clock.now();
        if state.store.replace(changed, now) {
            Ok(Reply::json(StatusCode::OK, shown))
        } else {
            Err(Refusal::not_found())
        }
    }

    fn delete(&self, id: &str) -> Result<Reply, Refusal> {
        self.find(id)?;
        if self.world.lose(id) { Ok(Reply::empty(StatusCode::NO_CONTENT)) } else { Err(Refusal::not_found()) }
    }

    fn find(&self, id: &str) -> Result<Subscription, Refusal> {
        let state = self.world.state();
        let now = state.clock.now();
        state.store.owned(id, &self.caller, now).cloned().ok_or_else(Refusal::not_found)
    }

    fn rules(&self) -> Rules {
        Rules { now: self.world.now(), admits_plain_receivers: self.world.admits_plain_receivers }
    }

    fn admit(&self, new: &Subscription) -> Result<(), Refusal> {
        let state = self.world.state();
        state.store.admit(new, state.settings.quota, state.clock.now())
    }

    /// Another like it may have come while hands were shaken.
    fn insert(&self, new: Subscription) -> Result<(), Refusal> {
        let mut state = self.world.state();
        let now = state.clock.now();
        state.store.admit(&new, state.settings.quota, now)?;
        state.store.insert(new, now);
        Ok(())
    }

    async fn shake_hands(&self, url: &Url, subscription: Option<&str>) -> Result<(), Refusal> {
        let at = self.world.now();
        let (answered, judged) = self.world.receivers().shake_hands(url, &Uuid::now_v7().to_string()).await;
        self.world.record(handshake(at, url, subscription, &answered));
        judged
    }

    fn entity(&self, subscription: &Subscription, show: Show) -> Value {
        let mut entity = subscription.json(show);
        entity["@odata.context"] = json!(self.context("/$entity"));
        entity
    }

    fn context(&self, of: &str) -> String {
        format!("{}/{}/$metadata#subscriptions{of}", self.origin, self.version)
    }
}

/// What a call brought with it.
#[derive(Debug)]
pub(super) struct Body<'a> {
    pub(super) media_type: &'a str,
    pub(super) bytes: &'a [u8],
}

impl Body<'_> {
    fn object(&self) -> Result<Map<String, Value>, Refusal> {
        let media_type = self.media_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            let words = "Entity only allows writes with a JSON Content-Type header.";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", words));
        }
        serde_json::from_slice(self.bytes).map_err(|_| {
            Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", "Unable to read JSON request payload.")
        })
    }
}

fn handshake(
    at: SystemTime,
    url: &Url,
    subscription: Option<&str>,
    answered: &Result<u16, Unreached>,
) -> Sent {
    Sent {
        at,
        kind: SentKind::Handshake,
        subscription: subscription.map(str::to_owned),
        path: url.path().to_owned(),
        status: answered.as_ref().ok().copied(),
        error: answered.as_ref().err().map(|error| Chain(error).to_string()),
    }
}

/// Where the page begins that a link of ours leads to.
fn page_begin(query: &str) -> Result<usize, Refusal> {
    let token = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "$skiptoken");
    let Some((_, token)) = token else { return Ok(0) };
    let decoded = BASE64_URL_SAFE_NO_PAD.decode(token.as_bytes()).ok();
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let begin = text.as_deref().and_then(|text| text.strip_prefix(PAGE)?.parse().ok());
    begin.ok_or_else(|| Refusal::invalid("Invalid $skiptoken."))
}

/// So that nobody takes the token for a number to count with.
const PAGE: &str = "page:";

//! One call: its request, its answer, and whether to make it again.

use std::{
    sync::PoisonError,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;
use tokio::time::Instant;
use tracing::{debug, field::display, info};
use uuid::Uuid;

use super::{
    ClockOffset, Inner,
    answer::{date, request_id, retry_after},
    auth::Token,
    envelope::{ErrorEnvelope, RequestIds},
    error::{Cause, GraphError, Refusal},
    operation::Operation,
    subscription::Subscription,
};
use crate::{
    backoff::Backoff,
    client::Unanswered,
    deadline::Deadline,
    metrics::{GraphAnswer, Label},
    notification::id::SubscriptionId,
    secret::Secret,
};

/// What is asked for; the same for each try.
pub(super) struct Asked {
    operation: Operation,
    method: Method,
    url: String,
    body: Option<Bytes>,
    prefer: Vec<String>,
    /// What is in the body and must be in no error.
    secrets: Vec<Secret>,
}

/// A success.
pub(super) struct Answered {
    pub(super) body: Bytes,
    pub(super) ids: RequestIds,
}

/// How often and how long a call is tried.
pub(super) struct Patience {
    tries: u32,
    end: Instant,
    backoff: Backoff,
}

impl Asked {
    /// Something about all subscriptions, or a new one.
    pub(super) fn of(operation: Operation, method: Method, url: String) -> Self {
        Self { operation, method, url, body: None, prefer: Vec::new(), secrets: Vec::new() }
    }

    /// Something about this subscription.
    pub(super) fn about(
        graph: &Inner,
        operation: Operation,
        method: Method,
        id: &SubscriptionId<'_>,
        rest: &str,
    ) -> Result<Self, GraphError> {
        if !id.is_safe_in_path() {
            return Err(GraphError::NoId);
        }
        Ok(Self::of(operation, method, format!("{}/{}{rest}", graph.subscriptions(), &**id)))
    }

    /// With this body.
    pub(super) fn with(self, body: &impl Serialize) -> Result<Self, GraphError> {
        let body = serde_json::to_vec(body).map_err(|error| GraphError::Setup(Cause::new(error)))?;
        Ok(Self { body: Some(body.into()), ..self })
    }

    /// With these preferences.
    pub(super) fn preferring(self, prefer: &[String]) -> Self {
        Self { prefer: prefer.to_vec(), ..self }
    }

    /// With this in its body, which is not shown.
    pub(super) fn hiding(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }

    fn request(&self, token: &Token, ids: &RequestIds) -> Result<Request<Full<Bytes>>, GraphError> {
        let wrong = |error| GraphError::Setup(Cause::new(error));
        let token = token.header().ok_or(GraphError::Opaque)?;
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.url)
            .header(AUTHORIZATION, token)
            .header(ACCEPT, "application/json")
            .header(CLIENT_REQUEST_ID, &ids.ours);
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for prefer in &self.prefer {
            request =
                request.header(PREFER, HeaderValue::try_from(prefer).map_err(|error| wrong(error.into()))?);
        }
        request.body(Full::new(self.body.clone().unwrap_or_default())).map_err(wrong)
    }
}

impl Answered {
    /// The subscription that is its body.
    pub(super) fn subscription(&self) -> Result<Subscription, GraphError> {
        let what = "its body is no subscription";
        serde_json::from_slice(&self.body).map_err(|_| GraphError::Answer { what, ids: self.ids.clone() })
    }

    /// The same, if it is the one that was asked about: what is taken for ours may be changed and deleted.
    pub(super) fn subscription_with(&self, id: &SubscriptionId<'_>) -> Result<Subscription, GraphError> {
        let shown = self.subscription()?;
        if *shown.id == **id {
            Ok(shown)
        } else {
            Err(GraphError::Answer { what: "it is about another subscription", ids: self.ids.clone() })
        }
    }
}

impl Inner {
    /// The URL of all subscriptions.
    pub(super) fn subscriptions(&self) -> String {
        format!("{}{SUBSCRIPTIONS}", self.base)
    }
}

/// Makes a call that can be made twice, and makes it again where that may help.
pub(super) async fn insist(graph: &Inner, asked: &Asked) -> Result<Answered, GraphError> {
    let mut patience = Patience::new();
    loop {
        match once(graph, asked).await {
            Ok(answered) => return Ok(answered),
            Err(error) => patience.after(error).await?,
        }
    }
}

/// Makes a call; with another token, if Graph does not take the first.
pub(super) async fn once(graph: &Inner, asked: &Asked) -> Result<Answered, GraphError> {
    let token = graph.auth.token().await.map_err(GraphError::SignIn)?;
    match attempt(graph, asked, &token).await {
        Err(GraphError::Unauthorized(_)) => {
            graph.auth.discard(&token);
            let token = graph.auth.token().await.map_err(GraphError::SignIn)?;
            attempt(graph, asked, &token).await
        }
        answered => answered,
    }
}

async fn attempt(graph: &Inner, asked: &Asked, token: &Token) -> Result<Answered, GraphError> {
    let operation = asked.operation;
    graph.limits.room(operation).await.map_err(|wait| GraphError::Crowded { wait })?;
    let ids = RequestIds { ours: Uuid::now_v7().to_string(), graph: None };
    let request = asked.request(token, &ids)?;
    let (begun, sent_at) = (Instant::now(), SystemTime::now());
    let answer = graph.client.send(request, graph.answer_within).await;
    let took = begun.elapsed();
    graph.metrics.graph_api.request_duration.observe(took.as_secs_f64());
    let judged = match answer {
        Ok(answer) => {
            note_time(graph, &answer, sent_at);
            judge(asked, token, answer, ids)
        }
        Err(error) => Err(unanswered(error, ids)),
    };
    if let Some(result) = judged.as_ref().map_or_else(GraphAnswer::of, |_| Some(GraphAnswer::Ok)) {
        graph.metrics.graph_api.requests.count((operation, result));
        let ids = judged.as_ref().map_or_else(GraphError::request_ids, |answered| Some(&answered.ids));
        let (ids, [(_, result)]) = (ids.map(display), result.labels());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        debug!(operation = operation.as_str(), result, ids, took_ms, "asked Graph");
    }
    judged
}

fn judge(
    asked: &Asked,
    token: &Token,
    answer: Response<Bytes>,
    mut ids: RequestIds,
) -> Result<Answered, GraphError> {
    let (head, body) = answer.into_parts();
    ids.graph = request_id(&head.headers);
    if head.status.is_success() {
        return Ok(Answered { body, ids });
    }
    let secrets: Vec<&Secret> = asked.secrets.iter().chain([&token.secret]).collect();
    let envelope = ErrorEnvelope::read(&body, &secrets);
    if ids.graph.is_none() {
        ids.graph.clone_from(&envelope.request_id);
    }
    let retry_after = retry_after(&head.headers);
    Err(Refusal { status: head.status.as_u16(), envelope, ids, retry_after }.judged(asked.operation))
}

/// Whether the request has surely not been read decides what may be done next.
fn unanswered(error: Unanswered, ids: RequestIds) -> GraphError {
    match error {
        Unanswered::Trust { .. } | Unanswered::NoTrust { .. } | Unanswered::Url(_) => {
            GraphError::Setup(Cause::new(error))
        }
        Unanswered::Connect { .. } => GraphError::Unreached(Cause::new(error)),
        Unanswered::Http { .. } | Unanswered::Late { .. } | Unanswered::Answer { .. } => {
            GraphError::Unanswered { source: Cause::new(error), ids }
        }
    }
}

fn note_time(graph: &Inner, answer: &Response<Bytes>, asked: SystemTime) {
    let Some(date) = date(answer.headers()) else { return };
    let offset = ClockOffset { date, asked, heard: SystemTime::now() };
    graph.metrics.graph_api.clock_offset(offset.seconds());
    *graph.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some(offset);
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { tries: 1, end: Instant::now() + CALL_WITHIN, backoff: Backoff::new(PAUSE_FIRST, PAUSE_MAX) }
    }

    /// Waits until the call may be made again after this error; or gives it back, if that does not help, would be once too
    /// often, or is too long.
    pub(super) async fn after(&mut self, error: GraphError) -> Result<(), GraphError> {
        // Our own limits have been waited for already.
        let is_crowded = matches!(error, GraphError::Crowded { .. });
        if !error.is_worth_a_retry() || is_crowded || self.tries >= TRIES_MAX {
            return Err(error);
        }
        self.tries += 1;
        let told = error.retry_after();
        if told.is_some_and(|told| told > TOLD_MAX) {
            return Err(error);
        }
        // Never earlier than Graph wants, and not all at the moment that it names.
        let pause = told.unwrap_or_default() + self.backoff.next_pause();
        if Instant::now() + pause > self.end {
            return Err(error);
        }
        if told.is_some() {
            info!(wait_s = pause.as_secs(), "Graph wants us to wait");
        }
        Deadline::after(pause).passed().await;
        Ok(())
    }
}

/// Where subscriptions are.
pub(super) const SUBSCRIPTIONS: &str = "/v1.0/subscriptions";
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const TRIES_MAX: u32 = 3;
/// More than the pause after a failure at the identity platform, which is asked again then.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Who is to wait for longer than this decides himself whether he does.
const TOLD_MAX: Duration = Duration::from_secs(5 * 60);
/// No wait begins that would end after this.
const CALL_WITHIN: Duration = Duration::from_secs(6 * 60);

//! A new subscription, and never two: once it is not known what became of a try, there is a look before the next.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hyper::Method;
use tokio::time::Instant;

use super::{
    Inner,
    call::{self, Asked, Patience},
    error::GraphError,
    operation::Operation,
    pages,
    resources::{is_same_path, is_same_url},
    subscription::{NewSubscription, Subscription},
};
use crate::{backoff::Backoff, deadline::Deadline, notification::id::SubscriptionId};

type Known = HashSet<SubscriptionId<'static>>;

/// Creates it.
pub(super) async fn create(
    graph: &Inner,
    new: &NewSubscription,
    known: &Known,
) -> Result<Subscription, GraphError> {
    let asked = Asked::of(Operation::Create, Method::POST, graph.subscriptions());
    let asked = asked.with(new)?.preferring(&new.prefer).hiding(&new.client_state);
    let mut patience = Patience::new();
    let mut may_be_there = false;
    loop {
        let begun = Instant::now();
        let tried = call::once(graph, &asked).await.and_then(|answered| answered.subscription());
        let error = match tried {
            Ok(subscription) => return Ok(with_state(subscription, new)),
            Err(error) => error,
        };
        let is_twin = may_be_there && matches!(error, GraphError::Conflict { .. });
        if !is_twin && !is_uncertain(&error) {
            patience.after(error).await?;
            continue;
        }
        may_be_there = true;
        match look(graph, new, known, begun + SETTLED_AFTER).await {
            Ok(Some(made)) => return Ok(with_state(made, new)),
            Ok(None) => patience.after(error).await?,
            Err(_) => return Err(GraphError::Uncertain { source: Arc::new(error) }),
        }
    }
}

/// Whether Graph may have created it nevertheless.
fn is_uncertain(error: &GraphError) -> bool {
    match error {
        GraphError::Unanswered { .. } | GraphError::Answer { .. } | GraphError::Uncertain { .. } => true,
        GraphError::Unavailable(refusal) => refusal.is_uncertain(),
        GraphError::Setup(_) | GraphError::SignIn(_) | GraphError::Opaque | GraphError::NoId => false,
        GraphError::Unauthorized(_) | GraphError::Forbidden(_) | GraphError::Quota(_) => false,
        GraphError::Gone(_) | GraphError::Conflict { .. } | GraphError::Refused(_) => false,
        GraphError::Throttled(_) | GraphError::Crowded { .. } | GraphError::Unreached(_) => false,
    }
}

/// Looks for it until it is there, or would have to be.
async fn look(
    graph: &Inner,
    new: &NewSubscription,
    known: &Known,
    settled: Instant,
) -> Result<Option<Subscription>, GraphError> {
    let mut backoff = Backoff::new(LOOK_FIRST, LOOK_MAX);
    loop {
        let is_settled = Instant::now() >= settled;
        let now = SystemTime::now();
        let listed = pages::list(graph).await?;
        let made = listed.into_iter().filter(|listed| is_it(listed, new, known, &graph.client_id, now));
        // Of several, which would all be of another process that wants the same, the one that lasts longest.
        let made = made.max_by_key(|made| made.expiration_date_time);
        if made.is_some() || is_settled {
            return Ok(made);
        }
        Deadline::at(settled).or_after(backoff.next_pause()).passed().await;
    }
}

/// Whether this is the one that was asked for.
fn is_it(
    listed: &Subscription,
    new: &NewSubscription,
    known: &Known,
    client_id: &str,
    now: SystemTime,
) -> bool {
    let is_ours = match &listed.application_id {
        Some(app) => client_id.is_empty() || app.eq_ignore_ascii_case(client_id),
        None => true,
    };
    is_ours
        && !known.contains(&listed.id)
        && is_same_path(&listed.resource, &new.resource)
        && listed.change_types() == new.change_types()
        && is_same_url(&listed.notification_url, &new.notification_url)
        && listed.include_resource_data.unwrap_or(false) == new.include_resource_data.unwrap_or(false)
        && listed.expiration_date_time > now
}

/// Lists do not tell it.
fn with_state(mut made: Subscription, new: &NewSubscription) -> Subscription {
    made.client_state.get_or_insert_with(|| new.client_state.clone());
    made
}

/// Graph calls both URLs of a subscription before it makes it, and waits for 10 s each time at most ("Receive change
/// notifications through webhooks", <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>): what is
/// not there a little after that is not made any more.
const SETTLED_AFTER: Duration = Duration::from_secs(22);
const LOOK_FIRST: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;

//! Lifecycle events: what becomes of the subscription itself.

use super::{
    case::{
        Case, Need, Play, must, should,
        sources::{IN_THE_WILD, LIFECYCLE, RICH, VALIDATION},
    },
    judge::{DELIVERED, Judge},
    shot::Shot,
    stage::Stage,
};
use crate::simulate::template::{Tokens, collection};

pub(super) const CASES: &[Case] = &[
    must(
        "lifecycle/reauthorization-required",
        "as it is documented",
        LIFECYCLE,
        Play::Each(|stage| documented(stage, REAUTHORIZE)),
        DELIVERED,
    ),
    must(
        "lifecycle/subscription-removed",
        "as it is documented",
        LIFECYCLE,
        Play::Each(|stage| documented(stage, REMOVED)),
        DELIVERED,
    ),
    must(
        "lifecycle/missed",
        "as it is documented",
        LIFECYCLE,
        Play::Each(|stage| documented(stage, MISSED)),
        DELIVERED,
    ),
    must(
        "lifecycle/reauthorization-required-in-the-wild",
        "as it comes: organizationId in place of tenantId, and members that the page does not name",
        IN_THE_WILD,
        Play::Each(|stage| wild(stage, REAUTHORIZE)),
        DELIVERED,
    ),
    must(
        "lifecycle/subscription-removed-in-the-wild",
        "as it comes",
        IN_THE_WILD,
        Play::Each(|stage| wild(stage, REMOVED)),
        DELIVERED,
    ),
    must(
        "lifecycle/missed-in-the-wild",
        "as it comes",
        IN_THE_WILD,
        Play::Each(|stage| wild(stage, MISSED)),
        DELIVERED,
    ),
    must(
        "lifecycle/mixed",
        "several events of several kinds in a POST",
        LIFECYCLE,
        Play::Each(mixed),
        DELIVERED,
    ),
    should(
        "lifecycle/beside-notifications",
        "events and changes in a POST, should both URLs be the same",
        LIFECYCLE,
        Play::Each(beside),
        DELIVERED,
    )
    .needing(Need::OneUrl),
    should(
        "lifecycle/unknown-event",
        "an event that nobody knows yet",
        LIFECYCLE,
        Play::Each(|stage| documented(stage, "unknownFutureValue")),
        DELIVERED,
    ),
    should(
        "lifecycle/empty-resource",
        "resource may be empty",
        IN_THE_WILD,
        Play::Each(empty_resource),
        DELIVERED,
    ),
    should(
        "lifecycle/no-tenant",
        "neither tenantId nor organizationId",
        IN_THE_WILD,
        Play::Each(no_tenant),
        DELIVERED,
    ),
    must(
        "lifecycle/with-tokens",
        "validationTokens stand beside the events of subscriptions with resource data",
        RICH,
        Play::Each(|stage| with_tokens(stage, Tokens::These(&["no.token.".to_owned()]))),
        DELIVERED,
    ),
    must(
        "lifecycle/with-null-tokens",
        "or are null",
        RICH,
        Play::Each(|stage| with_tokens(stage, Tokens::Null)),
        DELIVERED,
    ),
    must(
        "lifecycle/forged",
        "an event with a wrong clientState: the answer is a 2xx all the same",
        LIFECYCLE,
        Play::Each(forged),
        DELIVERED,
    ),
    must(
        "lifecycle/repeated",
        "the same event again and again: there is no fixed pace",
        LIFECYCLE,
        Play::Line(repeated),
        DELIVERED,
    ),
    must(
        "lifecycle/url-handshake",
        "the second URL is asked, too",
        VALIDATION,
        Play::Each(|stage| vec![stage.lifecycle_handshake()]),
        &[Judge::Token],
    )
    .needing(Need::LifecycleUrl),
    must(
        "lifecycle/url-both-at-once",
        "both URLs are asked at the same time",
        VALIDATION,
        Play::Together(|stage| vec![stage.today(), stage.lifecycle_handshake()]),
        &[Judge::Token],
    )
    .needing(Need::LifecycleUrl),
    must(
        "lifecycle/url-events",
        "the second URL takes every event",
        LIFECYCLE,
        Play::Each(url_events),
        DELIVERED,
    )
    .needing(Need::LifecycleUrl),
];

const REAUTHORIZE: &str = "reauthorizationRequired";
const REMOVED: &str = "subscriptionRemoved";
const MISSED: &str = "missed";
const EVENTS: [&str; 3] = [REAUTHORIZE, REMOVED, MISSED];

fn documented(stage: &Stage, event: &str) -> Vec<Shot> {
    vec![stage.lifecycle_post(&[stage.item("lifecycle-documented", event)]).called(event)]
}

fn wild(stage: &Stage, event: &str) -> Vec<Shot> {
    vec![stage.lifecycle_post(&[stage.item("lifecycle", event)]).called(event)]
}

fn all(stage: &Stage) -> Vec<String> {
    EVENTS
        .iter()
        .flat_map(|event| ["lifecycle", "lifecycle-documented"].map(|name| stage.item(name, event)))
        .collect()
}

fn mixed(stage: &Stage) -> Vec<Shot> {
    vec![stage.lifecycle_post(&all(stage))]
}

fn beside(stage: &Stage) -> Vec<Shot> {
    let mut items = all(stage);
    items.insert(1, stage.message());
    items.push(stage.message());
    vec![stage.post(&items)]
}

fn empty_resource(stage: &Stage) -> Vec<Shot> {
    let item = stage.item_with("lifecycle", MISSED, |item| item.set("resource", "\"\""));
    vec![stage.lifecycle_post(&[item])]
}

fn no_tenant(stage: &Stage) -> Vec<Shot> {
    let item = stage.item_with("lifecycle-documented", MISSED, |item| {
        item.remove("tenantId");
    });
    vec![stage.lifecycle_post(&[item])]
}

fn with_tokens(stage: &Stage, tokens: Tokens<'_>) -> Vec<Shot> {
    vec![stage.lifecycle_body("1 item", collection(&[stage.item("lifecycle", REAUTHORIZE)], tokens))]
}

fn forged(stage: &Stage) -> Vec<Shot> {
    let item = stage.item_with("lifecycle", REMOVED, |item| item.set("clientState", "\"a guess\""));
    vec![stage.lifecycle_post(&[item]).called("another clientState")]
}

fn repeated(stage: &Stage) -> Vec<Shot> {
    let shot = stage.lifecycle_post(&[stage.item("lifecycle", REAUTHORIZE)]).called(REAUTHORIZE);
    vec![shot; 5]
}

fn url_events(stage: &Stage) -> Vec<Shot> {
    all(stage).into_iter().map(|item| stage.lifecycle_post(&[item])).collect()
}

//! Tokens are kept, fetched early, by one caller for all, and not in a storm when they cannot be had.

use std::time::Duration;

use graphhook::graph::GraphError;
use graphhook::graph::auth::AuthError;
use graphhook::simulate::api::{Fault, Operation};
use tokio::task::JoinSet;

use super::Desk;
use crate::support::eventually::eventually_within;

#[tokio::test]
async fn one_token_is_fetched_for_fifty_callers() {
    let desk = Desk::open().await;
    // So that all of them ask while the first is on its way.
    desk.stand.api.fail(Fault::delay(Operation::Token, Duration::from_secs(1)));
    let graph = desk.graph().await;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let graph = graph.clone();
        asking.spawn(async move { graph.token_claims().await });
    }
    while let Some(claims) = asking.join_next().await {
        let claims = claims.expect("no panic").expect("a token");
        assert_eq!(claims.app_id.as_deref(), Some(super::APP));
        assert_eq!(claims.tenant_id.as_deref(), Some(super::TENANT));
    }
    assert_eq!(desk.calls(Operation::Token).len(), 1);
    assert_eq!(desk.metric(r#"graphhook_graph_tokens_total{result="ok"}"#), 1);
    assert!(desk.metric("graphhook_graph_token_expires_timestamp_seconds") > 1_790_000_000);
}

#[tokio::test]
async fn a_token_that_graph_does_not_take_is_replaced_once() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    graph.list().await.expect("a list");
    desk.stand.api.fail(Fault::status(Operation::List, 401));
    graph.list().await.expect("with another token");
    assert_eq!((desk.calls(Operation::List).len(), desk.calls(Operation::Token).len()), (3, 2));
    desk.stand.api.forget();
    desk.stand.api.fail(Fault::status(Operation::List, 401).times(9));
    let error = graph.list().await.expect_err("no token is good");
    assert!(matches!(error, GraphError::Unauthorized(_)), "{error}");
    assert_eq!((desk.calls(Operation::List).len(), desk.calls(Operation::Token).len()), (2, 1));
}

/// Of fifty callers whose token has ended at Graph, one fetches another.
#[tokio::test]
async fn fifty_callers_replace_a_token_once() {
    let desk = Desk::open().await;
    desk.stand.api.set(|settings| settings.throttles = false);
    let graph = desk.graph().await;
    graph.token_claims().await.expect("a token");
    // Ended by the stand-in's clock, and by ours not.
    desk.stand.api.advance(Duration::from_secs(2 * 3600));
    desk.stand.api.forget();
    desk.stand.api.fail(Fault::delay(Operation::Token, Duration::from_secs(1)));
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let graph = graph.clone();
        asking.spawn(async move { graph.get(&"none".to_owned().into()).await });
    }
    while let Some(got) = asking.join_next().await {
        let error = got.expect("no panic").expect_err("there is none");
        assert!(matches!(error, GraphError::Gone(_)), "{error}");
    }
    let tokens = desk.calls(Operation::Token).len();
    assert_eq!(tokens, 1, "{tokens} tokens for fifty callers");
}

#[tokio::test]
async fn a_token_is_fetched_anew_before_it_ends_and_nobody_sees_it_fail() {
    let desk = Desk::open().await;
    desk.stand.api.set(|settings| settings.token_lifetime = 10);
    let graph = desk.graph().await;
    graph.list().await.expect("a list");
    // From now on the platform is away; when the token is due it is tried, and the old one does.
    desk.stand.api.fail(Fault::status(Operation::Token, 503).times(1));
    let series = r#"graphhook_graph_tokens_total{result="unanswered"}"#;
    eventually_within(Duration::from_secs(20), "a fetch that fails unseen", async || {
        graph.token_claims().await.expect("there is a token all the while");
        (desk.metric(series) == 1).then_some(())
    })
    .await;
    eventually_within(Duration::from_secs(20), "another token", async || {
        graph.token_claims().await.expect("there is a token all the while");
        (desk.metric(r#"graphhook_graph_tokens_total{result="ok"}"#) == 2).then_some(())
    })
    .await;
    graph.list().await.expect("with the new one");
}

#[tokio::test]
async fn a_platform_that_is_away_is_not_stormed() {
    let desk = Desk::open().await;
    desk.stand.api.fail(Fault::status_retry_after(Operation::Token, 503, 600).times(1_000));
    let graph = desk.graph().await;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let graph = graph.clone();
        asking.spawn(async move { graph.list().await });
    }
    while let Some(got) = asking.join_next().await {
        let error = got.expect("no panic").expect_err("nobody is there");
        let GraphError::SignIn(AuthError::Busy { .. }) = &error else { panic!("{error:?}") };
        assert!(error.is_worth_a_retry());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(600)));
    }
    assert_eq!(desk.calls(Operation::Token).len(), 1);
}

/// A short fault of the platform is waited for within one call.
#[tokio::test]
async fn a_short_fault_of_the_platform_is_not_seen() {
    let desk = Desk::open().await;
    desk.stand.api.fail(Fault::status(Operation::Token, 500));
    let graph = desk.graph().await;
    graph.list().await.expect("at the second try");
    assert_eq!((desk.calls(Operation::Token).len(), desk.calls(Operation::List).len()), (2, 1));
}

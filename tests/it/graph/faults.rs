//! The connection is lost before, during and after the effect: there is one subscription afterwards, never two.

use std::sync::Arc;
use std::time::Duration;

use graphhook::graph::subscription::Change;
use graphhook::graph::{Deleted, GraphError};
use graphhook::simulate::api::{Cut, Fault, Operation};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Desk, nothing_known};

#[tokio::test]
async fn a_create_that_loses_its_connection_makes_one() {
    for (cut, creates) in [(Cut::Before, 2), (Cut::During, 1), (Cut::After, 1)] {
        let desk = Desk::open().await;
        let graph = desk.graph().await;
        desk.stand.api.fail(Fault::cut(Operation::Create, cut));
        let begun = Instant::now();
        let made = graph.create(&desk.new_of("a"), &nothing_known()).await.expect("it is created");
        let held = desk.stand.api.subscriptions();
        assert_eq!(held.len(), 1, "{cut:?}");
        assert_eq!(held[0].id, *made.id, "{cut:?}");
        assert_eq!(made.client_state.as_ref().map(|state| state.expose()), Some(super::STATE));
        assert_eq!(desk.calls(Operation::Create).len(), creates, "{cut:?}");
        // Nothing is sent again before both handshakes of the first would be over.
        assert_eq!(begun.elapsed() > Duration::from_secs(20), creates == 2, "{cut:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_create_that_is_answered_too_late_makes_one() {
    let desk = Desk::open().await;
    let mut settings = desk.settings(super::by_secret());
    settings.answer_within = Duration::from_secs(2);
    let graph = desk.graph_by(&settings).await;
    desk.stand.api.fail(Fault::delay(Operation::Create, Duration::from_secs(5)));
    let made = graph.create(&desk.new_of("a"), &nothing_known()).await.expect("it is created");
    let held = desk.stand.api.subscriptions();
    assert_eq!((held.len(), desk.calls(Operation::Create).len()), (1, 1));
    assert_eq!(held[0].id, *made.id);
}

#[tokio::test]
async fn who_says_when_to_come_again_is_not_looked_at_first() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    desk.stand.api.fail(Fault::status_retry_after(Operation::Create, 503, 1));
    desk.stand.api.fail(Fault::status_retry_after(Operation::Create, 429, 1));
    graph.create(&desk.new_of("a"), &nothing_known()).await.expect("it is created");
    assert_eq!((desk.calls(Operation::Create).len(), desk.calls(Operation::List).len()), (3, 0));
    assert_eq!(desk.stand.api.subscriptions().len(), 1);
}

#[tokio::test]
async fn without_a_look_nothing_is_created_again() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    desk.stand.api.fail(Fault::cut(Operation::Create, Cut::After));
    desk.stand.api.fail(Fault::status(Operation::List, 500).times(9));
    let error = graph.create(&desk.new_of("a"), &nothing_known()).await.expect_err("nobody knows");
    assert!(matches!(error, GraphError::Uncertain { .. }) && error.is_worth_a_retry(), "{error}");
    assert_eq!((desk.calls(Operation::Create).len(), desk.stand.api.subscriptions().len()), (1, 1));
}

#[tokio::test]
async fn what_can_be_said_twice_is() {
    let desk = Desk::open().await;
    let graph = desk.graph().await;
    let made = graph.create(&desk.new_of("a"), &nothing_known()).await.expect("it is created");
    for cut in [Cut::Before, Cut::During, Cut::After] {
        for operation in [Operation::Update, Operation::Reauthorize, Operation::Get, Operation::List] {
            desk.stand.api.fail(Fault::cut(operation, cut));
        }
        let end = desk.in_minutes(300);
        let change = Change { expiration_date_time: Some(end), ..Change::default() };
        let (changed, again, got, listed) = tokio::join!(
            graph.update(&made.id, &change),
            graph.reauthorize(&made.id),
            graph.get(&made.id),
            graph.list(),
        );
        changed.expect("it is renewed");
        again.expect("it goes on");
        got.expect("it is there");
        assert_eq!(listed.expect("a list").len(), 1);
    }
    assert_eq!(desk.calls(Operation::Update).len(), 6);
    // It was deleted the first time; whether the answer to the second says so is all the same.
    desk.stand.api.fail(Fault::cut(Operation::Delete, Cut::After));
    assert_eq!(graph.delete(&made.id).await.expect("it is gone"), Deleted::WasGone);
}

/// Several at once, of which some are cut: each is there once.
#[tokio::test]
async fn many_that_lose_their_connection_at_once_make_one_each() {
    let desk = Desk::open().await;
    let (desk, mut creating) = (Arc::new(desk), JoinSet::new());
    let graph = desk.graph().await;
    desk.stand.api.fail(Fault::cut(Operation::Create, Cut::After).times(4));
    for user in ["a", "b", "c", "d", "e", "f"] {
        let (desk, graph) = (Arc::clone(&desk), graph.clone());
        creating.spawn(async move {
            let made = graph.create(&desk.new_of(user), &nothing_known()).await.expect("it is created");
            assert_eq!(made.resource, format!("/users/{user}/messages"));
        });
    }
    while let Some(created) = creating.join_next().await {
        created.expect("it was created");
    }
    assert_eq!((desk.stand.api.subscriptions().len(), desk.calls(Operation::Create).len()), (6, 6));
}

//! Whatever goes wrong with a call, there is one subscription at the end, and its notifications are believed.

use graphhook::simulate::api::{Cut, Fault, Operation};

use super::{LONG, Place, mail, management, queue, stopped, wanted};
use crate::support::eventually::eventually_within;

/// One subscription is there at the end, whatever befalls the calls, and its notifications are believed.
async fn makes_one(fault: Fault) {
    let place = Place::open().await;
    place.stand.api.fail(fault);
    let daemon = place.configuration(&mail()).connected().await;
    let ids = place.live(&daemon, &["mail"]).await;
    assert_eq!(place.all().len(), 1);
    place.stand.api.notify(&ids[0], 1).await.expect("it is live");
    let messages = queue(&daemon).await.take(1).await;
    assert_eq!(messages[0].header("graphhook-client-state"), "mail");
    stopped(&daemon).await;
}

#[tokio::test]
async fn a_create_that_is_cut_before_it_is_done_is_made_up_for() {
    makes_one(Fault::cut(Operation::Create, Cut::Before)).await;
}

#[tokio::test]
async fn a_create_whose_answer_is_cut_short_makes_one_subscription() {
    makes_one(Fault::cut(Operation::Create, Cut::During)).await;
}

#[tokio::test]
async fn creates_that_are_never_answered_make_one_subscription() {
    makes_one(Fault::cut(Operation::Create, Cut::After).times(4)).await;
}

#[tokio::test]
async fn a_create_that_comes_too_early_is_tried_again() {
    makes_one(Fault::status_retry_after(Operation::Create, 429, 1)).await;
}

#[tokio::test]
async fn a_service_that_is_not_available_is_asked_again() {
    // Without a word of when, it may have been done: the client looks for a while before it creates again.
    makes_one(Fault::status(Operation::Create, 503)).await;
}

#[tokio::test]
async fn a_service_that_says_when_is_asked_then() {
    makes_one(Fault::status_retry_after(Operation::Create, 503, 1).times(4)).await;
}

#[tokio::test]
async fn a_list_that_fails_is_asked_for_again() {
    makes_one(Fault::status(Operation::List, 500).times(6)).await;
}

#[tokio::test]
async fn a_login_that_fails_is_tried_again() {
    makes_one(Fault::status(Operation::Token, 503).times(3)).await;
}

#[tokio::test]
async fn a_daemon_that_dies_while_it_creates_makes_one_subscription() {
    for shows in [true, false] {
        let place = Place::open().await;
        place.stand.api.set(|settings| settings.shows_client_state = shows);
        // It is there, and the daemon does not hear of it.
        place.stand.api.fail(Fault::delay(Operation::Create, LONG));
        let mut daemon = place.configuration(&mail()).connected().await;
        eventually_within(LONG, "it is made", async || (!place.all().is_empty()).then_some(())).await;
        let made = place.all()[0].id.clone();
        daemon.kill();
        daemon.restart().await;
        let ids = place.live(&daemon, &["mail"]).await;
        assert_eq!(place.all().len(), 1);
        assert_eq!(ids[0] == made, shows, "adopted where it shows that it is ours");
        place.stand.api.notify(&ids[0], 1).await.expect("it is live");
        queue(&daemon).await.take(1).await;
        stopped(&daemon).await;
    }
}

#[tokio::test]
async fn one_that_cannot_be_made_costs_the_others_nothing() {
    let place = Place::open().await;
    // Nothing is served there.
    let bad = wanted("bad", "/users/b@contoso.com/messages", "")
        + &format!("notification_url = \"{}/nowhere\"\n", place.url());
    let daemon = place.configuration(&(bad + &mail())).connected().await;
    eventually_within(LONG, "the good one is there", async || {
        let all = place.all();
        (all.len() == 1 && all[0].resource == super::MAIL).then_some(())
    })
    .await;
    daemon.eventually_logs("subscription_step_failed").await;
    let row = eventually_within(LONG, "a failing row", async || {
        let management = management(&daemon).await;
        (management["failing"] == 1 && management["live"] == 1).then(|| management["list"][0].clone())
    })
    .await;
    assert_eq!(row["name"], "bad");
    assert!(row["trouble"].as_str().is_some_and(|words| words.contains("400")), "{row}");
    assert!(row["again_at"].is_string(), "{row}");
    let (_, ready) = daemon.get_admin("/readyz").await;
    assert_eq!(ready, "ready\n");
    stopped(&daemon).await;
}

#[tokio::test]
async fn without_graph_the_daemon_serves_and_looks_again() {
    let place = Place::open().await;
    place.stand.api.fail(Fault::status(Operation::Token, 500).times(1_000));
    let daemon = place.configuration(&mail()).connected().await;
    daemon.eventually_logs("subscriptions_not_looked_after").await;
    assert!(management(&daemon).await["trouble"].is_string());
    assert!(place.calls(Operation::List).is_empty());
    place.stand.api.heal();
    place.live(&daemon, &["mail"]).await;
    assert!(management(&daemon).await["trouble"].is_null());
    stopped(&daemon).await;
}

//! An authority that fails when a certificate is to be renewed.

use std::time::Duration;

use super::{BOUND, DOMAIN, Plan, Posting, SHORT, Scene};
use crate::support::eventually::eventually_within;
use crate::support::front::Weather;

#[tokio::test]
async fn an_authority_down_at_the_renewal_is_tried_again() {
    let scene = Scene::start(Plan { seconds: SHORT, ..Plan::default() }).await;
    let first = scene.eventually_shown(DOMAIN).await;
    let mut posting = Posting::start(&scene).await;
    scene.front.set(Weather::Down);
    let failing = scene.eventually_fails("cannot connect to localhost").await;
    assert_eq!(failing["state"], "failing");
    eventually_within(BOUND, "another try", async || (scene.front.closed() > 1).then_some(())).await;
    assert_eq!(scene.shown(DOMAIN).await.expect("the old one is still good"), first);
    posting.goes_on().await;
    assert_eq!(scene.daemon.get_admin("/readyz").await.0, 200);
    scene.front.set(Weather::Fair);
    scene.eventually_shown_after(&first).await;
    posting.goes_on().await;
    scene.eventually_saved().await;
    assert_eq!(scene.counts().await.0, 2.0);
}

#[tokio::test]
async fn a_rate_limit_at_the_renewal_is_obeyed() {
    let scene = Scene::start(Plan { seconds: SHORT, ..Plan::default() }).await;
    let first = scene.eventually_shown(DOMAIN).await;
    // About nine seconds will be left then: without this word the next try would come after half of them. It is said
    // before anything else, for the renewal comes by itself.
    scene.front.set(Weather::Limited(7));
    let mut posting = Posting::start(&scene).await;
    scene.eventually_fails("rateLimited").await;
    assert_eq!(scene.shown(DOMAIN).await.expect("the old one is still good"), first);
    scene.front.set(Weather::Fair);
    posting.goes_on().await;
    scene.eventually_shown_after(&first).await;
    posting.goes_on().await;
    // The first brought the certificate. What says what it replaces is not repeated in other words at a limit.
    let orders = scene.front.orders();
    assert_eq!(orders.len(), 3);
    assert!(orders[2] - orders[1] >= Duration::from_secs(7), "{orders:?}");
}

#[tokio::test]
async fn an_authority_that_has_forgotten_us_gets_to_know_us_again() {
    let mut scene = Scene::start(Plan { seconds: SHORT, ..Plan::default() }).await;
    let first = scene.eventually_shown(DOMAIN).await;
    scene.pebble.forget().await;
    scene.eventually_shown_after(&first).await;
    assert_eq!(scene.front.registrations(), 2);
    scene.daemon.eventually_logs("is set aside").await;
}

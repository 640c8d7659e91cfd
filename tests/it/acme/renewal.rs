//! The next certificate, while notifications go on.

use super::{DOMAIN, Plan, Posting, SHORT, Scene};
use crate::support::front::Weather;

#[tokio::test]
async fn a_certificate_is_renewed_under_way() {
    let scene = Scene::start(Plan { seconds: SHORT, ..Plan::default() }).await;
    let first = scene.eventually_shown(DOMAIN).await;
    let mut posting = Posting::start(&scene).await;
    scene.eventually_shown_after(&first).await;
    posting.goes_on().await;
    assert_eq!(scene.front.registrations(), 1);
    assert_eq!(scene.front.orders().len(), 2);
}

#[tokio::test]
async fn an_authority_that_suggests_to_renew_is_followed() {
    let suggested = |takes_up| {
        Weather::Suggesting("2020-01-01T00:00:00Z".to_owned(), "2020-01-02T00:00:00Z".to_owned(), takes_up)
    };
    let mut scene = Scene::start(Plan::default()).await;
    let first = scene.eventually_shown(DOMAIN).await;
    scene.eventually_saved().await;
    // It is asked some time after an order, and at the start.
    scene.daemon.kill();
    scene.front.set(suggested(true));
    scene.daemon.restart().await;
    let second = scene.eventually_shown_after(&first).await;
    scene.eventually_saved().await;
    assert_eq!(scene.front.orders().len(), 2, "the order says what it replaces, and is taken up");
    scene.daemon.kill();
    scene.front.set(suggested(false));
    scene.daemon.restart().await;
    scene.eventually_shown_after(&second).await;
    assert_eq!(scene.front.orders().len(), 4, "one that the authority does not take up, and a plain one");
}

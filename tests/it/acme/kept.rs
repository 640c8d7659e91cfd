//! What is on disk, and what a restart finds there.

use std::fs;

use super::{BOUND, DOMAIN, Plan, Scene};
use crate::support::daemon::Configuration;
use crate::support::eventually::eventually_within;

#[tokio::test]
async fn a_restart_orders_nothing() {
    let mut scene = Scene::start(Plan::default()).await;
    let before = scene.eventually_shown(DOMAIN).await;
    scene.eventually_saved().await;
    scene.daemon.kill();
    scene.daemon.restart().await;
    assert_eq!(scene.shown(DOMAIN).await.expect("it is there from the start"), before);
    assert_eq!(scene.daemon.get_admin("/readyz").await.0, 200);
    // It has begun its work, and has nothing to do but to ask for a suggestion.
    eventually_within(BOUND, "a question", async || (scene.front.directories() == 2).then_some(())).await;
    assert_eq!(scene.counts().await, (0.0, 0.0));
    assert_eq!(scene.front.orders().len(), 1);
}

#[tokio::test]
async fn a_daemon_killed_at_any_moment_begins_again() {
    // The account is written first, the certificate second.
    for point in ["AcmeBeforeSave", "AcmeMidSave", "AcmeMidSave:2"] {
        let killed = |configuration: Configuration| configuration.env("FAIL_POINT", point);
        let mut scene = Scene::spawn(Plan::default(), killed).await;
        let status = scene.daemon.wait_exit().await;
        assert_eq!(status.code(), None, "{point} was never reached\n{}", scene.daemon.log());
        scene.daemon.reconfigure(|configuration| configuration.env("FAIL_POINT", ""));
        scene.daemon.restart().await;
        scene.eventually_shown(DOMAIN).await;
        scene.eventually_saved().await;
        assert_eq!(scene.files().len(), 2, "{point}: {:?}", scene.files());
    }
}

#[tokio::test]
async fn a_daemon_killed_in_an_order_begins_again() {
    let mut scene = Scene::start(Plan::default()).await;
    eventually_within(BOUND, "an order", async || (!scene.front.orders().is_empty()).then_some(())).await;
    scene.daemon.kill();
    scene.daemon.restart().await;
    scene.eventually_shown(DOMAIN).await;
    assert_eq!(scene.front.registrations(), 1, "the account was saved before the order");
}

#[tokio::test]
async fn what_is_damaged_is_set_aside_and_obtained_anew() {
    let mut scene = Scene::start(Plan::default()).await;
    let before = scene.eventually_shown(DOMAIN).await;
    scene.eventually_saved().await;
    scene.daemon.kill();
    let file = scene.file(&format!("{DOMAIN}.pem"));
    let text = fs::read_to_string(&file).expect("it can be read");
    // Without the intermediate, which nobody would miss who only parses it.
    let cut = text.rfind("-----BEGIN CERTIFICATE-----").expect("there is one");
    fs::write(&file, &text[..cut]).expect("it can be written");
    fs::write(scene.file("account.json"), "{}").expect("it can be written");
    scene.daemon.restart().await;
    scene.eventually_shown_after(&before).await;
    scene.eventually_saved().await;
    let damaged = scene.files().iter().filter(|file| file.to_string_lossy().contains(".damaged-")).count();
    assert_eq!(damaged, 2, "{:?}", scene.files());
    assert_eq!(scene.front.registrations(), 2);
}

#[tokio::test]
async fn nothing_is_ordered_that_cannot_be_kept() {
    let cache = |configuration: Configuration| configuration.set("server.tls", "cache", "\"/dev/null/acme\"");
    let scene = Scene::with(Plan::default(), cache).await;
    scene.eventually_fails("cannot make /dev/null/acme").await;
    assert_eq!(scene.front.orders().len(), 0);
}

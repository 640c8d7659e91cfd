//! The first certificate.

use std::os::unix::fs::PermissionsExt;

use super::{DOMAIN, Http, OTHER, Plan, Scene};
use crate::support::daemon::rfc3339;
use crate::support::front::Weather;
use crate::support::https::{plain, request};
use crate::support::pebble::BLOCKED;

#[tokio::test]
async fn a_certificate_is_obtained_over_the_port_that_is_served() {
    let scene = Scene::start(Plan::default()).await;
    scene.eventually_shown(DOMAIN).await;
    scene
        .daemon
        .eventually_metric("graphhook_acme_orders_total{result=\"issued\"}", |count| count == 1.0)
        .await;
    assert_eq!(scene.counts().await, (1.0, 0.0));
    let standing = scene.standings().await.remove(0);
    assert_eq!((&standing["domain"], &standing["state"]), (&DOMAIN.into(), &"good".into()));
    let ends = format!("graphhook_tls_certificate_not_after_timestamp_seconds{{host=\"{DOMAIN}\"}}");
    let ends = scene.daemon.metrics().await.find(&ends).expect("the metric of this host is there");
    assert_eq!(standing["not_after"], rfc3339(ends));
    assert_eq!(scene.daemon.get_admin("/readyz").await.0, 200);
    scene.daemon.eventually_logs("new certificate").await;
    for file in ["account.json", &format!("{DOMAIN}.pem")] {
        let mode = scene.file(file).metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(!scene.daemon.log().contains("PRIVATE KEY"));
    // The challenge is over: who comes for one now sees nothing.
    assert!(scene.connect_for_a_challenge().await.is_err());
}

#[tokio::test]
async fn a_certificate_is_obtained_over_plain_http() {
    let scene = Scene::start(Plan { http: Http::On, ..Plan::default() }).await;
    scene.eventually_shown(DOMAIN).await;
    let address = scene.http;
    let (_, status) = scene.daemon.get_admin("/status").await;
    assert!(status.contains(&format!("\"acme_listener\": \"{address}\"")), "{status}");
    for path in [
        "/",
        "/healthz",
        "/graph/notifications",
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/x",
    ] {
        let reply = plain(address, request(hyper::Method::GET, path, &[], "")).await;
        assert_eq!(reply.expect("there is an answer").status, 404, "{path}");
    }
}

#[tokio::test]
async fn each_domain_has_a_certificate_of_its_own() {
    let scene = Scene::start(Plan { domains: vec![DOMAIN, OTHER], ..Plan::default() }).await;
    let (first, second) = (scene.eventually_shown(DOMAIN).await, scene.eventually_shown(OTHER).await);
    assert_ne!(first, second);
    assert_eq!(scene.front.registrations(), 1);
}

#[tokio::test]
async fn a_domain_that_is_refused_holds_up_no_other() {
    let scene = Scene::start(Plan { domains: vec![BLOCKED, DOMAIN], ..Plan::default() }).await;
    scene.eventually_shown(DOMAIN).await;
    let refused = scene.eventually_fails("rejectedIdentifier").await;
    assert_eq!(refused["state"], "missing");
    assert_eq!(scene.daemon.get_admin("/readyz").await.0, 200);
    assert!(scene.shown(BLOCKED).await.is_err());
}

#[tokio::test]
async fn half_of_the_nonces_refused_are_no_failure() {
    let scene = Scene::start(Plan { bad_nonces: 50, ..Plan::default() }).await;
    scene.eventually_shown(DOMAIN).await;
    assert_eq!(scene.counts().await.1, 0.0);
    assert!(scene.front.bad_nonces() > 0, "nothing was refused");
}

#[tokio::test]
async fn an_authority_that_is_down_is_waited_for() {
    let scene = Scene::start(Plan { weather: Weather::Down, ..Plan::default() }).await;
    let failed = scene.eventually_fails("cannot connect to localhost").await;
    assert_eq!(failed["state"], "missing");
    assert!(failed["next_attempt_at"].is_string());
    let (status, words) = scene.daemon.get_admin("/readyz").await;
    assert_eq!((status, words.as_str()), (503, "no certificate yet\n"));
    assert!(scene.shown(DOMAIN).await.is_err(), "there is nothing to show");
    scene.front.set(Weather::Fair);
    scene.eventually_shown(DOMAIN).await;
    scene.eventually_saved().await;
    assert_eq!(scene.standings().await[0]["last_error"], serde_json::Value::Null);
    assert_eq!(scene.daemon.get_admin("/readyz").await.0, 200);
}

#[tokio::test]
async fn an_authority_that_says_nothing_does_not_hold_up_the_stop() {
    let scene = Scene::start(Plan { weather: Weather::Silent, ..Plan::default() }).await;
    scene.daemon.eventually_logs("ordering a certificate").await;
    scene.daemon.signal("TERM");
    assert_eq!(scene.daemon.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn an_authority_that_cannot_reach_us_says_so() {
    let scene = Scene::start(Plan { http: Http::Astray, ..Plan::default() }).await;
    let failed = scene.eventually_fails("could not see that this domain is ours").await;
    let words = failed["last_error"].as_str().expect("a text");
    assert!(words.contains("connection refused"), "{words}");
}

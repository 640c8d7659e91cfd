//! Tokens are renewed when it is time, or when Graph asks; and whoever only says that he is Graph moves nobody.

use std::time::Duration;

use graphhook::simulate::api::{Lifecycle, Operation};

use super::{LONG, Place, mail, management, queue, stopped};
use crate::support::daemon::SECRET;
use crate::support::eventually::eventually_within;
use crate::support::graph::post;

#[tokio::test]
async fn a_challenge_is_answered_by_one_call() {
    let place = Place::open().await;
    let configuration = place.configuration(&mail()).set("graph", "look_every", "\"1h\"");
    let daemon = configuration.connected().await;
    let id = place.live(&daemon, &["mail"]).await.remove(0);
    for _ in 0..3 {
        let sent = place.stand.api.lifecycle(&id, Lifecycle::ReauthorizationRequired).await;
        assert_eq!(sent.expect("it is live").status, Some(202));
    }
    let ok = "graphhook_subscription_steps_total{step=\"reauthorize\",result=\"ok\"}";
    daemon.eventually_metric(ok, |many| many == 1.0).await;
    // What comes after that is answered already: whoever looks has seen it.
    let before = place.calls(Operation::List).len();
    for _ in 0..3 {
        place.stand.api.lifecycle(&id, Lifecycle::ReauthorizationRequired).await.expect("it is live");
    }
    daemon.signal("HUP");
    eventually_within(LONG, "another look", async || {
        (place.calls(Operation::List).len() > before).then_some(())
    })
    .await;
    place.live(&daemon, &["mail"]).await;
    assert_eq!(place.calls(Operation::Reauthorize).len(), 1);
    assert!(place.calls(Operation::Update).is_empty());
    stopped(&daemon).await;
}

#[tokio::test]
async fn the_time_is_what_it_is_at_graph() {
    let place = Place::open().await;
    place.stand.api.advance(Duration::from_secs(3 * 24 * 60 * 60));
    let daemon = place.configuration(&mail()).connected().await;
    place.live(&daemon, &["mail"]).await;
    let left = place.all()[0].expires.duration_since(place.stand.api.now()).expect("it lives");
    assert!(
        left > Duration::from_secs(6 * 24 * 60 * 60),
        "as long as Graph allows, by its own clock: {left:?}"
    );
    stopped(&daemon).await;
}

#[tokio::test]
async fn it_is_renewed_long_before_it_ends() {
    let place = Place::open().await;
    let daemon = place.configuration(&mail()).connected().await;
    let id = place.live(&daemon, &["mail"]).await.remove(0);
    stopped(&daemon).await;
    let file = place.directory().join("state.json");
    let state = std::fs::read_to_string(&file).expect("the state");
    let mut state: serde_json::Value = serde_json::from_str(&state).expect("JSON");
    // Two thirds of a life are over.
    let live = &mut state["kept"][0]["live"];
    let begun =
        live["renewed_at"].as_u64().expect("a time") - Duration::from_secs(20 * 24 * 3600).as_millis() as u64;
    live["renewed_at"] = begun.into();
    std::fs::write(&file, state.to_string()).expect("it can be written");
    let mut daemon = daemon;
    daemon.restart().await;
    let ok = "graphhook_subscription_steps_total{step=\"renew\",result=\"ok\"}";
    daemon.eventually_metric(ok, |many| many == 1.0).await;
    assert_eq!(place.live(&daemon, &["mail"]).await, [id]);
    assert_eq!(place.calls(Operation::Update).len(), 1);
    assert_eq!(place.calls(Operation::Create).len(), 1);
    stopped(&daemon).await;
}

#[tokio::test]
async fn a_storm_of_forged_events_moves_nobody() {
    let place = Place::open().await;
    let configuration = place.configuration(&mail()).set("graph", "look_every", "\"1h\"");
    let daemon = configuration.connected().await;
    let id = place.live(&daemon, &["mail"]).await.remove(0);
    let before = place.stand.api.journal().len();
    let client = daemon.client();
    for round in 0..20 {
        let events = ["reauthorizationRequired", "subscriptionRemoved", "missed"];
        let items: Vec<String> = events
            .into_iter()
            .flat_map(|event| {
                // A guess; and the secret of another entry.
                ["forged", SECRET].map(|secret| {
                    format!(r#"{{"subscriptionId":"{id}","clientState":"{secret} {round}","lifecycleEvent":"{event}"}}"#)
                })
            })
            .collect();
        assert_eq!(post(&client, items).await.status, 202);
    }
    let refused = daemon.metrics().await.sum("graphhook_notifications_refused_total");
    assert_eq!(refused, 120.0);
    // What is genuine and no news leads to no call either.
    place.stand.api.lifecycle(&id, Lifecycle::Missed).await.expect("it is live");
    queue(&daemon).await.take(2).await;
    assert_eq!(management(&daemon).await["failing"], 0);
    assert_eq!(place.stand.api.journal().len(), before);
    stopped(&daemon).await;
}

//! What the daemon knows of Graph by its traffic: which subscriptions are silent or end, and what Graph will think of our
//! answers.

use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{Configuration, Daemon, SECRET};
use crate::support::eventually::eventually;
use crate::support::graph::{PATH, collection, created, post};

const SUBSCRIPTION: &str = "00000001-0000-4000-8000-000000000001";

fn silent_after(time: &str) -> Configuration {
    Daemon::configure().client_state_with("mail", SECRET, &format!("silent_after = {time:?}"))
}

async fn status(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.get_admin("/status").await.1).expect("JSON")
}

/// The change `created` makes, of a subscription that ends so long from now.
fn ending(id: &str, subscription: &str, left: Duration) -> String {
    let end = humantime::format_rfc3339_millis(SystemTime::now() + left);
    let end = format!(r#""subscriptionExpirationDateTime":"{end}","subscriptionId":"{subscription}""#);
    created(id).replace(&format!(r#""subscriptionId":"{SUBSCRIPTION}""#), &end)
}

async fn eventually_counts(daemon: &Daemon, what: &str, count: f64) {
    let name = format!(r#"graphhook_subscriptions_{what}{{client_state="mail"}}"#);
    daemon.eventually_metric(&name, |value| value == count).await;
}

#[tokio::test]
async fn a_subscription_that_falls_silent_is_told_and_so_is_its_return() {
    let daemon = silent_after("1s").connected().await;
    for what in ["seen", "silent", "ending", "ended"] {
        eventually_counts(&daemon, what, 0.0).await;
    }
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    eventually_counts(&daemon, "seen", 1.0).await;
    eventually_counts(&daemon, "silent", 1.0).await;
    daemon.eventually_logs("a subscription is silent").await;
    assert!(daemon.log().contains(SUBSCRIPTION));
    let seen = status(&daemon).await["subscriptions"].clone();
    assert_eq!((&seen["seen"], &seen["silent"], &seen["ended"]), (&1.into(), &1.into(), &0.into()));
    let one = &seen["list"][0];
    assert_eq!((&one["id"], &one["client_state"]), (&SUBSCRIPTION.into(), &"mail".into()));
    assert_eq!((&one["silent"], &one["silent_after_seconds"]), (&true.into(), &1.into()));
    assert!(one["expires_at"].is_null(), "{one}");
    assert_eq!(post(&daemon.client(), [created("b")]).await.status, 202);
    daemon.eventually_logs("a subscription is well again").await;
}

#[tokio::test]
async fn forgers_are_not_seen() {
    let daemon = silent_after("1s").connected().await;
    let forged = created("a").replace(SECRET, "not the secret");
    assert_eq!(post(&daemon.client(), [forged]).await.status, 202);
    daemon
        .eventually_metric(r#"graphhook_notifications_refused_total{reason="mismatch"}"#, |n| n == 1.0)
        .await;
    assert_eq!(status(&daemon).await["subscriptions"]["seen"], 0);
}

#[tokio::test]
async fn an_end_that_comes_near_is_told_and_put_off_by_a_renewal() {
    let daemon = silent_after("1h").connected().await;
    let first = ending("a", SUBSCRIPTION, Duration::from_secs(4));
    let other = ending("b", "another", Duration::from_secs(600));
    assert_eq!(post(&daemon.client(), [first, other]).await.status, 202);
    let expiry = r#"graphhook_subscription_expiry_timestamp_seconds{client_state="mail"}"#;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs_f64();
    daemon.eventually_metric(expiry, |end| (now..now + 5.0).contains(&end)).await;
    eventually_counts(&daemon, "ended", 1.0).await;
    daemon.eventually_logs("a subscription has ended").await;
    daemon.eventually_metric(expiry, |end| end > now + 500.0).await;
    let renewed = ending("c", SUBSCRIPTION, Duration::from_secs(1_200));
    assert_eq!(post(&daemon.client(), [renewed]).await.status, 202);
    eventually_counts(&daemon, "ended", 0.0).await;
    eventually_counts(&daemon, "seen", 2.0).await;
}

#[tokio::test]
async fn a_removal_is_an_end_and_lifecycle_items_are_counted() {
    let daemon = silent_after("1h").connected().await;
    let lifecycle = |event: &str| {
        created("x").replace("\"changeType\":\"created\"", &format!("\"lifecycleEvent\":{event:?}"))
    };
    let items = ["missed", "reauthorizationRequired", "subscriptionRemoved", "somethingNew"].map(lifecycle);
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    assert_eq!(post(&daemon.client(), items).await.status, 202);
    eventually_counts(&daemon, "ended", 1.0).await;
    let metrics = daemon.metrics().await;
    for event in ["missed", "reauthorizationRequired", "subscriptionRemoved", "other"] {
        let name = format!(r#"graphhook_lifecycle_events_total{{event="{event}"}}"#);
        assert_eq!(metrics.get(&name), 1.0, "{event}");
    }
    assert_eq!(metrics.get(r#"graphhook_notifications_verified_total{client_state="mail"}"#), 5.0);
    assert_eq!(metrics.get("graphhook_batch_items_count"), 2.0);
    assert_eq!(metrics.get("graphhook_batch_items_sum"), 5.0);
}

#[tokio::test]
async fn what_is_known_of_subscriptions_outlives_a_restart() {
    let mut daemon = silent_after("1s").connected().await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    eventually_counts(&daemon, "silent", 1.0).await;
    let before = status(&daemon).await["subscriptions"]["list"][0].clone();
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    daemon.restart().await;
    eventually_counts(&daemon, "silent", 1.0).await;
    daemon.eventually_logs("a subscription is silent").await;
    assert_eq!(status(&daemon).await["subscriptions"]["list"][0], before);
}

#[tokio::test]
async fn a_file_that_is_not_ours_costs_what_was_learnt_and_no_more() {
    let mut daemon = silent_after("1h").connected().await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    let file = daemon.spool().join("subscriptions.json");
    assert!(fs::read_to_string(&file).expect("saved").contains(SUBSCRIPTION));
    fs::write(&file, "{\"garbage\":").expect("written");
    daemon.restart().await;
    assert!(daemon.log().contains("subscriptions_not_loaded"), "{}", daemon.log());
    assert_eq!(status(&daemon).await["subscriptions"]["seen"], 0);
    assert_eq!(post(&daemon.client(), [created("b")]).await.status, 202);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    daemon.restart().await;
    assert_eq!(status(&daemon).await["subscriptions"]["seen"], 1);
}

#[tokio::test]
async fn a_directory_that_takes_no_file_is_told_of_and_stops_nobody() {
    let daemon = silent_after("1h").without_spool().connected().await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    assert_eq!(status(&daemon).await["subscriptions"]["seen"], 1);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert_eq!(daemon.log().matches("subscriptions_not_saved").count(), 1, "{}", daemon.log());
}

#[tokio::test]
async fn the_series_and_the_watch_follow_a_reload() {
    let mut daemon = silent_after("1h").connected().await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    eventually_counts(&daemon, "seen", 1.0).await;
    let states = |lines: &'static [(&str, &str)]| {
        move |configuration: Configuration| {
            let mut configuration = configuration.without_client_states();
            for (name, lines) in lines {
                configuration = configuration.client_state_with(name, SECRET, lines);
            }
            configuration
        }
    };
    daemon.reconfigure(states(&[("mail", "silent_after = \"1s\""), ("chat", "")]));
    daemon.signal("HUP");
    eventually_counts(&daemon, "silent", 1.0).await;
    let genuine = r#"graphhook_notifications_verified_total{client_state="chat"}"#;
    assert_eq!(daemon.metrics().await.get(genuine), 0.0);
    daemon.reconfigure(states(&[("chat", "")]));
    daemon.signal("HUP");
    eventually("no series of what is gone", async || {
        let metrics = daemon.metrics().await;
        metrics.names().all(|name| !name.contains("\"mail\"")).then_some(())
    })
    .await;
    assert_eq!(post(&daemon.client(), [created("b")]).await.status, 202);
    daemon
        .eventually_metric(r#"graphhook_subscriptions_seen{client_state="chat"}"#, |seen| seen == 1.0)
        .await;
    assert_eq!(daemon.metrics().await.get(genuine), 1.0);
}

/// 100 % of one answer is over 10 %.
async fn eventually_slow(daemon: &Daemon) {
    let predicted = r#"graphhook_graph_throttled_predicted{state="slow"}"#;
    daemon.eventually_metric(predicted, |is| is == 1.0).await;
    let metrics = daemon.metrics().await;
    assert_eq!(
        (metrics.get("graphhook_graph_slow_ratio"), metrics.get("graphhook_graph_drop_ratio")),
        (1.0, 0.0)
    );
    let graph = status(daemon).await["graph"].clone();
    assert_eq!((&graph["predicted"], &graph["answers"]), (&"slow".into(), &1.into()), "{graph}");
    daemon.eventually_logs("ten minutes late").await;
}

#[tokio::test]
async fn an_answer_after_three_seconds_is_what_graph_calls_slow() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("server", "answer_within", "\"9s\"")
        .set("broker", "confirm_within", "\"3050ms\"")
        .connected()
        .await;
    assert_eq!(status(&daemon).await["graph"]["predicted"], "good");
    cut.stall_answers();
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    eventually_slow(&daemon).await;
    cut.heal();
    // Nine good answers to one slow: 10 % is no more than 10 %, but stays slow; with the tenth it is good.
    for id in ["b", "c", "d", "e", "f", "g", "h", "i", "j"] {
        assert_eq!(status(&daemon).await["graph"]["predicted"], "slow");
        assert_eq!(post(&daemon.client(), [created(id)]).await.status, 202);
    }
    assert_eq!(status(&daemon).await["graph"]["slow_ratio"], 0.1);
    assert_eq!(post(&daemon.client(), [created("k")]).await.status, 202);
    assert_eq!(status(&daemon).await["graph"]["predicted"], "good");
    daemon.eventually_logs("quick enough again").await;
    daemon.eventually_metric("graphhook_end_to_end_seconds_count", |count| count == 11.0).await;
}

#[tokio::test]
async fn whoever_hangs_up_has_waited_in_vain_and_strangers_do_not_count() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure().broker(Node::shared().url_by(cut.port())).connected().await;
    let forged = created("forged").replace(SECRET, "not the secret");
    assert_eq!(post(&daemon.client(), [forged]).await.status, 202);
    assert_eq!(daemon.client().post("/graph/notifications?validationToken=t", &[], "").await.status, 200);
    assert_eq!(status(&daemon).await["graph"]["answers"], 0);
    cut.stall_answers();
    let mut raw = daemon.client().raw().await;
    let body = collection([created("gone")]);
    let length = body.len();
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    daemon.eventually_metric("graphhook_notifications_in_flight", |open| open == 1.0).await;
    drop(raw);
    eventually_slow(&daemon).await;
    cut.heal();
    eventually("a confirm", async || {
        (daemon.metrics().await.get("graphhook_amqp_in_flight") == 0.0).then_some(())
    })
    .await;
}

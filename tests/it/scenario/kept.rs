//! What the daemon promises, it keeps: seen by scenarios.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Play, check, number};
use crate::support::broker::Node;
use crate::support::daemon::Daemon;
use crate::support::eventually::{eventually_within, seen_within};
use crate::support::queue::Amqp;
use crate::support::started::Started;

const PUBLISHED: &str = "graphhook_notifications_outcome_total{outcome=\"published\"}";
const SPOOLED: &str = "graphhook_notifications_outcome_total{outcome=\"spooled\"}";

/// Waits until the first ones are at the broker.
async fn published(daemon: &Daemon, playing: &Started) {
    let published = seen_within(Duration::from_secs(20), async || {
        let metrics = daemon.metrics().await;
        metrics.find(PUBLISHED).filter(|many| *many > 0.0).map(drop)
    });
    assert!(published.await.is_some(), "{}{}", playing.out(), playing.err());
}

#[tokio::test]
async fn a_steady_load_passes_and_all_of_it_arrives_once() {
    let daemon = Daemon::configure().connected().await;
    let scenario = r#"
        rate = 300
        duration = "1s"
        seed = 7
        [notifications]
        per_post = [[1, 5], ["2-10", 5]]
        changes = ["created", "updated"]
        tenants = 2
        size = "1KiB"
        [notifications.resources]
        message = 3
        event = 1
        [expect]
        "p99.9" = "3s"
    "#;
    let play = Play::new(scenario).to(&daemon);
    let file = play.directory.path().join("report.json");
    let play = play.with(&["--report", file.to_str().expect("UTF-8")]);
    let report = play.report(0).await;
    check(
        &report,
        &[
            ("/notifications/planned", 300),
            ("/notifications/sent", 300),
            ("/notifications/delivered", 300),
            ("/notifications/delayed", 0),
            ("/notifications/waiting", 0),
            ("/broker/arrived", 300),
            ("/broker/accepted_never_arrived", 0),
            ("/broker/arrived_twice", 0),
            ("/broker/arrived_unaccepted", 0),
            ("/graph/became_slow", 0),
            ("/seed", 7),
        ],
    );
    assert_eq!(report["passed"], true);
    assert_eq!(report["broker"]["seen_in_part"], false);
    let posts = number(&report, "/requests/first");
    check(&report, &[("/requests/status/202", posts), ("/latency_ms/first/count", posts)]);
    assert!((50..250).contains(&posts), "{posts} POSTs");
    let written = std::fs::read_to_string(file).expect("a report");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).expect("JSON"), report);

    // Nothing was taken from the daemon's own queue.
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    let messages = queue.take(300).await;
    let keys: BTreeSet<_> = messages.iter().map(|message| message.routing_key.as_str()).collect();
    assert!(
        keys.contains("notification.message.created") && keys.contains("notification.event.updated"),
        "{keys:?}"
    );
    assert!(messages.iter().all(|message| message.body.len() == 1024));
}

#[tokio::test]
async fn with_a_blocked_broker_all_that_is_accepted_still_arrives() {
    let node = Node::faulty().await;
    let daemon = Daemon::configure().broker(node.url()).connected().await;
    let scenario = "rate = 100\nduration = \"6s\"\n[notifications]\nper_post = 2\n";
    let play = Play::new(scenario).to(&daemon);
    let mut playing = play.start();
    published(&daemon, &playing).await;
    node.alarm(true).await;
    daemon.eventually_metric(SPOOLED, |many| many > 0.0).await;
    node.alarm(false).await;
    let code = playing.exit().await;
    let report: serde_json::Value = serde_json::from_str(&playing.out()).expect("JSON");
    assert_eq!(code, Some(0), "{report:#}\n{}", playing.err());
    check(&report, &[("/broker/accepted_never_arrived", 0), ("/notifications/delivered", 600)]);
}

#[tokio::test]
async fn with_a_broker_that_dies_all_that_is_accepted_stands_in_the_queue_in_the_end() {
    let node = Node::faulty().await;
    // A quorum queue that is new when its node dies takes no messages for a while.
    let daemon =
        Daemon::configure().broker(node.url()).set("broker", "queue_type", "\"classic\"").connected().await;
    let scenario = "rate = 100\nduration = \"3s\"\n";
    let play = Play::new(scenario).to(&daemon).with(&["--queue", daemon.queue(), "--settle", "90s"]);
    let mut playing = play.start();
    published(&daemon, &playing).await;
    node.kill();
    daemon.eventually_metric(SPOOLED, |many| many > 0.0).await;
    node.start().await;
    let empty = async || (daemon.metrics().await.find("graphhook_spool_items") == Some(0.0)).then_some(());
    eventually_within(RECOVERY, "an empty spool", empty).await;
    let code = playing.exit().await;
    let report: serde_json::Value = serde_json::from_str(&playing.out()).expect("JSON");
    assert_eq!(code, Some(0), "{report:#}\n{}", playing.err());
    check(&report, &[("/broker/accepted_never_arrived", 0), ("/notifications/delivered", 300)]);
}

#[tokio::test]
async fn forged_ones_never_arrive_and_get_the_same_answers() {
    let daemon = Daemon::configure().connected().await;
    let scenario = "rate = 400\ncount = 200\n[notifications]\nper_post = \"1-4\"\n[faults]\nforged = 0.25\n";
    let report = Play::new(scenario).to(&daemon).report(0).await;
    let forged = number(&report, "/forged/sent");
    assert!((25..80).contains(&forged), "{forged} forged");
    let requests = number(&report, "/forged/requests");
    check(
        &report,
        &[
            ("/forged/status/202", requests),
            ("/notifications/delivered", 200 - forged),
            ("/broker/arrived", 200 - forged),
            ("/broker/forged_arrived", 0),
            ("/broker/accepted_never_arrived", 0),
        ],
    );
}

#[tokio::test]
async fn what_a_network_does_loses_nothing() {
    let daemon = Daemon::configure().connected().await;
    let scenario = r#"
        rate = 300
        count = 300
        [faults]
        hang_up = 0.1
        duplicate = 0.1
        out_of_order = 0.2
        held_for = "300ms"
        slow_reader = 0.1
        slow_for = "200ms"
        [graph]
        time_scale = 100
    "#;
    let report = Play::new(scenario).to(&daemon).report(0).await;
    for fault in ["hung_up", "duplicates", "out_of_order", "slow_readers"] {
        assert!(number(&report, &format!("/requests/{fault}")) > 5, "{fault}: {report:#}");
    }
    let hung_up = number(&report, "/requests/hung_up");
    check(
        &report,
        &[
            ("/notifications/delivered", 300),
            ("/notifications/retried", hung_up),
            ("/notifications/delivered_after_retries", hung_up),
            ("/requests/repeated", hung_up),
            ("/broker/arrived", 300),
            ("/broker/accepted_never_arrived", 0),
            ("/broker/arrived_twice", 0),
            ("/graph/became_slow", 0),
        ],
    );
    assert!(number(&report, "/broker/sent_and_arrived_twice") >= number(&report, "/requests/duplicates"));
}

/// Time for a broker and a daemon to find each other again.
const RECOVERY: Duration = Duration::from_secs(60);

//! The alert rules, by promtool and by a real Prometheus.

use std::time::Duration;

use serde_json::Value;

use super::{RULES, RULES_TEST, alerts, content, file, promtool};
use crate::support::broker::Node;
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually_within;
use crate::support::graph::{created, post};
use crate::support::prometheus::Prometheus;

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_rules() {
    let rules = file("monitoring/alerts.yml");
    let rules = rules.to_str().expect("the path is UTF-8");
    let said = content(promtool(&["check", "rules", "--lint=all", "--lint-fatal", rules]).await);
    assert!(said.contains(&format!("{} rules found", alerts().len())), "{said}");
}

#[tokio::test]
async fn the_rules_pass_their_own_tests() {
    let tests = file("monitoring/alerts-test.yml");
    let said = content(promtool(&["test", "rules", tests.to_str().expect("the path is UTF-8")]).await);
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn every_alert_fires_in_one_of_these_tests() {
    for alert in alerts() {
        let fires = format!("alertname=\"{}\"", alert.name);
        let by_label = RULES_TEST.lines().any(|line| line.contains(&fires) && line.contains("labels: '{"));
        let by_itself = RULES_TEST.contains(&format!("{fires}}})', eval_time: 6m, exp_samples: [{{labels"));
        assert!(by_label || by_itself, "{} fires in no test", alert.name);
    }
}

#[tokio::test]
async fn a_broker_that_dies_is_an_alarm_until_it_is_back() {
    let node = Node::faulty().await;
    let daemon = Daemon::configure().broker(node.url()).connected().await;
    assert_eq!(post(&daemon.client(), [created("before")]).await.status, 202);
    let prometheus = Prometheus::scraping(daemon.admin(), &impatient(RULES)).await;
    prometheus.eventually_evaluated().await;
    assert_eq!(prometheus.firing().await, [] as [Value; 0], "a healthy daemon");

    node.kill();
    let alert = eventually_within(BOUND, "the broker's alert fires", async || {
        prometheus.firing().await.into_iter().find(|alert| alert["labels"]["alertname"] == BROKER_DOWN)
    })
    .await;
    assert_eq!(alert["labels"]["severity"], "ticket");
    assert_eq!(alert["labels"]["instance"], daemon.admin().to_string());
    let summary = alert["annotations"]["summary"].as_str().expect("a summary");
    assert_eq!(summary, format!("graphhook at {} has no broker", daemon.admin()));

    node.start().await;
    eventually_within(BOUND, "nothing fires any more", async || {
        prometheus.firing().await.is_empty().then_some(())
    })
    .await;
    prometheus.eventually_evaluated().await;
}

/// The rules with a second in place of all times that an alert has to last; the expressions stay.
fn impatient(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.trim_start().starts_with("for: ") {
        true => "        for: 1s\n".to_owned(),
        false => format!("{line}\n"),
    });
    lines.collect()
}

const BROKER_DOWN: &str = "GraphhookBrokerDown";
const BOUND: Duration = Duration::from_secs(60);

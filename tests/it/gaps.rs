//! What consumers are told when changes may be missing.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::broker::Node;
use crate::support::clock::Clock;
use crate::support::cut::Cut;
use crate::support::daemon::{Configuration, Daemon, SECRET};
use crate::support::eventually::eventually;
use crate::support::graph::{PATH, collection, created, post};
use crate::support::queue::{Amqp, Delivered, Queue};

const SUBSCRIPTION: &str = "00000001-0000-4000-8000-000000000001";
const TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";

/// A lifecycle item as Graph sends it, which names no resource.
fn lifecycle(subscription: &str, event: &str) -> String {
    format!(
        r#"{{"subscriptionId":"{subscription}","subscriptionExpirationDateTime":"2999-01-01T00:00:00Z","tenantId":"{TENANT}","clientState":"{SECRET}","lifecycleEvent":"{event}"}}"#
    )
}

async fn queue(daemon: &Daemon) -> Queue {
    Amqp::connect(&Node::shared().url()).await.queue(daemon.queue())
}

/// So many gaps have been told for this reason.
async fn eventually_told(daemon: &Daemon, reason: &str, many: f64) {
    let name = format!(r#"graphhook_gaps_total{{reason="{reason}"}}"#);
    daemon.eventually_metric(&name, |told| told == many).await;
}

fn moment(gap: &Value, member: &str) -> SystemTime {
    humantime::parse_rfc3339(gap[member].as_str().expect("a time")).expect("RFC 3339")
}

/// The gaps among these messages.
fn gaps(messages: Vec<Delivered>) -> Vec<Delivered> {
    messages.into_iter().filter(|message| message.kind == "gap").collect()
}

async fn stopped(daemon: &Daemon) {
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0), "{}", daemon.log());
}

#[tokio::test]
async fn what_graph_missed_is_told_and_a_forger_tells_nothing() {
    let daemon = Daemon::configure().connected().await;
    let queue = queue(&daemon).await;
    let forged = lifecycle(SUBSCRIPTION, "missed").replace(SECRET, "not the secret");
    assert_eq!(post(&daemon.client(), [forged]).await.status, 202);
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    let before = SystemTime::now();
    let items = [lifecycle(SUBSCRIPTION, "missed"), lifecycle(SUBSCRIPTION, "reauthorizationRequired")];
    assert_eq!(post(&daemon.client(), items).await.status, 202);
    let mut messages = queue.take(4).await;
    messages.retain(|message| message.kind == "gap");
    let [gap] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(gap.routing_key, "gap.message.missed");
    assert_eq!(
        (&*gap.content_type, &*gap.app_id, gap.delivery_mode),
        ("application/json", "graphhook", Some(2))
    );
    assert!(gap.message_id.starts_with("sha256:"), "{gap:?}");
    for (name, value) in [
        ("graph-subscription-id", SUBSCRIPTION),
        ("graph-tenant-id", TENANT),
        ("graph-resource-type", "#Microsoft.Graph.Message"),
        ("graphhook-client-state", "test"),
        ("graphhook-gap-reason", "missed"),
    ] {
        assert_eq!(gap.header(name), value, "{name}");
    }
    let body = gap.json();
    assert_eq!((&body["kind"], &body["reason"]), (&"gap".into(), &"missed".into()));
    assert_eq!((&body["subscriptionId"], &body["tenantId"]), (&SUBSCRIPTION.into(), &TENANT.into()));
    assert_eq!(
        (&body["from"], &body["to"]),
        (&gap.header("graphhook-gap-from").into(), &gap.header("graphhook-gap-to").into())
    );
    // Graph repeats for four hours before it gives up.
    let (from, to) = (moment(&body, "from"), moment(&body, "to"));
    assert_eq!(to.duration_since(from).expect("in order"), Duration::from_secs(4 * 3600));
    assert!(to + Duration::from_millis(1) >= before && to <= SystemTime::now(), "{body}");
    daemon.eventually_logs("consumers are told that changes may be missing").await;
    // It is no notification, and all books are right at the end.
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.get(r#"graphhook_gaps_total{reason="missed"}"#), 1.0);
    assert_eq!(metrics.get(r#"graphhook_notifications_outcome_total{outcome="published"}"#), 3.0);
    stopped(&daemon).await;
    assert_eq!(queue.count().await, 0);
    assert!(!daemon.spool().join("gaps.json").exists(), "nothing was owed");
}

#[tokio::test]
async fn a_removal_is_told_at_once_when_nobody_manages_it() {
    let daemon = Daemon::configure().connected().await;
    // As it comes in the wild: what it calls its resource is itself.
    let removed = lifecycle("other", "subscriptionRemoved")
        .replace("\"tenantId\"", "\"resource\":\"Subscriptions/other\",\"organizationId\"");
    assert_eq!(post(&daemon.client(), [removed]).await.status, 202);
    let told = gaps(queue(&daemon).await.take(2).await);
    assert_eq!(told[0].routing_key, "gap.unknown.subscription_removed");
    let body = told[0].json();
    assert_eq!((&body["subscriptionId"], &body["tenantId"]), (&"other".into(), &TENANT.into()));
    assert!(body["resource"].is_null(), "{body}");
}

#[tokio::test]
async fn without_a_broker_a_gap_waits_in_the_spool() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let mut daemon = Daemon::configure().broker(Node::shared().url_by(cut.port())).start().await;
    assert_eq!(post(&daemon.client(), [lifecycle(SUBSCRIPTION, "missed")]).await.status, 202);
    eventually_told(&daemon, "missed", 1.0).await;
    daemon.eventually_metric("graphhook_spool_items", |items| items == 2.0).await;
    // What it was told of is on disk: nothing of it depends on this process.
    daemon.kill();
    cut.heal();
    daemon.restart().await;
    let messages = queue(&daemon).await.take(2).await;
    assert_eq!(gaps(messages).len(), 1);
    assert_eq!(daemon.metrics().await.get(r#"graphhook_gaps_total{reason="missed"}"#), 0.0);
}

#[tokio::test]
async fn a_storm_is_told_of_once_a_minute_and_none_of_it_is_lost() {
    let mut daemon = Daemon::configure().connected().await;
    let queue = queue(&daemon).await;
    for _ in 0..10 {
        let items = vec![lifecycle(SUBSCRIPTION, "missed"); 1_000];
        assert_eq!(post(&daemon.client(), items).await.status, 202);
    }
    let last = SystemTime::now();
    eventually("what is owed on disk", async || {
        fs::read_to_string(daemon.spool().join("gaps.json")).ok().filter(|text| text.contains(SUBSCRIPTION))
    })
    .await;
    let messages = queue.take(10_001).await;
    let first = gaps(messages);
    assert_eq!(first.len(), 1, "one for the first of them");
    daemon.kill();
    daemon.restart().await;
    let rest = queue.take(1).await.remove(0);
    assert_eq!((&*rest.kind, &rest.json()["reason"]), ("gap", &"missed".into()));
    let (begin, end) = (moment(&rest.json(), "from"), moment(&rest.json(), "to"));
    assert!(begin <= moment(&first[0].json(), "to") && end > moment(&first[0].json(), "to"));
    assert!(end <= last && last.duration_since(end).expect("in order") < Duration::from_secs(60));
    stopped(&daemon).await;
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn away_for_longer_than_graph_repeats_is_a_gap_of_each_that_was_alive() {
    let clock = Clock::right();
    let mut daemon = clock.under(Daemon::configure()).connected().await;
    let queue = queue(&daemon).await;
    let other = |id: &str, subscription: &str| created(id).replace(SUBSCRIPTION, subscription);
    assert_eq!(post(&daemon.client(), [created("a"), other("b", "second")]).await.status, 202);
    assert_eq!(post(&daemon.client(), [lifecycle("gone", "subscriptionRemoved")]).await.status, 202);
    let before = queue.take(4).await;
    assert_eq!(gaps(before).len(), 1);
    stopped(&daemon).await;
    let ended = SystemTime::now();
    const HOUR: i64 = 3_600;
    clock.set_ahead(3 * HOUR);
    daemon.restart().await;
    stopped(&daemon).await;
    assert_eq!(queue.count().await, 0, "Graph still repeats after three hours");
    clock.set_ahead(3 * HOUR + 5 * HOUR);
    daemon.restart().await;
    let told = queue.take(2).await;
    let ids: BTreeSet<String> =
        told.iter().map(|gap| gap.header("graph-subscription-id").to_owned()).collect();
    assert_eq!(ids, BTreeSet::from([SUBSCRIPTION.to_owned(), "second".to_owned()]));
    for gap in &told {
        assert_eq!((&*gap.kind, &*gap.routing_key), ("gap", "gap.message.downtime"));
        let hours = |time: SystemTime| time.duration_since(ended).expect("later").as_secs_f64() / 3_600.0;
        let (from, to) = (hours(moment(&gap.json(), "from")), hours(moment(&gap.json(), "to")));
        assert!((2.9..3.1).contains(&from) && (7.9..8.1).contains(&to), "{from} to {to}");
    }
    stopped(&daemon).await;
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn what_graph_dropped_for_our_slowness_is_told_when_it_ends() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let slow = |configuration: Configuration| {
        let configuration = configuration.broker(Node::shared().url_by(cut.port()));
        configuration.set("server", "answer_within", "\"9s\"").set("broker", "confirm_within", "\"8s\"")
    };
    let daemon = slow(Daemon::configure()).connected().await;
    let queue = queue(&daemon).await;
    cut.stall_answers();
    // Who hangs up after more than three seconds was repeating, and for nothing.
    let mut raw = daemon.client().raw().await;
    let body = collection([created("gone")]);
    let length = body.len();
    raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}")).await;
    daemon.eventually_metric("graphhook_notifications_in_flight", |open| open == 1.0).await;
    let answer = tokio::time::timeout(Duration::from_millis(3_200), raw.read_past("\r\n")).await;
    assert!(answer.is_err(), "it was answered");
    drop(raw);
    let predicted = r#"graphhook_graph_throttled_predicted{state="drop"}"#;
    daemon.eventually_metric(predicted, |is| is == 1.0).await;
    let begin = SystemTime::now();
    cut.heal();
    // One of seven is under 15 %.
    for id in ["b", "c", "d", "e", "f", "g"] {
        assert_eq!(post(&daemon.client(), [created(id)]).await.status, 202);
    }
    eventually_told(&daemon, "dropped", 1.0).await;
    let told = eventually("the gap", async || gaps(queue.drain().await).pop()).await.json();
    assert_eq!((&told["reason"], &told["subscriptionId"]), (&"dropped".into(), &SUBSCRIPTION.into()));
    let since = begin.duration_since(moment(&told, "from")).expect("before").as_secs();
    assert!((595..=640).contains(&since), "{since}");
}

#[tokio::test]
async fn a_file_of_gaps_that_is_not_ours_is_told_of() {
    let mut daemon = Daemon::configure().connected().await;
    stopped(&daemon).await;
    fs::write(daemon.spool().join("gaps.json"), "{\"garbage\":").expect("written");
    daemon.restart().await;
    assert!(daemon.log().contains("gaps_not_loaded"), "{}", daemon.log());
    assert_eq!(post(&daemon.client(), [lifecycle(SUBSCRIPTION, "missed")]).await.status, 202);
    assert_eq!(gaps(queue(&daemon).await.take(2).await).len(), 1);
}

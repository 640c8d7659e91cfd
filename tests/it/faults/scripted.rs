//! What a real broker will not do on command: nacks, returns in odd places, silence, refusals.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::{SPOOL_ITEMS, eventually_empty};
use crate::support::broker::Node;
use crate::support::daemon::{CONNECTION_UP, Configuration, Daemon};
use crate::support::eventually::eventually;
use crate::support::graph::{created, post};
use crate::support::queue::Amqp;
use crate::support::scripted::{Action, Greeting, Order, Publish, Scripted};

/// Ids of messages that the script has confirmed for good.
type Confirmed = Arc<Mutex<BTreeSet<String>>>;

fn configuration(broker: &Scripted) -> Configuration {
    Daemon::configure().broker(format!("{}?heartbeat=2", broker.url())).set("broker", "channels", "1")
}

/// A script that asks `decide` for each message, and keeps those that it acknowledges and does not return.
fn script(
    broker: &Scripted,
    mut decide: impl FnMut(usize, &Publish) -> Vec<Action> + Send + 'static,
) -> Confirmed {
    let confirmed = Confirmed::default();
    let (kept, mut number) = (Arc::clone(&confirmed), 0);
    broker.script(move |publish| {
        number += 1;
        let actions = decide(number, publish);
        let is_confirmed = matches!(actions[..], [Action::Ack] | [Action::AckAll]);
        if is_confirmed && publish.mandatory {
            kept.lock().expect("nobody panics with it held").insert(publish.message_id.clone());
        }
        actions
    });
    confirmed
}

/// Posts items of these ids in tens; all must be accepted.
async fn accepted(daemon: &Daemon, name: &str, count: usize) -> BTreeSet<String> {
    let ids: Vec<String> = (0..count).map(|number| format!("{name}-{number}")).collect();
    let client = daemon.client();
    for some in ids.chunks(10) {
        assert_eq!(post(&client, some.iter().map(|id| created(id))).await.status, 202);
    }
    ids.into_iter().collect()
}

#[track_caller]
fn check_confirmed(confirmed: &Confirmed, accepted: &BTreeSet<String>) {
    let confirmed = confirmed.lock().expect("nobody panics with it held");
    let lost: Vec<&String> = accepted.difference(&confirmed).collect();
    assert!(lost.is_empty(), "never confirmed, and yet gone from the spool: {lost:?}");
}

fn publishes(result: &str) -> String {
    format!(r#"graphhook_amqp_publish_total{{result="{result}"}}"#)
}

/// B5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_seventh_nacked() {
    let broker = Scripted::start().await;
    let daemon = configuration(&broker).connected().await;
    let confirmed =
        script(&broker, |number, _| vec![if number % 7 == 0 { Action::Nack } else { Action::Ack }]);
    let accepted = accepted(&daemon, "seventh", 700).await;
    assert!(daemon.metrics().await.get(&publishes("nack")) >= 100.0);
    eventually_empty(&daemon).await;
    check_confirmed(&confirmed, &accepted);
    assert!(broker.seen().nacks >= 100);
}

/// B7: two hundred in flight, one in the middle comes back, one acknowledgement for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_hundred_comes_back() {
    let broker = Scripted::start().await;
    let configuration = configuration(&broker).set("spool", "set_aside_after", "\"1s\"");
    let daemon = configuration.connected().await;
    broker.script(|publish| match publish.message_id.as_str() {
        "many-100" => vec![Action::Return, Action::Hold],
        _ => vec![Action::Hold],
    });
    let items: Vec<String> = (0..200).map(|number| created(&format!("many-{number}"))).collect();
    let (client, watched) = (daemon.client(), async {
        eventually("two hundred in flight", async || (broker.publishes().len() == 200).then_some(())).await;
        broker.ack_held(Order::Together);
        broker.script(|publish| match publish.message_id.as_str() {
            "many-100" => vec![Action::Return, Action::Ack],
            _ => vec![Action::Ack],
        });
    });
    let (reply, ()) = tokio::join!(post(&client, &items), watched);
    assert_eq!(reply.status, 202);
    let outcome = |outcome| format!(r#"graphhook_notifications_outcome_total{{outcome="{outcome}"}}"#);
    daemon.eventually_metric("graphhook_spool_set_aside_items", |aside| aside == 1.0).await;
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.get(SPOOL_ITEMS), 1.0, "the one that came back, and no other");
    assert_eq!(metrics.get(&outcome("published")) + metrics.get(&outcome("spooled")), 200.0);
    assert!(metrics.get(&outcome("spooled")) <= 2.0, "it, and whichever confirm carried it");
}

/// B11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_never_confirms_fills_the_spool() {
    let broker = Scripted::start().await;
    let configuration = configuration(&broker).set("broker", "confirm_within", "\"100ms\"").set(
        "broker",
        "in_flight_messages",
        "50",
    );
    let daemon = configuration.connected().await;
    broker.always(&[]);
    let accepted = accepted(&daemon, "never", 100).await;
    assert!(daemon.metrics().await.get("graphhook_amqp_in_flight") <= 50.0 + 512.0);
    assert_eq!(daemon.metrics().await.get(SPOOL_ITEMS), 100.0);
    // After some seconds the connection is given up; the next one is better.
    let confirmed = script(&broker, |_, _| vec![Action::Ack]);
    eventually_empty(&daemon).await;
    assert!(broker.seen().opened >= 2);
    check_confirmed(&confirmed, &accepted);
}

/// B12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirms_in_any_order_settle_everything() {
    let broker = Scripted::start().await;
    let daemon = configuration(&broker).set("broker", "confirm_within", "\"100ms\"").connected().await;
    for order in [Order::Backwards, Order::Together, Order::Forwards] {
        broker.always(&[Action::Hold]);
        accepted(&daemon, &format!("{order:?}"), 60).await;
        broker.ack_held(order);
        daemon.eventually_metric("graphhook_amqp_in_flight", |open| open == 0.0).await;
        daemon.eventually_metric(SPOOL_ITEMS, |items| items == 0.0).await;
    }
    assert_eq!(broker.publishes().len(), 180, "late confirms, and nothing twice");
}

/// B13: three brokers that do not let us in, and then one that does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_do_not_let_us_in_are_passed_over() {
    let mut configuration = Daemon::configure().set("broker", "connect_within", "\"500ms\"");
    let mut brokers = Vec::new();
    for greeting in [Greeting::Silence, Greeting::Garbage, Greeting::Refusal(530)] {
        let broker = Scripted::start().await;
        broker.greet(greeting);
        configuration = configuration.broker(broker.url());
        brokers.push(broker);
    }
    let daemon = configuration.broker(Node::shared().url()).start().await;
    assert_eq!(post(&daemon.client(), [created("early")]).await.status, 202);
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    Amqp::connect(&Node::shared().url()).await.queue(daemon.queue()).eventually_holds(&["early"]).await;
    assert!(brokers.iter().all(|broker| !broker.seen().connections.is_empty()));
}

/// B9, B20: a message that closes whatever channel it comes on does not keep the others from leaving.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_closes_channels_is_set_aside() {
    let broker = Scripted::start().await;
    let daemon = configuration(&broker).connected().await;
    let confirmed = script(&broker, |_, publish| match publish.message_id.as_str() {
        "poison" => vec![Action::CloseChannel(406)],
        _ => vec![Action::Ack],
    });
    let mut accepted = accepted(&daemon, "before", 50).await;
    let items = [created("beside-1"), created("poison"), created("beside-2")];
    assert_eq!(post(&daemon.client(), &items).await.status, 202);
    accepted.extend(["beside-1".to_owned(), "beside-2".to_owned()]);
    accepted.extend(self::accepted(&daemon, "after", 50).await);
    daemon.eventually_metric("graphhook_spool_set_aside_items", |aside| aside == 1.0).await;
    daemon.eventually_metric(SPOOL_ITEMS, |items| items == 1.0).await;
    check_confirmed(&confirmed, &accepted);
    assert!(broker.seen().closes >= 3);
}

/// B9: no tight loop, whatever the broker answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_always_closes_is_not_stormed() {
    let broker = Scripted::start().await;
    let daemon = configuration(&broker).connected().await;
    broker.always(&[Action::CloseConnection(320)]);
    let accepted = accepted(&daemon, "closed", 30).await;
    eventually("five connections", async || (broker.seen().opened >= 5).then_some(())).await;
    let connections = broker.seen().connections;
    let fourth_pause = connections[4].duration_since(connections[3]);
    assert!(fourth_pause >= std::time::Duration::from_millis(400), "{fourth_pause:?}");
    let confirmed = script(&broker, |_, _| vec![Action::Ack]);
    eventually_empty(&daemon).await;
    check_confirmed(&confirmed, &accepted);
}

//! The scripted broker does what the script says, and the daemon believes only what it should.

use std::time::Duration;

use super::{Action, Greeting, Order, Scripted};
use crate::support::daemon::{CONNECTION_UP, Configuration, Daemon};
use crate::support::eventually::eventually;
use crate::support::graph::{created, post};

fn configuration(broker: &Scripted) -> Configuration {
    let configuration = Daemon::configure().without_spool().broker(format!("{}?heartbeat=2", broker.url()));
    configuration.set("server", "answer_within", "\"1s\"").set("broker", "connect_within", "\"500ms\"").set(
        "broker",
        "confirm_within",
        "\"200ms\"",
    )
}

async fn started() -> (Scripted, Daemon) {
    let broker = Scripted::start().await;
    let daemon = configuration(&broker).connected().await;
    (broker, daemon)
}

async fn status(daemon: &Daemon, id: &str) -> u16 {
    post(&daemon.client(), [created(id)]).await.status
}

fn publishes(result: &str) -> String {
    format!(r#"graphhook_amqp_publish_total{{result="{result}"}}"#)
}

/// Posts one item to a daemon whose broker does this about it.
async fn check(actions: &[Action], expected: u16, metric: &str) -> (Scripted, Daemon) {
    let (broker, daemon) = started().await;
    broker.always(actions);
    assert_eq!(status(&daemon, "one").await, expected, "{actions:?}");
    assert_eq!(broker.publishes().len(), 1);
    daemon.eventually_metric(&publishes(metric), |count| count == 1.0).await;
    (broker, daemon)
}

/// After a fault, all is well again on a new connection.
async fn check_new_connection(broker: &Scripted, daemon: &Daemon) {
    broker.always(&[Action::Ack]);
    eventually("a second connection", async || (broker.seen().opened >= 2).then_some(())).await;
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    assert_eq!(status(daemon, "again").await, 202);
}

#[tokio::test]
async fn an_ack_is_a_202() {
    let (broker, daemon) = check(&[Action::Ack], 202, "ack").await;
    let publish = &broker.publishes()[0];
    assert_eq!(publish.exchange, daemon.exchange());
    assert_eq!((publish.message_id.as_str(), publish.delivery_mode), ("one", Some(2)));
    assert_eq!((publish.connection, publish.tag, publish.mandatory), (0, 1, true));
    assert_eq!(publish.body, created("one"));
    assert!(publish.routing_key.contains("created"), "{}", publish.routing_key);
    let seen = broker.seen();
    assert_eq!((seen.acks, seen.opened, seen.connections.len()), (1, 1, 1));
    assert!(seen.declared.contains(&daemon.queue().to_owned()));
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert!(daemon.log().contains("broker connection closed"), "not politely: {}", daemon.log());
}

#[tokio::test]
async fn large_messages_come_whole() {
    let (broker, daemon) = started().await;
    let id = "x".repeat(250);
    let large = created(&id).replace("Users/u", &"u".repeat(300_000));
    assert_eq!(post(&daemon.client(), [&large]).await.status, 202);
    assert_eq!(broker.publishes()[0].body, large);
    broker.always(&[Action::Return, Action::Ack]);
    assert_eq!(post(&daemon.client(), [&large]).await.status, 503);
    assert_eq!(broker.seen().returns, 1);
}

#[tokio::test]
async fn a_nack_is_no_202() {
    let (broker, _daemon) = check(&[Action::Nack], 503, "nack").await;
    assert_eq!(broker.seen().nacks, 1);
}

#[tokio::test]
async fn no_confirm_is_no_202() {
    let (broker, daemon) = started().await;
    broker.always(&[]);
    assert_eq!(status(&daemon, "never").await, 503);
    assert_eq!((broker.publishes().len(), broker.seen().acks), (1, 0));
    assert_eq!(daemon.metrics().await.get("graphhook_amqp_in_flight"), 1.0);
}

#[tokio::test]
async fn a_confirm_may_be_too_late() {
    let (broker, daemon) = started().await;
    broker.script(|publish| match publish.message_id.as_str() {
        "slow" => vec![Action::Wait(Duration::from_millis(2500)), Action::Ack],
        _ => vec![Action::Ack],
    });
    assert_eq!(status(&daemon, "slow").await, 503);
    assert_eq!(status(&daemon, "quick").await, 202, "others do not wait");
    daemon.eventually_metric(&publishes("late"), |late| late == 1.0).await;
}

#[tokio::test]
async fn a_returned_message_is_no_202() {
    let (broker, _daemon) = check(&[Action::Return, Action::Ack], 503, "returned").await;
    assert_eq!((broker.seen().returns, broker.seen().acks), (1, 1));
}

#[tokio::test]
async fn a_foreign_return_does_not_hit_the_wrong_message() {
    let (broker, daemon) = started().await;
    let mut strange = true;
    broker.script(move |_| match std::mem::take(&mut strange) {
        true => vec![Action::ReturnOther("nobody's"), Action::Ack],
        false => vec![Action::Ack],
    });
    assert_eq!(status(&daemon, "one").await, 202);
    // It says nothing of what was sent.
    assert_eq!(broker.publishes().len(), 1);
}

#[tokio::test]
async fn an_ack_before_the_return_is_believed() {
    // No broker may do that. What matters is that the next message is none the worse.
    let (broker, daemon) = check(&[Action::Ack, Action::Return], 202, "ack").await;
    broker.always(&[Action::Ack]);
    assert_eq!(status(&daemon, "two").await, 202);
}

#[tokio::test]
async fn held_messages_are_confirmed_in_any_order() {
    for order in [Order::Forwards, Order::Backwards, Order::Together] {
        let broker = Scripted::start().await;
        let daemon = configuration(&broker).set("broker", "channels", "1").connected().await;
        broker.always(&[Action::Hold]);
        let client = daemon.client().http2();
        let items = (0..10).map(|number| created(&format!("h-{number}")));
        let reply = post(&client, items);
        let acknowledging = async {
            eventually("ten messages", async || (broker.publishes().len() == 10).then_some(())).await;
            assert_eq!(broker.seen().acks, 0);
            broker.ack_held(order);
        };
        let (reply, ()) = tokio::join!(reply, acknowledging);
        assert_eq!(reply.status, 202, "{order:?}: {}", daemon.log());
        let expected = if order == Order::Together { 1 } else { 10 };
        assert_eq!(broker.seen().acks, expected, "{order:?}");
    }
}

#[tokio::test]
async fn many_are_refused_at_once() {
    let (broker, daemon) = started().await;
    let mut count = 0;
    broker.script(move |_| {
        count += 1;
        if count == 5 { vec![Action::NackAll] } else { Vec::new() }
    });
    let items = (0..5).map(|number| created(&format!("n-{number}")));
    assert_eq!(post(&daemon.client(), items).await.status, 503);
    daemon.eventually_metric(&publishes("nack"), |nacks| nacks == 5.0).await;
    assert_eq!(broker.seen().nacks, 1);
}

#[tokio::test]
async fn whatever_ends_a_connection_is_no_202() {
    let endings = [Action::CloseChannel(404), Action::CloseConnection(320), Action::Garbage, Action::Reset];
    for ending in endings {
        let (broker, daemon) = check(std::slice::from_ref(&ending), 503, "closed").await;
        check_new_connection(&broker, &daemon).await;
        let seen = broker.seen();
        let closes = matches!(ending, Action::CloseChannel(_) | Action::CloseConnection(_));
        assert_eq!((seen.closes == 1, seen.garbage == 1), (closes, ending == Action::Garbage), "{ending:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_ends_on_command() {
    let commands: [fn(&Scripted); 4] =
        [|broker| broker.close(320), Scripted::garbage, Scripted::reset, Scripted::fall_silent];
    for command in commands {
        let (broker, daemon) = started().await;
        command(&broker);
        check_new_connection(&broker, &daemon).await;
    }
}

#[tokio::test]
async fn heartbeats_go_both_ways() {
    let (broker, daemon) = started().await;
    eventually("three heartbeats", async || (broker.seen().heartbeats >= 3).then_some(())).await;
    assert_eq!(broker.seen().connections.len(), 1);
    assert_eq!(daemon.metrics().await.get(CONNECTION_UP), 1.0);
}

#[tokio::test]
async fn a_blocked_connection_is_seen() {
    let (broker, daemon) = started().await;
    let blocked = "graphhook_amqp_connection_blocked";
    broker.block();
    daemon.eventually_metric(blocked, |blocked| blocked == 1.0).await;
    assert_eq!(status(&daemon, "blocked").await, 503);
    assert_eq!(broker.publishes().len(), 0);
    broker.unblock();
    daemon.eventually_metric(blocked, |blocked| blocked == 0.0).await;
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    assert_eq!(status(&daemon, "free").await, 202);
    assert_eq!(broker.seen().blocks, 2);
}

#[tokio::test]
async fn what_is_not_read_is_no_202() {
    let (broker, daemon) = started().await;
    broker.stop_reading();
    assert_eq!(status(&daemon, "unread").await, 503);
    assert_eq!(broker.publishes().len(), 0);
    broker.read_on();
    eventually("the message", async || (broker.publishes().len() == 1).then_some(())).await;
    daemon.eventually_metric(&publishes("late"), |late| late == 1.0).await;
}

#[tokio::test]
async fn a_broker_that_does_not_let_us_in_is_tried_again() {
    let broker = Scripted::start().await;
    let daemon = configuration(&broker).spawn();
    for greeting in [Greeting::Silence, Greeting::Garbage, Greeting::Refusal(530)] {
        broker.greet(greeting);
        let before = broker.seen().connections.len();
        eventually("two more connections", async || {
            (broker.seen().connections.len() >= before + 2).then_some(())
        })
        .await;
        assert_eq!(broker.seen().opened, 0, "{greeting:?}");
    }
    let seen = broker.seen();
    assert!(seen.garbage >= 1 && seen.closes >= 1, "{seen:?}");
    daemon.listening().await;
    broker.greet(Greeting::Broker);
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    assert_eq!(status(&daemon, "in").await, 202);
}

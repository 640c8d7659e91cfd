//! Items and the messages they become: what consumers can rely on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use lapin::types::FieldTable;
use serde_json::Value;

use crate::support::broker::Node;
use crate::support::daemon::{Configuration, Daemon, SECRET};
use crate::support::graph::{PATH, changed, collection, created, post};
use crate::support::queue::{Amqp, Queue, unique};

/// A daemon that is connected, and its queue.
async fn started(configuration: Configuration) -> (Daemon, Queue) {
    let daemon = configuration.connected().await;
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    (daemon, queue)
}

/// The quarantine of a daemon.
async fn quarantine(daemon: &Daemon) -> Queue {
    Amqp::connect(&Node::shared().url()).await.queue(&format!("{}.refused", daemon.exchange()))
}

/// Received = published + refused + unavailable, and nothing else.
async fn check_books(daemon: &Daemon, published: f64, refused: f64, unavailable: f64) {
    let metrics = daemon.metrics().await;
    let outcome = |outcome: &str| {
        metrics.get(&format!(r#"graphhook_notifications_outcome_total{{outcome="{outcome}"}}"#))
    };
    assert_eq!(
        (outcome("published"), outcome("refused"), outcome("unavailable")),
        (published, refused, unavailable)
    );
    assert_eq!(
        metrics.sum("graphhook_notifications_received_total"),
        published + refused + unavailable + outcome("spooled")
    );
    assert_eq!(metrics.get("graphhook_conservation_error"), 0.0);
    assert_eq!(metrics.get("graphhook_notifications_in_flight"), 0.0);
}

#[tokio::test]
async fn a_change_becomes_one_message() {
    let (daemon, queue) = started(Daemon::configure()).await;
    let item = created("n-1");
    let reply = post(&daemon.client(), [&item]).await;
    assert_eq!((reply.status, reply.body.len()), (202, 0));
    let message = queue.take(1).await.remove(0);
    assert_eq!(message.body, item.as_bytes());
    assert_eq!(message.exchange, daemon.exchange());
    assert_eq!(message.routing_key, "notification.message.created");
    assert_eq!(message.content_type, "application/json");
    assert_eq!(message.delivery_mode, Some(2));
    assert_eq!(message.message_id, "n-1");
    assert_eq!((message.kind.as_str(), message.app_id.as_str()), ("notification", "graphhook"));
    let received = message.header("graphhook-received-at");
    assert!(received.len() == 24 && received.ends_with('Z') && received.contains('T'), "{received}");
    assert!(message.timestamp.is_some_and(|seconds| seconds > 1_700_000_000));
    assert_eq!(message.header("graphhook-request-id").len(), 36);
    let mut headers = message.headers.clone();
    // RabbitMQ adds headers of its own, such as x-delivery-count.
    headers.retain(|name, _| {
        let differs = ["graphhook-received-at", "graphhook-request-id", "traceparent"];
        !name.starts_with("x-") && !differs.contains(&name.as_str())
    });
    let expected = [
        ("graph-change-type", "created"),
        ("graph-resource", "Users/u/Messages/n-1"),
        ("graph-resource-type", "#Microsoft.Graph.Message"),
        ("graph-subscription-id", "00000001-0000-4000-8000-000000000001"),
        ("graph-tenant-id", "8afd02d6-ebdd-4270-a515-c749898ea5c5"),
        ("graphhook-client-state", "test"),
        ("graphhook-resource-data", "none"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    check_books(&daemon, 1.0, 0.0, 0.0).await;
}

#[tokio::test]
async fn a_lifecycle_event_becomes_one_message() {
    let (daemon, queue) = started(Daemon::configure().client_state("wild", "state-sub-2")).await;
    let body = include_str!("../data/lifecycle-in-the-wild-with-validation-tokens.json");
    assert_eq!(daemon.client().post("/graph/lifecycle", &[], body).await.status, 202);
    let message = queue.take(1).await.remove(0);
    assert_eq!(message.routing_key, "lifecycle.subscription.reauthorizationRequired");
    assert_eq!(message.kind, "lifecycle");
    assert_eq!(message.header("graph-lifecycle-event"), "reauthorizationRequired");
    assert_eq!(message.header("graph-tenant-id"), "8afd02d6-ebdd-4270-a515-c749898ea5c5");
    assert!(!message.headers.contains_key("graph-resource"), "an empty resource gives no header");
    let lifecycle = r#"graphhook_notifications_received_total{kind="lifecycle"}"#;
    assert_eq!(daemon.metrics().await.get(lifecycle), 1.0);
}

#[tokio::test]
async fn every_sample_is_published_byte_for_byte() {
    let mut samples = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")).expect("tests/data") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if name.ends_with(".json") && !name.starts_with("vector-") {
            samples.push((name, fs::read_to_string(&path).expect("a sample")));
        }
    }
    assert!(samples.len() > 20, "only {} samples", samples.len());
    let items = |body: &str| {
        let body: Value = serde_json::from_str(body).expect("JSON");
        body["value"].as_array().expect("value").clone()
    };
    let secrets: BTreeSet<String> = samples
        .iter()
        .flat_map(|(_, body)| items(body))
        .filter_map(|item| item["clientState"].as_str().map(str::to_owned))
        .collect();
    let configuration =
        secrets.iter().enumerate().fold(Daemon::configure(), |configuration, (index, secret)| {
            configuration.client_state(&format!("s{index}"), secret)
        });
    let (daemon, _) = started(configuration).await;
    // Some of the samples lead to a gap, which is no item.
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let queue = amqp.declare_queue(&unique("items"), FieldTable::default()).await;
    for key in ["notification.#", "lifecycle.#"] {
        amqp.bind(queue.name(), daemon.exchange(), key).await;
    }
    for (name, body) in &samples {
        assert_eq!(daemon.client().post(PATH, &[], body.clone()).await.status, 202, "{name}");
        let expected = items(body);
        for (message, item) in queue.take(expected.len()).await.iter().zip(expected) {
            let text = std::str::from_utf8(&message.body).expect("UTF-8");
            assert!(body.contains(text), "{name}: {text}");
            assert_eq!(message.json(), item, "{name}");
        }
    }
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn no_byte_of_an_item_changes() {
    let (daemon, queue) = started(Daemon::configure()).await;
    let item = format!(
        "{{ \"subscriptionId\" : \"s\",\r\n\"clientState\":\"{SECRET}\", \"sequence\":638059995676961317,\"f\":1.10,\"e\":1E+400,\"big\":123456789012345678901234567890,\"nul\":\"\\u0000\",\"sep\":\"\u{2028}\",\"lone\":\"\\ud800\",\"\\ud800\":1,\"twice\":1,\"twice\":2 }}"
    );
    let body = format!("\u{feff}{{\"value\" : [\n{item}\t]\n}}  ");
    assert_eq!(daemon.client().post(PATH, &[], body).await.status, 202);
    assert_eq!(queue.take(1).await[0].body, item.as_bytes());
}

#[tokio::test]
async fn items_of_a_post_keep_their_order() {
    let (daemon, queue) = started(Daemon::configure()).await;
    let ids: Vec<String> = (0..500).map(|number| format!("o-{number:03}")).collect();
    assert_eq!(post(&daemon.client(), ids.iter().map(|id| created(id))).await.status, 202);
    let delivered: Vec<String> =
        queue.take(500).await.into_iter().map(|message| message.message_id).collect();
    assert_eq!(delivered, ids);
    check_books(&daemon, 500.0, 0.0, 0.0).await;
}

#[tokio::test]
async fn a_batch_larger_than_what_may_be_in_flight_gets_through() {
    let (daemon, queue) = started(Daemon::configure().set("broker", "in_flight_messages", "16")).await;
    let ids: Vec<String> = (0..300).map(|number| format!("b-{number:03}")).collect();
    assert_eq!(post(&daemon.client(), ids.iter().map(|id| created(id))).await.status, 202);
    let delivered: Vec<String> =
        queue.take(300).await.into_iter().map(|message| message.message_id).collect();
    assert_eq!(delivered, ids);
}

#[tokio::test]
async fn each_item_is_judged_by_itself_and_forgers_learn_nothing() {
    let configuration = Daemon::configure().client_state("all", SECRET).client_state_with(
        "narrow",
        "another secret of the tests",
        r#"subscriptions = ["only-this"]"#,
    );
    let (daemon, queue) = started(configuration).await;
    let items = [
        created("good-1"),
        changed("wrong", "created", "guess"),
        r#"{"subscriptionId":"s","id":"none"}"#.to_owned(),
        r#"{"subscriptionId":"s","id":"null","clientState":null}"#.to_owned(),
        "7".to_owned(),
        r#"{"id":"no-sub","clientState":"x"}"#.to_owned(),
        format!(
            r#"{{"subscriptionId":"s","id":"contra","clientState":"{SECRET}","tenantId":"a","tenantId":"b"}}"#
        ),
        format!(
            r#"{{"subscriptionId":"s","subscriptionId":"s","id":"same","clientState":"{SECRET}","clientState":"{SECRET}"}}"#
        ),
        r#"{"subscriptionId":"s","id":"narrow","clientState":"another secret of the tests"}"#.to_owned(),
        created("good-2"),
    ];
    let mixed = post(&daemon.client(), &items).await;
    let forged = post(&daemon.client(), [&items[1]]).await;
    let genuine = post(&daemon.client(), [created("good-3")]).await;
    for reply in [&mixed, &forged, &genuine] {
        let mut headers = reply.headers.clone();
        headers.remove("date");
        assert_eq!((reply.status, reply.body.len(), headers.len()), (202, 0, 0), "{:?}", reply.headers);
    }
    let ids: Vec<String> = queue.take(4).await.into_iter().map(|message| message.message_id).collect();
    assert_eq!(ids, ["good-1", "same", "good-2", "good-3"]);

    let refused = quarantine(&daemon).await.take(8).await;
    let reasons: Vec<(&str, &str)> = refused
        .iter()
        .map(|message| (message.header("graphhook-reason"), message.routing_key.as_str()))
        .collect();
    let [mismatch, missing, malformed] = [
        ("mismatch", "refused.mismatch"),
        ("missing", "refused.missing"),
        ("malformed", "refused.malformed"),
    ];
    assert_eq!(reasons, [mismatch, missing, missing, malformed, malformed, malformed, mismatch, mismatch]);
    assert_eq!(refused[0].body, items[1].as_bytes());
    assert_eq!(refused[3].body, "7".as_bytes());
    assert_eq!(refused[0].header("graph-subscription-id"), "00000001-0000-4000-8000-000000000001");
    check_books(&daemon, 4.0, 8.0, 0.0).await;
    daemon.eventually_logs("notification refused").await;
    assert!(!daemon.log().contains(SECRET) && !daemon.log().contains("guess"));
}

#[tokio::test]
async fn unknown_subscriptions_have_their_own_reason() {
    let configuration =
        Daemon::configure().client_state_with("narrow", SECRET, r#"subscriptions = ["only-this"]"#);
    let (daemon, queue) = started(configuration).await;
    let item = format!(r#"{{"id":"in","subscriptionId":"only-this","clientState":"{SECRET}"}}"#);
    assert_eq!(post(&daemon.client(), [created("out"), item]).await.status, 202);
    assert_eq!(queue.take(1).await[0].message_id, "in");
    let refused = quarantine(&daemon).await.take(1).await;
    assert_eq!(refused[0].header("graphhook-reason"), "unknown_subscription");
    assert_eq!(refused[0].routing_key, "refused.unknown_subscription");
}

#[tokio::test]
async fn a_flood_of_forgeries_is_capped_and_counted() {
    let (daemon, queue) = started(Daemon::configure()).await;
    let forged: Vec<String> = (0..5000).map(|n| changed(&format!("f-{n}"), "created", "guess")).collect();
    for _ in 0..2 {
        assert_eq!(post(&daemon.client(), &forged).await.status, 202);
    }
    assert_eq!(post(&daemon.client(), [created("genuine")]).await.status, 202);
    queue.eventually_holds(&["genuine"]).await;
    let result = |result: &str| format!(r#"graphhook_notifications_quarantined_total{{result="{result}"}}"#);
    let sent = daemon.eventually_metric(&result("sent"), |sent| sent >= 1.0).await;
    let dropped = daemon.metrics().await.get(&result("dropped"));
    assert!(dropped >= 9000.0, "{sent} sent, {dropped} dropped");
    check_books(&daemon, 1.0, 10_000.0, 0.0).await;
}

#[tokio::test]
async fn without_quarantine_refused_items_are_only_counted() {
    let (daemon, _) = started(Daemon::configure().set("broker", "quarantine", "false")).await;
    assert_eq!(post(&daemon.client(), [changed("f", "created", "guess")]).await.status, 202);
    check_books(&daemon, 0.0, 1.0, 0.0).await;
    let amqp = Amqp::connect(&Node::shared().url()).await;
    assert!(!amqp.exchange_exists(&format!("{}.refused", daemon.exchange())).await);
}

#[tokio::test]
async fn secrets_can_be_kept_from_consumers() {
    let (daemon, queue) = started(Daemon::configure().set("broker", "client_state", "\"redact\"")).await;
    let item = created("r-1");
    assert_eq!(post(&daemon.client(), [&item]).await.status, 202);
    let quoted = serde_json::to_string(SECRET).expect("JSON");
    assert_eq!(queue.take(1).await[0].body, item.replace(&quoted, "null").as_bytes());
}

#[tokio::test]
async fn the_routing_key_follows_its_template() {
    let template = "\"{tenant_id}.{client_state}.{kind}.{change}.{subscription_id}\"";
    let (daemon, queue) = started(Daemon::configure().set("broker", "routing_key", template)).await;
    let item = format!(r#"{{"subscriptionId":"a.b#","clientState":"{SECRET}","changeType":"x*y"}}"#);
    assert_eq!(post(&daemon.client(), [item]).await.status, 202);
    assert_eq!(queue.take(1).await[0].routing_key, "unknown.test.notification.x_y.a_b_");
}

#[tokio::test]
async fn the_longest_names_do_no_harm() {
    let (daemon, queue) =
        started(Daemon::configure().set("broker", "routing_key", "\"{tenant_id}.{change}\"")).await;
    let (id, tenant) = ("i".repeat(255), "t".repeat(4000));
    let item = |id: &str| {
        format!(r#"{{"id":"{id}","subscriptionId":"s","clientState":"{SECRET}","tenantId":"{tenant}"}}"#)
    };
    let body = collection([item(&id), item(&"j".repeat(256))]);
    assert_eq!(daemon.client().post(PATH, &[], body).await.status, 202);
    let messages = queue.take(2).await;
    assert_eq!(messages[0].message_id, id);
    assert_eq!(messages[0].routing_key.len(), 255);
    assert_eq!(messages[1].message_id.len(), 36, "an id that does not fit is none");
    assert!(!messages[0].headers.contains_key("graph-tenant-id"), "nor is a header");
}

#[tokio::test]
async fn repetitions_of_graph_keep_their_id() {
    let (daemon, queue) = started(Daemon::configure().client_state("mail", "secretClientValue")).await;
    let body = include_str!("../data/mail-basic.json");
    for _ in 0..2 {
        let body = body.replace("abc123", "secretClientValue");
        assert_eq!(daemon.client().post(PATH, &[], body).await.status, 202);
    }
    let messages = queue.take(2).await;
    assert_eq!(messages[0].message_id, messages[1].message_id);
    assert!(messages[0].message_id.starts_with("sha256:"), "{}", messages[0].message_id);
}

#[tokio::test]
async fn one_request_id_goes_through_all_messages_of_a_post() {
    let (daemon, queue) = started(Daemon::configure()).await;
    assert_eq!(post(&daemon.client(), [created("a"), created("b")]).await.status, 202);
    assert_eq!(post(&daemon.client(), [created("c")]).await.status, 202);
    let requests: Vec<String> =
        queue.take(3).await.iter().map(|message| message.header("graphhook-request-id").to_owned()).collect();
    assert_eq!(requests[0], requests[1]);
    assert_ne!(requests[1], requests[2]);
}

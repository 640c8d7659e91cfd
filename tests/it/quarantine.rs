//! Refused notifications, looked at and passed on by commands.

use std::process::Output;

use serde_json::{Value, json};

use crate::support::broker::Node;
use crate::support::daemon::{Daemon, SECRET, run};
use crate::support::graph::{changed, created, post};
use crate::support::issuer::{Issuer, OTHER_TENANT, TENANT};
use crate::support::queue::{Amqp, Queue};
use crate::support::rich::{self, Recipient, opened, rich};

const OTHER: &str = "a secret that nobody knows";

async fn quarantine(daemon: &Daemon, arguments: &[&str]) -> Output {
    let config = daemon.directory().join("config.toml");
    let mut all = vec!["quarantine"];
    all.extend(arguments);
    all.extend(["--config", config.to_str().expect("UTF-8")]);
    run(&all, &[]).await
}

#[track_caller]
fn check(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    for secret in [SECRET, OTHER, "guest"] {
        assert!(!said.contains(secret), "{said}");
    }
    text(&output.stdout)
}

/// A daemon that believes in a wrong secret, and has refused `m1`, `m2` and a forgery; its two queues.
async fn mistaken() -> (Daemon, Queue, Queue) {
    let daemon = Daemon::configure().client_state("wrong", "a wrong secret").connected().await;
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let refused = amqp.queue(&format!("{}.refused", daemon.exchange()));
    let items = [created("m1"), changed("forged", "created", OTHER), created("m2")];
    assert_eq!(post(&daemon.client(), items).await.status, 202);
    daemon
        .eventually_metric(r#"graphhook_notifications_quarantined_total{result="sent"}"#, |sent| sent == 3.0)
        .await;
    let queue = amqp.queue(daemon.queue());
    (daemon, queue, refused)
}

async fn eventually_refused(refused: &Queue, count: usize) {
    crate::support::eventually::eventually_equals("the quarantine", count, async || refused.count().await)
        .await;
}

#[tokio::test]
async fn looking_takes_nothing_and_tells_no_secret() {
    let (daemon, _, refused) = mistaken().await;
    eventually_refused(&refused, 3).await;
    for _ in 0..2 {
        let said = check(&quarantine(&daemon, &["list", "--json"]).await, 0);
        let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let ids: Vec<_> = lines.iter().filter_map(|line| line["message_id"].as_str()).collect();
        assert_eq!(ids, ["m1", "forged", "m2"]);
        assert!(lines.iter().all(|line| line["reason"] == "mismatch"), "{said}");
        eventually_refused(&refused, 3).await;
    }
    assert_eq!(check(&quarantine(&daemon, &["list", "--limit", "2"]).await, 0).lines().count(), 2);
    let shown: Value =
        serde_json::from_str(&check(&quarantine(&daemon, &["show", "forged", "--json"]).await, 0))
            .expect("JSON");
    assert_eq!(shown["body"]["clientState"], "[secret]");
    assert!(check(&quarantine(&daemon, &["show", "m1"]).await, 0).contains("[secret]"));
    check(&quarantine(&daemon, &["show", "m9"]).await, 1);
    eventually_refused(&refused, 3).await;
}

#[tokio::test]
async fn after_a_wrong_secret_what_is_genuine_is_released_once() {
    let (mut daemon, queue, refused) = mistaken().await;
    let dry = check(&quarantine(&daemon, &["release", "--dry-run"]).await, 0);
    assert!(dry.contains("would release 0 messages") && dry.contains("3 stay: mismatch"), "{dry}");
    daemon.reconfigure(|configuration| configuration.client_state("right", SECRET));
    let dry = check(&quarantine(&daemon, &["release", "--dry-run"]).await, 0);
    assert!(dry.contains("would release 2 messages") && dry.contains("1 stay: mismatch"), "{dry}");
    check(&quarantine(&daemon, &["release"]).await, 2);
    eventually_refused(&refused, 3).await;
    assert_eq!(queue.count().await, 0);

    let done = check(&quarantine(&daemon, &["release", "--yes"]).await, 0);
    assert!(done.contains("released 2 messages") && done.contains("1 stay: mismatch"), "{done}");
    let delivered = queue.take(2).await;
    assert_eq!(delivered.iter().map(|message| &*message.message_id).collect::<Vec<_>>(), ["m1", "m2"]);
    assert_eq!(delivered[0].body, created("m1").as_bytes());
    assert_eq!(delivered[0].routing_key, "notification.message.created");
    assert_eq!(delivered[0].headers["graphhook-client-state"], "right");
    assert!(!delivered[0].headers.contains_key("graphhook-reason"));

    eventually_refused(&refused, 1).await;
    let left = refused.take(1).await;
    assert_eq!(left[0].message_id, "forged");
    // All three came in one request, and at one time.
    for header in ["graphhook-received-at", "graphhook-request-id"] {
        assert_eq!(delivered[0].headers[header], left[0].headers[header]);
    }
    assert_eq!(delivered[0].timestamp, left[0].timestamp);

    let again = check(&quarantine(&daemon, &["release", "--yes"]).await, 0);
    assert!(again.contains("released 0 messages"), "{again}");
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn what_no_queue_wants_stays_in_the_quarantine() {
    let (mut daemon, queue, refused) = mistaken().await;
    daemon.reconfigure(|configuration| configuration.client_state("right", SECRET));
    let amqp = Amqp::connect(&Node::shared().url()).await;
    amqp.unbind(queue.name(), daemon.exchange(), "#").await;
    let done = check(&quarantine(&daemon, &["release", "--yes"]).await, 1);
    assert!(done.contains("released 0 messages") && done.contains("2 stay: returned"), "{done}");
    eventually_refused(&refused, 3).await;
}

/// What was vouched for is opened once the key is there; what was not stays, unless somebody answers for it.
#[tokio::test]
async fn resource_data_is_released_when_a_token_was_valid_or_somebody_says_so() {
    let (issuer, files) = (Issuer::open().await, tempfile::tempdir().expect("a directory"));
    let [known, forgotten] = ["known", "forgotten"].map(Recipient::generate);
    let configuration = issuer.trusted(Daemon::configure(), "opened").append(&known.table(files.path()));
    let (mut daemon, queue, refused) = super::rich::started(configuration).await;
    let resource = r#"{"id":"1","big":638059995676961317}"#;
    let [content, other] = [&forgotten, &known].map(|recipient| recipient.seal(resource));
    let [keyless, tokenless] = [rich("keyless", TENANT, &content), rich("tokenless", TENANT, &other)];
    let foreign = rich("foreign", "00000000-0000-4000-8000-000000000000", &other);
    let client = daemon.client();
    let with = json!([issuer.token(TENANT), issuer.token(OTHER_TENANT)]);
    assert_eq!(rich::post(&client, std::slice::from_ref(&keyless), &with).await.status, 202);
    assert_eq!(rich::post(&client, &[tokenless.clone(), foreign], &Value::Null).await.status, 202);
    eventually_refused(&refused, 3).await;

    let dry = check(&quarantine(&daemon, &["release", "--dry-run"]).await, 0);
    for words in ["would release 0 ", "1 stay: unknown_key", "1 stay: missing_token", "1 stay: bad_token"] {
        assert!(dry.contains(words), "{words}: {dry}");
    }
    let table = forgotten.table(files.path());
    daemon.reconfigure(|configuration| configuration.append(&table));
    let done = check(&quarantine(&daemon, &["release", "--yes"]).await, 0);
    assert!(done.contains("released 1 message\n") && done.contains("1 stay: missing_token"), "{done}");
    let message = queue.take(1).await.remove(0);
    assert_eq!(message.message_id, "keyless");
    assert_eq!(String::from_utf8_lossy(&message.body), opened(&keyless, &content, resource));
    assert_eq!(message.header("graphhook-resource-data"), "decrypted");
    assert!(!message.headers.contains_key("graphhook-reason"));

    eventually_refused(&refused, 2).await;
    let done = check(&quarantine(&daemon, &["release", "--without-token", "--yes"]).await, 0);
    assert!(done.contains("released 1 message\n") && done.contains("1 stay: bad_token"), "{done}");
    let message = queue.take(1).await.remove(0);
    assert_eq!(message.message_id, "tokenless");
    assert_eq!(String::from_utf8_lossy(&message.body), opened(&tokenless, &other, resource));
    eventually_refused(&refused, 1).await;
    assert_eq!(refused.take(1).await.remove(0).message_id, "foreign");
}

/// The clientState is looked at first: who had it wrong has not shown a token yet.
#[tokio::test]
async fn after_a_wrong_secret_resource_data_still_lacks_its_token() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("a"));
    let configuration = issuer.trusted(Daemon::configure(), "sealed");
    let (mut daemon, queue, refused) =
        super::rich::started(configuration.client_state("wrong", "a wrong secret")).await;
    let item = rich("m1", TENANT, &recipient.seal("{}"));
    let tokens = json!([issuer.token(TENANT)]);
    assert_eq!(rich::post(&daemon.client(), std::slice::from_ref(&item), &tokens).await.status, 202);
    eventually_refused(&refused, 1).await;
    daemon.reconfigure(|configuration| configuration.client_state("right", SECRET));
    let done = check(&quarantine(&daemon, &["release", "--yes"]).await, 0);
    assert!(done.contains("released 0 messages") && done.contains("1 stay: missing_token"), "{done}");
    let done = check(&quarantine(&daemon, &["release", "--without-token", "--yes"]).await, 0);
    assert!(done.contains("released 1 message\n"), "{done}");
    let message = queue.take(1).await.remove(0);
    assert_eq!(message.body, item.as_bytes());
    assert_eq!(message.header("graphhook-resource-data"), "encrypted");
}

#[tokio::test]
async fn a_broker_without_quarantine_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = crate::support::certs::Authority::generate().write_into(directory.path());
    let path = Daemon::configure().write_into(directory.path(), &files);
    let output = run(&["quarantine", "list", "--config", path.to_str().expect("UTF-8")], &[]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(".refused") && said.contains("NOT_FOUND"), "{said}");
    for command in ["list", "show", "release"] {
        assert!(
            check(&run(&["quarantine", command, "--help"], &[]).await, 0).contains("Example"),
            "{command}"
        );
    }
}

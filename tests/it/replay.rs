//! Captured messages once more: through the check, and straight to the exchange.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{Daemon, SECRET, run};
use crate::support::eventually::eventually_equals;
use crate::support::graph::{changed, created, post};
use crate::support::queue::{Amqp, Delivered, Queue};
use crate::support::started::Started;

const ETAGGED: &str = r#"{"subscriptionId":"s","changeType":"updated","resource":"r","resourceData":{"@odata.etag":"1"},"clientState":"SECRET"}"#;
const BARE: &str = r#"{"subscriptionId":"s","changeType":"deleted","resource":"r","clientState":"SECRET"}"#;
const LIFECYCLE: &str = r#"{ "lifecycleEvent" : "reauthorizationRequired", "subscriptionId":"s","resource":"r","clientState":"SECRET" }"#;

/// One of each way in which a message gets its id.
fn items() -> [String; 4] {
    let [etagged, bare, lifecycle] = [ETAGGED, BARE, LIFECYCLE].map(|item| item.replace("SECRET", SECRET));
    [created("m1"), etagged, bare, lifecycle]
}

struct Scene {
    daemon: Daemon,
    queue: Queue,
    refused: Queue,
}

impl Scene {
    async fn open() -> Self {
        Self::of(Daemon::configure().connected().await).await
    }

    async fn of(daemon: Daemon) -> Self {
        let amqp = Amqp::connect(&Node::shared().url()).await;
        let (queue, refused) = (amqp.queue(daemon.queue()), amqp.queue(&daemon.quarantine()));
        Self { daemon, queue, refused }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.daemon.directory().join(name)
    }

    fn config(&self) -> String {
        self.file("config.toml").display().to_string()
    }

    /// Captures what the daemon publishes of these items, and takes it from its queue.
    async fn captured(&self, items: &[String], options: &[&str]) -> (PathBuf, Vec<Delivered>) {
        let (config, count) = (self.config(), items.len().to_string());
        let arguments = ["tail", "--config", &config, "--json", "--count", &count];
        let mut tail = Started::new(&[&arguments, options].concat(), &[]);
        tail.eventually_says("looking at", 1).await;
        assert_eq!(post(&self.daemon.client(), items).await.status, 202);
        assert_eq!(tail.exit().await, Some(0), "{}", tail.err());
        (self.written("captured.jsonl", &tail.out()), self.queue.take(items.len()).await)
    }

    fn written(&self, name: &str, text: &str) -> PathBuf {
        let file = self.file(name);
        fs::write(&file, text).expect("a file can be written");
        file
    }

    /// Through the check of the daemon.
    async fn post(&self, file: &Path, options: &[&str]) -> Output {
        self.post_to("/graph/notifications", file, options).await
    }

    async fn post_to(&self, path: &str, file: &Path, options: &[&str]) -> Output {
        let (file, ca) = (file.display().to_string(), self.daemon.ca().display().to_string());
        let (url, address) = (format!("https://localhost{path}"), self.daemon.public().to_string());
        let arguments = ["replay", &file, "--url", &url, "--ca", &ca, "--connect", &address];
        run(&[&arguments, options].concat(), &[("STATE", SECRET)]).await
    }

    /// Past it.
    async fn publish(&self, file: &Path, options: &[&str]) -> Output {
        let (file, config) = (file.display().to_string(), self.config());
        let arguments = ["replay", &file, "--publish", "--config", &config];
        run(&[&arguments, options].concat(), &[]).await
    }
}

#[track_caller]
fn check(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains(SECRET), "{said}");
}

fn ids(delivered: &[Delivered]) -> Vec<&str> {
    delivered.iter().map(|message| &*message.message_id).collect()
}

#[tokio::test]
async fn through_the_check_every_message_keeps_its_id() {
    let scene = Scene::open().await;
    let (file, before) = scene.captured(&items(), &[]).await;
    assert!(before[1].message_id.starts_with("sha256:") && before[2].message_id.len() == 36);
    let output = scene.post(&file, &["--dry-run"]).await;
    check(&output, 0, &["would send 4 messages"]);
    assert_eq!(scene.queue.count().await, 0);
    check(&scene.post(&file, &[]).await, 0, &["sent 4 messages, the last from line 4"]);
    let after = scene.queue.take(4).await;
    assert_eq!(ids(&after), ids(&before));
    assert_eq!((&after[0].body, &after[1].body), (&before[0].body, &before[1].body));
    assert_ne!(after[0].header("graphhook-request-id"), before[0].header("graphhook-request-id"));

    let output = scene.post(&file, &["--from", "4", "--json", "--rate", "1000"]).await;
    check(&output, 0, &[]);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["sent"], &told["last_line"]), (&json!(1), &json!(4)));
    assert_eq!(ids(&scene.queue.take(1).await), ids(&before[3..]));
    assert_eq!(scene.refused.count().await, 0);
}

#[tokio::test]
async fn a_secret_that_was_taken_out_has_to_be_told() {
    for redacted_by_daemon in [false, true] {
        let policy = if redacted_by_daemon { "\"redact\"" } else { "\"keep\"" };
        let daemon = Daemon::configure().set("broker", "client_state", policy).connected().await;
        let scene = Scene::of(daemon).await;
        let options = if redacted_by_daemon { &[][..] } else { &["--redact"] };
        let (file, before) = scene.captured(&items(), options).await;
        assert!(!fs::read_to_string(&file).expect("text").contains(SECRET));
        let output = scene.post(&file, &[]).await;
        check(
            &output,
            1,
            &["sent 0 messages", "4 not sent: its clientState is masked", "line 2: its clientState"],
        );
        assert_eq!(scene.queue.count().await, 0);
        check(&scene.post(&file, &["--client-state", "env:STATE"]).await, 0, &["sent 4 messages"]);
        assert_eq!(ids(&scene.queue.take(4).await), ids(&before));
        assert_eq!(scene.refused.count().await, 0);
    }
}

#[tokio::test]
async fn a_forgery_stays_one() {
    let scene = Scene::open().await;
    let forged = [
        changed("f1", "created", "hunter2"),
        r#"{"id":"f2","subscriptionId":"s","clientState":null}"#.to_owned(),
    ];
    assert_eq!(post(&scene.daemon.client(), &forged).await.status, 202);
    eventually_equals("the quarantine", 2, async || scene.refused.count().await).await;
    let config = scene.config();
    for (name, options) in [("whole.jsonl", &[][..]), ("masked.jsonl", &["--redact"])] {
        let file = scene.file(name).display().to_string();
        let arguments = ["quarantine", "export", "--config", &config, "--output", &file];
        check(&run(&[&arguments, options].concat(), &[]).await, 0, &["exported 2 messages"]);
        check(&run(&[&arguments, options].concat(), &[]).await, 1, &["is there already"]);
    }
    assert_eq!(scene.refused.count().await, 2);
    let text = fs::read_to_string(scene.file("whole.jsonl")).expect("text");
    let line: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(
        (&line["routing_key"], &line["headers"]["graphhook-reason"]),
        (&"refused.mismatch".into(), &"mismatch".into())
    );

    let told = ["--client-state", "env:STATE"];
    check(&scene.post(&scene.file("whole.jsonl"), &told).await, 0, &["sent 2 messages"]);
    eventually_equals("the quarantine", 4, async || scene.refused.count().await).await;
    let output = scene.post(&scene.file("masked.jsonl"), &told).await;
    check(&output, 1, &["sent 1 message,", "1 not sent: refused, with a clientState that is masked"]);
    eventually_equals("the quarantine", 5, async || scene.refused.count().await).await;
    assert_eq!(scene.queue.count().await, 0);

    check(
        &scene.publish(&scene.file("whole.jsonl"), &["--yes"]).await,
        0,
        &["sent 0 messages", "2 not sent: refused;"],
    );
    let output = scene.publish(&scene.file("whole.jsonl"), &["--yes", "--include-refused"]).await;
    check(&output, 0, &["sent 2 messages"]);
    eventually_equals("the quarantine", 7, async || scene.refused.count().await).await;
    assert_eq!(scene.queue.count().await, 0);
}

#[tokio::test]
async fn to_the_exchange_everything_is_as_it_was_and_marked() {
    let scene = Scene::open().await;
    let (file, before) = scene.captured(&items(), &[]).await;
    check(&scene.publish(&file, &[]).await, 2, &["--yes"]);
    check(&scene.publish(&file, &["--dry-run"]).await, 0, &["would send 4 messages"]);
    assert_eq!(scene.queue.count().await, 0);
    check(&scene.publish(&file, &["--yes"]).await, 0, &["sent 4 messages"]);
    let after = scene.queue.take(4).await;
    for (before, mut after) in before.into_iter().zip(after) {
        let replayed = after.headers.remove("graphhook-replayed-at").expect("a time");
        assert!(replayed.starts_with("20") && replayed.ends_with('Z'), "{replayed}");
        assert_eq!(after, before);
    }
}

#[tokio::test]
async fn a_spool_is_brought_to_another_broker() {
    let daemon = Daemon::configure().without_broker().start().await;
    assert_eq!(post(&daemon.client(), items()).await.status, 202);
    let (config, file) = (daemon.directory().join("config.toml"), daemon.directory().join("spool.jsonl"));
    let config = config.display().to_string();
    let arguments = ["spool", "export", "--config", &config, "--output", file.to_str().expect("UTF-8")];
    check(&run(&arguments, &[]).await, 0, &["exported 4 messages"]);
    let scene = Scene::open().await;
    let gap = json!({
        "message_id": "g1", "routing_key": "gap.unknown.missed", "type": "gap", "timestamp": 7,
        "headers": {}, "body": "{}",
    });
    let spooled = fs::read_to_string(&file).expect("text");
    let file = scene.written("spool.jsonl", &format!("{spooled}{gap}\n"));
    check(&scene.publish(&file, &["--yes"]).await, 0, &["sent 4 messages", "1 not sent: a gap"]);
    check(&scene.publish(&file, &["--yes", "--from", "5", "--include-gaps"]).await, 0, &["sent 1 message,"]);
    let delivered = scene.queue.take(5).await;
    assert_eq!(delivered.iter().map(|message| &*message.kind).collect::<Vec<_>>()[3..], ["lifecycle", "gap"]);
    check(&scene.post(&file, &["--from", "5"]).await, 0, &["sent 0 messages", "1 not sent: a gap"]);
}

#[tokio::test]
async fn what_no_queue_wants_is_told() {
    let scene = Scene::open().await;
    let (file, _) = scene.captured(&items(), &[]).await;
    let amqp = Amqp::connect(&Node::shared().url()).await;
    amqp.unbind(scene.queue.name(), scene.daemon.exchange(), "#").await;
    let output = scene.publish(&file, &["--yes"]).await;
    check(&output, 1, &["sent 0 messages", "4 not sent: returned", "line 1: returned"]);
    let (url, file) = (Node::shared().url(), file.display().to_string());
    let arguments = ["replay", &file, "--publish", "--exchange", "nobody.s", "--broker", "env:URL", "--yes"];
    let output = run(&arguments, &[("URL", &url)]).await;
    check(&output, 1, &["line 1", "nobody.s", "NOT_FOUND", "--from 1 goes on"]);
}

#[tokio::test]
async fn what_is_not_taken_is_sent_again_or_named() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let url = Node::shared().url_by(cut.port());
    let scene = Scene::of(Daemon::configure().broker(url).without_spool().connected().await).await;
    let (file, before) = scene.captured(&items(), &[]).await;
    let output = scene.post_to("/elsewhere", &file, &[]).await;
    check(&output, 1, &["line 1: the receiver answered 404", "sent 0 messages", "--from 1 goes on"]);
    cut.refuse();
    cut.cut();
    scene.daemon.eventually_metric(crate::support::daemon::CONNECTION_UP, |up| up == 0.0).await;
    let (replayed, ()) = tokio::join!(scene.post(&file, &[]), async {
        // The first try is answered 503.
        scene
            .daemon
            .eventually_metric(r#"graphhook_notifications_outcome_total{outcome="unavailable"}"#, |many| {
                many >= 1.0
            })
            .await;
        cut.heal();
    });
    check(&replayed, 0, &["sent 4 messages"]);
    scene.queue.eventually_holds(&ids(&before)).await;
}

#[tokio::test]
async fn a_broken_line_is_named_before_anything_is_sent() {
    let scene = Scene::open().await;
    let (file, _) = scene.captured(&items(), &[]).await;
    let text = fs::read_to_string(&file).expect("text");
    let broken = scene.written("broken.jsonl", &format!("{text}\n{{\"clientState\":\"{SECRET}\"\n"));
    for output in [scene.post(&broken, &[]).await, scene.publish(&broken, &["--yes"]).await] {
        check(&output, 1, &["line 6 is no captured message"]);
    }
    assert_eq!(scene.queue.count().await, 0);
    for (arguments, code, words) in [
        (vec!["replay"], 2, "--url"),
        (vec!["replay", "/nonexistent", "--url", "https://localhost/"], 1, "cannot read /nonexistent"),
        (
            vec!["replay", "-", "--url", "https://localhost/", "--client-state", "-"],
            2,
            "standard input holds",
        ),
        (vec!["replay", "--url", "http://example.com/"], 2, "on this machine"),
        (vec!["replay", "--help"], 0, "Example"),
        (vec!["quarantine", "export", "--help"], 0, "Example"),
    ] {
        check(&run(&arguments, &[]).await, code, &[words]);
    }
}

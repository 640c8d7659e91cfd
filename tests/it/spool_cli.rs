//! What waits in the spool, seen and changed by commands, with a daemon and without.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Configuration, Daemon, SECRET, run};
use crate::support::graph::{created, post};
use crate::support::load::Load;
use crate::support::oracle::Oracle;
use crate::support::queue::Amqp;

const ITEMS: &str = "graphhook_spool_items";

/// A daemon that has spooled messages of these ids, for there is no broker.
async fn filled(configuration: Configuration, ids: &[&str]) -> Daemon {
    let daemon = configuration.start().await;
    for id in ids {
        assert_eq!(post(&daemon.client(), [created(id)]).await.status, 202);
    }
    daemon
}

async fn stop(daemon: &Daemon) {
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
}

fn config(daemon: &Daemon) -> PathBuf {
    daemon.directory().join("config.toml")
}

async fn spool(daemon: &Daemon, arguments: &[&str]) -> Output {
    let config = config(daemon);
    let mut all = vec!["spool"];
    all.extend(arguments);
    all.extend(["--config", config.to_str().expect("UTF-8")]);
    run(&all, &[]).await
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// What a command printed that ended with this code.
#[track_caller]
fn check(output: &Output, code: i32) -> String {
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains(SECRET) || said.contains("\"body\":\"{"), "only an export holds secrets: {said}");
    text(&output.stdout)
}

#[track_caller]
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

async fn status(daemon: &Daemon) -> Value {
    json(&check(&spool(daemon, &["status", "--json"]).await, 0))
}

async fn lines(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    check(&spool(daemon, arguments).await, 0).lines().map(json).collect()
}

#[tokio::test]
async fn looking_tells_everything_but_secrets_with_a_daemon_and_without() {
    let daemon = filled(Daemon::configure().without_broker(), &["m1", "m2", "m3"]).await;
    for is_running in [true, false] {
        if !is_running {
            stop(&daemon).await;
        }
        let seen = status(&daemon).await;
        assert_eq!(seen["in_use"], is_running);
        assert_eq!(seen["spool"]["items"], 3);
        assert!(seen["spool"]["disk_bytes"].as_u64() > Some(0) && seen["spool"]["max_bytes"].is_u64());
        assert_eq!(seen["beside"], Value::Array(vec![]));
        let said = check(&spool(&daemon, &["status"]).await, 0);
        for words in [
            "messages    3, ",
            "oldest      ",
            " ago, 20",
            if is_running { "  running" } else { "not running" },
        ] {
            assert!(said.contains(words), "{words:?}: {said}");
        }
        assert!(said.lines().all(|line| line.starts_with("directory") || line.len() <= 80), "{said}");

        let listed = lines(&daemon, &["list", "--json"]).await;
        let ids: Vec<_> = listed.iter().filter_map(|line| line["message_id"].as_str()).collect();
        assert_eq!(ids, ["m1", "m2", "m3"]);
        let seq = |index: usize| listed[index]["seq"].to_string();
        let some = lines(&daemon, &["list", "--json", "--limit", "1", "--after", &seq(0)]).await;
        assert_eq!(some.len(), 1);
        assert_eq!(some[0]["message_id"], "m2");
        assert_eq!(check(&spool(&daemon, &["list"]).await, 0).lines().count(), 3);
        assert_eq!(check(&spool(&daemon, &["list", "--trouble"]).await, 0), "");

        let shown = json(&check(&spool(&daemon, &["show", &seq(1), "--json"]).await, 0));
        assert_eq!(shown["body"]["id"], "m2");
        assert_eq!(shown["body"]["clientState"], "[secret]");
        let said = check(&spool(&daemon, &["show", &seq(1)]).await, 0);
        assert!(said.contains("graphhook-client-state: test") && said.contains("[secret]"), "{said}");
        check(&spool(&daemon, &["show", "1"]).await, 1);

        assert!(check(&spool(&daemon, &["verify"]).await, 0).contains("3 messages good, 0 bad"));
    }
}

#[tokio::test]
async fn an_export_is_complete_and_for_its_owner_only() {
    let daemon = filled(Daemon::configure().without_broker(), &["m1", "m2"]).await;
    let exported = lines(&daemon, &["export"]).await;
    assert_eq!(exported.len(), 2);
    assert_eq!(exported[0]["body"], created("m1"));
    assert_eq!(exported[0]["headers"]["graphhook-client-state"], "test");

    let file = daemon.directory().join("copy.jsonl");
    let path = file.to_str().expect("UTF-8");
    check(&spool(&daemon, &["export", "--output", path, "--redact"]).await, 0);
    let copy = fs::read_to_string(&file).expect("written");
    assert_eq!(copy.lines().count(), 2);
    assert!(copy.contains("m2") && copy.contains("[secret]") && !copy.contains(SECRET), "{copy}");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);

    check(&spool(&daemon, &["export", "--output", path]).await, 1);
    assert_eq!(fs::read_to_string(&file).expect("still there"), copy);
    check(&spool(&daemon, &["export", "--output", path, "--force"]).await, 0);
    assert!(fs::read_to_string(&file).expect("replaced").contains(SECRET));
    check(&spool(&daemon, &["export", "--output", "/dev/null", "--force"]).await, 1);
}

#[tokio::test]
async fn verify_finds_a_byte_that_is_not_what_was_written() {
    let daemon = filled(Daemon::configure().without_broker(), &["m1", "flip-me", "m3"]).await;
    stop(&daemon).await;
    // A daemon that stops in good order has written its log into the file.
    let file = daemon.spool().join("spool.db");
    let mut bytes = fs::read(&file).expect("a file");
    let needle = b"Users/u/Messages/flip-me";
    let at =
        bytes.windows(needle.len()).rposition(|window| window == needle).expect("the body is in the file");
    bytes[at] ^= 1;
    fs::write(&file, bytes).expect("written");

    let seen = json(&check(&spool(&daemon, &["verify", "--json"]).await, 1));
    assert_eq!((&seen["good"], seen["bad"].as_array().map(Vec::len)), (&Value::from(2), Some(1)), "{seen}");
    let listed = lines(&daemon, &["list", "--json"]).await;
    assert_eq!(listed.iter().filter(|line| line["readable"] == false).count(), 1);
    let exported = spool(&daemon, &["export"]).await;
    assert_eq!(check(&exported, 1).lines().count(), 2);
    let bad = seen["bad"][0].to_string();
    check(&spool(&daemon, &["show", &bad]).await, 1);
    check(&spool(&daemon, &["purge", &bad, "--yes"]).await, 0);
    assert!(check(&spool(&daemon, &["verify"]).await, 0).contains("2 messages good, 0 bad"));
    // Nothing of it stays behind, neither in the file nor in its log.
    for name in ["spool.db", "spool.db-wal"] {
        let bytes = fs::read(daemon.spool().join(name)).unwrap_or_default();
        assert!(!bytes.windows(7).any(|window| window == b"flip-me"), "{name}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_spool_is_told_and_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_str().expect("UTF-8");
    let file = directory.path().join("spool.db");
    fs::write(&file, [7; 5000]).expect("written");
    let seen = json(&check(&run(&["spool", "status", "--json", "--directory", place], &[]).await, 1));
    assert!(seen["spool"].is_null() && seen["damaged"].is_string(), "{seen}");
    assert!(check(&run(&["spool", "status", "--directory", place], &[]).await, 1).contains("damaged"));
    for command in ["list", "verify", "export"] {
        check(&run(&["spool", command, "--directory", place], &[]).await, 1);
    }
    check(&run(&["spool", "purge", "--all", "--yes", "--directory", place], &[]).await, 1);
    assert_eq!(fs::read(&file).expect("there"), [7; 5000]);
    assert_eq!(fs::read_dir(directory.path()).expect("read").count(), 1);
}

#[tokio::test]
async fn purge_deletes_what_it_is_told_and_asks_first() {
    for is_running in [true, false] {
        let daemon = filled(Daemon::configure().without_broker(), &["m1", "m2", "m3"]).await;
        if !is_running {
            stop(&daemon).await;
        }
        let listed = lines(&daemon, &["list", "--json"]).await;
        let second = listed[1]["seq"].to_string();
        check(&spool(&daemon, &["purge"]).await, 2);
        check(&spool(&daemon, &["purge", "--all", &second]).await, 2);
        check(&spool(&daemon, &["purge", "--all"]).await, 2);
        assert!(check(&spool(&daemon, &["purge", "--all", "--dry-run"]).await, 0).contains("3 messages"));
        assert!(check(&spool(&daemon, &["purge", "--set-aside", "--yes"]).await, 0).contains("deleted 0"));
        assert_eq!(status(&daemon).await["spool"]["items"], 3);

        assert!(check(&spool(&daemon, &["purge", &second, "--yes"]).await, 0).contains("deleted 1 message"));
        check(&spool(&daemon, &["purge", &second, "--yes"]).await, 1);
        let ids: Vec<_> = lines(&daemon, &["list", "--json"]).await;
        assert_eq!(ids.iter().map(|line| &line["message_id"]).collect::<Vec<_>>(), ["m1", "m3"]);
        assert!(check(&spool(&daemon, &["purge", "--all", "--yes"]).await, 0).contains("deleted 2 messages"));
        assert_eq!(status(&daemon).await["spool"]["items"], 0);
        if is_running {
            daemon.eventually_metric(ITEMS, |items| items == 0.0).await;
            // The daemon goes on as if nothing had been.
            assert_eq!(post(&daemon.client(), [created("m4")]).await.status, 202);
            assert_eq!(status(&daemon).await["spool"]["items"], 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purge_keeps_no_request_waiting() {
    let daemon = Daemon::configure().without_broker().start().await;
    let load = Load::start(&Oracle::with_fresh_key(), &daemon, 4);
    load.eventually_accepts(2000).await;
    let said = check(&spool(&daemon, &["purge", "--all", "--yes"]).await, 0);
    load.eventually_accepts(50).await;
    // Before the clients hang up on what they have asked.
    let metrics = daemon.metrics().await;
    load.stop().await;
    let purged: usize = said.split(' ').nth(1).and_then(|many| many.parse().ok()).expect("a number");
    assert!(purged >= 2000, "{said}");
    let unavailable = r#"graphhook_notifications_outcome_total{outcome="unavailable"}"#;
    assert_eq!(metrics.get(unavailable), 0.0, "{}", daemon.log());
    assert!(!daemon.log().contains("another program is writing"), "{}", daemon.log());
}

#[tokio::test]
async fn drain_does_the_work_of_a_daemon_that_is_not_there() {
    let mut daemon = filled(Daemon::configure().without_broker(), &["m1", "m2", "m3"]).await;
    stop(&daemon).await;
    let late = spool(&daemon, &["drain", "--timeout", "1s"]).await;
    assert!(check(&late, 1).contains("drained 0 messages, 3 left"));

    daemon.reconfigure(|configuration| configuration.broker(Node::shared().url()));
    assert!(check(&spool(&daemon, &["drain", "--dry-run"]).await, 0).contains("3 messages"));
    assert!(check(&spool(&daemon, &["drain"]).await, 0).contains("drained 3 messages, 0 left"));
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    let delivered = queue.take(3).await;
    assert_eq!(delivered.iter().map(|message| &*message.message_id).collect::<Vec<_>>(), ["m1", "m2", "m3"]);
    assert_eq!(delivered[0].body, created("m1").as_bytes());
    assert!(check(&spool(&daemon, &["drain"]).await, 0).contains("0 left"));
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn drain_has_a_running_daemon_try_again_what_was_set_aside() {
    let daemon = Daemon::configure().queue("").set("spool", "set_aside_after", "\"1s\"").connected().await;
    // There is no queue at all: messages come back, and are set aside soon.
    for id in ["m1", "m2"] {
        assert_eq!(post(&daemon.client(), [created(id)]).await.status, 202);
    }
    daemon.eventually_metric("graphhook_spool_set_aside_items", |items| items == 2.0).await;
    let trouble = lines(&daemon, &["list", "--trouble", "--json"]).await;
    assert_eq!(trouble.len(), 2);
    assert_eq!(trouble[0]["trouble"]["fault"], "returned");
    assert!(trouble[0]["trouble"]["retry_at"].is_null());
    assert!(check(&spool(&daemon, &["list", "--trouble"]).await, 0).contains("set aside"));
    assert!(check(&spool(&daemon, &["purge", "--set-aside", "--dry-run"]).await, 0).contains("2 messages"));
    assert!(check(&spool(&daemon, &["drain", "--timeout", "20s"]).await, 1).contains("2 left"));

    let amqp = Amqp::connect(&Node::shared().url()).await;
    let queue = amqp.declare_queue(&format!("{}.late", daemon.exchange()), Default::default()).await;
    amqp.bind(queue.name(), daemon.exchange(), "#").await;
    assert!(check(&spool(&daemon, &["drain", "--timeout", "20s"]).await, 0).contains("0 left"));
    queue.eventually_holds(&["m1", "m2"]).await;
    assert_eq!(status(&daemon).await["spool"]["set_aside"], 0);
}

#[tokio::test]
async fn drain_waits_for_a_daemon_whose_broker_comes_back() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let daemon = filled(Daemon::configure().broker(Node::shared().url_by(cut.port())), &["m1", "m2"]).await;
    assert!(check(&spool(&daemon, &["drain", "--timeout", "500ms"]).await, 1).contains("2 left"));
    cut.heal();
    assert!(check(&spool(&daemon, &["drain", "--timeout", "20s"]).await, 0).contains("0 left"));
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    queue.eventually_holds(&["m1", "m2"]).await;
}

#[tokio::test]
async fn what_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("none");
    let place = ["--directory", path.to_str().expect("UTF-8")];
    for arguments in
        [&["status"][..], &["list"], &["show", "1"], &["verify"], &["export"], &["purge", "--all", "--yes"]]
    {
        let all: Vec<&str> = ["spool"].iter().chain(arguments).chain(&place).copied().collect();
        let output = run(&all, &[]).await;
        check(&output, 1);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("there is no spool"), "{arguments:?}: {said}");
        assert!(!path.exists(), "{arguments:?}");
    }
    check(&run(&["spool", "status", "--config", "/nonexistent"], &[]).await, 78);
    for command in ["status", "list", "show", "verify", "export", "drain", "purge"] {
        assert!(check(&run(&["spool", command, "--help"], &[]).await, 0).contains("Example"), "{command}");
    }
}

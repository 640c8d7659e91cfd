//! SIGHUP reads the configuration again: all of it or nothing, and no request or connection notices.
//!
//! Names such as P5 stand for the tests in `docs/evidence.md`.

mod certificates;
mod expiry;
mod pairs;
mod refused;
mod secrets;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::broker::Node;
use crate::support::daemon::{Configuration, Daemon, NEXT_SECRET, SECRET};
use crate::support::eventually::eventually;
use crate::support::graph::{PATH, changed, collection, created, post};
use crate::support::load::{Load, Plan};
use crate::support::notify::Ear;
use crate::support::oracle::Oracle;
use crate::support::queue::{Amqp, Delivered};

const SUCCESSFUL: &str = "graphhook_config_last_reload_successful";
const READ_AT: &str = "graphhook_config_last_reload_success_timestamp_seconds";
const BOUND: std::time::Duration = std::time::Duration::from_secs(30);

/// Has the daemon read its configuration again; returns what `/status` says of that.
async fn reload(daemon: &Daemon) -> Value {
    let ends = || {
        let log = daemon.log();
        log.matches("configuration reloaded").count() + log.matches("stays in force, all of it").count()
    };
    let before = ends();
    daemon.signal("HUP");
    eventually("the end of the reload", async || (ends() > before).then_some(())).await;
    status(daemon).await["last_reload"].clone()
}

/// The same for a configuration that must be taken.
pub(crate) async fn reload_well(daemon: &Daemon) {
    let last = reload(daemon).await;
    assert_eq!((&last["ok"], &last["message"]), (&true.into(), &"in force".into()), "{}", daemon.log());
    assert_eq!(daemon.metrics().await.get(SUCCESSFUL), 1.0);
}

async fn status(daemon: &Daemon) -> Value {
    serde_json::from_str(&daemon.get_admin("/status").await.1).expect("JSON")
}

/// One of two versions: it names the entry of the table and stands in the routing key.
fn version(configuration: Configuration, name: &str) -> Configuration {
    let (key, path) = (format!("\"{name}.{{client_state}}\""), format!("[\"{PATH}\", \"/{name}\"]"));
    configuration
        .without_client_states()
        .client_state(name, SECRET)
        .set("broker", "routing_key", &key)
        .set("server", "paths", &path)
        .set("server.limits", "items", if name == "a" { "200" } else { "5000" })
}

/// P5: reloads without end under load. No request fails, no connection is dropped, and all that an answer rests on
/// comes from one version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_under_load_are_not_noticed() {
    let mut daemon = version(Daemon::configure(), "a").connected().await;
    let oracle = Oracle::with_fresh_key();
    let load = Plan::new(&oracle).mixed().start(&daemon);
    load.eventually_accepts(100).await;
    for round in 0..60 {
        daemon.reconfigure(|configuration| version(configuration, if round % 2 == 0 { "b" } else { "a" }));
        reload_well(&daemon).await;
        load.eventually_accepts(20).await;
    }
    assert_eq!(load.connections(), 8, "the eight clients keep their connections");
    load.stop().await;
    assert_eq!(daemon.metrics().await.get("graphhook_conservation_error"), 0.0);
    let taken = oracle.taken(&Amqp::connect(&Node::shared().url()).await, &daemon).await;
    let verdict = oracle.judge(&taken);
    verdict.check().check_doubles(0);
    assert_eq!((verdict.report.unanswered, verdict.report.unavailable), (0, 0), "{}", verdict.report.json());
    let versions = check_versions(&taken.normal);
    assert_eq!(versions.into_keys().collect::<Vec<_>>(), ["a", "b"]);
}

/// P5: the same with signals that do not wait for each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_signals_ends_in_the_last_version() {
    let mut daemon = version(Daemon::configure(), "a").connected().await;
    let oracle = Oracle::with_fresh_key();
    let load = Load::start(&oracle, &daemon, 4);
    (0..50).for_each(|_| daemon.signal("HUP"));
    daemon.eventually_logs("configuration reloaded").await;
    load.eventually_accepts(50).await;
    daemon.reconfigure(|configuration| version(configuration, "b"));
    daemon.signal("HUP");
    eventually("the last version", async || {
        (daemon.client().post("/b", &[], collection([created("storm")])).await.status == 202).then_some(())
    })
    .await;
    assert_eq!(load.connections(), 4);
    load.stop().await;
    assert_eq!(oracle.report().unanswered, 0);
}

/// Each message, and all messages of each request, come from one version. Returns how many there are of each.
fn check_versions(messages: &[Delivered]) -> BTreeMap<&str, usize> {
    let mut requests = BTreeMap::<&str, &str>::new();
    let mut versions = BTreeMap::new();
    for message in messages {
        let name = message.header("graphhook-client-state");
        assert_eq!(message.routing_key, format!("{name}.{name}"), "two versions in one message");
        let first = requests.entry(message.header("graphhook-request-id")).or_insert(name);
        assert_eq!(*first, name, "two versions in one request");
        *versions.entry(name).or_default() += 1;
    }
    versions
}

/// A request whose head came before the reload ends as it began, on a connection that goes on.
#[tokio::test]
async fn an_open_request_keeps_its_version() {
    let mut daemon = version(Daemon::configure(), "a")
        .set("server", "answer_within", "\"20s\"")
        .set("server.limits", "body_within", "\"20s\"")
        .connected()
        .await;
    let mut raw = daemon.client().raw().await;
    let body = collection([created("before")]);
    let head = |length: usize, more: &str| {
        format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{more}\r\n")
    };
    raw.send(head(body.len(), "Expect: 100-continue\r\n")).await;
    raw.read_past("100 Continue\r\n\r\n").await;
    daemon.reconfigure(|configuration| {
        version(configuration, "b").without_client_states().client_state("b", NEXT_SECRET)
    });
    reload_well(&daemon).await;
    raw.send(&body).await;
    let answer = raw.read_past("\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));

    let body = collection([changed("after", "created", NEXT_SECRET), created("forged by now")]);
    raw.send(head(body.len(), "") + &body).await;
    let answer = raw.read_past("\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 202"), "{}", String::from_utf8_lossy(&answer));
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    queue.eventually_holds(&["before", "after"]).await;
    let messages = queue.drain().await;
    let came: Vec<_> =
        messages.iter().map(|message| (message.message_id.as_str(), message.routing_key.as_str())).collect();
    assert_eq!(came, [("before", "a.a"), ("after", "b.b")]);
}

/// Paths, limits and the log's level; and the time of the reload.
#[tokio::test]
async fn what_can_change_does() {
    let mut daemon = Daemon::configure().connected().await;
    let token = "/elsewhere?validationToken=x";
    assert_eq!(daemon.client().post(token, &[], "").await.status, 404);
    let read_at = daemon.metrics().await.get(READ_AT);
    assert!(read_at > 1.7e9, "{read_at}");
    daemon.reconfigure(|configuration| {
        configuration
            .set("server", "paths", "[\"/elsewhere\"]")
            .set("server.limits", "body", "\"1KiB\"")
            .set("server.limits", "bytes_in_flight", "\"2KiB\"")
            .set("log", "level", "\"debug\"")
    });
    reload_well(&daemon).await;
    assert!(daemon.metrics().await.get(READ_AT) >= read_at);
    assert!(!daemon.log().contains("validation handshake"));
    assert_eq!(daemon.client().post(token, &[], "").await.status, 200);
    assert_eq!(daemon.client().post("/elsewhere", &[], "x".repeat(1025)).await.status, 413);
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 404);
    daemon.eventually_logs("validation handshake").await;
}

/// Systemd hears of each reload and of its end, with the clock that `Type=notify-reload` wants.
#[tokio::test]
async fn systemd_hears_of_reloads() {
    let ear = Ear::open();
    let mut daemon = Daemon::configure().env("NOTIFY_SOCKET", ear.path()).connected().await;
    ear.eventually_hears("broker up; ").await;
    reload_well(&daemon).await;
    let reloading = ear.eventually_hears("RELOADING=1").await;
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(since.trim_end().parse::<u64>().is_ok_and(|since| since > 0), "{reloading}");
    daemon.reconfigure(|configuration| configuration.append("wrong"));
    assert_eq!(reload(&daemon).await["ok"], false);
    let refused = ear.eventually_hears("last reload REFUSED, see the log").await;
    assert!(refused.starts_with("READY=1\n"), "{refused}");
    let words = ear.words();
    let order: Vec<&str> = words
        .iter()
        .filter(|words| !words.starts_with("STATUS="))
        .filter_map(|words| words.lines().next())
        .collect();
    assert_eq!(order, ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"]);
}

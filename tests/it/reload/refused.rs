//! What is wrong is refused as a whole, and said: in the log, in a metric, in `/status`.

use std::fs;

use serde_json::Value;

use super::{SUCCESSFUL, reload, reload_well};
use crate::support::broker::Node;
use crate::support::certs::Authority;
use crate::support::daemon::{Configuration, Daemon, NEXT_SECRET};
use crate::support::graph::{changed, collection, created, post};
use crate::support::queue::Amqp;

/// What is right in a file that has something wrong in it: none of it may come into force.
fn tempting(configuration: Configuration) -> Configuration {
    configuration.without_client_states().client_state("tempting", NEXT_SECRET).set(
        "server",
        "paths",
        "[\"/tempting\"]",
    )
}

/// Reloads a file that is wrong, and looks whether the old configuration is in force as a whole; then one that is
/// right.
async fn check(spoil: impl FnOnce(Configuration) -> Configuration, key: &str, words: &str) {
    let mut daemon = Daemon::configure().connected().await;
    let mut right = None;
    daemon.reconfigure(|configuration| {
        right = Some(configuration.clone());
        tempting(spoil(configuration))
    });
    let last = reload(&daemon).await;
    check_refused(&daemon, &last, key, words).await;
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    assert_eq!(post(&daemon.client(), [created("old")]).await.status, 202);
    assert_eq!(post(&daemon.client(), [changed("new", "created", NEXT_SECRET)]).await.status, 202);
    queue.eventually_holds(&["old"]).await;
    assert_eq!(queue.drain().await.len(), 1, "the new secret was believed");
    let tempted = daemon.client().post("/tempting", &[], collection([created("tempted")])).await;
    assert_eq!(tempted.status, 404);

    daemon.reconfigure(|_| right.expect("it was kept"));
    reload_well(&daemon).await;
}

async fn check_refused(daemon: &Daemon, last: &Value, key: &str, words: &str) {
    assert_eq!(last["ok"], false, "{last}");
    let message = last["message"].as_str().expect("words");
    assert!(message.contains(key) && message.contains(words), "{key:?}, {words:?}: {message}");
    assert_eq!(daemon.metrics().await.get(SUCCESSFUL), 0.0);
    let log = daemon.log();
    let said = |line: &str| {
        line.contains("not reloaded") && line.contains(&format!(r#""key":"{key}""#)) && line.contains("ERROR")
    };
    let line = log.lines().find(|line| said(line)).unwrap_or_else(|| panic!("no word of {key} in\n{log}"));
    assert!(key.is_empty() || line.contains("config.toml:") || line.contains("default"), "no place: {line}");
}

/// P6: files that are wrong in themselves.
#[tokio::test]
async fn a_broken_file_changes_nothing() {
    check(|configuration| configuration.append("not toml"), "", "not TOML").await;
    check(
        |configuration| configuration.set("server", "pathes", "[]"),
        "server.pathes",
        "did you mean paths?",
    )
    .await;
}

/// P6: a secret whose file is not there.
#[tokio::test]
async fn a_missing_secret_changes_nothing() {
    let table = "[[client_states]]\nname = \"gone\"\nsecret = { file = \"/nonexistent\" }";
    check(|configuration| configuration.append(table), "client_states.1.secret", "cannot read").await;
}

/// P6: a certificate that is not its key's.
#[tokio::test]
async fn a_wrong_certificate_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    let path = format!("\"{}\"", files.certificate.display());
    check(
        |configuration| configuration.set("server.tls", "certificate", &path),
        "server.tls.certificate",
        "cannot be used together",
    )
    .await;
    check(
        |configuration| configuration.set("server.tls", "private_key", "\"/nonexistent\""),
        "server.tls.private_key",
        "cannot read",
    )
    .await;
}

/// P6: keys that cannot change while running, all of them named at once.
#[tokio::test]
async fn what_takes_a_restart_changes_nothing() {
    let mut daemon = Daemon::configure().connected().await;
    let fixed = [
        ("server", "listen", "[\"127.0.0.1:1\"]"),
        ("server", "stop_within", "\"7s\""),
        ("server.tls", "mode", "\"off\""),
        ("broker", "urls", "[\"amqp://guest:canary@127.0.0.1:1/%2f\"]"),
        ("broker", "exchange", "\"other\""),
        ("broker", "queue", "\"other\""),
        ("broker", "queue_type", "\"classic\""),
        ("broker", "declare", "false"),
        ("broker", "confirm_within", "\"7s\""),
        ("broker", "connect_within", "\"7s\""),
        ("broker", "quarantine", "false"),
        ("broker", "channels", "3"),
        ("broker", "in_flight_messages", "7"),
        ("broker", "in_flight_bytes", "\"77MiB\""),
        ("spool", "directory", "\"/elsewhere\""),
        ("spool", "max_size", "\"7MiB\""),
        ("spool", "set_aside_after", "\"7s\""),
        ("admin", "listen", "\"127.0.0.1:2\""),
        ("log", "format", "\"text\""),
    ];
    daemon.reconfigure(|configuration| {
        let set = |configuration: Configuration, &(section, key, value): &(&str, &str, &str)| {
            configuration.set(section, key, value)
        };
        fixed.iter().fold(tempting(configuration), set)
    });
    let last = reload(&daemon).await;
    for (section, key, _) in fixed {
        check_refused(&daemon, &last, &format!("{section}.{key}"), "takes a restart").await;
    }
    assert_eq!(last["message"].as_str().expect("words").matches("takes a restart").count(), fixed.len());
    assert!(!daemon.log().contains("canary"), "a secret in the log");
    assert_eq!(post(&daemon.client(), [created("old")]).await.status, 202);
}

/// P6: no file at all.
#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() {
    let mut daemon = Daemon::configure().connected().await;
    fs::remove_file(daemon.directory().join("config.toml")).expect("it was there");
    let last = reload(&daemon).await;
    check_refused(&daemon, &last, "", "cannot read").await;
    daemon.reconfigure(|configuration| configuration);
    reload_well(&daemon).await;
}

//! Secrets that change while notifications come in.

use super::{BOUND, reload_well};
use crate::support::broker::Node;
use crate::support::daemon::{CLIENT_STATE, CONNECTION_UP, Configuration, Daemon, NEXT_SECRET, SECRET};
use crate::support::eventually::eventually_within;
use crate::support::graph::{changed, created, post};
use crate::support::load::{Plan, Secrets};
use crate::support::oracle::{Oracle, Sender};
use crate::support::queue::Amqp;

const MISMATCH: &str = r#"graphhook_notifications_refused_total{reason="mismatch"}"#;

/// G5: a secret is rotated under load, and the daemon is restarted in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_rotated_without_refusing_anything_genuine() {
    let table = |configuration: Configuration, secrets: &[(&str, &str)]| {
        secrets.iter().fold(configuration.without_client_states(), |configuration, (name, secret)| {
            configuration.client_state(name, secret)
        })
    };
    let (old, new) = ((CLIENT_STATE, SECRET), ("next", NEXT_SECRET));
    let mut daemon = table(Daemon::configure(), &[old]).connected().await;
    let oracle = Oracle::with_fresh_key();
    let load = Plan::new(&oracle).mixed().retries().start(&daemon);
    load.eventually_accepts(200).await;

    daemon.reconfigure(|configuration| table(configuration, &[old, new]));
    reload_well(&daemon).await;
    load.move_to(Secrets::Both);
    load.eventually_accepts(500).await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0), "{}", daemon.log());
    daemon.restart().await;
    load.follow(&daemon);
    load.eventually_accepts(500).await;

    load.move_to(Secrets::New);
    let moved = async || oracle.is_settled(Sender::Graph).then_some(());
    eventually_within(BOUND, "an end of what has the old secret", moved).await;
    daemon.reconfigure(|configuration| table(configuration, &[new]));
    reload_well(&daemon).await;
    load.eventually_accepts(500).await;
    load.stop().await;

    // Refused items are kept only while there is a broker.
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    let mismatches = daemon.metrics().await.get(MISMATCH);
    assert_eq!(post(&daemon.client(), [created("with the old secret")]).await.status, 202);
    assert_eq!(daemon.metrics().await.get(MISMATCH), mismatches + 1.0);
    assert_eq!(mismatches, 0.0, "something genuine was refused");
    let amqp = Amqp::connect(&Node::shared().url()).await;
    amqp.queue(&daemon.quarantine()).take(1).await;
    let taken = oracle.taken(&amqp, &daemon).await;
    assert_eq!(taken.quarantine, []);
    oracle.judge(&taken).check();
}

/// Secrets in files are read again, with one file for each.
#[tokio::test]
async fn files_of_secrets_are_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("secret");
    std::fs::write(&file, SECRET).expect("written");
    let table = format!("[[client_states]]\nname = \"file\"\nsecret = {{ file = \"{}\" }}", file.display());
    let daemon = Daemon::configure().without_client_states().append(&table).connected().await;
    std::fs::write(&file, NEXT_SECRET).expect("written");
    reload_well(&daemon).await;
    assert_eq!(post(&daemon.client(), [changed("by file", "created", NEXT_SECRET)]).await.status, 202);
    Amqp::connect(&Node::shared().url()).await.queue(daemon.queue()).eventually_holds(&["by file"]).await;
}

//! The allow-list of client addresses.

use std::fs;

use super::failed;
use crate::support::daemon::Daemon;
use crate::support::graph::{created, post};

const STRANGERS: &str = "graphhook_sources_unlisted_total";

#[tokio::test]
async fn the_list_is_enforced_and_can_be_changed_while_running() {
    let configuration = Daemon::configure()
        .without_broker()
        .set("server.sources", "mode", "\"enforce\"")
        .set("server.sources", "networks", r#"["192.0.2.0/24"]"#);
    let mut daemon = configuration.start().await;
    assert!(daemon.client().connect().await.is_err(), "this machine is not on the list");
    daemon.eventually_metric(&failed("source"), |failed| failed == 1.0).await;
    assert_eq!(daemon.metrics().await.get(STRANGERS), 1.0);

    let list = daemon.directory().join("sources");
    fs::write(&list, "# this machine\n127.0.0.0/8\n").expect("a list");
    daemon.reconfigure(|configuration| {
        configuration.set("server.sources", "file", &format!("{:?}", list.display().to_string()))
    });
    daemon.signal("HUP");
    daemon.eventually_logs("configuration reloaded").await;
    assert_eq!(post(&daemon.client(), [created("listed")]).await.status, 202);

    fs::write(&list, "127.0.0.0/8\nnobody\n").expect("a list");
    daemon.signal("HUP");
    daemon.eventually_logs(":2: neither an address nor a network").await;
    assert_eq!(post(&daemon.client(), [created("still listed")]).await.status, 202);
}

#[tokio::test]
async fn strangers_can_be_watched_without_refusing_them() {
    let configuration = Daemon::configure().without_broker().set("server.sources", "mode", "\"log\"").set(
        "server.sources",
        "networks",
        r#"["192.0.2.0/24"]"#,
    );
    let daemon = configuration.start().await;
    assert_eq!(post(&daemon.client(), [created("a stranger's")]).await.status, 202);
    daemon.eventually_logs("not one of server.sources").await;
    assert_eq!(daemon.metrics().await.get(STRANGERS), 1.0);
}

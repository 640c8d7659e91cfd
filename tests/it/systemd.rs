//! What systemd sees of the daemon: its words, its watchdog, its units. Where no systemd runs, the tests are systemd.

mod units;
mod watchdog;

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::support::eventually::eventually_equals;
use crate::support::graph::{changed, created, post};
use crate::support::issuer::{Issuer, Manner};
use crate::support::notify::Ear;

/// Ready at once, with or without a broker; then the line follows what happens.
#[tokio::test]
async fn the_status_line_follows_what_happens() {
    let ear = Ear::open();
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let mut daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .env("NOTIFY_SOCKET", ear.path())
        .start()
        .await;
    let serving = format!("STATUS=serving {}; ", daemon.public());
    let first = ear.eventually_hears("READY=1").await;
    assert!(
        first.starts_with(&format!("READY=1\n{serving}broker down; spool empty; certificate ends in ")),
        "{first}"
    );
    assert_eq!(post(&daemon.client(), [created("status-1")]).await.status, 202);
    ear.eventually_hears("broker down; spool holds 1 message, oldest under 2 minutes; ").await;
    cut.heal();
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    ear.eventually_hears(&format!("{serving}broker up; spool empty; ")).await;
    daemon.reconfigure(|configuration| configuration.append("wrong"));
    daemon.signal("HUP");
    ear.eventually_hears("last reload REFUSED, see the log").await;
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    let words = ear.words();
    let stopping = words.iter().position(|words| words.starts_with("STOPPING=1\n")).expect("it was said");
    let phases = [
        "STATUS=stopping: open requests are answered\n",
        "STATUS=stopping: waiting for the broker's last confirms\n",
        "STATUS=stopping: waiting for the broker's last confirms\n",
        "STATUS=stopping: closing the spool\n",
    ];
    assert_eq!(words[stopping + 1..], phases, "{words:#?}");
    // No word is said twice, but for the phases: systemd is told of changes.
    let said = &words[..stopping];
    assert!(said.windows(2).all(|two| two[0] != two[1]), "{words:#?}");
}

/// What keeps resource data from being judged is told where people look first.
#[tokio::test]
async fn the_status_line_says_when_tokens_cannot_be_checked() {
    let (ear, issuer) = (Ear::open(), Issuer::open().await);
    issuer.behaves(Manner::Answers(500, String::new()));
    let configuration = issuer.trusted(Daemon::configure().without_broker(), "sealed");
    let daemon = configuration.env("NOTIFY_SOCKET", ear.path()).start().await;
    ear.eventually_hears("; NO SIGNING KEYS, resource data is answered 503").await;
    issuer.behaves(Manner::Serves);
    daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 1.0).await;
    eventually_equals("a line without complaint", Some(false), async || {
        Some(ear.words().last()?.contains("SIGNING KEYS"))
    })
    .await;
}

/// An abstract name is a name as well, and one that leads nowhere is no reason not to serve.
#[tokio::test]
async fn whoever_listens_is_found() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let name = format!("graphhook-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    socket.set_nonblocking(true).expect("a socket of ours");
    let daemon = Daemon::configure().without_broker().env("NOTIFY_SOCKET", format!("@{name}")).start().await;
    eventually_equals("what is said", Some("READY=1\n".to_owned()), async || {
        let mut words = [0; 4096];
        let length = socket.recv(&mut words).ok()?;
        Some(String::from_utf8_lossy(&words[..length.min(8)]).into_owned())
    })
    .await;
    drop(daemon);
    let deaf = Daemon::configure().without_broker().env("NOTIFY_SOCKET", "/nowhere/at/all").start().await;
    deaf.eventually_logs("systemd does not hear us").await;
    assert_eq!(post(&deaf.client(), [created("deaf")]).await.status, 202);
}

/// Systemd that takes no words keeps nothing waiting.
#[tokio::test]
async fn systemd_may_be_busy() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let unread = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    let mut daemon = Daemon::configure().without_broker().env("NOTIFY_SOCKET", &path).start().await;
    for round in 0..8 {
        daemon.reconfigure(|configuration| configuration.append(&format!("# {round}")));
        daemon.signal("HUP");
        assert_eq!(post(&daemon.client(), [created(&format!("busy-{round}"))]).await.status, 202);
    }
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0), "{}", daemon.log());
    drop(unread);
}

/// Secrets that systemd hands over stand in files of a directory that it names.
#[tokio::test]
async fn credentials_of_systemd_are_secrets() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("mail"), "handed over by systemd\n").expect("written");
    std::fs::write(directory.path().join("broker-url"), Node::shared().url()).expect("written");
    let configuration = Daemon::configure()
        .without_client_states()
        .append("[[client_states]]\nname = \"mail\"\nsecret = { credential = \"mail\" }")
        .set("broker", "urls", r#"[{ credential = "broker-url" }]"#);
    let daemon = configuration.env("CREDENTIALS_DIRECTORY", directory.path()).connected().await;
    assert_eq!(post(&daemon.client(), [changed("c", "created", "handed over by systemd")]).await.status, 202);
    let published = r#"graphhook_notifications_outcome_total{outcome="published"}"#;
    assert_eq!(daemon.metrics().await.get(published), 1.0);
}

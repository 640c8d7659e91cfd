//! P13: nobody reads the log.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::Duration;

use hyper::Method;

use super::Journal;
use crate::faults::GRAPH_WAITS;
use crate::support::daemon::{Configuration, Daemon, Metrics};
use crate::support::eventually::{eventually, within};
use crate::support::graph::{PATH, changed, collection, created};
use crate::support::https::{self, Client};
use crate::support::ports;

const DROPPED: &str = "graphhook_log_dropped_total";

/// A daemon that says a lot, to nobody.
struct Unheard {
    daemon: Daemon,
    client: Client,
    admin: std::net::SocketAddr,
}

impl Unheard {
    async fn start(configuration: Configuration) -> Self {
        let [public, admin] = ports::free().map(|port| std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let daemon = configuration
            .without_broker()
            .set("server", "listen", &format!(r#"["{public}"]"#))
            .set("admin", "listen", &format!(r#""{admin}""#))
            .set("log", "level", r#""debug""#)
            .spawn();
        let client = Client::new(public, daemon.ca());
        eventually("an open port", async || tokio::net::TcpStream::connect(public).await.ok()).await;
        Self { daemon, client, admin }
    }

    async fn posted(&self, items: Vec<String>) -> u16 {
        let post = self.client.post(PATH, &[], collection(items));
        within(GRAPH_WAITS, "an answer while nobody reads the log", post).await.status
    }

    async fn dropped(&self) -> f64 {
        let reply = https::plain(self.admin, https::request(Method::GET, "/metrics", &[], "")).await;
        Metrics::parse(reply.expect("an answer").text()).get(DROPPED)
    }

    /// Goes on until lines are dropped, and then for some time.
    async fn overflow(&self) {
        let mut round = 0;
        while self.dropped().await == 0.0 {
            let forged =
                (0..1000).map(|number| changed(&format!("forged-{round}-{number}"), "created", "guess"));
            assert_eq!(self.posted(forged.collect()).await, 202);
            round += 1;
            assert!(round < 100, "nothing is ever dropped");
        }
        for number in 0..20 {
            assert_eq!(self.posted(vec![created(&format!("unheard-{number}"))]).await, 202);
        }
        let handshake = https::request(Method::POST, &format!("{PATH}?validationToken=heard"), &[], "");
        let answer = within(GRAPH_WAITS, "an answer to a handshake", self.client.send(handshake)).await;
        assert_eq!((answer.status, answer.text()), (200, "heard"));
    }
}

#[tokio::test]
async fn a_pipe_that_nobody_reads_keeps_no_request_waiting() {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("stderr");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo can be started");
    assert!(made.success());
    // Open for reading as well, so that it can be opened; whoever holds it so never reads.
    let configuration = Daemon::configure().before(&format!("exec 2<>'{}'", pipe.display()));
    let unheard = Unheard::start(configuration).await;
    unheard.overflow().await;
    // Somebody reads again: the log goes on, and says what is missing.
    let lines = BufReader::new(File::open(&pipe).expect("the pipe")).lines();
    let reader = tokio::task::spawn_blocking(move || {
        lines.map_while(Result::ok).find(|line| line.contains("\"log_dropped\"")).expect("a word of it")
    });
    let told = within(Duration::from_secs(20), "a word of what was dropped", reader).await.expect("no panic");
    let told: serde_json::Value = serde_json::from_str(&told).expect("a whole line of JSON");
    assert!(told["fields"]["lines"].as_u64().is_some_and(|lines| lines > 0), "{told}");
}

#[tokio::test]
async fn a_journal_that_nobody_reads_keeps_no_request_waiting() {
    let journal = Journal::open();
    let configuration = Daemon::configure().set("log", "format", r#""journald""#);
    let unheard = Unheard::start(configuration.env("JOURNAL_SOCKET", journal.path())).await;
    unheard.overflow().await;
    // The stop does not wait for it either.
    unheard.daemon.signal("TERM");
    assert_eq!(unheard.daemon.wait_exit().await.code(), Some(0));
}

//! `graphhook simulate`: what it sends, what arrives of it, and what it says of receivers that do wrong.

mod arrives;
mod forge;
mod manual;
mod rich;
mod strangers;
mod templates;
mod usage;

use std::process::Output;

use serde_json::Value;

use crate::support::broker::Node;
use crate::support::daemon::{Configuration, Daemon, SECRET, run};
use crate::support::graph::PATH;
use crate::support::queue::{Amqp, Queue};

/// A daemon that is connected, and what comes out of it.
struct Desk {
    daemon: Daemon,
    queue: Queue,
    quarantine: Queue,
}

impl Desk {
    async fn open() -> Self {
        Self::of(Daemon::configure()).await
    }

    async fn of(configuration: Configuration) -> Self {
        let daemon = configuration.connected().await;
        let url = Node::shared().url();
        let queue = Amqp::connect(&url).await.queue(daemon.queue());
        let quarantine = Amqp::connect(&url).await.queue(&daemon.quarantine());
        Self { daemon, queue, quarantine }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}{PATH}", self.daemon.public().port())
    }

    /// `graphhook simulate VERB` at the daemon, with its secret.
    async fn simulate(&self, verb: &str, more: &[&str]) -> Output {
        let ca = self.daemon.ca().to_str().expect("UTF-8");
        let address = self.daemon.public().to_string();
        let url = self.url();
        let whom = ["simulate", verb, &url, "--ca", ca, "--connect", &address];
        run(&[&whom, &["--client-state", "env:CLIENT_STATE"][..], more].concat(), &[("CLIENT_STATE", SECRET)])
            .await
    }

    /// The same, which goes well; what it says.
    #[track_caller]
    fn passes(&self, verb: &str, more: &[&str]) -> impl Future<Output = String> {
        let output = self.simulate(verb, more);
        let caller = std::panic::Location::caller();
        async move {
            let output = output.await;
            assert_eq!(output.status.code(), Some(0), "{}; called at {caller}", everything(&output));
            said(&output)
        }
    }
}

/// What a command has printed as its result; the secret is not in it.
fn said(output: &Output) -> String {
    assert!(!everything(output).contains(SECRET), "{}", everything(output));
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn everything(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// The JSON objects in it, one on each line.
fn objects(said: &str) -> Vec<Value> {
    said.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

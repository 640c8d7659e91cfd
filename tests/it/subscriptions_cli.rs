//! `graphhook subscriptions`: every command, against the stand-in for Graph over TLS, and a daemon that answers its handshakes.

mod change;
mod check;
mod create;
mod list;
mod plan;
mod sign_in;

use std::fs;
use std::path::PathBuf;

use graphhook::simulate::api::Operation;
use serde_json::Value;

use crate::support::api::Stand;
use crate::support::broker::Node;
use crate::support::certs::Files;
use crate::support::clock::Clock;
use crate::support::daemon::{Configuration, Daemon, SECRET, run};
use crate::support::issuer::{APP, TENANT};
use crate::support::ports;
use crate::support::queue::Amqp;

/// The secret of the tests' app.
const APP_SECRET: &str = "the secret of the app that the tests sign in with";
/// What is wanted of somebody's inbox.
const SALES: &str =
    "name = \"sales\"\nresource = \"/users/a@contoso.com/messages\"\nchange_types = [\"created\"]";

/// A stand-in for Graph, and a daemon that it can call.
struct Place {
    stand: Stand,
    daemon: Daemon,
}

/// What a command said.
struct Said {
    out: String,
    err: String,
    code: Option<i32>,
}

impl Place {
    /// With these tables of `[[subscriptions]]`.
    async fn open(wanted: &[&str]) -> Self {
        Self::with(wanted, |configuration| configuration).await
    }

    /// With other settings, too.
    async fn with(wanted: &[&str], change: impl FnOnce(Configuration) -> Configuration) -> Self {
        let stand = Stand::open().await;
        let daemon = change(configuration(&stand, wanted)).start().await;
        Self { stand, daemon }
    }

    /// Runs `graphhook subscriptions …`.
    async fn run(&self, arguments: &[&str]) -> Said {
        let said = self.run_openly(&[&["subscriptions"], arguments].concat()).await;
        self.keeps_secrets(&said);
        said
    }

    /// The same, by another clock.
    async fn run_by(&self, clock: &Clock, arguments: &[&str]) -> Said {
        let variables = clock.variables();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let said = self.run_within(&[&["subscriptions"], arguments].concat(), &variables).await;
        self.keeps_secrets(&said);
        said
    }

    /// Any command, whatever it tells.
    async fn run_openly(&self, arguments: &[&str]) -> Said {
        self.run_within(arguments, &[]).await
    }

    async fn run_within(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
        let config = self.daemon.directory().join("config.toml");
        let config = ["--config", config.to_str().expect("UTF-8")];
        let output = run(&[arguments, &config].concat(), variables).await;
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { out: text(output.stdout), err: text(output.stderr), code: output.status.code() }
    }

    /// Neither what a command said nor what the daemon logs holds a secret.
    fn keeps_secrets(&self, said: &Said) {
        let log = self.daemon.log();
        for secret in self.secrets() {
            for text in [&said.out, &said.err, &log] {
                assert!(!text.contains(&secret), "{text}");
            }
        }
    }

    fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![SECRET.to_owned(), APP_SECRET.to_owned()];
        let state = self.state();
        let entries = ["kept", "former"].into_iter().flat_map(|list| state[list].as_array().cloned());
        let made =
            entries.flatten().map(|entry| entry["client_state"].as_str().expect("a clientState").to_owned());
        secrets.extend(made);
        secrets
    }

    /// What the state holds; null if there is none.
    fn state(&self) -> Value {
        let text = fs::read_to_string(directory(&self.stand).join("state.json"));
        text.map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"))
    }

    /// How often Graph was asked for this.
    fn calls(&self, operation: Operation) -> usize {
        self.stand.api.journal().iter().filter(|call| call.operation == operation).count()
    }

    /// Calls that change something.
    fn changes(&self) -> usize {
        [Operation::Create, Operation::Update, Operation::Reauthorize, Operation::Delete]
            .into_iter()
            .map(|operation| self.calls(operation))
            .sum()
    }

    /// The entry of the table that admits the next message of the queue.
    async fn next_entry(&self) -> String {
        let amqp = Amqp::connect(&Node::shared().url()).await;
        let message = amqp.queue(self.daemon.queue()).take(1).await.pop().expect("one message");
        message.header("graphhook-client-state").to_owned()
    }

    /// The id of the one subscription that Graph has.
    fn only(&self) -> String {
        let held = self.stand.api.subscriptions();
        assert_eq!(held.len(), 1, "{held:?}");
        held[0].id.clone()
    }
}

impl Said {
    /// Standard output of a command that succeeded.
    #[track_caller]
    fn good(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        &self.out
    }

    /// The same, as JSON.
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(self.good()).expect("one JSON object")
    }

    /// The same, a value for each line.
    #[track_caller]
    fn lines(&self) -> Vec<Value> {
        self.good().lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
    }

    /// What it complained of, with this exit code.
    #[track_caller]
    fn bad(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        &self.err
    }
}

/// Where subscriptions are kept.
fn directory(stand: &Stand) -> PathBuf {
    stand.files.path().join("subscriptions")
}

/// A daemon's, with `[graph]` and these tables of `[[subscriptions]]`.
fn configuration(stand: &Stand, wanted: &[&str]) -> Configuration {
    let [port, admin] = ports::free();
    let url = |path: &str| format!("\"https://127.0.0.1:{port}/graph/{path}\"");
    let origin = format!("{:?}", stand.api.origin());
    let ca = stand.files.path().join("api-ca.pem");
    let quoted = |text: &str| format!("{text:?}");
    let mut configuration = Daemon::configure()
        .set("server", "listen", &format!("[\"127.0.0.1:{port}\"]"))
        .set("server", "public_url", &url("notifications"))
        .set("admin", "listen", &format!("\"127.0.0.1:{admin}\""))
        .set("graph", "sign_in", "\"client_secret\"")
        .set("graph", "tenant", &quoted(TENANT))
        .set("graph", "client_id", &quoted(APP))
        .set("graph", "client_secret", &quoted(APP_SECRET))
        .set("graph", "url", &origin)
        .set("graph", "login_url", &origin)
        .set("graph", "ca_file", &format!("{ca:?}"))
        .set("graph", "directory", &format!("{:?}", directory(stand)));
    for one in wanted {
        configuration = configuration.append(&format!("[[subscriptions]]\n{one}"));
    }
    configuration
}

/// Files for a configuration of which nothing is started.
fn unstarted(stand: &Stand, configuration: &Configuration, files: &Files) -> PathBuf {
    configuration.write_into(stand.files.path(), files)
}

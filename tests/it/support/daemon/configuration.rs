//! The configuration file of a test's daemon, made of its parts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::Daemon;
use crate::support::broker::Node;
use crate::support::certs::Files;
use crate::support::queue::unique;

/// What a daemon is told. Names of exchange and queue are its own unless set.
#[derive(Clone)]
pub struct Configuration {
    urls: Vec<String>,
    exchange: String,
    queue: String,
    /// `None` for one below the daemon's own directory.
    spool: Option<PathBuf>,
    /// `None` while it is for the default entry.
    client_states: Option<String>,
    settings: BTreeMap<String, BTreeMap<String, String>>,
    appended: String,
    environment: BTreeMap<String, String>,
    before: String,
}

/// 1 while the broker takes messages.
pub const CONNECTION_UP: &str = "graphhook_amqp_connection_up";
/// Name of the entry in the secret table of a daemon that was given none.
pub const CLIENT_STATE: &str = "test";
/// The secret of that entry.
pub const SECRET: &str = "the secret that the tests' subscriptions share";

/// A secret to take its place.
pub const NEXT_SECRET: &str = "the secret that the tests' subscriptions move to";

impl Configuration {
    pub(super) fn new() -> Self {
        Self {
            urls: Vec::new(),
            exchange: unique("exchange"),
            queue: unique("queue"),
            spool: None,
            client_states: None,
            settings: BTreeMap::new(),
            appended: String::new(),
            environment: BTreeMap::new(),
            before: String::new(),
        }
    }

    /// Adds a broker; without any it is [`Node::shared`].
    pub fn broker(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// A broker that does not exist.
    pub fn without_broker(self) -> Self {
        self.broker("amqp://guest:guest@127.0.0.1:1/%2f")
    }

    /// A spool that cannot be opened.
    pub fn without_spool(self) -> Self {
        self.set("spool", "directory", "\"/dev/null/spool\"")
    }

    /// Names the exchange.
    pub fn exchange(self, name: impl Into<String>) -> Self {
        Self { exchange: name.into(), ..self }
    }

    /// Names the queue; empty for none.
    pub fn queue(self, name: impl Into<String>) -> Self {
        Self { queue: name.into(), ..self }
    }

    /// Puts the spool into this directory, which need not exist yet.
    pub fn spool(self, directory: impl Into<PathBuf>) -> Self {
        Self { spool: Some(directory.into()), ..self }
    }

    /// Adds an entry to the secret table; without any there is one of [`CLIENT_STATE`] and [`SECRET`].
    pub fn client_state(self, name: &str, secret: &str) -> Self {
        self.client_state_with(name, secret, "")
    }

    /// As [`Configuration::client_state`], with more lines of TOML, such as `tenants = ["…"]`.
    pub fn client_state_with(mut self, name: &str, secret: &str, lines: &str) -> Self {
        let (name, secret) = (quoted(name), quoted(secret));
        let table = self.client_states.get_or_insert_default();
        writeln!(table, "[[client_states]]\nname = {name}\nsecret = {secret}\n{lines}")
            .expect("a string takes all");
        self
    }

    /// Empties the secret table, of the default entry too.
    pub fn without_client_states(self) -> Self {
        Self { client_states: Some(String::new()), ..self }
    }

    /// Sets one key: `set("server.limits", "body", "\"1KiB\"")`; the value is TOML. The last word counts, also
    /// over what is set here by default.
    pub fn set(mut self, section: &str, key: &str, value: &str) -> Self {
        self.settings.entry(section.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds TOML to the end of the file.
    pub fn append(mut self, toml: &str) -> Self {
        writeln!(self.appended, "{toml}").expect("a string takes all");
        self
    }

    /// Takes away all that was added to the end of the file.
    pub fn without_appended(self) -> Self {
        Self { appended: String::new(), ..self }
    }

    /// Sets a variable of the daemon's environment, which is otherwise empty.
    pub fn env(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        let value = value.as_ref().display().to_string();
        self.environment.insert(name.to_owned(), value);
        self
    }

    /// Adds a line for the shell that becomes the daemon, such as `ulimit -n 64`.
    pub fn before(mut self, line: &str) -> Self {
        writeln!(self.before, "{line}").expect("a string takes all");
        self
    }

    /// Starts a daemon, and waits until it listens.
    pub async fn start(self) -> Daemon {
        let daemon = Daemon::spawn(self);
        daemon.listening().await;
        daemon
    }

    /// Starts a daemon, and waits until it listens and the broker takes messages.
    pub async fn connected(self) -> Daemon {
        let daemon = self.start().await;
        daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
        daemon
    }

    /// Starts a daemon, and waits for nothing.
    pub fn spawn(self) -> Daemon {
        Daemon::spawn(self)
    }

    /// Writes the file into `directory`, for a daemon that has its spool there; returns its path.
    pub fn write_into(&self, directory: &Path, certificates: &Files) -> PathBuf {
        let path = file(directory);
        fs::write(&path, self.text(directory, certificates)).expect("the configuration can be written");
        path
    }

    pub(super) fn exchange_name(&self) -> &str {
        &self.exchange
    }

    pub(super) fn queue_name(&self) -> &str {
        &self.queue
    }

    /// Where the spool of a daemon lies that has its files in `directory`.
    pub(super) fn spool_in(&self, directory: &Path) -> PathBuf {
        self.spool.clone().unwrap_or_else(|| directory.join("spool"))
    }

    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    pub(super) fn before_start(&self) -> &str {
        &self.before
    }

    fn text(&self, directory: &Path, certificates: &Files) -> String {
        let mut sections = self.defaults(directory, certificates);
        for (section, settings) in &self.settings {
            sections.entry(section.clone()).or_default().extend(settings.clone());
        }
        let mut text = String::new();
        for (section, settings) in sections {
            writeln!(text, "[{section}]").expect("a string takes all");
            for (key, value) in settings {
                writeln!(text, "{key} = {value}").expect("a string takes all");
            }
        }
        match &self.client_states {
            Some(table) => text + table + &self.appended,
            None => self.clone().client_state(CLIENT_STATE, SECRET).text(directory, certificates),
        }
    }

    fn defaults(&self, directory: &Path, certificates: &Files) -> BTreeMap<String, BTreeMap<String, String>> {
        let path = |path: &Path| quoted(&path.display().to_string());
        let urls: Vec<_> = match self.urls.as_slice() {
            [] => vec![quoted(&Node::shared().url())],
            urls => urls.iter().map(|url| quoted(url)).collect(),
        };
        let settings = [
            ("server", "listen", r#"["127.0.0.1:0"]"#.to_owned()),
            ("server.tls", "mode", quoted("files")),
            ("server.tls", "certificate", path(&certificates.certificate)),
            ("server.tls", "private_key", path(&certificates.key)),
            ("broker", "urls", format!("[{}]", urls.join(", "))),
            ("broker", "exchange", quoted(&self.exchange)),
            ("broker", "queue", quoted(&self.queue)),
            ("spool", "directory", path(&self.spool_in(directory))),
            ("admin", "listen", quoted("127.0.0.1:0")),
            ("log", "format", quoted("json")),
        ];
        let mut sections = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (section, key, value) in settings {
            sections.entry(section.to_owned()).or_default().insert(key.to_owned(), value);
        }
        sections
    }
}

/// Where the configuration file of a daemon lies.
pub(super) fn file(directory: &Path) -> PathBuf {
    directory.join("config.toml")
}

/// A TOML string; JSON's escapes are among TOML's.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

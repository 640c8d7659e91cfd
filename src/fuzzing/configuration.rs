//! A configuration file and variables.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::config::{Config, Environment, Loaded, Problem, load_text};

/// The lines behind `# environment` are variables, the rest is the file. Loading ends; every problem says which key or
/// place it is about; no problem, warning or dump quotes a value that may be a secret; and what is loaded is what the
/// file says.
pub fn configuration(data: &[u8]) {
    let Ok(input) = std::str::from_utf8(data) else { return };
    // Secrets may stand in files, and these never end.
    if ["/dev", "/proc", "/sys"].iter().any(|name| input.contains(name)) {
        return;
    }
    let (text, variables) = input.split_once(MARK).unwrap_or((input, ""));
    let variables = variables.lines().filter_map(|line| line.split_once('='));
    let variables: BTreeMap<_, _> =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let environment = Environment { variables };
    let loaded = load_text(FILE, text, &environment);
    let said = match &loaded {
        Ok(loaded) => &loaded.warnings,
        Err(problems) => &problems.0,
    };
    assert!(loaded.is_ok() || !said.is_empty(), "refused without a problem");
    for problem in said {
        check_place(problem, text, &environment);
    }
    let places = Places::of(text, &environment);
    if !places.may_be_quoted {
        assert!(!said.iter().any(|problem| problem.to_string().contains(CANARY)), "{said:?} quotes a value");
    }
    if let Ok(loaded) = &loaded {
        check_loaded(loaded, text, &environment, &places);
    }
}

/// A problem names a place that exists, and its key: unless it is about the file as a whole, or the key is nothing.
fn check_place(problem: &Problem, text: &str, environment: &Environment) {
    let line = problem.origin.strip_prefix(FILE).and_then(|rest| rest.strip_prefix(':'));
    let line = line.and_then(|line| line.parse::<usize>().ok());
    let is_line = line.is_some_and(|line| (1..=text.split('\n').count()).contains(&line));
    let is_elsewhere = problem.origin == "default" || environment.get(&problem.origin).is_some();
    assert!(is_line || is_elsewhere, "{problem:?} is nowhere");
    let is_of_all = is_line && text.parse::<Table>().is_err();
    let is_nothing = problem.message.starts_with("unknown key");
    assert!(!problem.key.is_empty() || is_of_all || is_nothing, "{problem:?} names no key");
    assert!(!problem.message.is_empty(), "{problem:?} says nothing");
}

/// Where [`CANARY`] stands.
#[derive(Default)]
struct Places {
    /// In a key, a name or a path: these are said to people.
    may_be_quoted: bool,
    /// In any value that is neither a secret nor the URL of a broker.
    is_ordinary: bool,
    /// In the URL of a broker.
    is_in_url: bool,
}

impl Places {
    fn of(text: &str, environment: &Environment) -> Self {
        let mut places = Self::default();
        // Of what is no TOML nothing is quoted at all.
        if let Ok(table) = text.parse::<Table>() {
            places.look("", &Value::Table(table));
        }
        for (name, value) in &environment.variables {
            places.may_be_quoted |= name.to_lowercase().contains(CANARY);
            let Some(key) = name.strip_prefix("GRAPHHOOK_") else {
                places.may_be_quoted |= name == "CREDENTIALS_DIRECTORY" && value.contains(CANARY);
                continue;
            };
            let key = key.to_lowercase();
            let key = key.rsplit("__").next().unwrap_or_default();
            let structured = format!("x = {}", value.trim()).parse::<Table>().ok();
            let value =
                structured.and_then(|mut table| table.remove("x")).unwrap_or_else(|| value.clone().into());
            places.look(key, &value);
        }
        places
    }

    fn look(&mut self, key: &str, value: &Value) {
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    self.may_be_quoted |= key.contains(CANARY);
                    self.look(key, value);
                }
            }
            Value::Array(elements) => elements.iter().for_each(|value| self.look(key, value)),
            Value::String(text) if text.contains(CANARY) => {
                self.may_be_quoted |= QUOTED.contains(&key);
                self.is_in_url |= key == "urls";
                self.is_ordinary |= !["urls", "secret"].contains(&key);
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {}
        }
    }
}

fn check_loaded(loaded: &Loaded, text: &str, environment: &Environment, places: &Places) {
    if !places.may_be_quoted && !places.is_ordinary && !places.is_in_url {
        assert!(!format!("{loaded:?}").contains(CANARY), "a dump shows a secret");
    }
    check_urls(loaded);
    check_bounds(&loaded.config);
    if !environment.variables.keys().any(|name| name.starts_with("GRAPHHOOK_")) {
        check_values(&loaded.config, &text.parse().expect("it was loaded"));
    }
}

/// What is shown of a URL has nothing of what is before its host.
fn check_urls(Loaded { config, effective, .. }: &Loaded) {
    let masked = effective.values["broker"]["urls"].as_array().expect("a list");
    assert_eq!(masked.len(), config.broker.urls.len());
    for (url, masked) in config.broker.urls.iter().zip(masked) {
        let Some((user, host)) = url.secret.expose().rsplit_once('@') else { continue };
        let is_secret = user.contains(CANARY) && !host.contains(CANARY);
        let shown = [url.shown.as_str(), masked.as_str().unwrap_or_default()];
        assert!(!is_secret || !shown.concat().contains(CANARY), "a password is shown");
    }
}

fn check_bounds(config: &Config) {
    let Config { server, client_states, graph, broker, spool, .. } = config;
    let limits = &server.limits;
    assert!(!server.listen.is_empty() && !server.paths.is_empty() && !broker.urls.is_empty());
    assert!(!client_states.is_empty() || graph.is_some());
    assert!(client_states.iter().all(|entry| !entry.secret.expose().is_empty()));
    assert!(server.paths.iter().all(|path| path.starts_with('/')));
    assert!(limits.body_bytes_max <= limits.bytes_in_flight.min(broker.in_flight_bytes));
    assert!(limits.items_max > 0 && limits.connections_max > 0);
    assert!((1..=16).contains(&broker.channels) && (1..=65_536).contains(&broker.in_flight_messages));
    assert!((1..=255).contains(&broker.exchange.len()) && spool.directory.is_absolute());
}

/// What a plain reading of the file finds.
fn check_values(config: &Config, table: &Table) {
    let value = |section: &str, key: &str| table.get(section).and_then(|section| section.get(key));
    let text = |section: &str, key: &str| value(section, key).and_then(Value::as_str);
    if let Some(exchange) = text("broker", "exchange") {
        assert_eq!(config.broker.exchange, exchange);
    }
    if let Some(declare) = value("broker", "declare").and_then(Value::as_bool) {
        assert_eq!(config.broker.topology == crate::config::Topology::Declare, declare);
    }
    if let Some(Value::Array(paths)) = value("server", "paths") {
        assert!(paths.iter().map(Value::as_str).eq(config.server.paths.iter().map(|path| Some(&**path))));
    }
    let Some(Value::Array(states)) = table.get("client_states") else { return };
    assert_eq!(states.len(), config.client_states.len());
    for (said, state) in states.iter().zip(&config.client_states) {
        assert_eq!(said.get("name").and_then(Value::as_str), Some(&*state.name));
        if let Some(secret) = said.get("secret").and_then(Value::as_str) {
            assert!(secret == state.secret.expose(), "another secret");
        }
        if let Some(Value::Array(ids)) = said.get("subscriptions") {
            assert!(ids.iter().filter_map(Value::as_str).all(|id| state.subscriptions.contains(id)));
        }
    }
}

/// Stands for a secret.
const CANARY: &str = "hunter2";
const MARK: &str = "\n# environment\n";
const FILE: &str = "config.toml";
/// Keys whose values are said to people: what the secret is called, where it lies, and a placeholder that is none.
const QUOTED: [&str; 9] = [
    "name",
    "file",
    "env",
    "credential",
    "ca_file",
    "client_ca_file",
    "certificate",
    "private_key",
    "routing_key",
];

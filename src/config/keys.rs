//! Every key of the configuration: its words and its default, as config.toml has them, and when a change takes effect.
//!
//! config.toml is the one place that documents keys; tests hold it equal to the defaults and to the keys of
//! [`raw`](super::raw).

use serde::Serialize;
use serde_json::Value;

use super::{EXAMPLE, change::effects};

/// A key of the configuration.
#[derive(Clone, Debug, Serialize)]
pub struct Key {
    /// Dotted name; `[]` stands behind a table that may come several times.
    pub key: String,
    /// The environment variable that sets it; none where a list is set as a whole.
    pub variable: Option<String>,
    /// The default; none if there is none.
    pub default: Option<Value>,
    /// When a change takes effect.
    pub effect: Effect,
    /// What config.toml says of it.
    pub description: String,
}

/// When a change that a reload brings takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// With the next request.
    AtOnce,
    /// For connections that are made from then on.
    NewConnections,
    /// A reload that finds it changed is refused as a whole.
    Restart,
}

impl Effect {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::NewConnections => "new connections",
            Self::Restart => "restart",
        }
    }
}

/// All keys, in the order of config.toml.
pub fn keys() -> Vec<Key> {
    let (defaults, effects) = (defaults(), effects());
    let key = |Documented { key, description }: Documented| {
        let effect = effects.get(key.as_str()).copied();
        Key {
            variable: (!key.contains("[]"))
                .then(|| format!("{}{}", super::layers::PREFIX, key.replace('.', "__").to_uppercase())),
            default: lookup(&defaults, &key).cloned(),
            // A test holds that every key has one; what nobody thought of is not changed under a running daemon.
            effect: effect.unwrap_or(Effect::Restart),
            key,
            description,
        }
    };
    documented().into_iter().map(key).collect()
}

/// What a file without any key means: config.toml itself, in which everything else is commented out.
fn defaults() -> Value {
    toml::from_str(EXAMPLE).expect("config.toml is TOML")
}

/// The value of a dotted key.
pub(super) fn lookup<'a>(values: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(values, |value, part| match value {
        Value::Array(elements) => elements.get(part.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            value.get(part)
        }
    })
}

/// A key and its comment.
#[derive(Debug)]
pub(super) struct Documented {
    pub(super) key: String,
    pub(super) description: String,
}

impl Documented {
    /// The table it stands in, and its name there.
    pub(super) fn split(&self) -> (&str, &str) {
        self.key.rsplit_once('.').unwrap_or(("", &self.key))
    }
}

/// The keys of config.toml, commented out or not, with the comments above them. A key right below another shares its
/// comment.
pub(super) fn documented() -> Vec<Documented> {
    let (mut found, mut section, mut comment, mut is_used) = (Vec::new(), String::new(), Vec::new(), false);
    for line in EXAMPLE.lines() {
        match Line::of(line) {
            Line::Section(name) => {
                section = name;
                comment.clear();
            }
            Line::Key(name, beside) => {
                is_used = true;
                let description = beside.map_or_else(|| comment.join(" "), str::to_owned);
                let description = description.replace(RESTART_AFTER, "").replace(RESTART_BEFORE, "");
                found.push(Documented { key: format!("{section}.{name}"), description });
            }
            Line::Comment(words) => {
                if std::mem::take(&mut is_used) {
                    comment.clear();
                }
                comment.push(words);
            }
            Line::Break => comment.clear(),
        }
    }
    found
}

/// A line of config.toml.
enum Line<'a> {
    Section(String),
    /// A key, and the comment beside it.
    Key(String, Option<&'a str>),
    Comment(&'a str),
    Break,
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        let bare = line.strip_prefix('#').map_or(line, |rest| rest.strip_prefix(' ').unwrap_or(rest));
        if bare.trim().is_empty() {
            return Self::Break;
        }
        if let Some(name) = bare.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            return Self::Section(format!("{name}[]"));
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return Self::Section(name.to_owned());
        }
        // What stands further in is an example.
        if bare.starts_with(' ') {
            return Self::Comment(bare.trim());
        }
        // Prose may begin like a key, but does not go on as one.
        let table = bare.parse::<toml::Table>().ok().filter(|table| table.len() == 1);
        match table.and_then(|table| table.into_iter().next()) {
            Some((name, _)) => Self::Key(name, bare.split_once("  # ").map(|(_, words)| words)),
            None => Self::Comment(bare.trim()),
        }
    }
}

/// The effect says it, too.
const RESTART_AFTER: &str = " [restart]";
const RESTART_BEFORE: &str = "[restart] ";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{schema::leaves, toml_value};

    #[test]
    fn every_key_is_documented_and_has_an_effect() {
        let (effects, known) = (effects(), leaves());
        let documented = documented();
        for Documented { key, description } in &documented {
            assert!(!description.is_empty(), "config.toml does not explain {key}");
        }
        let documented: BTreeSet<_> = documented.into_iter().map(|documented| documented.key).collect();
        assert_eq!(documented, known, "config.toml and the types");
        let effects: BTreeSet<_> = effects.keys().map(|key| (*key).to_owned()).collect();
        assert_eq!(effects, known, "what change.rs compares and the types");
    }

    #[test]
    fn the_manual_has_them_all() {
        let rows = keys().into_iter().map(|Key { key, default, effect, .. }| {
            let default = default.map(|value| format!("`{}`", toml_value(&value))).unwrap_or_default();
            format!("| `{key}` | {default} | {} |\n", effect.as_str())
        });
        let table: String = rows.collect();
        let manual = include_str!("../../docs/configuration.md");
        assert!(manual.contains(&table), "docs/configuration.md should have\n{table}");
    }

    #[test]
    fn words_and_defaults_stand_with_their_keys() {
        let keys = keys();
        let key = |name: &str| keys.iter().find(|key| key.key == name).expect(name);
        assert_eq!(key("server.answer_within").default, Some("2500ms".into()));
        assert_eq!(key("server.tls.domains").effect, Effect::Restart);
        assert!(key("server.tls.private_key").description.starts_with("Only for mode = \"files\""));
        assert_eq!(key("server.tls.contact").default, None);
        assert_eq!(key("client_states[].secret").effect, Effect::AtOnce);
        assert!(key("client_states[].name").description.starts_with("stands for the secret"));
        assert!(!keys.iter().any(|key| key.description.contains("[restart]")));
    }
}

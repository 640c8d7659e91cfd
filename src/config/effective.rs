//! The configuration as it came out of its layers, as it may be shown: every key, where it comes from, no secret.

use std::{collections::BTreeMap, fmt::Write};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use super::{
    keys::{documented, lookup},
    layers::Layers,
    raw::Raw,
};

/// Every key with its value; secrets are masked.
#[derive(Clone, Debug)]
pub struct Effective {
    /// As the file would have them; what is not set is null.
    pub values: Value,
    /// Where each key comes from: `FILE:LINE`, an environment variable, or `default`.
    pub origins: BTreeMap<String, String>,
}

/// Whether to say where values come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Origins {
    /// Beside each.
    Shown,
    /// Not at all.
    Hidden,
}

impl Effective {
    pub(super) fn of(raw: &Raw, layers: &Layers) -> Self {
        let values = serde_json::to_value(raw).expect("settings are JSON");
        let keys = documented().into_iter().flat_map(|documented| {
            let (section, name) = documented.split();
            let tables = tables(&values, section);
            tables.into_iter().map(|(path, _)| format!("{path}.{name}")).collect::<Vec<_>>()
        });
        let origins = keys.map(|key| (key.clone(), layers.origin(&key))).collect();
        Self { values, origins }
    }

    /// The same for all daemons that are told the same, whatever their secrets and the content of their files: twelve
    /// hexadecimal digits. What is masked before cannot be guessed from it.
    pub fn hash(&self) -> String {
        let text = self.values.to_string();
        let digest = digest(&SHA256, text.as_bytes());
        digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As a configuration file.
    pub fn toml(&self, origins: Origins) -> String {
        let (mut text, documented) = (String::new(), documented());
        for keys in documented.chunk_by(|one, other| one.split().0 == other.split().0) {
            let section = keys[0].split().0;
            for (path, table) in tables(&self.values, section) {
                let header = section
                    .strip_suffix("[]")
                    .map_or_else(|| format!("[{section}]"), |name| format!("[[{name}]]"));
                let gap = if text.is_empty() { "" } else { "\n" };
                writeln!(text, "{gap}{header}").expect("a string takes all");
                for name in keys.iter().map(|key| key.split().1) {
                    let origin = self.origins.get(&format!("{path}.{name}"));
                    text += &line(name, &table[name], origin.filter(|_| origins == Origins::Shown));
                }
            }
        }
        text
    }
}

/// The tables that a section stands for, with their paths: one, or as many as there are of `name[]`.
fn tables<'a>(values: &'a Value, section: &str) -> Vec<(String, &'a Value)> {
    let path = section.strip_suffix("[]");
    let found = lookup(values, path.unwrap_or(section)).unwrap_or(&Value::Null);
    match (path, found) {
        (Some(path), Value::Array(elements)) => {
            elements.iter().enumerate().map(|(index, table)| (format!("{path}.{index}"), table)).collect()
        }
        (Some(_), _) => Vec::new(),
        (None, table) => vec![(section.to_owned(), table)],
    }
}

fn line(name: &str, value: &Value, origin: Option<&String>) -> String {
    if value.is_null() {
        return format!("# {name} is not set\n");
    }
    let setting = format!("{name} = {}", toml_value(value));
    match origin {
        Some(origin) => format!("{setting:<58}  # {origin}\n"),
        None => setting + "\n",
    }
}

/// A value as TOML has it, on one line.
pub fn toml_value(value: &Value) -> String {
    let list = |values: Vec<String>| values.join(", ");
    match value {
        // There is none in a file; within a table its key is left out.
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        // JSON's escapes are among TOML's, which also wants DEL escaped.
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007f"),
        Value::Array(values) => format!("[{}]", list(values.iter().map(toml_value).collect())),
        Value::Object(table) => {
            let set = table.iter().filter(|(_, value)| !value.is_null());
            format!(
                "{{ {} }}",
                list(
                    set.map(|(name, value)| format!("{} = {}", toml_key(name), toml_value(value))).collect()
                )
            )
        }
    }
}

/// Bare where TOML allows it: who sets the keys of a table chooses their names.
fn toml_key(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if is_bare { name.to_owned() } else { toml_value(&Value::from(name)) }
}

//! The layers a configuration is made of: the file, then the environment; and where each key of them stands.

use std::collections::BTreeMap;

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};
use toml::de::{DeTable, DeValue};

use super::problem::Problem;

/// One source of settings. Later layers win over earlier ones.
#[derive(Debug, Default)]
pub(super) struct Layer {
    values: Dict,
    /// Dotted key → where it stands, for people.
    origins: BTreeMap<String, String>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("graphhook")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

impl Layer {
    /// Reads a TOML file. Its errors name the line, but never quote it: a secret may stand there.
    pub(super) fn from_toml(name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let problem = |error: toml::de::Error| {
                let line = error.span().map_or(1, |span| line_of(text, span.start));
                Problem::at("", format!("{name}:{line}"), format!("not TOML: {}", error.message()))
            };
            return Err(errors.into_iter().map(problem).collect());
        }
        let mut origins = BTreeMap::new();
        let lines = Lines::of(text);
        note_origins(table.get_ref(), "", &mut |key, offset| {
            origins.insert(key, format!("{name}:{}", lines.number(offset)));
        });
        let values = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            vec![Problem::at("", format!("{name}:{line}"), "a value is out of range".to_owned())]
        })?;
        Ok(Self { values, origins })
    }

    /// Reads the variables `GRAPHHOOK_SECTION__KEY`.
    ///
    /// A value stays the text it is, so that `0123456` remains a secret of seven digits; keys that want a
    /// number or a boolean read it from the text. A value in brackets or braces is a list or a table.
    pub(super) fn from_environment(environment: &BTreeMap<String, String>) -> Self {
        let mut layer = Self::default();
        for (variable, text) in environment {
            let Some(name) = variable.strip_prefix(PREFIX) else {
                continue;
            };
            let key = name.to_lowercase().replace("__", ".");
            let value = structured(text).unwrap_or_else(|| Value::from(text.as_str()));
            insert(&mut layer.values, &key, value);
            layer.origins.insert(key, variable.clone());
        }
        layer
    }

    /// Where the key stands in this layer, or the first thing within it.
    fn origin(&self, key: &str) -> Option<&str> {
        let first_within = || {
            let within = format!("{key}.");
            let (other, origin) = self.origins.range(within.clone()..).next()?;
            other.starts_with(&within).then_some(origin)
        };
        let origin = self.origins.get(key).or_else(first_within);
        origin.map(String::as_str).filter(|_| self.contains(key))
    }

    fn contains(&self, key: &str) -> bool {
        match key.split_once('.') {
            None => self.values.contains_key(key),
            Some((section, rest)) => {
                self.values.get(section).is_some_and(|value| find(value, rest).is_some())
            }
        }
    }
}

/// A list or table written as in TOML. Figment's own parser counts characters where it means bytes: it panics on
/// some texts with a backslash, and spoils others (0.10.19).
fn structured(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with(['[', '{']) {
        return None;
    }
    let mut table: toml::Table = toml::from_str(&format!("value = {}", text.trim())).ok()?;
    let value = table.remove("value").filter(|_| table.is_empty())?;
    Value::serialize(value).ok()
}

/// All layers, the weakest first.
#[derive(Debug)]
pub(super) struct Layers(pub(super) Vec<Layer>);

impl Layers {
    /// The layers as figment merges them.
    pub(super) fn merged(&self) -> Figment {
        self.0.iter().fold(Figment::new(), |figment, layer| figment.merge(layer))
    }

    /// Where a key stands: the strongest layer that has it, or the defaults. What is missing from an element of
    /// a list is looked for where the element stands.
    pub(super) fn origin(&self, key: &str) -> String {
        let origin = self.0.iter().rev().find_map(|layer| layer.origin(key));
        let around =
            || key.rsplit_once('.').filter(|(around, _)| around.ends_with(|c: char| c.is_ascii_digit()));
        match (origin, around()) {
            (Some(origin), _) => origin.to_owned(),
            (None, Some((element, _))) => self.origin(element),
            (None, None) => "default".to_owned(),
        }
    }

    /// Whether the file, the weakest layer, has the last word about this key.
    pub(super) fn is_in_file(&self, key: &str) -> bool {
        self.0.iter().rposition(|layer| layer.contains(key)) == Some(0)
    }

    /// Takes a key that cannot be used out of the strongest layer that has it, so that what else is wrong can
    /// still be found. An element of a list goes with its list. Returns whether there was anything to take.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let key = match key.rsplit_once('.') {
            Some((list, index)) if index.parse::<usize>().is_ok() => list,
            _ => key,
        };
        self.0.iter_mut().rev().any(|layer| layer.contains(key) && remove(&mut layer.values, key))
    }
}

/// Prefix of our environment variables.
pub(super) const PREFIX: &str = "GRAPHHOOK_";

fn line_of(text: &str, offset: usize) -> usize {
    Lines::of(text).number(offset)
}

/// Where the lines of a text end: a table of thousands of secrets has more keys than a text can be counted through for.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(end, _)| end).collect())
    }

    /// The number of the line in which this byte stands.
    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|&end| end < offset) + 1
    }
}

fn note_origins(table: &DeTable<'_>, prefix: &str, note: &mut impl FnMut(String, usize)) {
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        note(path.clone(), key.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => note_origins(inner, &format!("{path}."), note),
            DeValue::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let path = format!("{path}.{index}");
                    note(path.clone(), element.span().start);
                    if let DeValue::Table(inner) = element.get_ref() {
                        note_origins(inner, &format!("{path}."), note);
                    }
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}

fn insert(dict: &mut Dict, key: &str, value: Value) {
    let Some((section, rest)) = key.split_once('.') else {
        dict.insert(key.to_owned(), value);
        return;
    };
    let entry = dict.entry(section.to_owned()).or_insert_with(|| Value::from(Dict::new()));
    if let Value::Dict(_, inner) = entry {
        insert(inner, rest, value);
    }
}

fn find<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(value, |value, part| match value {
        Value::Dict(_, dict) => dict.get(part),
        Value::Array(_, elements) => elements.get(part.parse::<usize>().ok()?),
        Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) | Value::Empty(..) => None,
    })
}

fn remove(dict: &mut Dict, key: &str) -> bool {
    let Some((section, rest)) = key.split_once('.') else {
        return dict.remove(key).is_some();
    };
    match dict.get_mut(section) {
        Some(Value::Dict(_, inner)) => remove(inner, rest),
        Some(Value::Array(_, elements)) => {
            let Some((index, rest)) = rest.split_once('.') else {
                return false;
            };
            match index.parse::<usize>().ok().and_then(|index| elements.get_mut(index)) {
                Some(Value::Dict(_, inner)) => remove(inner, rest),
                _ => false,
            }
        }
        _ => false,
    }
}

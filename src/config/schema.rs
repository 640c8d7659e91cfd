//! A JSON Schema of the configuration file, for editors: the types of [`raw`](super::raw), with words and defaults of
//! config.toml.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::{
    keys::{Key, keys},
    raw::Raw,
};

/// The schema (draft 2020-12).
pub fn schema() -> Value {
    let mut schema = bare();
    schema["title"] = json!("Configuration of graphhook");
    schema["description"] = json!(concat!("config.toml of graphhook ", env!("CARGO_PKG_VERSION")));
    for Key { key, default, description, .. } in keys() {
        let Some(property) = property(&mut schema, &key) else { continue };
        property.insert("description".to_owned(), description.into());
        if let Some(default) = default {
            property.insert("default".to_owned(), default);
        }
    }
    schema
}

/// As the types have it, everything in one piece.
fn bare() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Raw>().to_value();
    tidy(&mut schema);
    for (table, names) in REQUIRED {
        let table = property(&mut schema, table).expect("it is one of the tables");
        table.insert("required".to_owned(), json!(names));
    }
    schema
}

/// Of these the types know no absence either, but report it with all other mistakes.
const REQUIRED: [(&str, &[&str]); 4] = [
    ("client_states[]", &["name", "secret"]),
    ("server.tls.certificates[]", &["certificate", "private_key"]),
    ("rich.keys[]", &["id", "private_key"]),
    ("subscriptions[]", &["name", "resource", "change_types"]),
];

/// Only what means something: a file has no null, and defaults are said at the keys only.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("default");
            // "uint" is no format that the standard knows.
            map.remove("format");
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    map["type"] = only.clone();
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice["type"] != "null");
            }
            for (name, value) in map {
                // Here names are keys, and not words of the schema.
                match value.as_object_mut().filter(|_| name == "properties") {
                    Some(properties) => properties.values_mut().for_each(tidy),
                    None => tidy(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What the schema says of a dotted key.
fn property<'a>(schema: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    let found = key.split('.').try_fold(schema, |schema, part| {
        let (name, is_list) = part.strip_suffix("[]").map_or((part, false), |name| (name, true));
        let property = schema.get_mut("properties")?.get_mut(name)?;
        if is_list { property.get_mut("items") } else { Some(property) }
    });
    found?.as_object_mut()
}

/// The dotted names of all keys. A list of tables is a key as a whole, but for the table of secrets.
#[cfg(test)]
pub(super) fn leaves() -> std::collections::BTreeSet<String> {
    fn walk(schema: &Value, path: &str, found: &mut std::collections::BTreeSet<String>) {
        match schema["properties"].as_object() {
            Some(properties) => {
                for (name, property) in properties {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(property, &path, found);
                }
            }
            None if matches!(path, "client_states" | "rich.keys" | "subscriptions") => {
                walk(&schema["items"], &format!("{path}[]"), found);
            }
            None => drop(found.insert(path.to_owned())),
        }
    }
    let mut found = std::collections::BTreeSet::new();
    walk(&bare(), "", &mut found);
    found
}

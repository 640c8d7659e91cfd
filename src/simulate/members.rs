//! The members of a JSON object as text: some change, every other byte and the order stay.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of an object, in order; a name may stand there twice.
#[derive(Clone, Debug)]
pub struct Members(Vec<(String, String)>);

impl Members {
    /// Reads one JSON object; `None` if it is something else.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text of a member's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Puts a JSON text in place of a member's value, as often as it stands there, or behind all others if it is new.
    pub fn set(&mut self, name: &str, json: impl Into<String>) {
        let json = json.into();
        if self.get(name).is_none() {
            return self.push(name, json);
        }
        for (_, value) in self.0.iter_mut().filter(|(known, _)| known == name) {
            value.clone_from(&json);
        }
    }

    /// Adds a member behind all others, also if there is one of this name.
    pub fn push(&mut self, name: &str, json: impl Into<String>) {
        self.0.push((name.to_owned(), json.into()));
    }

    /// Takes a member away; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(known, _)| known != name);
        self.0.len() < before
    }

    /// The object.
    pub fn write(&self) -> String {
        let members: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value.get().to_owned()));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_stays_as_it_was() {
        let mut members =
            Members::read(r#"{ "b": 638059995676961317, "a":"\u0041", "b" : [ 1 ], "c":{"d":null} }"#)
                .expect("an object");
        members.set("a", "null");
        members.set("e", quoted("x\"y"));
        assert!(members.remove("c"));
        assert!(!members.remove("c"));
        assert_eq!(members.get("b"), Some("638059995676961317"));
        assert_eq!(members.write(), r#"{"b":638059995676961317,"a":null,"b":[ 1 ],"e":"x\"y"}"#);
        for other in ["[]", "1", "{", "{} {}", ""] {
            assert!(Members::read(other).is_none(), "{other}");
        }
    }
}

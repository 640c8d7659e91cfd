//! JSON as serde_json reads it by itself: the second opinion on our own reading.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// An object's names and values as they stand there, repetitions too.
#[derive(Debug)]
pub(super) struct Members<'a>(pub(super) Vec<(&'a str, &'a str)>);

impl<'a> Members<'a> {
    pub(super) fn of(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Every value of a name, in order.
    pub(super) fn all(&self, name: &str) -> Vec<&'a str> {
        let named = self.0.iter().filter(|(other, _)| string(other).as_deref() == Some(name));
        named.map(|(_, value)| *value).collect()
    }

    /// The same, for a parser to which names are equal that differ in case only.
    pub(super) fn all_spellings(&self, name: &str) -> Vec<&'a str> {
        let is_named = |other: &str| string(other).is_some_and(|other| other.eq_ignore_ascii_case(name));
        self.0.iter().filter(|(other, _)| is_named(other)).map(|(_, value)| *value).collect()
    }

    /// The value that other parsers see: the last one.
    pub(super) fn last(&self, name: &str) -> Option<&'a str> {
        self.all(name).pop()
    }

    /// The last value, if it is a string.
    pub(super) fn string(&self, name: &str) -> Option<String> {
        self.last(name).and_then(string)
    }

    /// The last value, if it is a string with something in it.
    pub(super) fn words(&self, name: &str) -> Option<String> {
        self.string(name).filter(|text| !text.is_empty())
    }

    /// Whether the last value is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.last(name).is_some_and(|value| value != "null")
    }

    /// Whether a name has two values that are not the same.
    pub(super) fn contradicts(&self, name: &str) -> bool {
        let values = self.all(name);
        let same =
            |one: &str, other: &str| one == other || (string(one).is_some() && string(one) == string(other));
        values.last().is_some_and(|last| !values.iter().all(|value| same(value, last)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Object)
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
            members.push((name.get(), value.get()));
        }
        Ok(Members(members))
    }
}

/// The elements of an array as they stand there.
pub(super) fn elements(text: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// A string, if the text is one that Unicode can hold.
pub(super) fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// How deep a JSON text nests.
pub(super) fn depth(text: &str) -> usize {
    let (mut deepest, mut level) = (0, vec![text]);
    while !level.is_empty() {
        let within: Vec<Vec<&str>> = level.into_iter().filter_map(children).collect();
        deepest += usize::from(!within.is_empty());
        level = within.into_iter().flatten().collect();
    }
    deepest
}

/// The values in an array or an object.
fn children(text: &str) -> Option<Vec<&str>> {
    let values = |Members(members)| members.into_iter().map(|(_, value)| value).collect();
    elements(text).or_else(|| Members::of(text).map(values))
}

//! What is wrong with a configuration, said so that it can be mended.

use std::fmt;

use figment::error::{Actual, Kind};

/// One mistake: the key, where it stands, and what to do. It never quotes a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Dotted key, such as `broker.urls.0`; empty when the file as a whole is meant.
    pub key: String,
    /// `FILE:LINE`, the name of an environment variable, or `default`.
    pub origin: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Problem {
    pub(super) fn at(key: impl Into<String>, origin: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), origin: origin.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.origin, self.message)
        } else {
            write!(f, "{} ({}): {}", self.key, self.origin, self.message)
        }
    }
}

/// All that is wrong, at least one thing.
#[derive(Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What serde found wrong, in our words. Figment would quote the value, which may be a secret.
pub(super) fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Message(message) => message.clone(),
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            let expected = match expected.as_str() {
                "usize" | "u64" => "a whole number",
                "f64" => "a number",
                "a sequence" => "a list, such as [\"a\", \"b\"]",
                other if other.starts_with("enum ") => "a string",
                other => other,
            };
            format!("expected {expected}, found {}", type_name(actual))
        }
        Kind::UnknownField(name, known) => unknown(name, known),
        Kind::UnknownVariant(_, known) => format!("expected one of {}", known.join(", ")),
        Kind::InvalidLength(..)
        | Kind::MissingField(_)
        | Kind::DuplicateField(_)
        | Kind::ISizeOutOfRange(_)
        | Kind::USizeOutOfRange(_)
        | Kind::Unsupported(_)
        | Kind::UnsupportedKey(..) => "not a value this key can have".to_owned(),
    }
}

fn unknown(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().min_by_key(|known| strsim::osa_distance(name, known));
    nearest.map_or("unknown key".to_owned(), |nearest| format!("unknown key; did you mean {nearest}?"))
}

fn type_name(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "a boolean",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) | Actual::Bytes(_) => "a string",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        Actual::Unit
        | Actual::Option
        | Actual::NewtypeStruct
        | Actual::Enum
        | Actual::UnitVariant
        | Actual::NewtypeVariant
        | Actual::TupleVariant
        | Actual::StructVariant
        | Actual::Other(_) => "something else",
    }
}

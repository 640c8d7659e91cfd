//! Forged items: what somebody sends who does not know the clientState, or not all of it; and what an answer tells him.
//!
//! A forgery is answered like a genuine item ("verify the clientState … and return 202 all the same"): any other answer
//! tells a forger whether he has guessed, and everything but a 2xx makes Graph send again what was lost for nothing.

use std::{collections::BTreeMap, fmt};

use hyper::header::DATE;
use serde_json::json;
use uuid::Uuid;

use super::{
    members::{Members, quoted},
    receiver::Answer,
};

/// What stands in place of the clientState.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forgery {
    /// Another text.
    Wrong,
    /// No such member.
    Missing,
    /// `null`
    Null,
    /// `""`
    Empty,
    /// A number.
    Number,
    /// `true`
    Boolean,
    /// An array that holds it.
    Array,
    /// An object that holds it.
    Object,
    /// It in other letters: upper case for lower case.
    Case,
    /// It without its last character.
    Prefix,
    /// It with one more character.
    Longer,
    /// It with a space behind it.
    Space,
    /// It with a NUL behind it, where some languages end a text.
    Nul,
}

impl Forgery {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Wrong,
        Self::Missing,
        Self::Null,
        Self::Empty,
        Self::Number,
        Self::Boolean,
        Self::Array,
        Self::Object,
        Self::Case,
        Self::Prefix,
        Self::Longer,
        Self::Space,
        Self::Nul,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Missing => "missing",
            Self::Null => "null",
            Self::Empty => "empty",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Case => "case",
            Self::Prefix => "prefix",
            Self::Longer => "longer",
            Self::Space => "space",
            Self::Nul => "nul",
        }
    }

    /// Whether it is made of the secret.
    pub fn needs_secret(self) -> bool {
        match self {
            Self::Case | Self::Prefix | Self::Longer | Self::Space | Self::Nul => true,
            Self::Wrong | Self::Missing | Self::Null | Self::Empty => false,
            Self::Number | Self::Boolean | Self::Array | Self::Object => false,
        }
    }

    /// What stands in place of this secret, JSON: `None` for nothing at all. A secret that has no letters has no other
    /// case, and one of one character no shorter form: then it is some other text.
    pub fn of(self, secret: Option<&str>) -> Option<String> {
        let known = secret.unwrap_or("guessed");
        match self {
            Self::Missing => None,
            Self::Null => Some("null".to_owned()),
            Self::Empty => Some("\"\"".to_owned()),
            Self::Number => Some(known.parse::<u64>().unwrap_or_default().to_string()),
            Self::Boolean => Some("true".to_owned()),
            Self::Array => Some(json!([known]).to_string()),
            Self::Object => Some(json!({ "value": known }).to_string()),
            Self::Wrong => Some(other()),
            Self::Case => Some(different(known, swapped(known))),
            Self::Prefix => {
                let mut shorter = known.to_owned();
                shorter.pop();
                Some(if shorter.is_empty() { other() } else { quoted(&shorter) })
            }
            Self::Longer => Some(quoted(&format!("{known}x"))),
            Self::Space => Some(quoted(&format!("{known} "))),
            Self::Nul => Some(quoted(&format!("{known}\0"))),
        }
    }

    /// The item with it; `None` if it is no JSON object.
    pub fn forge(self, item: &str, secret: Option<&str>) -> Option<String> {
        let mut members = Members::read(item)?;
        match self.of(secret) {
            Some(json) => members.set("clientState", json),
            None => drop(members.remove("clientState")),
        }
        Some(members.write())
    }
}

impl fmt::Display for Forgery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that nobody has as a secret.
fn other() -> String {
    quoted(&format!("forged-{}", Uuid::now_v7().simple()))
}

fn swapped(text: &str) -> String {
    let swap = |c: char| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    text.chars().map(swap).collect()
}

fn different(known: &str, forged: String) -> String {
    if forged == known { other() } else { quoted(&forged) }
}

/// What of an answer a forger can see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Impression {
    status: String,
    headers: BTreeMap<String, Vec<u8>>,
    body: bytes::Bytes,
}

impl Impression {
    /// What an answer looks like.
    pub fn of(answer: &Answer) -> Self {
        let code = answer.status.as_u16();
        let mut headers = BTreeMap::<_, Vec<u8>>::new();
        for (name, value) in answer.headers.iter().filter(|(name, _)| *name != DATE) {
            let values = headers.entry(name.to_string()).or_default();
            values.extend_from_slice(value.as_bytes());
            values.push(b'\n');
        }
        Self {
            status: answer.reason.as_ref().map_or(code.to_string(), |reason| format!("{code} {reason}")),
            headers,
            body: answer.body.clone(),
        }
    }
}

/// What the answers to genuine items look like; what differs between two of them tells a forger nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Genuine(Impression, Impression);

impl Genuine {
    /// What the answers to two genuine items have in common.
    pub fn of(one: &Answer, other: &Answer) -> Self {
        Self(Impression::of(one), Impression::of(other))
    }

    /// What is different in an answer to a forgery; nothing is as it shall be.
    pub fn differences(&self, forged: &Answer) -> Vec<String> {
        let (Self(one, other), forged) = (self, Impression::of(forged));
        let mut found = Vec::new();
        if one.status == other.status && forged.status != one.status {
            found.push(format!("status {} instead of {}", forged.status, one.status));
        }
        for name in forged.headers.keys() {
            if !one.headers.contains_key(name) && !other.headers.contains_key(name) {
                found.push(format!("a header {name}"));
            }
        }
        for (name, value) in &one.headers {
            match (other.headers.get(name), forged.headers.get(name)) {
                (Some(_), None) => found.push(format!("no header {name}")),
                // A body that differs is told of itself.
                (Some(same), Some(forged)) if same == value && forged != value && name != LENGTH => {
                    found.push(format!("another {name}"));
                }
                (Some(_) | None, Some(_)) | (None, None) => {}
            }
        }
        if one.body == other.body && forged.body != one.body {
            found.push("another body".to_owned());
        }
        found
    }
}

const LENGTH: &str = "content-length";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::{StatusCode, header::HeaderName};

    use super::*;

    #[test]
    fn no_forgery_is_the_secret() {
        for secret in ["a Secret-1", "12345", "A", "é", "\"\\", ""] {
            let genuine = quoted(secret);
            for forgery in Forgery::ALL {
                let forged = forgery.of(Some(secret));
                let is_empty = secret.is_empty() && forgery == Forgery::Empty;
                assert_eq!(
                    forged.as_ref() == Some(&genuine),
                    is_empty,
                    "{forgery} of {secret:?}: {forged:?}"
                );
            }
        }
        for forgery in Forgery::ALL {
            assert!(forgery.of(None).is_none_or(|forged| forged != "\"guessed\""), "{forgery}");
        }
    }

    #[test]
    fn only_the_client_state_is_forged() {
        let item = r#"{"id":"1","clientState":"Secret","n":638059995676961317}"#;
        for (forgery, expected) in [
            (Forgery::Missing, r#"{"id":"1","n":638059995676961317}"#),
            (Forgery::Null, r#"{"id":"1","clientState":null,"n":638059995676961317}"#),
            (Forgery::Case, r#"{"id":"1","clientState":"sECRET","n":638059995676961317}"#),
            (Forgery::Prefix, r#"{"id":"1","clientState":"Secre","n":638059995676961317}"#),
            (Forgery::Array, r#"{"id":"1","clientState":["Secret"],"n":638059995676961317}"#),
        ] {
            assert_eq!(forgery.forge(item, Some("Secret")).as_deref(), Some(expected), "{forgery}");
        }
        assert_eq!(Forgery::Null.forge("[]", None), None);
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Answer {
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().expect("a name"), value.parse().expect("a value"))
        };
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            reason: None,
            headers: headers.iter().map(header).collect(),
            body: body.into(),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn everything_that_a_forger_can_see_is_named() {
        let one = answer(202, &[("date", "a"), ("x-result", "ok")], "");
        let genuine = Genuine::of(&one, &answer(202, &[("date", "b"), ("x-result", "ok")], ""));
        let check = |forged: Answer, expected: &[&str]| assert_eq!(genuine.differences(&forged), expected);
        check(answer(202, &[("date", "c"), ("x-result", "ok")], ""), &[]);
        check(
            answer(401, &[("content-type", "text/html"), ("x-result", "ok")], "no"),
            &["status 401 instead of 202", "a header content-type", "another body"],
        );
        check(answer(202, &[("x-result", "forged")], ""), &["another x-result"]);
        check(answer(202, &[], ""), &["no header x-result"]);
        check(answer(202, &[("x-result", "ok"), ("connection", "close")], ""), &["a header connection"]);
        let reason = Answer { reason: Some("Forged".to_owned()), ..one };
        check(reason, &["status 202 Forged instead of 202"]);
    }

    #[test]
    fn what_is_new_in_each_answer_tells_nothing() {
        let answer = |id, more: &[(&str, &str)], body| {
            answer(202, &[&[("x-request-id", id), ("content-length", "1")], more].concat(), body)
        };
        let genuine = Genuine::of(&answer("1", &[("x-first", "yes")], "1"), &answer("2", &[], "2"));
        assert!(genuine.differences(&answer("3", &[], "3")).is_empty());
        assert!(genuine.differences(&answer("4", &[("x-first", "no")], "4")).is_empty());
        assert_eq!(genuine.differences(&answer("5", &[("x-second", "")], "5")), ["a header x-second"]);
    }
}

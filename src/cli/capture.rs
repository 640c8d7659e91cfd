//! Captured messages: JSON lines that `tail --json`, `spool export` and `quarantine export` write and `replay` reads.

pub(super) mod file;
pub(super) mod lines;

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{delivery::tap::Seen, notification::mask::masked};

/// One line as it is written.
#[derive(Debug, Serialize)]
pub(super) struct Captured<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spooled_at: Option<String>,
    pub(super) message_id: Option<&'a str>,
    pub(super) routing_key: &'a str,
    #[serde(rename = "type")]
    pub(super) kind: Option<&'a str>,
    pub(super) timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exchange: Option<&'a str>,
    pub(super) headers: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    pub(super) body: Body<'a>,
}

/// A body as it is written: a text, or what stands for bytes that are none.
#[derive(Debug, Serialize)]
pub(super) enum Body<'a> {
    #[serde(rename = "body")]
    Text(&'a str),
    #[serde(rename = "body")]
    Masked(Option<String>),
    #[serde(rename = "body_base64")]
    Base64(String),
}

/// Whether secrets are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Secrets {
    /// Bodies are complete.
    Kept,
    /// clientState is masked, and a body that is no JSON is left out.
    Masked,
}

impl Secrets {
    /// What `--redact` says.
    pub(super) fn of(redact: bool) -> Self {
        if redact { Self::Masked } else { Self::Kept }
    }
}

impl<'a> Body<'a> {
    pub(super) fn of(bytes: &'a [u8], secrets: Secrets) -> Self {
        let text = std::str::from_utf8(bytes);
        match (secrets, text) {
            (Secrets::Masked, text) => Self::Masked(text.ok().and_then(masked)),
            (Secrets::Kept, Ok(text)) => Self::Text(text),
            (Secrets::Kept, Err(_)) => Self::Base64(BASE64_STANDARD.encode(bytes)),
        }
    }
}

impl<'a> Captured<'a> {
    /// A message that a tap saw.
    pub(super) fn of(seen: &'a Seen, secrets: Secrets) -> Self {
        Self {
            seq: None,
            spooled_at: None,
            message_id: seen.message_id.as_deref(),
            routing_key: &seen.routing_key,
            kind: seen.kind.as_deref(),
            timestamp: seen.timestamp,
            exchange: Some(&seen.exchange),
            headers: seen.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            body: Body::of(&seen.body, secrets),
        }
    }

    /// The line, without its end.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers are always JSON")
    }
}

/// One line as it is read; what else stands in it does not matter.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub(super) struct Item {
    pub(super) message_id: Option<String>,
    pub(super) routing_key: String,
    pub(super) exchange: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) timestamp: Option<u64>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    pub(super) body_base64: Option<String>,
}

impl Item {
    /// Reads one line; `None` if it is nothing that we write.
    pub(super) fn read(line: &str) -> Option<Self> {
        let item: Self = serde_json::from_str(line).ok()?;
        let is_encoded = item.body_base64.as_deref().is_none_or(|text| BASE64_STANDARD.decode(text).is_ok());
        is_encoded.then_some(item)
    }

    /// The body, unless it was left out.
    pub(super) fn body(&self) -> Option<Bytes> {
        match (&self.body, &self.body_base64) {
            (Some(text), _) => Some(Bytes::copy_from_slice(text.as_bytes())),
            (None, Some(text)) => BASE64_STANDARD.decode(text).ok().map(Bytes::from),
            (None, None) => None,
        }
    }

    /// A header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(body: &[u8]) -> Seen {
        Seen {
            message_id: Some("m1".to_owned()),
            routing_key: "notification.message.created".to_owned(),
            kind: Some("notification".to_owned()),
            timestamp: Some(7),
            headers: vec![("a".to_owned(), "b".to_owned())],
            body: Bytes::copy_from_slice(body),
            exchange: "graph".to_owned(),
        }
    }

    #[test]
    fn a_line_has_one_form_and_is_read_again() {
        let seen = seen(br#"{ "clientState": "hunter2" }"#);
        let line = Captured::of(&seen, Secrets::Kept).line();
        assert_eq!(
            line,
            r#"{"message_id":"m1","routing_key":"notification.message.created","type":"notification","timestamp":7,"exchange":"graph","headers":{"a":"b"},"body":"{ \"clientState\": \"hunter2\" }"}"#
        );
        let item = Item::read(&line).expect("a line of ours");
        assert_eq!((item.message_id.as_deref(), item.kind.as_deref()), (Some("m1"), Some("notification")));
        assert_eq!((item.timestamp, item.header("a"), item.header("b")), (Some(7), Some("b"), None));
        assert_eq!(item.body().expect("a body"), seen.body);
        assert!(!Captured::of(&seen, Secrets::Masked).line().contains("hunter2"));
    }

    #[test]
    fn bytes_that_are_no_text_come_back_too() {
        let seen = seen(b"\xff\x00");
        let line = Captured::of(&seen, Secrets::Kept).line();
        assert!(line.ends_with(r#""body_base64":"/wA="}"#), "{line}");
        assert_eq!(Item::read(&line).and_then(|item| item.body()).expect("a body"), seen.body);
        let line = Captured::of(&seen, Secrets::Masked).line();
        assert!(line.ends_with(r#""body":null}"#), "{line}");
        assert_eq!(Item::read(&line).expect("a line of ours").body(), None);
    }

    #[test]
    fn what_nobody_wrote_is_not_read() {
        for line in
            ["", "{}", "[]", "null", "{", r#"{"routing_key":1}"#, r#"{"routing_key":"k","body_base64":"~"}"#]
        {
            assert_eq!(Item::read(line), None, "{line}");
        }
    }
}

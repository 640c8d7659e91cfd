//! What Graph says of an error, and the names that a request has ("Microsoft Graph error responses and resource types",
//! <https://learn.microsoft.com/graph/errors>).

use std::fmt;

use serde_json::{Map, Value};

use crate::{notification::id::SubscriptionId, secret::Secret};

/// The body of an answer that is no success: bounded, without control characters, and without what we have sent of
/// secrets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ErrorEnvelope {
    /// The code.
    pub code: String,
    /// The message: for people. What it says changes without notice.
    pub message: String,
    /// Codes of the errors inside, outermost first.
    pub inner: Vec<String>,
    /// Graph's name of the request.
    pub request_id: Option<String>,
    /// Ours, as Graph repeats it.
    pub client_request_id: Option<String>,
    /// When it happened, as Graph writes it.
    pub date: Option<String>,
}

/// Names of one request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RequestIds {
    /// The one that we gave it: `client-request-id`.
    pub ours: String,
    /// The one that Graph gave it, if it answered: `request-id`.
    pub graph: Option<String>,
}

impl ErrorEnvelope {
    /// Reads a body. What is not of this form becomes an empty envelope: in front of Graph stand others, who answer with
    /// pages of theirs.
    pub fn read(body: &[u8], secrets: &[&Secret]) -> Self {
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else { return Self::default() };
        let Some(Value::Object(error)) = body.get("error") else { return Self::default() };
        let text = |object: &Map<String, Value>, key: &str, max| {
            object.get(key).and_then(Value::as_str).map(|text| cleaned(text, max, secrets))
        };
        let mut envelope = Self {
            code: text(error, "code", CODE_CHARS_MAX).unwrap_or_default(),
            message: text(error, "message", MESSAGE_CHARS_MAX).unwrap_or_default(),
            ..Self::default()
        };
        let mut inside = inner(error);
        for _ in 0..INNER_MAX {
            let Some(error) = inside else { break };
            envelope.inner.extend(text(error, "code", CODE_CHARS_MAX));
            let fill = |held: &mut Option<String>, key| {
                if held.is_none() {
                    *held = text(error, key, ID_CHARS_MAX);
                }
            };
            fill(&mut envelope.request_id, "request-id");
            fill(&mut envelope.client_request_id, "client-request-id");
            fill(&mut envelope.date, "date");
            inside = inner(error);
        }
        envelope
    }

    /// Whether the message speaks of a quota; there is no code for that.
    pub(super) fn is_quota(&self) -> bool {
        let message = self.message.to_ascii_lowercase();
        ["maximum number", "quota", "limit of"].iter().any(|words| message.contains(words))
    }

    /// The subscription that the message of a conflict names.
    pub(super) fn named(&self) -> Option<SubscriptionId<'static>> {
        let is_guid = |word: &&str| word.len() == 36 && uuid::Uuid::try_parse(word).is_ok();
        let id = self.message.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').find(is_guid)?;
        Some(id.to_owned().into())
    }
}

impl fmt::Display for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(graph) = &self.graph {
            write!(f, "request-id {graph}, ")?;
        }
        write!(f, "client-request-id {}", self.ours)
    }
}

/// Both spellings occur.
fn inner(error: &Map<String, Value>) -> Option<&Map<String, Value>> {
    ["innerError", "innererror"].into_iter().find_map(|key| error.get(key)?.as_object())
}

/// Words of others as they may be shown: no secret of ours, no control character, and not too many.
pub(super) fn cleaned(text: &str, max: usize, secrets: &[&Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| secret.expose().len() >= SECRET_BYTES_MIN) {
        text = text.replace(secret.expose(), "[secret]");
    }
    let printable = |c: char| if c.is_control() || is_format(c) { ' ' } else { c };
    let words: String = text.chars().take(max).map(printable).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What reorders or hides text on a terminal.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

const CODE_CHARS_MAX: usize = 128;
/// The longest that is known is a third of this.
const MESSAGE_CHARS_MAX: usize = 1_000;
pub(super) const ID_CHARS_MAX: usize = 64;
/// More errors inside each other than have been seen.
const INNER_MAX: usize = 8;
/// A word of fewer letters is found in every text.
const SECRET_BYTES_MIN: usize = 4;

#[cfg(test)]
mod tests;

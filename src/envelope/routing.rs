//! Routing keys: a template, parsed with the configuration, filled in for each message.

use std::fmt;

use super::properties::MessageKind;
use crate::notification::{Notification, lifecycle::Kind};

/// An AMQP routing key: at most 255 bytes of UTF-8 (AMQP 0-9-1, `shortstr`).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RoutingKey(String);

impl RoutingKey {
    /// Cuts what does not fit, between two characters.
    pub(super) fn new(mut key: String) -> Self {
        key.truncate(key.floor_char_boundary(BYTES_MAX));
        Self(key)
    }

    /// A key that was made by [`Template::key`] and written down.
    pub fn stored(key: &str) -> Option<Self> {
        (key.len() <= BYTES_MAX).then(|| Self(key.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `broker.routing_key`: literal text and placeholders in braces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Literal(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    Kind,
    ResourceType,
    Change,
    TenantId,
    SubscriptionId,
    ClientState,
}

/// What placeholders stand for in one message.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// `{kind}`.
    pub kind: MessageKind,
    /// `{resource_type}`, of which the last segment is taken.
    pub resource_type: Option<&'a str>,
    /// `{change}`.
    pub change: Option<&'a str>,
    /// `{tenant_id}`.
    pub tenant_id: Option<&'a str>,
    /// `{subscription_id}`.
    pub subscription_id: Option<&'a str>,
    /// `{client_state}`: the name of an entry.
    pub client_state: Option<&'a str>,
}

/// Why a text is no template.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// A name in braces that stands for nothing.
    #[error(
        "no placeholder {{{0}}}; known are {{kind}}, {{resource_type}}, {{change}}, {{tenant_id}}, {{subscription_id}} and {{client_state}}"
    )]
    Unknown(String),
    /// `{` without `}`, or the other way round.
    #[error("a brace has no partner")]
    Unbalanced,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, tail)) = rest.split_once('{') {
            let (name, tail) = tail.split_once('}').ok_or(TemplateError::Unbalanced)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Field(
                Field::named(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?,
            ));
            rest = tail;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        let is_loose = |part: &Part| matches!(part, Part::Literal(text) if text.contains('}'));
        if parts.iter().any(is_loose) { Err(TemplateError::Unbalanced) } else { Ok(Self(parts)) }
    }

    /// The key of a message with these values.
    pub fn key(&self, values: &Values<'_>) -> RoutingKey {
        let mut key = String::with_capacity(64);
        for part in &self.0 {
            match part {
                Part::Literal(text) => key.push_str(text),
                Part::Field(field) => field.write(&mut key, values),
            }
        }
        RoutingKey::new(key)
    }
}

impl Default for Template {
    fn default() -> Self {
        let dot = || Part::Literal(".".to_owned());
        let [kind, resource_type, change] =
            [Field::Kind, Field::ResourceType, Field::Change].map(Part::Field);
        Self(vec![kind, dot(), resource_type, dot(), change])
    }
}

impl Field {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "kind" => Self::Kind,
            "resource_type" => Self::ResourceType,
            "change" => Self::Change,
            "tenant_id" => Self::TenantId,
            "subscription_id" => Self::SubscriptionId,
            "client_state" => Self::ClientState,
            _ => return None,
        })
    }

    fn write(self, key: &mut String, values: &Values<'_>) {
        match self {
            Self::Kind => key.push_str(values.kind.as_str()),
            Self::ResourceType => {
                let from = key.len();
                push_safe(key, Some(last_segment(values.resource_type.unwrap_or_default())));
                key[from..].make_ascii_lowercase();
            }
            Self::Change => push_safe(key, values.change),
            Self::TenantId => push_safe(key, values.tenant_id),
            Self::SubscriptionId => push_safe(key, values.subscription_id),
            Self::ClientState => push_safe(key, values.client_state),
        }
    }
}

impl<'a> Values<'a> {
    /// Those of an item; `client_state` is the name of the entry that admitted it.
    pub fn of(notification: &'a Notification<'_>, client_state: &'a str) -> Self {
        Self {
            kind: MessageKind::Item(notification.kind),
            resource_type: match notification.kind {
                Kind::Lifecycle => Some("subscription"),
                Kind::Notification => notification.resource_type.as_deref(),
            },
            change: notification.change(),
            tenant_id: notification.tenant_id.as_deref(),
            subscription_id: notification.subscription_id.as_deref(),
            client_state: Some(client_state),
        }
    }
}

/// `Message` of `#Microsoft.Graph.Message`.
fn last_segment(resource_type: &str) -> &str {
    let last = resource_type.trim_start_matches('#').rsplit('.').next().unwrap_or_default();
    if last.is_empty() { UNKNOWN } else { last }
}

/// A dot in a value would make a second word of it, and a `#` or `*` would look like a pattern.
fn push_safe(key: &mut String, value: Option<&str>) {
    let value = value.filter(|value| !value.is_empty()).unwrap_or(UNKNOWN);
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if value.bytes().all(is_safe) {
        key.push_str(value);
    } else {
        key.extend(value.chars().map(|char| if u8::try_from(char).is_ok_and(is_safe) { char } else { '_' }));
    }
}

impl fmt::Display for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest routing key.
const BYTES_MAX: usize = 255;
/// Stands for a value that an item does not have.
const UNKNOWN: &str = "unknown";

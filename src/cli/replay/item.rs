//! What a captured message says of itself. Pure.

use super::tally::Skip;
use crate::{
    cli::capture::Item,
    delivery::QUARANTINE_SUFFIX,
    envelope::properties::REASON,
    notification::mask::MASK,
    secret::Secret,
    simulate::members::{Members, quoted},
};

/// What has become of its clientState.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// It stands there, or never stood there.
    Kept,
    /// There is a mask in its place.
    Masked,
    /// `broker.client_state = "redact"` took it out, or it came so.
    Null,
}

pub(super) fn told(members: &Members) -> Told {
    match members.get(CLIENT_STATE) {
        Some("null") => Told::Null,
        Some(MASK) => Told::Masked,
        Some(_) | None => Told::Kept,
    }
}

/// Whether the daemon refused it.
pub(super) fn is_refused(item: &Item) -> bool {
    let is_from_quarantine = item.exchange.as_deref().is_some_and(|name| name.ends_with(QUARANTINE_SUFFIX));
    is_from_quarantine || item.header(REASON).is_some() || item.routing_key.starts_with("refused.")
}

/// Puts the clientState back, but not into what was refused: that would make a forgery genuine.
pub(super) fn put_back(item: &Item, members: &mut Members, secret: Option<&Secret>) -> Result<(), Skip> {
    if is_refused(item) {
        return Err(Skip::MaskedRefused);
    }
    members.set(CLIENT_STATE, quoted(secret.ok_or(Skip::Masked)?.expose()));
    Ok(())
}

const CLIENT_STATE: &str = "clientState";

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::replay) fn item(body: &str, message_id: &str) -> Item {
        let line = serde_json::json!({
            "message_id": message_id,
            "routing_key": "notification.message.created",
            "type": "notification",
            "timestamp": 7,
            "headers": { "a": "b" },
            "body": body,
        });
        Item::read(&line.to_string()).expect("a captured message")
    }

    #[test]
    fn a_refused_message_is_known_by_its_header_or_its_key() {
        let mut refused = item("{}", "m1");
        assert!(!is_refused(&refused));
        refused.routing_key = "refused.mismatch".to_owned();
        assert!(is_refused(&refused));
    }

    #[test]
    fn what_is_told_of_a_secret() {
        for (text, expected) in [
            (r#"{"clientState":"a"}"#, Told::Kept),
            (r#"{}"#, Told::Kept),
            (r#"{"clientState": "[secret]" }"#, Told::Masked),
            (r#"{"clientState":null}"#, Told::Null),
        ] {
            assert_eq!(told(&Members::read(text).expect("an object")), expected, "{text}");
        }
    }
}

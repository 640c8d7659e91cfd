//! A second judgement on a refused item, by the table of secrets and the keys as they are now. Pure: no I/O, no clock.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    delivery::tap::Seen,
    envelope::{
        Envelope, Router,
        properties::{Arrival, REASON, RECEIVED_AT, REQUEST_ID},
    },
    moment::at,
    notification::{Batch, id::MessageId},
    verify::{Reason, Verifier, rich::again::Again},
};

/// What refused items are judged by.
#[derive(Debug)]
pub struct Judges {
    /// The table of secrets.
    pub verifier: Verifier,
    /// Resource data.
    pub rich: Again,
    /// Where what is genuine goes.
    pub router: Router,
}

/// The envelope of an item that is genuine after all: as if it had been believed when it came, with the id, the
/// time and the request that it had then.
///
/// # Errors
///
/// The [`Reason`] why it is still refused.
pub fn reconsider(kept: &Seen, judges: &Judges) -> Result<Envelope, Reason> {
    let Judges { verifier, rich, router } = judges;
    // The same door as for everybody else: a POST of one item.
    let body = Bytes::from([b"{\"value\":[", &kept.body[..], b"]}"].concat());
    let batch = Batch::parse(&body, 1).map_err(|_| Reason::Malformed)?;
    if batch.notifications.first().is_none_or(|item| item.raw.as_bytes() != kept.body) {
        // The quotation marks and brackets around it mean something else than they should.
        return Err(Reason::Malformed);
    }
    let verified = rich.judge(verifier.verify(batch), &body, earlier(kept));
    if let Some(refused) = verified.refused().first() {
        return Err(refused.reason);
    }
    let mut envelope =
        router.address(&verified, &body, arrival(kept), None).pop().ok_or(Reason::Malformed)?;
    if let Some(id) = kept.message_id.as_deref().and_then(MessageId::given) {
        envelope.message_id = id;
    }
    if let Some(timestamp) = kept.timestamp {
        envelope.properties.timestamp = timestamp;
    }
    for (name, value) in &mut envelope.properties.headers {
        if [RECEIVED_AT, REQUEST_ID].contains(&&**name)
            && let Some((_, kept)) = kept.headers.iter().find(|(other, _)| other == name)
        {
            value.clone_from(kept);
        }
    }
    Ok(envelope)
}

/// Why it was refused, as its message says.
fn earlier(kept: &Seen) -> Option<Reason> {
    let (_, word) = kept.headers.iter().find(|(name, _)| name == REASON)?;
    Reason::ALL.into_iter().find(|reason| reason.as_str() == word)
}

/// For what the message does not say itself.
fn arrival(kept: &Seen) -> Arrival {
    Arrival::at(at(Duration::from_secs(kept.timestamp.unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{
        config::{ClientState, ClientStatePolicy},
        envelope::routing::Template,
        secret::Secret,
        verify::rich::again::Unvouched,
    };

    const ITEM: &str =
        r#"{"id":"m1","subscriptionId":"s","changeType":"created","resource":"r","clientState":"hunter2"}"#;

    fn kept(body: &str) -> Seen {
        let headers = [
            ("graphhook-received-at", "2026-01-02T03:04:05.678Z"),
            ("graphhook-request-id", "the request of then"),
            ("graphhook-reason", "mismatch"),
        ];
        Seen {
            message_id: Some("the id of then".to_owned()),
            timestamp: Some(1_700_000_000),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: body.to_owned().into(),
            ..Seen::default()
        }
    }

    fn reconsidered(kept: &Seen, secret: &str) -> Result<Envelope, Reason> {
        let entry = ClientState {
            name: "entry".to_owned(),
            secret: Secret::new(secret.to_owned()),
            subscriptions: HashSet::new(),
            tenants: HashSet::new(),
            silent_after: None,
        };
        let router =
            Router::new(Template::parse("{kind}.{change}").expect("a template"), ClientStatePolicy::Keep);
        reconsider(
            kept,
            &Judges { verifier: Verifier::new(&[entry]), rich: Again::new(None, Unvouched::Refused), router },
        )
    }

    #[test]
    fn what_is_genuine_after_all_keeps_its_name_and_its_time() {
        let envelope = reconsidered(&kept(ITEM), "hunter2").expect("genuine");
        assert_eq!(envelope.message_id.as_str(), "the id of then");
        assert_eq!(envelope.routing_key.as_str(), "notification.created");
        assert_eq!(envelope.body, ITEM);
        assert_eq!(envelope.properties.timestamp, 1_700_000_000);
        let header = |name: &str| {
            let found = envelope.properties.headers.iter().find(|(other, _)| other == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(header("graphhook-received-at"), Some("2026-01-02T03:04:05.678Z"));
        assert_eq!(header("graphhook-request-id"), Some("the request of then"));
        assert_eq!(header("graphhook-client-state"), Some("entry"));
        assert_eq!(header("graphhook-reason"), None);
    }

    #[test]
    fn what_says_nothing_of_itself_passes_too() {
        let bare = Seen { body: ITEM.into(), timestamp: Some(u64::MAX), ..Seen::default() };
        assert_eq!(reconsidered(&bare, "hunter2").expect("genuine").message_id.as_str(), "m1");
    }

    #[test]
    fn what_is_not_genuine_stays() {
        assert_eq!(reconsidered(&kept(ITEM), "another").expect_err("refused"), Reason::Mismatch);
        for odd in
            ["", "{", "1", &format!("{ITEM},{ITEM}"), &format!("{ITEM}],\"x\":[1"), &format!(" {ITEM}")]
        {
            assert_eq!(reconsidered(&kept(odd), "hunter2").expect_err("refused"), Reason::Malformed, "{odd}");
        }
    }
}

//! Where an item goes and under which name: [`Verified`] → [`Envelope`]s. Pure: no I/O, no clock.

pub mod properties;
pub mod routing;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

use self::{
    properties::{Arrival, CLIENT_STATE, Properties, REASON},
    routing::{RoutingKey, Template},
};
use crate::{
    config::ClientStatePolicy,
    notification::{Fingerprint, Notification, id::MessageId},
    trace::{Place, Trace},
    verify::{Authentic, Refused, Verified},
};

/// One message as it goes to the broker, complete.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// Stays with the item through every repetition of ours.
    pub message_id: MessageId,
    /// Routing key.
    pub routing_key: RoutingKey,
    /// The item: a slice of the request's body, or a copy.
    pub body: Bytes,
    /// Everything else.
    pub properties: Properties,
    /// Where its span belongs, if somebody collects its trace; what comes out of the spool has that in its headers alone.
    pub trace: Option<Place>,
}

/// Writes the addresses.
#[derive(Debug)]
pub struct Router {
    template: Template,
    client_state: ClientStatePolicy,
}

impl Router {
    /// A router for this template and policy.
    pub fn new(template: Template, client_state: ClientStatePolicy) -> Self {
        Self { template, client_state }
    }

    /// Envelopes for what goes to the consumers, in array order. `body` is what the batch was parsed from.
    pub fn address(
        &self,
        verified: &Verified<'_>,
        body: &Bytes,
        arrival: Arrival,
        trace: Option<&Trace>,
    ) -> Vec<Envelope> {
        let numbered = verified.authentic().iter().enumerate();
        let marked = numbered.map(|(number, item)| {
            let mut envelope = self.envelope(item, body, arrival);
            trace.inspect(|trace| trace.mark(&mut envelope, number));
            envelope
        });
        marked.collect()
    }

    fn envelope(&self, item: &Authentic<'_>, body: &Bytes, arrival: Arrival) -> Envelope {
        let notification = &item.notification;
        Envelope {
            message_id: message_id(notification, arrival),
            routing_key: self.template.key(notification, &item.client_state),
            body: match self.client_state {
                ClientStatePolicy::Keep => kept(body, notification.raw.as_bytes()),
                ClientStatePolicy::Redact => redacted(notification),
            },
            properties: Properties::of(notification, arrival).with(CLIENT_STATE, &item.client_state),
            trace: None,
        }
    }
}

/// The envelope of a refused item. Its body is a copy, so that a small forgery does not keep a large request
/// in memory.
pub fn quarantined(item: &Refused<'_>, arrival: Arrival) -> Envelope {
    let reason = item.reason.as_str();
    Envelope {
        message_id: message_id(&item.notification, arrival),
        routing_key: RoutingKey::new(format!("refused.{reason}")),
        body: Bytes::copy_from_slice(item.notification.raw.as_bytes()),
        properties: Properties::of(&item.notification, arrival).with(REASON, reason),
        trace: None,
    }
}

/// A slice of the request's body, or a copy if most of the body is not this item: while a message waits for its
/// confirm it is charged for its own bytes, and must not keep many more in memory.
fn kept(body: &Bytes, raw: &[u8]) -> Bytes {
    if raw.len() < body.len() / 4 { Bytes::copy_from_slice(raw) } else { body.slice_ref(raw) }
}

fn message_id(notification: &Notification<'_>, arrival: Arrival) -> MessageId {
    let given = notification.id.as_deref().and_then(MessageId::given);
    given.or_else(|| notification.fingerprint.map(digested)).unwrap_or_else(|| MessageId::fresh(arrival.at))
}

/// The first 16 bytes of the SHA-256 over the members' raw texts, a zero byte between them.
fn digested(fingerprint: Fingerprint<'_>) -> MessageId {
    let mut context = Context::new(&SHA256);
    for (index, member) in fingerprint.members.iter().enumerate() {
        if index > 0 {
            context.update(&[0]);
        }
        context.update(member.as_bytes());
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&context.finish().as_ref()[..16]);
    MessageId::digested(&digest)
}

/// The item with `null` in place of its clientState, wherever it stands; every other byte as it was.
fn redacted(notification: &Notification<'_>) -> Bytes {
    let raw = notification.raw;
    let mut body = String::with_capacity(raw.len());
    let mut from = 0;
    for text in &notification.client_state_texts {
        let at = text.as_ptr() as usize - raw.as_ptr() as usize;
        body.push_str(&raw[from..at]);
        body.push_str("null");
        from = at + text.len();
    }
    body.push_str(&raw[from..]);
    body.into()
}

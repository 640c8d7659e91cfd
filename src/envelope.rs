//! Where an item goes and under which name: [`Verified`] → [`Envelope`]s. Pure: no I/O, no clock.

pub mod gap;
pub mod properties;
pub mod routing;
#[cfg(test)]
mod tests;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use zeroize::Zeroizing;

use self::{
    properties::{Arrival, CLIENT_STATE, Properties, REASON, Stamp},
    routing::{RoutingKey, Template, Values},
};
use crate::{
    config::ClientStatePolicy,
    notification::{Fingerprint, Notification, id::MessageId},
    trace::{Place, Trace},
    verify::{Authentic, Refused, Resource, Verified},
};

/// One message as it goes to the broker, complete.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// Stays with the item through every repetition of ours.
    pub message_id: MessageId,
    /// Routing key.
    pub routing_key: RoutingKey,
    /// The item: a slice of the request's body, a copy, or with its resource data decrypted.
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
        if verified.authentic().is_empty() {
            return Vec::new();
        }
        let (stamp, numbered) = (Stamp::from(arrival), verified.authentic().iter().enumerate());
        let marked = numbered.map(|(number, item)| {
            let mut envelope = self.envelope(item, body, arrival, &stamp);
            trace.inspect(|trace| trace.mark(&mut envelope, number));
            envelope
        });
        marked.collect()
    }

    fn envelope(&self, item: &Authentic<'_>, body: &Bytes, arrival: Arrival, stamp: &Stamp) -> Envelope {
        let notification = &item.notification;
        Envelope {
            message_id: message_id(notification, arrival),
            routing_key: self.template.key(&Values::of(notification, &item.client_state)),
            body: self.body(item, body),
            properties: Properties::of(notification, &item.resource, stamp)
                .with(CLIENT_STATE, &item.client_state),
            trace: None,
        }
    }

    fn body(&self, item: &Authentic<'_>, body: &Bytes) -> Bytes {
        let notification = &item.notification;
        let (raw, mut edits) = (notification.raw, Vec::new());
        if self.client_state == ClientStatePolicy::Redact {
            let texts = notification.earlier_client_state_texts.iter().copied();
            let texts = texts.chain(notification.client_state_text);
            edits.extend(texts.map(|text| Edit::of(raw, text, "null")));
        }
        if let (Resource::Opened(plaintext), Some(sealed)) = (&item.resource, notification.sealed) {
            edits.push(Edit::of(raw, sealed.name, DECRYPTED));
            edits.push(Edit::of(raw, sealed.value, plaintext.expose()));
        }
        if edits.is_empty() { kept(body, raw.as_bytes()) } else { rewritten(raw, edits) }
    }
}

/// The envelope of a refused item. Its body is a copy, so that a small forgery does not keep a large request
/// in memory.
pub fn quarantined(item: &Refused<'_>, arrival: Arrival) -> Envelope {
    let reason = item.reason.as_str();
    let resource = Resource::as_received(&item.notification);
    Envelope {
        message_id: message_id(&item.notification, arrival),
        routing_key: RoutingKey::new(format!("refused.{reason}")),
        body: Bytes::copy_from_slice(item.notification.raw.as_bytes()),
        properties: Properties::of(&item.notification, &resource, &arrival.into()).with(REASON, reason),
        trace: None,
    }
}

/// A slice of the request's body, or a copy if that is short, or most of the body is not this item: while a message waits
/// for its confirm it is charged for its own bytes, and must not keep many more in memory. A body that came in one piece
/// stands in the buffer that the connection was read into.
fn kept(body: &Bytes, raw: &[u8]) -> Bytes {
    let is_copied = raw.len() < SHORT_BYTES_MAX || raw.len() < body.len() / 4;
    if is_copied { Bytes::copy_from_slice(raw) } else { body.slice_ref(raw) }
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

/// The item with other texts in some places; every other byte as it was. What it becomes is wiped when nobody needs it
/// any more, since it may hold what was secret.
fn rewritten(raw: &str, mut edits: Vec<Edit<'_>>) -> Bytes {
    edits.sort_unstable_by_key(|edit| edit.from);
    let (grown, cut) =
        edits.iter().fold((0, 0), |(grown, cut), edit| (grown + edit.to.len(), cut + edit.until - edit.from));
    // To the byte, so that it is never moved: a copy that is left behind would not be wiped.
    let mut body = Zeroizing::new(Vec::with_capacity(raw.len() + grown - cut));
    let mut rest = 0;
    for Edit { from, until, to } in edits {
        body.extend_from_slice(&raw.as_bytes()[rest..from]);
        body.extend_from_slice(to.as_bytes());
        rest = until;
    }
    body.extend_from_slice(&raw.as_bytes()[rest..]);
    Bytes::from_owner(body)
}

/// Another text in place of a part of an item.
struct Edit<'a> {
    from: usize,
    until: usize,
    to: &'a str,
}

impl<'a> Edit<'a> {
    /// `part` is a slice of `raw`.
    fn of(raw: &str, part: &str, to: &'a str) -> Self {
        let from = part.as_ptr() as usize - raw.as_ptr() as usize;
        Self { from, until: from + part.len(), to }
    }
}

/// The member that stands in place of `encryptedContent`. No type of Graph's SDKs has one of this name: their models keep
/// it whole among the additional data, and `resourceData` goes on naming the resource as it does in every item.
const DECRYPTED: &str = "\"decryptedContent\"";
/// Of what a connection reads at once, 64 KiB at most, a quarter.
const SHORT_BYTES_MAX: usize = 16 << 10;

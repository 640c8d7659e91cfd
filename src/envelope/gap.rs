//! Word of ours to the consumers that changes of a subscription may be missing. Pure.
//!
//! Graph repeats nothing once it has given up; what is missing can only be fetched by a delta query
//! (<https://learn.microsoft.com/graph/change-notifications-lifecycle-events>). A gap says for which subscription
//! and for which time. Its message goes the road of every other one.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::{
    Envelope,
    properties::{MessageKind, Properties},
    routing::{Template, Values},
};
use crate::{graph::resources::kind_of, moment::at, notification::id::MessageId};

/// Changes of a subscription that may be missing.
///
/// The same members make the same message, under the same id: whoever is not sure that a gap was told tells it again.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Gap {
    /// The subscription, unless all that the daemon has may be meant.
    pub subscription_id: Option<String>,
    /// Name of the wanted subscription that it serves.
    pub name: Option<String>,
    /// Name of the entry of the table that admits its items.
    pub client_state: Option<String>,
    /// Whose data it tells of.
    pub tenant_id: Option<String>,
    /// What it watches, a path relative to Graph's root.
    pub resource: Option<String>,
    /// `@odata.type` of what it tells of, as far as its items have shown it.
    pub resource_type: Option<String>,
    /// Why changes may be missing.
    pub reason: GapReason,
    /// Nothing older is missing; absent when nobody knows.
    pub from: Option<SystemTime>,
    /// Nothing newer is missing for this reason.
    pub to: SystemTime,
    /// The subscription that was made in its place.
    pub replaced_by: Option<String>,
}

/// Why changes may be missing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Graph said so: it gave up after its repetitions.
    Missed,
    /// Graph said that it removed the subscription.
    SubscriptionRemoved,
    /// The subscription had ended before it was renewed.
    Expired,
    /// The subscription was no longer there.
    Lost,
    /// The daemon was away for longer than Graph repeats.
    Downtime,
    /// Graph threw notifications away because our answers were too slow.
    Dropped,
    /// The spool held messages that cannot be read any more.
    SpoolLoss,
}

impl GapReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Missed,
        Self::SubscriptionRemoved,
        Self::Expired,
        Self::Lost,
        Self::Downtime,
        Self::Dropped,
        Self::SpoolLoss,
    ];

    /// The word in messages, routing keys and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::SubscriptionRemoved => "subscription_removed",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Downtime => "downtime",
            Self::Dropped => "dropped",
            Self::SpoolLoss => "spool_loss",
        }
    }
}

/// The body. What is not known is not there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    kind: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_subscription_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    to: String,
}

impl Gap {
    /// A gap of which nothing else is known.
    pub fn new(reason: GapReason, from: Option<SystemTime>, to: SystemTime) -> Self {
        Self {
            subscription_id: None,
            name: None,
            client_state: None,
            tenant_id: None,
            resource: None,
            resource_type: None,
            reason,
            from: from.map(|from| from.min(to)),
            to,
            replaced_by: None,
        }
    }

    /// Its message, addressed by this template.
    pub fn envelope(&self, template: &Template) -> Envelope {
        let body = serde_json::to_vec(&self.body()).expect("strings are always JSON");
        let mut id = [0; 16];
        id.copy_from_slice(&digest(&SHA256, &body).as_ref()[..16]);
        let values = Values {
            kind: MessageKind::Gap,
            resource_type: self.resource_type.as_deref().or_else(|| self.kind_of_resource()),
            change: Some(self.reason.as_str()),
            tenant_id: self.tenant_id.as_deref(),
            subscription_id: self.subscription_id.as_deref(),
            client_state: self.client_state.as_deref(),
        };
        Envelope {
            message_id: MessageId::digested(&id),
            routing_key: template.key(&values),
            body: body.into(),
            properties: Properties::of_gap(self),
            trace: None,
        }
    }

    /// What its path tells, where no notification has told its type.
    fn kind_of_resource(&self) -> Option<&'static str> {
        self.resource.as_deref().and_then(kind_of).map(|kind| kind.name)
    }

    fn body(&self) -> Body<'_> {
        Body {
            kind: MessageKind::Gap.as_str(),
            reason: self.reason.as_str(),
            subscription_id: self.subscription_id.as_deref(),
            new_subscription_id: self.replaced_by.as_deref(),
            name: self.name.as_deref(),
            resource: self.resource.as_deref(),
            resource_type: self.resource_type.as_deref(),
            tenant_id: self.tenant_id.as_deref(),
            from: self.from.map(millis),
            to: millis(self.to),
        }
    }
}

/// This moment, to the millisecond; one that cannot be written becomes the nearest that can.
pub(super) fn millis(moment: SystemTime) -> String {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_millis(at(since)).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn moment(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_780_315_200_000 + millis)
    }

    fn gap() -> Gap {
        Gap {
            subscription_id: Some("s-1".to_owned()),
            name: Some("inbox".to_owned()),
            client_state: Some("mail".to_owned()),
            tenant_id: Some("t".to_owned()),
            resource: Some("users/ü/messages".to_owned()),
            replaced_by: Some("s-2".to_owned()),
            ..Gap::new(GapReason::Lost, Some(moment(0)), moment(60_123))
        }
    }

    #[test]
    fn a_message_says_what_is_known() {
        let envelope = gap().envelope(&Template::default());
        assert_eq!(
            std::str::from_utf8(&envelope.body).expect("text"),
            r#"{"kind":"gap","reason":"lost","subscriptionId":"s-1","newSubscriptionId":"s-2","name":"inbox","resource":"users/ü/messages","tenantId":"t","from":"2026-06-01T12:00:00.000Z","to":"2026-06-01T12:01:00.123Z"}"#
        );
        assert_eq!(envelope.routing_key.as_str(), "gap.message.lost");
        assert_eq!(
            (envelope.properties.kind.as_str(), envelope.properties.timestamp),
            ("gap", 1_780_315_260)
        );
        let headers = envelope.properties.headers.iter().map(|(name, value)| (&**name, value.as_str()));
        let headers: Vec<_> = headers.collect();
        assert_eq!(
            headers,
            [
                ("graph-subscription-id", "s-1"),
                ("graph-tenant-id", "t"),
                ("graph-resource", "users/ü/messages"),
                ("graphhook-client-state", "mail"),
                ("graphhook-received-at", "2026-06-01T12:01:00.123Z"),
                ("graphhook-gap-reason", "lost"),
                ("graphhook-gap-from", "2026-06-01T12:00:00.000Z"),
                ("graphhook-gap-to", "2026-06-01T12:01:00.123Z"),
            ]
        );
        let bare = Gap::new(GapReason::SpoolLoss, None, moment(0)).envelope(&Template::default());
        assert_eq!(bare.body, r#"{"kind":"gap","reason":"spool_loss","to":"2026-06-01T12:00:00.000Z"}"#);
        assert_eq!(bare.routing_key.as_str(), "gap.unknown.spool_loss");
    }

    #[test]
    fn the_same_gap_has_the_same_id_and_another_has_another() {
        let id = |gap: &Gap| gap.envelope(&Template::default()).message_id;
        assert_eq!(id(&gap()), id(&gap()));
        for other in [
            Gap { reason: GapReason::Expired, ..gap() },
            Gap { subscription_id: None, ..gap() },
            Gap { from: None, ..gap() },
            Gap { to: moment(60_124), ..gap() },
        ] {
            assert_ne!(id(&other), id(&gap()), "{other:?}");
        }
    }

    #[test]
    fn a_span_never_ends_before_it_begins() {
        let gap = Gap::new(GapReason::Missed, Some(moment(9)), moment(5));
        assert_eq!((gap.from, gap.to), (Some(moment(5)), moment(5)));
    }

    #[test]
    fn a_path_tells_its_type_where_it_can() {
        for (resource, expected) in [
            ("me/mailFolders('Inbox')/messages", "gap.message.lost"),
            ("/users/u/chats/getAllMessages", "gap.chatmessage.lost"),
            ("users/u/drive/root", "gap.driveitem.lost"),
            ("/nobody/knows", "gap.unknown.lost"),
            ("", "gap.unknown.lost"),
        ] {
            let gap = Gap { resource: Some(resource.to_owned()), ..gap() };
            assert_eq!(gap.envelope(&Template::default()).routing_key.as_str(), expected, "{resource}");
        }
    }

    #[test]
    fn a_type_that_was_seen_goes_before_the_path() {
        let gap = Gap { resource_type: Some("#Microsoft.Graph.Event".to_owned()), ..gap() };
        assert_eq!(gap.envelope(&Template::default()).routing_key.as_str(), "gap.event.lost");
    }
}

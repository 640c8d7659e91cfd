//! AMQP properties and headers: the whole public contract of a message in one file.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use super::gap::{Gap, millis};
use crate::{
    notification::{Notification, id::RequestId, lifecycle::Kind},
    verify::Resource,
};

/// `content_type` of every message.
pub const CONTENT_TYPE: &str = "application/json";
/// `delivery_mode` of every message: persistent.
pub const DELIVERY_MODE: u8 = 2;
/// `app_id` of every message.
pub const APP_ID: &str = "graphhook";

/// What differs from message to message, but for `message_id`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Properties {
    /// `type`: `notification`, `lifecycle` or `gap`.
    pub kind: MessageKind,
    /// `timestamp`: time of receipt in seconds since 1970.
    pub timestamp: u64,
    /// Headers; all are strings.
    pub headers: Vec<(Cow<'static, str>, String)>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MessageKind {
    /// An item of Graph's.
    Item(Kind),
    /// Word of ours that items may be missing.
    Gap,
}

/// When and in which request an item came.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Time of receipt.
    pub at: SystemTime,
    /// The request.
    pub request: RequestId,
}

impl Arrival {
    /// A request that arrives now.
    pub fn at(now: SystemTime) -> Self {
        Self { at: now, request: RequestId::fresh(now) }
    }
}

/// What all messages of a request say of its arrival, written once.
#[derive(Debug)]
pub(super) struct Stamp {
    timestamp: u64,
    received_at: String,
    request: String,
}

impl From<Arrival> for Stamp {
    fn from(Arrival { at, request }: Arrival) -> Self {
        let received_at = humantime::format_rfc3339_millis(at).to_string();
        Self { timestamp: unix(at), received_at, request: request.to_string() }
    }
}

impl Properties {
    /// Properties of an item, without the verdict on it.
    pub(super) fn of(notification: &Notification<'_>, resource: &Resource, stamp: &Stamp) -> Self {
        let mut headers = Vec::with_capacity(12);
        let mut put = |name, value| put(&mut headers, name, value);
        put(SUBSCRIPTION_ID, notification.subscription_id.as_deref());
        put(TENANT_ID, notification.tenant_id.as_deref());
        put("graph-change-type", notification.change_type.as_deref());
        put("graph-lifecycle-event", notification.lifecycle_event.as_deref());
        put(RESOURCE, notification.resource.as_deref());
        put(RESOURCE_TYPE, notification.resource_type.as_deref());
        put(RESOURCE_DATA, Some(resource.as_str()));
        headers.push((RECEIVED_AT.into(), stamp.received_at.clone()));
        headers.push((REQUEST_ID.into(), stamp.request.clone()));
        Self { kind: MessageKind::Item(notification.kind), timestamp: stamp.timestamp, headers }
    }

    /// Properties of a gap.
    pub(super) fn of_gap(gap: &Gap) -> Self {
        let mut headers = Vec::with_capacity(9);
        let (from, to) = (gap.from.map(millis), millis(gap.to));
        let mut put = |name, value| put(&mut headers, name, value);
        put(SUBSCRIPTION_ID, gap.subscription_id.as_deref());
        put(TENANT_ID, gap.tenant_id.as_deref());
        put(RESOURCE, gap.resource.as_deref());
        put(RESOURCE_TYPE, gap.resource_type.as_deref());
        put(CLIENT_STATE, gap.client_state.as_deref());
        put(RECEIVED_AT, Some(&to));
        put(GAP_REASON, Some(gap.reason.as_str()));
        put(GAP_FROM, from.as_deref());
        put(GAP_TO, Some(&to));
        Self { kind: MessageKind::Gap, timestamp: unix(gap.to), headers }
    }

    /// When the item came, to the millisecond where the header is there.
    pub fn received_at(&self) -> Option<SystemTime> {
        let header = self.headers.iter().find(|(name, _)| name == RECEIVED_AT);
        let exact = header.and_then(|(_, value)| humantime::parse_rfc3339(value).ok());
        exact.or_else(|| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.timestamp)))
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name.into(), value.to_owned()));
        self
    }
}

impl MessageKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Item(Kind::Notification), Self::Item(Kind::Lifecycle), Self::Gap];

    /// The word in the AMQP `type`, in routing keys and in the spool.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Item(kind) => kind.as_str(),
            Self::Gap => "gap",
        }
    }
}

fn put(headers: &mut Vec<(Cow<'static, str>, String)>, name: &'static str, value: Option<&str>) {
    let fits = value.filter(|value| (1..=HEADER_BYTES_MAX).contains(&value.len()));
    headers.extend(fits.map(|value| (name.into(), value.to_owned())));
}

fn unix(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// The subscription that an item comes from.
pub(crate) const SUBSCRIPTION_ID: &str = "graph-subscription-id";
const TENANT_ID: &str = "graph-tenant-id";
const RESOURCE: &str = "graph-resource";
const RESOURCE_TYPE: &str = "graph-resource-type";
/// Why items may be missing.
const GAP_REASON: &str = "graphhook-gap-reason";
/// Since when.
const GAP_FROM: &str = "graphhook-gap-from";
/// Until when.
const GAP_TO: &str = "graphhook-gap-to";
/// When the item came.
pub(crate) const RECEIVED_AT: &str = "graphhook-received-at";
/// In which request.
pub(crate) const REQUEST_ID: &str = "graphhook-request-id";
/// What the item carries of its resource: `none`, `encrypted` or `decrypted`.
const RESOURCE_DATA: &str = "graphhook-resource-data";
/// Name of the table entry that admitted the item.
pub(super) const CLIENT_STATE: &str = "graphhook-client-state";
/// Why an item was refused.
pub(crate) const REASON: &str = "graphhook-reason";
/// When a message was sent again by hand.
pub(crate) const REPLAYED_AT: &str = "graphhook-replayed-at";
/// Longest value that is copied from an item into a header. Consumers find longer ones in the body.
const HEADER_BYTES_MAX: usize = 1024;

//! AMQP properties and headers: the whole public contract of a message in one file.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

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
    /// `type`: `notification` or `lifecycle`.
    pub kind: Kind,
    /// `timestamp`: time of receipt in seconds since 1970.
    pub timestamp: u64,
    /// Headers; all are strings.
    pub headers: Vec<(Cow<'static, str>, String)>,
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

impl Properties {
    /// Properties of an item, without the verdict on it.
    pub(super) fn of(notification: &Notification<'_>, resource: &Resource, arrival: Arrival) -> Self {
        let mut headers = Vec::with_capacity(12);
        let mut put = |name: &'static str, value: Option<&str>| {
            let fits = value.filter(|value| (1..=HEADER_BYTES_MAX).contains(&value.len()));
            headers.extend(fits.map(|value| (name.into(), value.to_owned())));
        };
        put("graph-subscription-id", notification.subscription_id.as_deref());
        put("graph-tenant-id", notification.tenant_id.as_deref());
        put("graph-change-type", notification.change_type.as_deref());
        put("graph-lifecycle-event", notification.lifecycle_event.as_deref());
        put("graph-resource", notification.resource.as_deref());
        put("graph-resource-type", notification.resource_type.as_deref());
        put(RESOURCE_DATA, Some(resource.as_str()));
        headers.push((RECEIVED_AT.into(), humantime::format_rfc3339_millis(arrival.at).to_string()));
        headers.push((REQUEST_ID.into(), arrival.request.to_string()));
        let since = arrival.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { kind: notification.kind, timestamp: since.as_secs(), headers }
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
/// Longest value that is copied from an item into a header. Consumers find longer ones in the body.
const HEADER_BYTES_MAX: usize = 1024;

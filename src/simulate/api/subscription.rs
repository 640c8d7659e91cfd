//! A subscription as the service keeps it, and as it shows it.

use std::time::SystemTime;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use url::Url;

use super::{calls::Caller, clock::written, kinds::Kind};
use crate::{secret::Secret, verify::certificate::Certificate};

/// A subscription.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) owner: Caller,
    pub(super) kind: &'static Kind,
    /// As it was given.
    pub(super) resource: String,
    /// As they were given.
    pub(super) changes: String,
    pub(super) notification_url: Endpoint,
    pub(super) lifecycle_url: Option<Endpoint>,
    pub(super) expires: SystemTime,
    pub(super) client_state: Option<Secret>,
    pub(super) recipient: Option<Recipient>,
    pub(super) tls_version: Option<String>,
    /// `notificationUrlAppId`: for whom validation tokens are.
    pub(super) url_app: Option<String>,
    pub(super) query_options: Option<String>,
}

/// A URL of a receiver.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// As it was given, and is shown.
    pub(super) text: String,
    pub(super) url: Url,
}

/// For whom resource data is sealed.
#[derive(Clone, Debug)]
pub(super) struct Recipient {
    pub(super) certificate: Certificate,
    pub(super) id: String,
}

/// A subscription, without its secret.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Its id.
    pub id: String,
    /// The app that made it.
    pub application_id: String,
    /// The tenant.
    pub tenant_id: String,
    /// What it watches, as it was given.
    pub resource: String,
    /// The changes it watches for, as they were given.
    pub change_type: String,
    /// Where changes go.
    pub notification_url: String,
    /// Where lifecycle events go.
    pub lifecycle_notification_url: Option<String>,
    /// When it ends.
    #[serde(rename = "expirationDateTime", serialize_with = "time")]
    pub expires: SystemTime,
    /// The id of the certificate that resource data is sealed for.
    pub encryption_certificate_id: Option<String>,
}

/// Whether the clientState is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Show {
    ClientState,
    NoClientState,
}

impl Subscription {
    /// As the service writes it, with every property that it has.
    pub(super) fn json(&self, show: Show) -> Value {
        let client_state = match show {
            Show::ClientState => self.client_state.as_ref().map(Secret::expose),
            Show::NoClientState => None,
        };
        json!({
            "id": self.id,
            "resource": self.resource,
            "applicationId": self.owner.app,
            "changeType": self.changes,
            "clientState": client_state,
            "creatorId": self.owner.creator,
            "encryptionCertificate": Value::Null,
            "encryptionCertificateId": self.recipient.as_ref().map(|recipient| &recipient.id),
            "expirationDateTime": written(self.expires),
            "includeResourceData": self.recipient.as_ref().map(|_| true),
            "latestSupportedTlsVersion": self.tls_version.as_deref().unwrap_or("v1_2"),
            "lifecycleNotificationUrl": self.lifecycle_url.as_ref().map(|endpoint| &endpoint.text),
            "notificationContentType": "application/json",
            "notificationQueryOptions": self.query_options,
            "notificationUrl": self.notification_url.text,
            "notificationUrlAppId": self.url_app,
        })
    }

    pub(super) fn held(&self) -> Held {
        Held {
            id: self.id.clone(),
            application_id: self.owner.app.clone(),
            tenant_id: self.owner.tenant.clone(),
            resource: self.resource.clone(),
            change_type: self.changes.clone(),
            notification_url: self.notification_url.text.clone(),
            lifecycle_notification_url: self.lifecycle_url.as_ref().map(|endpoint| endpoint.text.clone()),
            expires: self.expires,
            encryption_certificate_id: self.recipient.as_ref().map(|recipient| recipient.id.clone()),
        }
    }

    /// Whether the two would watch the same for the same app.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let resource = |of: &Self| of.resource.trim_start_matches('/').to_ascii_lowercase();
        let changes = |of: &Self| {
            let mut changes: Vec<_> = words(&of.changes).map(str::to_ascii_lowercase).collect();
            changes.sort();
            changes
        };
        self.owner == other.owner && resource(self) == resource(other) && changes(self) == changes(other)
    }
}

/// The words of a `changeType`.
pub(super) fn words(changes: &str) -> impl Iterator<Item = &str> {
    changes.split(',').map(str::trim)
}

fn time<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written(*at))
}

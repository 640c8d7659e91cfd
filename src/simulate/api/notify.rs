//! What live subscriptions are sent: changes, resource data among them, and lifecycle events.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{
    clock::{unix, written},
    journal::{Sent, SentKind},
    kinds::Workload,
    subscription::{Subscription, words},
    world::World,
};
use crate::{
    deadline::Deadline, error::Chain, secret::Secret, simulate::vouching::Voucher, verify::seal::seal,
};

/// Lifecycle events.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Lifecycle {
    /// It pauses soon unless it is renewed or reauthorized.
    ReauthorizationRequired,
    /// It is no more.
    SubscriptionRemoved,
    /// Changes were not sent.
    Missed,
}

impl Lifecycle {
    fn as_str(self) -> &'static str {
        match self {
            Self::ReauthorizationRequired => "reauthorizationRequired",
            Self::SubscriptionRemoved => "subscriptionRemoved",
            Self::Missed => "missed",
        }
    }
}

/// Why nothing was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotifyError {
    /// No live subscription has this id.
    #[error("no live subscription has this id")]
    Unknown,
    /// It was made without a lifecycleNotificationUrl, and Graph sends it no lifecycle events then.
    #[error("the subscription has no lifecycleNotificationUrl")]
    NoLifecycleUrl,
    /// 1 to 1,000 can be sent at once.
    #[error("1 to 1,000 notifications can be sent at once")]
    Many,
    /// The system has no random numbers.
    #[error("the resource data cannot be sealed")]
    Unsealed,
}

/// Sends a lifecycle event; a removed subscription is gone before anybody hears of it.
pub(super) async fn lifecycle(world: &World, id: &str, event: Lifecycle) -> Result<Sent, NotifyError> {
    let (subscription, now) = find(world, id)?;
    let url =
        subscription.lifecycle_url.clone().map(|endpoint| endpoint.url).ok_or(NotifyError::NoLifecycleUrl)?;
    match event {
        Lifecycle::SubscriptionRemoved => drop(world.lose(id)),
        Lifecycle::ReauthorizationRequired | Lifecycle::Missed => {}
    }
    let body = json!({ "value": [lifecycle_item(&subscription, event)] });
    Ok(send(world, SentKind::Lifecycle, &subscription, &url, &body, now).await)
}

/// Sends so many changes in one POST.
pub(super) async fn changes(world: &World, id: &str, many: usize) -> Result<Sent, NotifyError> {
    if !(1..=CHANGES_MAX).contains(&many) {
        return Err(NotifyError::Many);
    }
    let (subscription, now) = find(world, id)?;
    let items = (0..many).map(|n| change(&subscription, n, now));
    let items = items.collect::<Option<Vec<_>>>().ok_or(NotifyError::Unsealed)?;
    let mut body = json!({ "value": items });
    if subscription.recipient.is_some() {
        let app = subscription.url_app.as_ref().unwrap_or(&subscription.owner.app);
        let token = Voucher::new(app, &subscription.owner.tenant, now).sign(&world.key);
        body["validationTokens"] = json!([token.ok_or(NotifyError::Unsealed)?]);
    }
    let url = subscription.notification_url.url.clone();
    Ok(send(world, SentKind::Notification, &subscription, &url, &body, now).await)
}

/// Sends a change for every live subscription again and again.
pub(super) async fn steadily(world: Arc<World>, every: Duration) {
    loop {
        Deadline::after(every).passed().await;
        for held in world.subscriptions() {
            // It may have ended since; what a receiver says is in the journal.
            drop(changes(&world, &held.id, 1).await);
        }
    }
}

fn find(world: &World, id: &str) -> Result<(Subscription, SystemTime), NotifyError> {
    let state = world.state();
    let now = state.clock.now();
    let found = state.store.find(id, now).cloned().ok_or(NotifyError::Unknown)?;
    Ok((found, now))
}

async fn send(
    world: &World,
    kind: SentKind,
    subscription: &Subscription,
    url: &Url,
    body: &Value,
    at: SystemTime,
) -> Sent {
    let body = Bytes::from(body.to_string());
    let answered = world.receivers().notify(url, body).await;
    let sent = Sent {
        at,
        kind,
        subscription: Some(subscription.id.clone()),
        path: url.path().to_owned(),
        status: answered.as_ref().ok().map(|answer| answer.status.as_u16()),
        error: answered.as_ref().err().map(|error| Chain(error).to_string()),
    };
    world.record(sent.clone());
    sent
}

/// What every item has.
fn item(subscription: &Subscription) -> Value {
    json!({
        "id": Uuid::now_v7().to_string(),
        "subscriptionId": subscription.id,
        "subscriptionExpirationDateTime": written(subscription.expires),
        "clientState": subscription.client_state.as_ref().map(Secret::expose),
    })
}

/// As they really come: with `organizationId` in place of `tenantId`.
fn lifecycle_item(subscription: &Subscription, event: Lifecycle) -> Value {
    let mut item = item(subscription);
    let id = &subscription.id;
    item["lifecycleEvent"] = json!(event.as_str());
    item["resource"] = json!(format!("Subscriptions/{id}"));
    item["resourceData"] = json!({ "@odata.type": "#microsoft.graph.subscription", "@odata.id": format!("subscriptions/{id}"), "id": id });
    item["encryptedContent"] = Value::Null;
    item["organizationId"] = json!(subscription.owner.tenant);
    item
}

/// The nth change; `None` if its data cannot be sealed.
fn change(subscription: &Subscription, n: usize, now: SystemTime) -> Option<Value> {
    let mut item = item(subscription);
    let types: Vec<_> = words(&subscription.changes).collect();
    item["changeType"] = json!(types.get(n % types.len().max(1)).unwrap_or(&"updated").to_ascii_lowercase());
    item["tenantId"] = json!(subscription.owner.tenant);
    let changed = Uuid::now_v7().simple().to_string();
    let path = subscription.resource.split('?').next().unwrap_or_default().trim_matches('/');
    let (resource, data) = resource(subscription, path, &changed, now);
    if let Some(recipient) = &subscription.recipient {
        let content =
            json!({ "id": changed, "@odata.type": subscription.kind.odata_type, "simulated": true });
        let sealing = seal(content.to_string().as_bytes(), recipient.certificate.public())?;
        let mut sealed = serde_json::to_value(sealing).ok()?;
        sealed["encryptionCertificateId"] = json!(recipient.id);
        sealed["encryptionCertificateThumbprint"] = json!(recipient.certificate.thumbprint());
        item["encryptedContent"] = sealed;
    }
    item["resource"] = json!(resource);
    item["resourceData"] = data;
    Some(item)
}

/// `resource` and `resourceData`, in the forms that each service sends.
fn resource(subscription: &Subscription, path: &str, changed: &str, now: SystemTime) -> (String, Value) {
    let odata_type = subscription.kind.odata_type;
    match subscription.kind.workload {
        // A tap on the shoulder: what has changed is told by delta.
        Workload::Files => (path.to_owned(), json!({ "@odata.type": odata_type })),
        Workload::Outlook => {
            let collection = path.rsplit('/').next().unwrap_or_default();
            let resource = format!("Users/{}/{collection}/{changed}", subscription.owner.creator);
            let etag = format!("W/\"{changed}\"");
            let data = json!({
                "@odata.type": odata_type, "@odata.id": resource, "@odata.etag": etag, "id": changed,
            });
            (resource, data)
        }
        Workload::Directory => {
            let collection = path.split('/').next().unwrap_or_default();
            let resource = format!("{collection}/{changed}");
            let data = json!({
                "@odata.type": odata_type, "@odata.id": resource, "id": changed,
                "organizationId": subscription.owner.tenant, "eventTime": written(now),
                // Ticks of .NET: tenths of a microsecond since the year 1.
                "sequenceNumber": 621_355_968_000_000_000 + unix(now) * 10_000_000,
            });
            (resource, data)
        }
        Workload::Teams | Workload::Other => {
            let resource = format!("{path}('{changed}')");
            let data = json!({ "@odata.type": odata_type, "@odata.id": resource, "id": changed });
            (resource, data)
        }
    }
}

const CHANGES_MAX: usize = 1_000;

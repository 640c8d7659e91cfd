//! Takes a POST apart: slices of it, and of each as much as its message needs.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Kind;

/// One genuine item, ready to be published.
pub(super) struct Parcel {
    pub(super) body: Bytes,
    /// What stands around it; nothing if it goes bare.
    pub(super) label: Option<Label>,
}

/// What the message says of its item.
pub(super) struct Label {
    pub(super) id: String,
    pub(super) subscription: String,
    pub(super) tenant: String,
    pub(super) change: String,
    pub(super) resource: String,
    pub(super) resource_type: String,
}

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Guarded<'a> {
    #[serde(borrow)]
    client_state: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    client_state: Option<Cow<'a, str>>,
    #[serde(default)]
    id: String,
    #[serde(default)]
    subscription_id: String,
    #[serde(default)]
    tenant_id: String,
    #[serde(default)]
    change_type: String,
    #[serde(default)]
    resource: String,
    #[serde(borrow)]
    resource_data: Option<ResourceData<'a>>,
}

#[derive(Deserialize)]
struct ResourceData<'a> {
    #[serde(borrow, rename = "@odata.type")]
    kind: Option<Cow<'a, str>>,
}

/// The genuine items of a POST; `None` if it is none.
pub(super) fn split(body: &Bytes, secret: &str, kind: Kind) -> Option<Vec<Parcel>> {
    let collection: Collection<'_> = serde_json::from_slice(body).ok()?;
    let mut parcels = Vec::with_capacity(collection.value.len());
    for item in collection.value {
        let slice = || body.slice_ref(item.get().as_bytes());
        match kind {
            Kind::Http => {}
            Kind::Bare => {
                let guarded: Guarded<'_> = serde_json::from_str(item.get()).ok()?;
                if guarded.client_state.as_deref() == Some(secret) {
                    parcels.push(Parcel { body: slice(), label: None });
                }
            }
            Kind::Same => {
                let read: Item<'_> = serde_json::from_str(item.get()).ok()?;
                if read.client_state.as_deref() == Some(secret) {
                    parcels.push(Parcel { body: slice(), label: Some(label(read)) });
                }
            }
        }
    }
    Some(parcels)
}

fn label(item: Item<'_>) -> Label {
    let kind = item.resource_data.and_then(|data| data.kind).unwrap_or_default();
    Label {
        id: item.id,
        subscription: item.subscription_id,
        tenant: item.tenant_id,
        change: item.change_type,
        resource: item.resource,
        resource_type: kind.into_owned(),
    }
}

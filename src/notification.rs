//! What Graph said: a POST body becomes a [`Batch`] of [`Notification`]s, each with its bytes untouched.
//!
//! Pure: no I/O, no clock. The shape of the body is Graph's `changeNotificationCollection`
//! (<https://learn.microsoft.com/graph/api/resources/changenotificationcollection>).

pub mod id;
mod json;
pub mod lifecycle;
pub mod mask;
pub mod sealed;
#[cfg(test)]
mod tests;
mod wire;

use std::borrow::Cow;

use self::{
    id::{SubscriptionId, TenantId},
    json::{ARRAY, NotJson, OBJECT, Place, Text},
    lifecycle::{Event, Kind},
    sealed::{Sealed, ValidationTokens},
    wire::{Item, Member, ResourceData},
};

/// The items of one POST, in array order.
#[derive(Debug)]
pub struct Batch<'a> {
    /// May be empty: Graph does not document an empty `value`, and it does no harm.
    pub notifications: Vec<Notification<'a>>,
    /// What vouches for those with resource data.
    pub validation_tokens: ValidationTokens<'a>,
}

/// Why a body is no batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BatchError {
    /// Not one JSON document in UTF-8, or nested deeper than [`DEPTH_MAX`].
    #[error("the body is not one JSON document")]
    NotJson,
    /// No array `value` at the top, or two.
    #[error("the body has no array \"value\"")]
    NoValue,
    /// More items than the limit.
    #[error("the body has too many items")]
    TooManyItems,
}

/// One element of `value`, as far as it can be read. Nothing in it is believed yet.
#[derive(Clone, Debug)]
pub struct Notification<'a> {
    /// The element, byte for byte.
    pub raw: &'a str,
    /// Why it is no notification at all, if so.
    pub defect: Option<Defect>,
    /// What it says of its secret.
    pub client_state: ClientStateClaim<'a>,
    /// Graph's id of the notification; often absent.
    pub id: Option<Cow<'a, str>>,
    /// Absent only together with a [`Defect`].
    pub subscription_id: Option<SubscriptionId<'a>>,
    /// `subscriptionExpirationDateTime`, unread.
    pub expires: Option<Cow<'a, str>>,
    /// `tenantId`, else `organizationId` (real lifecycle items), else `resourceData.organizationId`.
    pub tenant_id: Option<TenantId<'a>>,
    /// Change or lifecycle.
    pub kind: Kind,
    /// `changeType`.
    pub change_type: Option<Cow<'a, str>>,
    /// `lifecycleEvent`.
    pub lifecycle_event: Option<Cow<'a, str>>,
    /// `resource`, a path relative to Graph's root.
    pub resource: Option<Cow<'a, str>>,
    /// `@odata.type` of `resourceData`.
    pub resource_type: Option<Cow<'a, str>>,
    /// `encryptedContent`, if there is one.
    pub sealed: Option<Sealed<'a>>,
    /// What makes a repetition of this item recognisable, if anything does.
    pub fingerprint: Option<Fingerprint<'a>>,
    /// Where the value of `clientState` stands: a part of `raw`.
    pub client_state_text: Option<&'a str>,
    /// The same of values that stand before it, where it is repeated.
    pub earlier_client_state_texts: Vec<&'a str>,
}

/// Why an element of `value` is not a notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Defect {
    /// Not a JSON object.
    NotAnObject,
    /// `subscriptionId` absent or no string, or `clientState` neither string nor null.
    WrongType,
    /// `subscriptionId`, `clientState` or `tenantId` stands there twice with different values.
    Contradiction,
}

/// What an item presents as its `clientState`.
#[derive(Clone, Eq, PartialEq)]
pub enum ClientStateClaim<'a> {
    /// Nothing, or null.
    Missing,
    /// A JSON string that Unicode cannot hold (a lone surrogate): it equals no secret.
    Unreadable,
    /// A string; compare it in constant time.
    Text(Cow<'a, str>),
}

impl std::fmt::Debug for ClientStateClaim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Text(_) => "[secret]",
        })
    }
}

/// Raw texts which, taken together, differ between two changes and agree between two deliveries of one.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint<'a> {
    /// `subscriptionId`, `changeType`, `resource`, `resourceData`; absent members are empty.
    pub members: [&'a str; 4],
}

/// Whether a text is one JSON document, nested no deeper than [`DEPTH_MAX`].
pub(crate) fn is_document(text: &str) -> bool {
    json::is_document(text)
}

/// Deepest nesting of a document that is read: as serde_json has it, with which consumers in Rust will read it.
pub const DEPTH_MAX: usize = 128;

impl<'a> Batch<'a> {
    /// Reads a POST body in one pass.
    ///
    /// A leading byte order mark and white space around the document are allowed. Elements of `value` that
    /// are no notifications are kept with their [`Defect`], so that they cost only themselves.
    ///
    /// # Errors
    ///
    /// [`BatchError`]; then nothing of the body is used.
    pub fn parse(body: &'a [u8], items_max: usize) -> Result<Self, BatchError> {
        let text = std::str::from_utf8(body).map_err(|_| BatchError::NotJson)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut place = Place::new(text);
        if place.peek() != Some(b'{') {
            // Some other document, or none: tell which.
            place.value()?;
            return Err(if place.peek().is_none() { BatchError::NoValue } else { BatchError::NotJson });
        }
        let batch = collection(&mut place, items_max)?;
        if place.peek().is_some() { Err(BatchError::NotJson) } else { batch.ok_or(BatchError::NoValue) }
    }
}

impl From<NotJson> for BatchError {
    fn from(NotJson: NotJson) -> Self {
        Self::NotJson
    }
}

/// Reads the top-level object; its members other than `value` and `validationTokens` are passed over.
fn collection<'a>(place: &mut Place<'a>, items_max: usize) -> Result<Option<Batch<'a>>, BatchError> {
    let (mut value, mut validation_tokens) = (None, ValidationTokens::default());
    place.each(OBJECT, |place| {
        let text = place.name()?;
        let name = wire::decoded(text);
        if name.as_deref() == Some("validationTokens") {
            validation_tokens.put(text, place.value()?);
        } else if name.as_deref() != Some("value") {
            place.value()?;
        } else if value.is_some() || place.peek() != Some(b'[') {
            return Err(BatchError::NoValue);
        } else {
            value = Some(items(place, items_max)?);
        }
        Ok(())
    })?;
    Ok(value.map(|notifications| Batch { notifications, validation_tokens }))
}

fn items<'a>(place: &mut Place<'a>, items_max: usize) -> Result<Vec<Notification<'a>>, BatchError> {
    let mut notifications = Vec::new();
    place.each(ARRAY, |place| {
        if notifications.len() == items_max {
            return Err(BatchError::TooManyItems);
        }
        notifications.push(item(place)?);
        Ok(())
    })?;
    Ok(notifications)
}

fn item<'a>(place: &mut Place<'a>) -> Result<Notification<'a>, NotJson> {
    let mut data = ResourceData::default();
    if place.peek() != Some(b'{') {
        let raw = place.value()?.raw;
        let nothing = Notification::read(&Item::default(), &data, raw);
        return Ok(Notification { defect: Some(Defect::NotAnObject), ..nothing });
    }
    let from = *place;
    let item: Item<'_> = wire::object_by(place, |name, place| {
        if name != "resourceData" || place.peek() != Some(b'{') {
            return place.value();
        }
        let from = *place;
        data = wire::object(place)?;
        Ok(Text { raw: place.since(from), is_plain: false })
    })?;
    let data_counts =
        item.resource_data.raw.is_some_and(|raw| raw.starts_with('{')) && !item.resource_data.contradicts();
    let data = if data_counts { data } else { ResourceData::default() };
    Ok(Notification::read(&item, &data, place.since(from)))
}

impl<'a> Notification<'a> {
    fn read(item: &Item<'a>, data: &ResourceData<'a>, raw: &'a str) -> Self {
        Self {
            raw,
            defect: defect(item),
            client_state: claim(item),
            id: item.id.words(),
            subscription_id: item.subscription_id.text().map(SubscriptionId::new),
            expires: item.subscription_end.words(),
            tenant_id: tenant_id(item, data),
            kind: if item.lifecycle_event.text().is_some() { Kind::Lifecycle } else { Kind::Notification },
            change_type: item.change_type.words(),
            lifecycle_event: item.lifecycle_event.words(),
            resource: item.resource.words(),
            resource_type: data.odata_type.words(),
            sealed: Sealed::of(&item.encrypted_content, &item.decrypted_content),
            fingerprint: fingerprint(item, data),
            client_state_text: item.client_state.raw,
            earlier_client_state_texts: item.client_state.earlier.clone(),
        }
    }

    /// What a lifecycle item tells.
    pub fn event(&self) -> Option<Event> {
        self.lifecycle_event.as_deref().map(Event::of)
    }

    /// `lifecycleEvent`, else `changeType`.
    pub fn change(&self) -> Option<&str> {
        self.lifecycle_event.as_deref().or(self.change_type.as_deref())
    }
}

/// The first place that names a tenant. If what stands there is no string, or stands there twice with different
/// values, the item has no tenant: a later place must not speak for it.
fn tenant_id<'a>(item: &Item<'a>, data: &ResourceData<'a>) -> Option<TenantId<'a>> {
    let places = [&item.tenant_id, &item.organization_id, &data.organization_id];
    let names_one = |place: &&Member<'_>| place.is_present() && place.raw != Some("\"\"");
    let place = places.into_iter().find(|place| names_one(place) || place.contradicts())?;
    if place.contradicts() { None } else { place.words().map(TenantId::new) }
}

fn defect(item: &Item<'_>) -> Option<Defect> {
    let once = [&item.subscription_id, &item.client_state, &item.tenant_id];
    if once.into_iter().any(Member::contradicts) {
        return Some(Defect::Contradiction);
    }
    let client_state_is_other = item.client_state.is_present() && !is_string(&item.client_state);
    (item.subscription_id.text().is_none() || client_state_is_other).then_some(Defect::WrongType)
}

fn claim<'a>(item: &Item<'a>) -> ClientStateClaim<'a> {
    match item.client_state.text() {
        Some(text) => ClientStateClaim::Text(text),
        None if is_string(&item.client_state) => ClientStateClaim::Unreadable,
        None => ClientStateClaim::Missing,
    }
}

fn is_string(member: &Member<'_>) -> bool {
    member.raw.is_some_and(|raw| raw.starts_with('"'))
}

/// Only these three tell one change of a resource from the next; without any of them, equal bytes may be two
/// changes.
fn fingerprint<'a>(item: &Item<'a>, data: &ResourceData<'_>) -> Option<Fingerprint<'a>> {
    let tells = [&data.odata_etag, &data.sequence_number, &data.event_time];
    tells.into_iter().any(Member::is_present).then(|| Fingerprint {
        members: [&item.subscription_id, &item.change_type, &item.resource, &item.resource_data]
            .map(|member| member.raw.unwrap_or_default()),
    })
}

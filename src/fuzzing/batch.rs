//! A body, from its bytes to the messages it becomes.

use std::{collections::HashSet, time::SystemTime};

use bytes::Bytes;
use serde_json::Value;

use super::json::{Members, depth, elements, is_json};
use crate::{
    config::{ClientState, ClientStatePolicy},
    envelope::{Envelope, Router, properties::Arrival, quarantined, routing::Template},
    notification::{
        Batch, BatchError, ClientStateClaim, DEPTH_MAX, Defect, Notification, id::MessageId, lifecycle::Kind,
    },
    secret::Secret,
    verify::{Reason, Verified, Verifier},
};

/// Takes a body down the road: parsed, judged, addressed. The items are those that serde_json finds, byte for byte;
/// believed is who says the secret of an entry that speaks for him; what is redacted has lost the secret and nothing
/// else.
pub fn batch(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let batch = match (Batch::parse(&body, ITEMS_MAX), expected(&body)) {
        (Ok(batch), Ok(expected)) => {
            let raw = batch.notifications.iter().map(|item| (item.raw.as_ptr(), item.raw.len()));
            assert!(raw.eq(expected.iter().map(|raw| (raw.as_ptr(), raw.len()))), "not the same items");
            batch
        }
        (Err(error), Err(possible)) => {
            return assert!(possible.contains(&error), "{error:?}, not {possible:?}");
        }
        (Ok(_), Err(error)) => panic!("a batch, where serde_json finds {error:?}"),
        (Err(error), Ok(_)) => panic!("{error:?}, where serde_json finds a batch"),
    };
    batch.notifications.iter().for_each(check_reading);
    let verified = Verifier::new(&table()).verify(batch);
    check_verdicts(&verified);
    check_envelopes(&verified, &body);
}

/// The items as serde_json finds them, or why there are none.
fn expected(body: &[u8]) -> Result<Vec<&str>, Vec<BatchError>> {
    let text = std::str::from_utf8(body).map_err(|_| vec![BatchError::NotJson])?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(members) = Members::of(text) else {
        let is_other = is_json(text) && depth(text) <= DEPTH_MAX;
        // What is wrong is said of the first thing that is.
        return Err(if is_other { vec![BatchError::NoValue] } else { ANY_ERROR.to_vec() });
    };
    if depth(text) > DEPTH_MAX {
        return Err(vec![BatchError::NotJson]);
    }
    match (&*members.all("value"), members.last("value").and_then(elements)) {
        ([_], Some(items)) if items.len() <= ITEMS_MAX => Ok(items),
        ([_], Some(_)) => Err(vec![BatchError::TooManyItems]),
        _ => Err(vec![BatchError::NoValue, BatchError::TooManyItems]),
    }
}

/// Every field of a notification, read again.
pub(super) fn check_reading(item: &Notification<'_>) {
    let Some(members) = Members::of(item.raw) else {
        return assert_eq!(item.defect, Some(Defect::NotAnObject));
    };
    assert_eq!(item.defect, expected_defect(&members));
    let claim = match (members.last("clientState"), members.string("clientState")) {
        (_, Some(text)) => ClientStateClaim::Text(text.into()),
        (Some(raw), None) if raw.starts_with('"') => ClientStateClaim::Unreadable,
        (_, None) => ClientStateClaim::Missing,
    };
    assert!(item.client_state == claim, "another clientState");
    assert_eq!(item.subscription_id.as_deref(), members.string("subscriptionId").as_deref());
    for (field, name) in [
        (&item.id, "id"),
        (&item.change_type, "changeType"),
        (&item.lifecycle_event, "lifecycleEvent"),
        (&item.resource, "resource"),
    ] {
        assert_eq!(field.as_deref(), members.words(name).as_deref(), "{name}");
    }
    assert_eq!(item.kind == Kind::Lifecycle, members.string("lifecycleEvent").is_some());
    assert_eq!(
        item.sealed.is_some(),
        members.all_spellings("encryptedContent").iter().any(|value| *value != "null")
    );
    check_values(item);
}

fn expected_defect(members: &Members<'_>) -> Option<Defect> {
    let state = members.last("clientState").unwrap_or("null");
    if ["subscriptionId", "clientState", "tenantId"].iter().any(|name| members.contradicts(name)) {
        Some(Defect::Contradiction)
    } else if members.string("subscriptionId").is_none() || !(state == "null" || state.starts_with('"')) {
        Some(Defect::WrongType)
    } else {
        None
    }
}

/// What a consumer will see that parses the item into a tree. Trees cannot hold everything that is JSON.
fn check_values(item: &Notification<'_>) {
    let Ok(tree) = serde_json::from_str::<Value>(item.raw) else { return };
    let words = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    assert_eq!(item.subscription_id.as_deref(), tree["subscriptionId"].as_str());
    assert_eq!(matches!(item.client_state, ClientStateClaim::Text(_)), tree["clientState"].is_string());
    let data = &tree["resourceData"];
    let places = [&tree["tenantId"], &tree["organizationId"], &data["organizationId"]];
    let tenant = places.into_iter().find(|value| !value.is_null() && value.as_str() != Some(""));
    let is_plain = !item.raw.contains('\\') && has_no_name_twice(item.raw);
    if is_plain || item.tenant_id.is_some() {
        assert_eq!(item.tenant_id.as_deref(), tenant.and_then(Value::as_str));
    }
    if is_plain {
        assert_eq!(item.resource_type.as_deref(), words(&data["@odata.type"]).as_deref());
        let tells = ["@odata.etag", "sequenceNumber", "eventTime"];
        assert_eq!(item.fingerprint.is_some(), tells.iter().any(|name| !data[name].is_null()));
    }
}

fn has_no_name_twice(raw: &str) -> bool {
    let all_once = |text: &str| {
        let members = Members::of(text).map(|Members(members)| members).unwrap_or_default();
        let names: HashSet<&str> = members.iter().map(|(name, _)| *name).collect();
        names.len() == members.len()
    };
    let data = Members::of(raw).and_then(|members| members.last("resourceData"));
    all_once(raw) && data.is_none_or(all_once)
}

/// Three entries: one for everybody, one for a subscription, one for a tenant and a subscription whose items name none.
pub(super) fn table() -> [ClientState; 3] {
    let entry = |name: &str, subscriptions: &[&str], tenants: &[&str]| ClientState {
        name: name.to_owned(),
        secret: Secret::new(format!("{name} {SECRET}")),
        subscriptions: subscriptions.iter().map(|id| (*id).to_owned().into()).collect(),
        tenants: tenants.iter().map(|id| (*id).to_owned().into()).collect(),
        silent_after: None,
    };
    [entry("all", &[], &[]), entry("one", &["s-1"], &[]), entry("tenant", &["s-1", "s-2"], &["t-1"])]
}

/// The name of the entry that admits an item, or why none does.
fn expected_verdict(item: &Notification<'_>) -> Result<&'static str, Reason> {
    let Some(members) = Members::of(item.raw).filter(|members| expected_defect(members).is_none()) else {
        return Err(Reason::Malformed);
    };
    if !members.has("clientState") {
        return Err(Reason::Missing);
    }
    let subscription = members.string("subscriptionId").unwrap_or_default();
    let tenant = item.tenant_id.as_deref();
    let speaks = |name: &str| match name {
        "all" => true,
        "one" => subscription == "s-1",
        _ => ["s-1", "s-2"].contains(&&*subscription) && tenant.is_none_or(|tenant| tenant == "t-1"),
    };
    let said = members.string("clientState");
    let says = |name: &&str| said.as_deref() == Some(&*format!("{name} {SECRET}"));
    ["all", "one", "tenant"].into_iter().filter(|name| speaks(name)).find(says).ok_or(Reason::Mismatch)
}

fn check_verdicts(verified: &Verified<'_>) {
    for item in verified.authentic() {
        assert_eq!(expected_verdict(&item.notification), Ok(&*item.client_state));
    }
    for item in verified.refused() {
        assert_eq!(expected_verdict(&item.notification), Err(item.reason));
        let envelope = quarantined(item, Arrival::at(SystemTime::UNIX_EPOCH));
        assert_eq!(envelope.body, item.notification.raw.as_bytes());
        check_names(&envelope, &item.notification);
    }
}

fn check_envelopes(verified: &Verified<'_>, body: &Bytes) {
    let arrival = Arrival::at(SystemTime::UNIX_EPOCH);
    let address = |policy| Router::new(Template::default(), policy).address(verified, body, arrival, None);
    let (kept, redacted) = (address(ClientStatePolicy::Keep), address(ClientStatePolicy::Redact));
    assert_eq!((kept.len(), redacted.len()), (verified.authentic().len(), verified.authentic().len()));
    for (item, (kept, redacted)) in verified.authentic().iter().zip(kept.iter().zip(&redacted)) {
        let raw = item.notification.raw;
        assert_eq!(kept.body, raw.as_bytes());
        check_redacted(raw, std::str::from_utf8(&redacted.body).expect("text"));
        check_names(kept, &item.notification);
        let key = kept.routing_key.as_str();
        assert!(key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{key:?}");
        assert!(key.len() == 255 || key.matches('.').count() == 2, "{key:?}");
    }
}

/// With the values of every clientState cut out, both are the same; and there it says null.
fn check_redacted(raw: &str, redacted: &str) {
    let cut = |text: &'_ str| -> (Vec<String>, Vec<String>) {
        let values = Members::of(text).expect("an object").all("clientState");
        let (mut others, mut from) = (Vec::new(), 0);
        for value in &values {
            let at = value.as_ptr() as usize - text.as_ptr() as usize;
            others.push(text[from..at].to_owned());
            from = at + value.len();
        }
        others.push(text[from..].to_owned());
        (others, values.into_iter().map(str::to_owned).collect())
    };
    let ((around, _), (around_redacted, values)) = (cut(raw), cut(redacted));
    assert_eq!(around, around_redacted);
    assert!(values.iter().all(|value| value == "null"), "a secret is left");
}

/// What AMQP can carry, and the id that Graph gave.
fn check_names(envelope: &Envelope, item: &Notification<'_>) {
    let id = envelope.message_id.as_str();
    assert!((1..=255).contains(&id.len()) && !id.contains(char::is_control), "{id:?}");
    if let Some(given) = item.id.as_deref().and_then(MessageId::given) {
        assert_eq!(id, given.as_str());
    }
    assert!(envelope.routing_key.as_str().len() <= 255);
    for (name, value) in &envelope.properties.headers {
        assert!(name.len() <= 255 && value.len() <= 1024, "{name}");
    }
}

/// What the secrets of the table end with.
pub(super) const SECRET: &str = "clients say";
const ITEMS_MAX: usize = 8;
const ANY_ERROR: [BatchError; 3] = [BatchError::NotJson, BatchError::NoValue, BatchError::TooManyItems];

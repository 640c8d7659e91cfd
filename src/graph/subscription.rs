//! The subscription resource: what is sent to Graph, and what Graph says of it ("subscription resource type",
//! <https://learn.microsoft.com/graph/api/resources/subscription>).

use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    moment::{at, read, rfc3339},
    notification::id::SubscriptionId,
    secret::Secret,
};

/// A subscription as Graph shows it. Of what it has, only what decisions rest on; `null` and absence are one.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// Its id.
    #[serde(deserialize_with = "id")]
    pub id: SubscriptionId<'static>,
    /// The path that it watches, as it was given at its creation.
    pub resource: String,
    /// The list of change types, as Graph writes it: their order and the spaces between them may be anything.
    pub change_type: String,
    /// Where its notifications go.
    pub notification_url: String,
    /// Where its lifecycle notifications go.
    #[serde(default)]
    pub lifecycle_notification_url: Option<String>,
    /// When it ends.
    #[serde(deserialize_with = "time")]
    pub expiration_date_time: SystemTime,
    /// The app that made it.
    #[serde(default)]
    pub application_id: Option<String>,
    /// Never in lists; when it was created, and perhaps when it is fetched by its id.
    #[serde(default, deserialize_with = "secret")]
    pub client_state: Option<Secret>,
    /// Whether its notifications carry resource data.
    #[serde(default)]
    pub include_resource_data: Option<bool>,
    /// For which certificate that is encrypted.
    #[serde(default)]
    pub encryption_certificate_id: Option<String>,
}

/// What is asked for with a POST.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewSubscription {
    /// The path to watch.
    pub resource: String,
    /// Change types, between commas.
    pub change_type: String,
    /// Where notifications go.
    pub notification_url: String,
    /// Where lifecycle notifications go.
    pub lifecycle_notification_url: String,
    /// When it should end.
    #[serde(serialize_with = "to_text")]
    pub expiration_date_time: SystemTime,
    /// What each notification will carry.
    #[serde(serialize_with = "exposed")]
    pub client_state: Secret,
    /// `true`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_resource_data: Option<bool>,
    /// Base64 of the certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_certificate: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_certificate_id: Option<String>,
    /// Audience of validation tokens, if it is not the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_url_app_id: Option<String>,
    /// An OData filter; few resources know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_query_options: Option<String>,
    /// Values of the header `Prefer`.
    #[serde(skip)]
    pub prefer: Vec<String>,
}

/// What is changed with a PATCH: only what is there. Graph wants one of the first two to be ("Update subscription",
/// <https://learn.microsoft.com/graph/api/subscription-update>).
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Renewal: when it should end. It reauthorizes, too.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "maybe_to_text")]
    pub expiration_date_time: Option<SystemTime>,
    /// Move: where notifications should go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_url: Option<String>,
    /// Rotation: base64 of another certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_certificate: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_certificate_id: Option<String>,
}

impl Subscription {
    /// Its change types, each once, sorted, in lower case.
    pub fn change_types(&self) -> Vec<String> {
        change_types(&self.change_type)
    }
}

impl NewSubscription {
    /// Its change types, each once, sorted, in lower case.
    pub fn change_types(&self) -> Vec<String> {
        change_types(&self.change_type)
    }
}

fn change_types(list: &str) -> Vec<String> {
    let types = list.split(',').map(|word| word.trim().to_ascii_lowercase());
    let mut types: Vec<String> = types.filter(|word| !word.is_empty()).collect();
    types.sort_unstable();
    types.dedup();
    types
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SubscriptionId<'static>, D::Error> {
    let id = SubscriptionId::from(String::deserialize(deserializer)?);
    if id.is_safe_in_path() { Ok(id) } else { Err(de::Error::custom("no id of a subscription")) }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    read(&text).map(at).ok_or_else(|| de::Error::custom("no time"))
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn to_text<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*time))
}

fn maybe_to_text<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => to_text(time, serializer),
        None => serializer.serialize_none(),
    }
}

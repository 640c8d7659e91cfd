//! What the service takes for a subscription, and what it says of the rest ("Create subscription",
//! <https://learn.microsoft.com/graph/api/subscription-post-subscriptions>). Pure.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::StatusCode;
use serde_json::{Map, Value};
use url::{Host, Url};
use x509_parser::{prelude::FromDer, public_key::PublicKey, x509::SubjectPublicKeyInfo};

use super::{
    calls::Caller,
    clock::{read, written},
    kinds::{self, Kind, Workload},
    refusal::Refusal,
    subscription::{Endpoint, Recipient, Subscription, words},
};
use crate::{secret::Secret, verify::certificate::Certificate};

/// What is judged by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) now: SystemTime,
    pub(super) admits_plain_receivers: bool,
}

/// What a PATCH changes.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) changed: Subscription,
    /// Whether the URL has to prove itself.
    pub(super) is_moved: bool,
}

impl Rules {
    /// The subscription that the body of a POST asks for.
    pub(super) fn create(
        &self,
        body: &Map<String, Value>,
        id: String,
        owner: Caller,
    ) -> Result<Subscription, Refusal> {
        refuse_unknown(body)?;
        let resource = required(body, "resource")?;
        let kind = kinds::of(resource)
            .ok_or_else(|| Refusal::invalid(format!("resource '{}' is not supported.", short(resource))))?;
        let changes = required(body, "changeType")?;
        check_changes(changes, kind)?;
        let notification_url = self.url("notificationUrl", required(body, "notificationUrl")?)?;
        let lifecycle_url = text(body, "lifecycleNotificationUrl")?;
        let lifecycle_url = lifecycle_url.map(|url| self.url("lifecycleNotificationUrl", url)).transpose()?;
        let wished = moment(required(body, "expirationDateTime")?)?;
        let recipient = recipient(body, kind)?;
        let expires = self.expiry(wished, kind, recipient.is_some(), "Create")?;
        let is_long = expires > self.now + LONG_WITHOUT_LIFECYCLE;
        if kind.workload == Workload::Teams && lifecycle_url.is_none() && is_long {
            return Err(Refusal::invalid(NEEDS_LIFECYCLE));
        }
        let client_state = text(body, "clientState")?;
        if client_state.is_some_and(|state| state.chars().count() > CLIENT_STATE_CHARACTERS_MAX) {
            return Err(Refusal::invalid("clientState must not be longer than 128 characters."));
        }
        let tls_version = text(body, "latestSupportedTlsVersion")?;
        if tls_version.is_some_and(|version| !["v1_0", "v1_1", "v1_2", "v1_3"].contains(&version)) {
            return Err(Refusal::invalid(
                "latestSupportedTlsVersion must be one of v1_0, v1_1, v1_2 and v1_3.",
            ));
        }
        let owned = |name| text(body, name).map(|text| text.map(str::to_owned));
        Ok(Subscription {
            id,
            owner,
            kind,
            resource: resource.to_owned(),
            changes: changes.to_owned(),
            notification_url,
            lifecycle_url,
            expires,
            client_state: client_state.map(|state| Secret::new(state.to_owned())),
            recipient,
            tls_version: tls_version.map(str::to_owned),
            url_app: owned("notificationUrlAppId")?,
            query_options: owned("notificationQueryOptions")?,
        })
    }

    /// What a subscription becomes by the body of a PATCH.
    pub(super) fn update(
        &self,
        body: &Map<String, Value>,
        of: &Subscription,
        keeps_certificates: bool,
    ) -> Result<Change, Refusal> {
        refuse_unknown(body)?;
        if let Some(name) = FIXED.iter().find(|name| body.contains_key(**name)) {
            return Err(Refusal::invalid(format!("Property '{name}' of a subscription cannot be updated.")));
        }
        let (wished, url) = (text(body, "expirationDateTime")?, text(body, "notificationUrl")?);
        if wished.is_none() && url.is_none() {
            return Err(Refusal::invalid(
                "expirationDateTime or notificationUrl is required to update a subscription.",
            ));
        }
        let mut changed = of.clone();
        if let Some(url) = url {
            changed.notification_url = self.url("notificationUrl", url)?;
        }
        if let Some(wished) = wished {
            changed.expires = self.expiry(moment(wished)?, of.kind, of.recipient.is_some(), "Update")?;
        }
        let certificate = text(body, "encryptionCertificate")?.map(certificate).transpose()?;
        let certificate_id = text(body, "encryptionCertificateId")?;
        if let (Some(kept), false) = (&mut changed.recipient, keeps_certificates) {
            if let Some(certificate) = certificate {
                kept.certificate = certificate;
            }
            if let Some(id) = certificate_id {
                check_certificate_id(id)?;
                id.clone_into(&mut kept.id);
            }
        }
        Ok(Change { is_moved: url.is_some(), changed })
    }

    /// The end that is given for the one that was wished.
    fn expiry(
        &self,
        wished: SystemTime,
        kind: &Kind,
        with_data: bool,
        operation: &str,
    ) -> Result<SystemTime, Refusal> {
        if wished <= self.now {
            return Err(Refusal::invalid("expirationDateTime must be in the future."));
        }
        let minutes = kind.data_minutes_max.filter(|_| with_data).unwrap_or(kind.minutes_max);
        if wished > self.now + Duration::from_secs(minutes * 60) + CLOCKS_DIFFER {
            let message = if kind.workload == Workload::Teams {
                let (days, hours) = (minutes / (24 * 60), minutes / 60 % 24);
                format!(
                    "Operation: {operation}; Exception: [Status Code: BadRequest; Reason: Expiration time '{}' is beyond allowed max '{days}.{hours:02}:{:02}:00'.]",
                    written(wished),
                    minutes % 60
                )
            } else {
                format!("Subscription expiration can only be {minutes} minutes in the future.")
            };
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "ExtensionError", message));
        }
        Ok(wished.max(self.now + SHORTEST))
    }

    /// A URL that notifications may be sent to.
    fn url(&self, name: &str, text: &str) -> Result<Endpoint, Refusal> {
        let wrong = || Refusal::invalid(format!("The {name} must be an https URL."));
        let url = Url::parse(text).map_err(|_| wrong())?;
        let is_loopback = match url.host().ok_or_else(wrong)? {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => IpAddr::from(address).is_loopback(),
            Host::Ipv6(address) => IpAddr::from(address).is_loopback(),
        };
        let is_plain = url.scheme() == "http" && self.admits_plain_receivers && is_loopback;
        let has_credentials = !url.username().is_empty() || url.password().is_some();
        if (url.scheme() == "https" || is_plain) && !has_credentials {
            Ok(Endpoint { text: text.to_owned(), url })
        } else {
            Err(wrong())
        }
    }
}

/// `None` if it is not there, or null.
fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= TEXT_BYTES_MAX => Ok(Some(text)),
        Some(Value::String(_)) => Err(Refusal::invalid(format!("The value of '{name}' is too long."))),
        Some(_) => Err(Refusal::invalid(format!("Cannot convert the value of '{name}' to 'Edm.String'."))),
    }
}

fn required<'a>(body: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    let value = text(body, name)?.filter(|value| !value.is_empty());
    value.ok_or_else(|| Refusal::invalid(format!("{name} is a required property for subscription creation.")))
}

fn moment(text: &str) -> Result<SystemTime, Refusal> {
    read(text).ok_or_else(|| {
        Refusal::invalid("Cannot convert the value of 'expirationDateTime' to 'Edm.DateTimeOffset'.")
    })
}

fn refuse_unknown(body: &Map<String, Value>) -> Result<(), Refusal> {
    let unknown = body.keys().find(|name| !name.starts_with("@odata.") && !KNOWN.contains(&name.as_str()));
    unknown.map_or(Ok(()), |name| {
        let name = short(name);
        let message = format!("The property '{name}' does not exist on type 'microsoft.graph.subscription'.");
        Err(Refusal::invalid(message))
    })
}

fn check_changes(changes: &str, kind: &Kind) -> Result<(), Refusal> {
    for word in words(changes) {
        if !kind.changes.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            let message = format!("changeType '{}' is not supported for this resource.", short(word));
            return Err(Refusal::invalid(message));
        }
    }
    Ok(())
}

/// For whom resource data is to be sealed, if it is asked for.
fn recipient(body: &Map<String, Value>, kind: &Kind) -> Result<Option<Recipient>, Refusal> {
    match body.get("includeResourceData") {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(Value::Bool(true)) => {}
        Some(_) => {
            return Err(Refusal::invalid(
                "Cannot convert the value of 'includeResourceData' to 'Edm.Boolean'.",
            ));
        }
    }
    if kind.data_minutes_max.is_none() {
        let message = format!("{} workload is not enabled for rich notifications.", kind.workload.name());
        return Err(Refusal::invalid(message));
    }
    let resource = text(body, "resource")?.unwrap_or_default();
    let selects = resource.to_ascii_lowercase().contains("$select=");
    if selects != (kind.workload == Workload::Outlook) {
        let need = if selects { "must not" } else { "must" };
        return Err(Refusal::invalid(format!(
            "With resource data, this resource {need} have a $select query option."
        )));
    }
    let certificate = certificate(required(body, "encryptionCertificate")?)?;
    let id = required(body, "encryptionCertificateId")?;
    check_certificate_id(id)?;
    Ok(Some(Recipient { certificate, id: id.to_owned() }))
}

fn check_certificate_id(id: &str) -> Result<(), Refusal> {
    let is_right = id.chars().count() <= CERTIFICATE_ID_CHARACTERS_MAX;
    if is_right {
        Ok(())
    } else {
        Err(Refusal::invalid("encryptionCertificateId must not be longer than 128 characters."))
    }
}

/// An X.509 certificate with an RSA key of 2,048 to 4,096 bits.
fn certificate(text: &str) -> Result<Certificate, Refusal> {
    let wrong = || Refusal::invalid("Certificate validation error: Cannot find the requested object.");
    let der = BASE64_STANDARD.decode(text).map_err(|_| wrong())?;
    let certificate = Certificate::from_der(&der).map_err(|_| wrong())?;
    let (_, public) = SubjectPublicKeyInfo::from_der(certificate.public()).map_err(|_| wrong())?;
    match public.parsed() {
        Ok(PublicKey::RSA(key)) if (2_048..=4_096).contains(&key.key_size()) => Ok(certificate),
        Ok(_) | Err(_) => Err(Refusal::invalid(
            "Certificate validation error: an RSA key of 2,048 to 4,096 bits is needed.",
        )),
    }
}

/// Text of the caller's in an error of ours.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// All that a subscription has; what the service sets itself is passed over.
const KNOWN: [&str; 16] = [
    "id",
    "applicationId",
    "creatorId",
    "notificationContentType",
    "resource",
    "changeType",
    "notificationUrl",
    "lifecycleNotificationUrl",
    "expirationDateTime",
    "clientState",
    "includeResourceData",
    "encryptionCertificate",
    "encryptionCertificateId",
    "latestSupportedTlsVersion",
    "notificationUrlAppId",
    "notificationQueryOptions",
];
/// What no PATCH can change ("Update subscription", <https://learn.microsoft.com/graph/api/subscription-update>).
const FIXED: [&str; 8] = [
    "resource",
    "changeType",
    "lifecycleNotificationUrl",
    "clientState",
    "includeResourceData",
    "latestSupportedTlsVersion",
    "notificationUrlAppId",
    "notificationQueryOptions",
];
const NEEDS_LIFECYCLE: &str = "lifecycleNotificationUrl is a required property for subscription creation on this \
                               resource when the expirationDateTime value is set to greater than 1 hour.";
/// Long enough for every certificate of 4,096 bits.
const TEXT_BYTES_MAX: usize = 8 << 10;
const CLIENT_STATE_CHARACTERS_MAX: usize = 128;
const CERTIFICATE_ID_CHARACTERS_MAX: usize = 128;
const SHORTEST: Duration = Duration::from_secs(45 * 60);
const LONG_WITHOUT_LIFECYCLE: Duration = Duration::from_secs(60 * 60);
/// A caller that asks for the longest life must not be refused because its clock is a little ahead.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;

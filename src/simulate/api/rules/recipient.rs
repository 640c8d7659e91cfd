//! Whether resource data can be had, and for whom it is sealed ("Set up change notifications that include resource data",
//! <https://learn.microsoft.com/graph/change-notifications-with-resource-data>).

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};
use x509_parser::{prelude::FromDer, public_key::PublicKey, x509::SubjectPublicKeyInfo};

use super::{required, text};
use crate::{
    simulate::api::{
        kinds::{Kind, Workload},
        refusal::Refusal,
        subscription::Recipient,
    },
    verify::certificate::Certificate,
};

/// For whom resource data is to be sealed, if it is asked for.
pub(super) fn recipient(body: &Map<String, Value>, kind: &Kind) -> Result<Option<Recipient>, Refusal> {
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

pub(super) fn check_certificate_id(id: &str) -> Result<(), Refusal> {
    let is_right = id.chars().count() <= CERTIFICATE_ID_CHARACTERS_MAX;
    if is_right {
        Ok(())
    } else {
        Err(Refusal::invalid("encryptionCertificateId must not be longer than 128 characters."))
    }
}

/// An X.509 certificate with an RSA key of 2,048 to 4,096 bits.
pub(super) fn certificate(text: &str) -> Result<Certificate, Refusal> {
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

const CERTIFICATE_ID_CHARACTERS_MAX: usize = 128;

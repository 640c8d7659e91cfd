//! Items with resource data: sealed for whoever has the key of a certificate.

use aws_lc_rs::{
    digest::{SHA1_FOR_LEGACY_USE_ONLY, digest},
    encoding::{AsDer, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use serde_json::json;

use super::{
    members::Members,
    template::{Facts, Template},
};
use crate::verify::{certificate::Certificate, seal::seal};

/// For whom resource data is sealed.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// `encryptionCertificateId`
    pub id: String,
    /// `encryptionCertificateThumbprint`
    thumbprint: String,
    /// SubjectPublicKeyInfo, DER.
    public: Box<[u8]>,
}

/// Why nothing can be sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealError {
    /// Graph takes RSA keys alone.
    #[error("the certificate holds no RSA key")]
    NotRsa,
    /// What resource data is added to is one.
    #[error("the item is no JSON object")]
    NoObject,
    /// The system has no random numbers.
    #[error("the system gave no key")]
    NoKey,
}

impl Recipient {
    /// Whoever has the key of this certificate.
    ///
    /// # Errors
    ///
    /// [`SealError::NotRsa`]
    pub fn new(id: &str, certificate: &Certificate) -> Result<Self, SealError> {
        let (thumbprint, public) = (certificate.thumbprint(), certificate.public().into());
        let recipient = Self { id: id.to_owned(), thumbprint, public };
        recipient.seal(b"{}").map(|_| recipient)
    }

    /// Nobody: the key is thrown away at once. A receiver cannot open what is sealed so, and has to say 2xx all the same.
    ///
    /// # Errors
    ///
    /// [`SealError::NoKey`]
    pub fn nobody(id: &str) -> Result<Self, SealError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SealError::NoKey)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| SealError::NoKey)?;
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, public.as_ref());
        let thumbprint = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(Self { id: id.to_owned(), thumbprint, public: public.as_ref().into() })
    }

    /// An `encryptedContent`, JSON.
    ///
    /// # Errors
    ///
    /// [`SealError::NotRsa`]
    pub fn seal(&self, resource: &[u8]) -> Result<String, SealError> {
        let sealing = seal(resource, &self.public).ok_or(SealError::NotRsa)?;
        let content = json!({
            "data": sealing.data,
            "dataSignature": sealing.data_signature,
            "dataKey": sealing.data_key,
            "encryptionCertificateId": self.id,
            "encryptionCertificateThumbprint": self.thumbprint,
        });
        Ok(content.to_string())
    }

    /// The item with this resource sealed in it.
    ///
    /// # Errors
    ///
    /// [`SealError`]
    pub fn put(&self, item: &str, resource: &[u8]) -> Result<String, SealError> {
        let mut members = Members::read(item).ok_or(SealError::NoObject)?;
        members.set("encryptedContent", self.seal(resource)?);
        Ok(members.write())
    }
}

/// A small resource of the kind that this item tells of: a message, or else a chat message, with the id that the item has.
pub fn resource(kind: &str, facts: &Facts<'_>) -> String {
    let text = if kind == "message" { MESSAGE } else { CHAT_MESSAGE };
    Template::read(text).expect("a test has read both").fill(facts)
}

const MESSAGE: &str = include_str!("templates/content/message.json");
const CHAT_MESSAGE: &str = include_str!("templates/content/chatMessage.json");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::template::SAMPLE;

    #[test]
    fn a_resource_has_the_id_that_its_item_names() {
        for kind in ["message", "chatMessage"] {
            let item = Template::named(kind).expect("a template").fill(&SAMPLE);
            let nobody = Recipient::nobody("a").expect("random numbers");
            let resource = resource(kind, &SAMPLE);
            let sealed = nobody.put(&item, resource.as_bytes()).expect("sealed");
            let [sealed, resource] = [sealed, resource]
                .map(|text| serde_json::from_str::<serde_json::Value>(&text).expect("JSON"));
            assert_eq!(sealed["resourceData"]["id"], resource["id"], "{kind}");
            assert_eq!(sealed["encryptedContent"]["encryptionCertificateId"], "a");
            assert_eq!(
                sealed["encryptedContent"]["encryptionCertificateThumbprint"].as_str().map(str::len),
                Some(40)
            );
        }
    }

    #[test]
    fn nothing_is_sealed_for_other_keys_than_rsa() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
        let certificate = Certificate::from_der(certificate.der()).expect("a certificate");
        assert_eq!(Recipient::new("a", &certificate).err(), Some(SealError::NotRsa));
    }
}

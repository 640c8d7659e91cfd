//! Items with resource data: sealed for somebody, as Graph seals them.

use std::fs;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use graphhook::verify::decrypt::PrivateKey;
use graphhook::verify::seal::seal;
use serde_json::{Value, json};

use super::daemon::SECRET;
use super::graph::PATH;
use super::https::{Client, Reply};
use super::issuer::Key;

/// Whoever can open what is sealed for a certificate of this id.
pub struct Recipient {
    /// `encryptionCertificateId`.
    pub id: String,
    /// The private key, PKCS#8, PEM.
    pub pem: String,
    public: Vec<u8>,
}

impl Recipient {
    /// One with a new key.
    pub fn generate(id: &str) -> Self {
        let der = BASE64_STANDARD.encode(Key::generate(id).pkcs8());
        Self::read(id, &format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n"))
    }

    /// One with this key, in PEM.
    pub fn read(id: &str, pem: &str) -> Self {
        let public = PrivateKey::from_pem(pem).expect("a key").public().into();
        Self { id: id.to_owned(), pem: pem.to_owned(), public }
    }

    /// Writes the key into a directory; returns the table of the configuration that names it.
    pub fn table(&self, directory: &Path) -> String {
        let path = self.write(directory);
        format!("[[rich.keys]]\nid = {:?}\nprivate_key = {{ file = {path:?} }}\n", self.id)
    }

    /// The same with a certificate; and its thumbprint, SHA-1, hexadecimal.
    pub fn table_with_certificate(&self, directory: &Path) -> (String, String) {
        let key = rcgen::KeyPair::from_pem(&self.pem).expect("a key");
        let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
        let path = directory.join(format!("{}.cert.pem", self.id));
        fs::write(&path, certificate.pem()).expect("the certificate can be written");
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, certificate.der());
        let thumbprint = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        (format!("{}certificate = {path:?}\n", self.table(directory)), thumbprint)
    }

    /// Writes the key into a directory.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join(format!("{}.key.pem", self.id));
        fs::write(&path, &self.pem).expect("the key can be written");
        path
    }

    /// An `encryptedContent`.
    pub fn seal(&self, resource: impl AsRef<[u8]>) -> Value {
        let sealing = seal(resource.as_ref(), &self.public).expect("an RSA key");
        let mut content = serde_json::to_value(sealing).expect("JSON");
        content["encryptionCertificateId"] = json!(self.id);
        content["encryptionCertificateThumbprint"] = json!("4B95353E086AD37196606ACF834A14532F03E6DB");
        content
    }
}

/// An item with this `encryptedContent`, and the tests' secret.
pub fn rich(id: &str, tenant: &str, content: &Value) -> String {
    format!(
        r##"{{"id":"{id}","subscriptionId":"00000002-0000-4000-8000-000000000002","changeType":"created","clientState":{},"tenantId":"{tenant}","resource":"chats/{id}","resourceData":{{"@odata.type":"#Microsoft.Graph.chatMessage","id":"{id}","sequenceNumber":638059995676961317}},"encryptedContent":{content},"last" : 1.0e2}}"##,
        json!(SECRET)
    )
}

/// What consumers get of such an item when it is opened.
pub fn opened(item: &str, content: &Value, resource: &str) -> String {
    let sealed = format!(r#""encryptedContent":{content}"#);
    assert!(item.contains(&sealed));
    item.replace(&sealed, &format!(r#""decryptedContent":{resource}"#))
}

/// A collection of such items with `validationTokens`.
pub fn collection(items: &[String], tokens: &Value) -> String {
    format!(r#"{{"value":[{}],"validationTokens":{tokens}}}"#, items.join(","))
}

/// POSTs it.
pub async fn post(client: &Client, items: &[String], tokens: &Value) -> Reply {
    client.post(PATH, &[("content-type", "application/json; charset=utf-8")], collection(items, tokens)).await
}

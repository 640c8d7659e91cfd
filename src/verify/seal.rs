//! Sealing as Graph does it: for trying keys, and for playing Graph.

use aws_lc_rs::{
    cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey},
    hmac,
    rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::decrypt::{DataKey, Parcel, PrivateKey};

/// `data`, `dataKey` and `dataSignature` of an `encryptedContent`, in base64.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sealing {
    /// The resource.
    pub data: String,
    /// Its key.
    pub data_key: String,
    /// Its signature.
    pub data_signature: String,
}

/// Seals a text for whoever holds the key to this SubjectPublicKeyInfo (DER); `None` if it is no RSA key.
pub fn seal(text: &[u8], public: &[u8]) -> Option<Sealing> {
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(public).ok()?).ok()?;
    let data_key = DataKey::random()?;
    let mut wrapped = vec![0; public.ciphertext_size()];
    let wrapped = public.encrypt(&OAEP_SHA1_MGF1SHA1, data_key.expose(), &mut wrapped, None).ok()?;
    let cipher = UnboundCipherKey::new(&AES_256, data_key.expose()).ok()?;
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(cipher).ok()?;
    let mut data = text.to_vec();
    cipher.less_safe_encrypt(&mut data, EncryptionContext::Iv128(data_key.iv())).ok()?;
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, data_key.expose()), &data);
    Some(Sealing {
        data: BASE64_STANDARD.encode(&data),
        data_key: BASE64_STANDARD.encode(wrapped),
        data_signature: BASE64_STANDARD.encode(signature),
    })
}

/// Whether what is sealed for a key can be opened with it.
pub fn makes_round_trip(key: &PrivateKey) -> bool {
    const TEXT: &str = r#"{"id":"1"}"#;
    let decoded = |text: &str| BASE64_STANDARD.decode(text).expect("it was encoded here");
    let parcel = seal(TEXT.as_bytes(), key.public()).map(|Sealing { data, data_key, data_signature }| {
        Parcel::new(data.into(), decoded(&data_key), decoded(&data_signature))
    });
    parcel.is_some_and(|parcel| parcel.open(key).is_ok_and(|opened| opened.expose() == TEXT))
}

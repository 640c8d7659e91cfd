//! Resource data: unwrap its key, check the signature, and only then decrypt.
//!
//! The scheme is Graph's: RSA-OAEP with SHA-1 around a data key of 32 bytes; HMAC-SHA256 with it over the ciphertext;
//! AES-256-CBC with it, its first 16 bytes as the IV, PKCS#7 padding
//! (<https://learn.microsoft.com/graph/change-notifications-with-resource-data>). Whatever fails, fails alike: a key that
//! cannot be unwrapped is replaced by a random one, under which no signature is right. Keys and plaintext are wiped.

use std::{borrow::Cow, fmt};

use aws_lc_rs::{
    cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    hmac,
    iv::FixedLength,
    rand,
    rsa::{KeyPair, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use zeroize::{Zeroize, Zeroizing};

use crate::notification::{is_document, sealed::EncryptedContent};

/// An RSA key that opens resource data.
pub struct PrivateKey {
    key: OaepPrivateDecryptingKey,
    /// SubjectPublicKeyInfo, DER: what a certificate holds of it.
    public: Box<[u8]>,
    bits: usize,
}

/// Why a text is no such key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// No PEM with a private key.
    #[error("no private key in PEM (PKCS#8 or PKCS#1); a file is named by {{ file = \"…\" }}")]
    NotPem,
    /// It is encrypted itself.
    #[error("the private key has a password: `openssl pkey` takes it off")]
    HasPassword,
    /// Some other kind of key, or a broken one.
    #[error("no RSA key of 2048 to 8192 bits")]
    NotRsa,
}

impl PrivateKey {
    /// Reads the first private key of a PEM text.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; it quotes nothing.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"].iter().any(|mark| text.contains(mark)) {
            return Err(KeyError::HasPassword);
        }
        let mut der = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::NotPem)?;
        let key = match &der {
            PrivateKeyDer::Pkcs8(pkcs8) => PrivateDecryptingKey::from_pkcs8(pkcs8.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Pkcs1(pkcs1) => from_pkcs1(pkcs1.secret_pkcs1_der()),
            // No other kind holds an RSA key.
            PrivateKeyDer::Sec1(_) | _ => None,
        };
        der.zeroize();
        let key = key.ok_or(KeyError::NotRsa)?;
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| KeyError::NotRsa)?;
        Ok(Self {
            bits: key.key_size_bits(),
            public: public.as_ref().into(),
            key: OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError::NotRsa)?,
        })
    }

    /// Length of the modulus.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The data key in `wrapped`, or one that nobody knows.
    fn unwrap(&self, wrapped: &[u8]) -> Option<DataKey> {
        let mut room = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let unwrapped = self.key.decrypt(&OAEP_SHA1_MGF1SHA1, wrapped, &mut room, None);
        match unwrapped.ok().and_then(|key| <[u8; KEY_BYTES]>::try_from(&*key).ok()) {
            Some(key) => Some(DataKey(Zeroizing::new(key))),
            None => DataKey::random(),
        }
    }
}

/// Only PKCS#8 is taken for decryption, which is a PKCS#1 key with a few bytes around it.
fn from_pkcs1(der: &[u8]) -> Option<PrivateDecryptingKey> {
    let pair = KeyPair::from_der(der).ok()?;
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().ok()?;
    PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).ok()
}

/// Two are equal when they open the same.
impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[RSA key of {} bits]", self.bits)
    }
}

/// A resource, decrypted: one JSON object in UTF-8. Wiped when dropped.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// The text. Never hand it to a log, an error or a metric.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("looked at when it was made")
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// It cannot be opened; why, nobody is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the resource data cannot be decrypted")]
pub struct Undecryptable;

/// What is needed to open one resource, on whatever thread.
pub struct Parcel {
    /// In base64: it may be long, and is decoded where it is decrypted.
    data: Bytes,
    data_key: Vec<u8>,
    data_signature: Vec<u8>,
}

impl Parcel {
    pub(super) fn new(data: Bytes, data_key: Vec<u8>, data_signature: Vec<u8>) -> Self {
        Self { data, data_key, data_signature }
    }

    /// Takes the parts of `content`, which was read from `body`; what is long is not copied.
    ///
    /// # Errors
    ///
    /// [`Undecryptable`] when key or signature are not in base64.
    pub fn of(content: &EncryptedContent<'_>, body: &Bytes) -> Result<Self, Undecryptable> {
        let decoded = |text: &str| {
            let is_short = text.len() <= SHORT_BYTES_MAX;
            is_short.then(|| BASE64_STANDARD.decode(text).ok()).flatten().ok_or(Undecryptable)
        };
        Ok(Self {
            data: match &content.data {
                Cow::Borrowed(text) => body.slice_ref(text.as_bytes()),
                Cow::Owned(text) => Bytes::copy_from_slice(text.as_bytes()),
            },
            data_key: decoded(&content.data_key)?,
            data_signature: decoded(&content.data_signature)?,
        })
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`Undecryptable`], whatever the reason; it takes as long to find one as another.
    pub fn open(&self, key: &PrivateKey) -> Result<Plaintext, Undecryptable> {
        let data_key = key.unwrap(&self.data_key).ok_or(Undecryptable)?;
        let mut data = Zeroizing::new(BASE64_STANDARD.decode(&self.data).map_err(|_| Undecryptable)?);
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &*data_key.0);
        // In constant time, and of the whole length.
        hmac::verify(&signing, &data, &self.data_signature).map_err(|_| Undecryptable)?;
        let length = data_key.decrypt(&mut data)?;
        data.truncate(length);
        if !is_object(&data) {
            return Err(Undecryptable);
        }
        Ok(Plaintext(data))
    }
}

/// One for each resource.
pub(super) struct DataKey(Zeroizing<[u8; KEY_BYTES]>);

impl DataKey {
    pub(super) fn random() -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(&mut *key).ok()?;
        Some(Self(key))
    }

    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Its first bytes, as the protocol has it: a data key is used once.
    pub(super) fn iv(&self) -> FixedLength<IV_BYTES> {
        let mut iv = [0; IV_BYTES];
        iv.copy_from_slice(&self.0[..IV_BYTES]);
        FixedLength::from(iv)
    }

    /// In place; returns the length of the plaintext.
    fn decrypt(&self, data: &mut [u8]) -> Result<usize, Undecryptable> {
        let key = UnboundCipherKey::new(&AES_256, &*self.0).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
        let context = DecryptionContext::Iv128(self.iv());
        let plaintext = key.and_then(|key| key.decrypt(data, context).map(|plaintext| plaintext.len()));
        plaintext.map_err(|_| Undecryptable)
    }
}

/// Whether it can stand in a JSON document as an object.
fn is_object(text: &[u8]) -> bool {
    std::str::from_utf8(text)
        .is_ok_and(|text| text.trim_start_matches(WHITE_SPACE).starts_with('{') && is_document(text))
}

/// AES-256; of another length none was ever seen.
const KEY_BYTES: usize = 32;
const IV_BYTES: usize = 16;
/// A data key is as long as the modulus: 8192 bits, in base64, is 1368 bytes.
const SHORT_BYTES_MAX: usize = 2048;
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

#[cfg(test)]
mod tests;

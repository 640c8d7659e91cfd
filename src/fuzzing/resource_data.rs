//! An item with resource data, from its bytes to the message that it becomes.

use std::{sync::LazyLock, time::SystemTime};

use aws_lc_rs::{
    cipher::{AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey},
    digest::{SHA256, digest},
    iv::FixedLength,
    rsa::{
        OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
        PublicEncryptingKey,
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::Value;

use super::{
    batch::table,
    json::{Members, depth, is_json, string},
};
use crate::{
    config::ClientStatePolicy,
    envelope::{Router, properties::Arrival, routing::Template},
    notification::{Batch, DEPTH_MAX},
    verify::{
        Resource, Verifier,
        decrypt::{Parcel, Plaintext, PrivateKey},
    },
};

/// An item, an empty line, and what is to be sealed: `$data`, `$key` and `$signature` in the item become what Graph would
/// have made of it, `$blocks` and `$mark` the same with the padding forgotten. What opens is what a second decryption finds,
/// made of other parts; and the message is the item with that in the place of `encryptedContent`, and not one byte else.
pub fn resource_data(data: &[u8]) {
    let gap = data.windows(2).position(|two| two == b"\n\n");
    let (item, resource) = gap.map_or((data, &b""[..]), |gap| (&data[..gap], &data[gap + 2..]));
    let Ok(item) = str::from_utf8(item) else { return };
    let item = filled(item, resource);
    let body = Bytes::from(format!(r#"{{"value":[{item}]}}"#));
    let Ok(batch) = Batch::parse(&body, 1) else { return };
    let Some(sealed) = batch.notifications.first().and_then(|item| item.sealed) else { return };
    let content = sealed.read();
    let opened = content.and_then(|content| Parcel::of(&content, &body).ok()?.open(&OURS).ok());
    let raw = batch.notifications[0].raw;
    assert_eq!(opened.as_ref().map(Plaintext::expose), second_reading(raw).as_deref());
    let Some(plaintext) = opened else { return };
    let expected = plaintext.expose().to_owned();
    let verified = Verifier::new(&table()).verify(batch);
    if verified.authentic().is_empty() {
        return;
    }
    let verified = verified.with_resource(Resource::Opened(plaintext));
    for policy in [ClientStatePolicy::Keep, ClientStatePolicy::Redact] {
        let router = Router::new(Template::default(), policy);
        let envelopes = router.address(&verified, &body, Arrival::at(SystemTime::UNIX_EPOCH), None);
        let [envelope] = &envelopes[..] else { panic!("{} messages", envelopes.len()) };
        check_message(raw, str::from_utf8(&envelope.body).expect("text"), &expected, policy);
    }
}

/// The same members in the same order, with the same bytes between them; but for the resource, and the secret if it is not
/// to be seen.
fn check_message(raw: &str, message: &str, resource: &str, policy: ClientStatePolicy) {
    assert!(is_json(message), "no JSON any more");
    let (Members(before), Members(after)) =
        (Members::of(raw).expect("one"), Members::of(message).expect("one"));
    let expected = before.iter().map(|(name, value)| match string(name).as_deref() {
        Some(name) if name.eq_ignore_ascii_case("encryptedContent") => {
            ("\"decryptedContent\"", resource.trim_matches(WHITE_SPACE))
        }
        Some("clientState") if policy == ClientStatePolicy::Redact => (*name, "null"),
        Some(_) | None => (*name, *value),
    });
    assert!(expected.eq(after.iter().copied()), "another member");
    let around = |text: &str, members: &[(&str, &str)]| -> Vec<String> {
        let mut from = 0;
        let mut gaps: Vec<String> = Vec::new();
        for part in members.iter().flat_map(|(name, value)| [*name, *value]) {
            let at = part.as_ptr() as usize - text.as_ptr() as usize;
            gaps.push(text[from..at].to_owned());
            from = at + part.len();
        }
        gaps.push(text[from..].to_owned());
        gaps
    };
    // White space around a resource belongs to it.
    let bare = |gaps: Vec<String>| -> String { gaps.concat() };
    let padding = resource.replacen(resource.trim_matches(WHITE_SPACE), "", 1);
    assert_eq!(bare(around(message, &after)).len(), bare(around(raw, &before)).len() + padding.len());
    if padding.is_empty() {
        assert_eq!(around(message, &after), around(raw, &before));
    }
}

/// The resource in an item, by the letter of Graph's page.
fn second_reading(item: &str) -> Option<String> {
    let members = Members::of(item)?;
    let [content] = *members.all_spellings("encryptedContent") else { return None };
    // It would stand there twice.
    if !members.all_spellings("decryptedContent").is_empty() {
        return None;
    }
    let content = Members::of(content)?;
    let names =
        ["data", "dataKey", "dataSignature", "encryptionCertificateId", "encryptionCertificateThumbprint"];
    if names.iter().any(|name| content.contradicts(name)) {
        return None;
    }
    let part = |name: &str| unarmoured(&content.words(name)?);
    let (data, wrapped, signature) = (part("data")?, part("dataKey")?, part("dataSignature")?);
    let mut room = vec![0; THEIRS.min_output_size()];
    let key = THEIRS.decrypt(&OAEP_SHA1_MGF1SHA1, &wrapped, &mut room, None).ok()?;
    let key: [u8; 32] = (*key).try_into().ok()?;
    (mark(&key, &data) == *signature).then_some(())?;
    let mut blocks = data;
    let cipher = UnboundCipherKey::new(&AES_256, &key).and_then(DecryptingKey::cbc).ok()?;
    let plain = cipher.decrypt(&mut blocks, DecryptionContext::Iv128(iv(&key))).ok()?;
    let padding = usize::from(*plain.last()?);
    let (text, tail) = plain.split_at(plain.len().checked_sub(padding)?);
    if !(1..=16).contains(&padding) || tail.iter().any(|byte| usize::from(*byte) != padding) {
        return None;
    }
    let text = str::from_utf8(text).ok()?;
    (Members::of(text).is_some() && depth(text) <= DEPTH_MAX).then(|| text.to_owned())
}

/// HMAC-SHA256 (RFC 2104), for a key that is shorter than a block.
fn mark(key: &[u8; 32], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| {
        let mut block = vec![with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = digest(&SHA256, &[&*pad(0x36), message].concat());
    digest(&SHA256, &[&*pad(0x5c), inner.as_ref()].concat()).as_ref().to_vec()
}

/// Base64 (RFC 4648, section 4), with its padding, and with nothing in the bits that are left over.
fn unarmoured(text: &str) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = text.trim_end_matches('=');
    let mut bytes = Vec::new();
    for group in letters.as_bytes().chunks(4) {
        let mut bits = 0;
        for letter in group {
            let value = LETTERS.iter().position(|known| known == letter)?;
            bits = bits << 6 | u32::try_from(value).expect("six bits");
        }
        bits <<= 6 * (4 - group.len());
        let [_, three @ ..] = bits.to_be_bytes();
        let (whole, rest) = three.split_at(group.len() - 1);
        (group.len() > 1 && rest.iter().all(|byte| *byte == 0)).then(|| bytes.extend_from_slice(whole))?;
    }
    let missing = (4 - letters.len() % 4) % 4;
    (text.len() - letters.len() == missing).then_some(bytes)
}

/// The item with what is sealed in it.
fn filled(item: &str, resource: &[u8]) -> String {
    if !item.contains('$') {
        return item.to_owned();
    }
    let padding = 16 - resource.len() % 16;
    let mut padded = resource.to_vec();
    padded.resize(resource.len() + padding, u8::try_from(padding).expect("at most 16"));
    let data = encrypted(padded);
    let blocks = encrypted(resource[..resource.len() - resource.len() % 16].to_vec());
    let armoured = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    item.replace("$data", &armoured(&data))
        .replace("$blocks", &armoured(&blocks))
        .replace("$signature", &armoured(&mark(&DATA_KEY, &data)))
        .replace("$mark", &armoured(&mark(&DATA_KEY, &blocks)))
        .replace("$key", &WRAPPED)
}

fn encrypted(mut blocks: Vec<u8>) -> Vec<u8> {
    let cipher = UnboundCipherKey::new(&AES_256, &DATA_KEY).and_then(EncryptingKey::cbc).expect("a key");
    cipher.less_safe_encrypt(&mut blocks, EncryptionContext::Iv128(iv(&DATA_KEY))).expect("whole blocks");
    blocks
}

fn iv(key: &[u8; 32]) -> FixedLength<16> {
    let mut iv = [0; 16];
    iv.copy_from_slice(&key[..16]);
    FixedLength::from(iv)
}

fn pem() -> String {
    let vectors = include_str!("../../tests/data/vector-own-decryption.json");
    let vectors: Value = serde_json::from_str(vectors).expect("JSON");
    vectors["certificate"]["private_key_pkcs8_pem"].as_str().expect("PEM").to_owned()
}

/// The key of the vectors, as ours.
static OURS: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::from_pem(&pem()).expect("a key"));

/// The same for the second reading.
static THEIRS: LazyLock<OaepPrivateDecryptingKey> = LazyLock::new(|| {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem().as_bytes()).expect("a key");
    let key = PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key");
    OaepPrivateDecryptingKey::new(key).expect("an RSA key")
});

/// The data key of what is sealed here, for the key of the vectors.
static WRAPPED: LazyLock<String> = LazyLock::new(|| {
    let key = PublicEncryptingKey::from_der(OURS.public()).expect("a key");
    let key = OaepPublicEncryptingKey::new(key).expect("an RSA key");
    let mut wrapped = vec![0; key.ciphertext_size()];
    let wrapped = key.encrypt(&OAEP_SHA1_MGF1SHA1, &DATA_KEY, &mut wrapped, None).expect("it fits");
    BASE64_STANDARD.encode(wrapped)
});

const DATA_KEY: [u8; 32] = *b"a key of thirty-two known bytes.";
const WHITE_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

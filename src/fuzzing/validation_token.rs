//! A token and the keys that it is checked with.

use std::{
    collections::HashSet,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaPublicKeyComponents},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::Value;

use super::json::Members;
use crate::verify::{Expectations, keys::SigningKeys};

/// A line with the head of a token, a line with its claims, and a key document, ours if it is empty. The token is signed
/// with our key, so that what is behind the signature is met as well. A first line that is no JSON object is a token as it
/// stands. What vouches for a tenant does so by another reading too; and a plain token that does so by that one is not
/// refused.
pub fn validation_token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (second, document) = rest.split_once('\n').unwrap_or((rest, ""));
    let is_head = first.starts_with('{');
    let token = if is_head { signed(first, second) } else { first.to_owned() };
    let document = if document.is_empty() { VECTORS["jwks"].to_string() } else { document.to_owned() };
    let Ok(keys) = SigningKeys::read(document.as_bytes()) else { return };
    let vouched = expectations().judge(&token, &keys, SystemTime::UNIX_EPOCH + Duration::from_secs(now()));
    // Trees cannot hold everything that is JSON (numbers, depth), and what they cannot hold nobody issues; nor lists in
    // place of objects, of which serde knows how to make a structure.
    let Ok(document) = serde_json::from_str::<Value>(&document) else { return };
    let is_tree = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|tree| tree.is_object());
    let are_trees = document["keys"].as_array().is_none_or(|keys| keys.iter().all(Value::is_object));
    if !document.is_object() || !are_trees || is_head && !(is_tree(first) && is_tree(second)) {
        return;
    }
    match (vouched, second_reading(&token, &public_keys(&document))) {
        (Ok(tenant), second) => {
            assert_eq!(second.as_deref(), Some(&*tenant), "vouched for by one reading only")
        }
        (Err(fault), Some(_)) => {
            assert!(!(is_head && is_plain(first) && is_plain(second)), "{fault:?}, where all is well");
        }
        (Err(_), None) => {}
    }
}

/// The tenant for which a token vouches, by the letter of what Graph's page and the identity platform say.
fn second_reading(token: &str, keys: &[PublicKey]) -> Option<String> {
    let [head, claims, signature] = *token.split('.').collect::<Vec<_>>() else { return None };
    let tree = |part: &str| serde_json::from_slice::<Value>(&unarmoured(part)?).ok();
    let (head, claims, signature) = (tree(head)?, tree(claims)?, unarmoured(signature)?);
    if head["alg"] != "RS256" || !head["crit"].is_null() {
        return None;
    }
    let message = token.rsplit_once('.').map(|(message, _)| message)?;
    let signed_by = |key: &PublicKey| {
        let components = RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent };
        head["kid"] == *key.id
            && components.verify(&RSA_PKCS1_2048_8192_SHA256, message.as_bytes(), &signature).is_ok()
    };
    let tenant = claims["tid"].as_str()?;
    let v2 = format!("https://login.microsoftonline.com/{tenant}/v2.0");
    let (issuer, publisher) = match claims["ver"].as_str()? {
        "1.0" => (format!("https://sts.windows.net/{tenant}/"), &claims["appid"]),
        "2.0" => (v2.clone(), &claims["azp"]),
        _ => return None,
    };
    let speaks_for = |key: &PublicKey| {
        let of_key = key.issuer.as_ref().map(|issuer| issuer.replace("{tenantid}", tenant));
        of_key.is_none_or(|of_key| of_key == v2 || of_key == issuer)
    };
    let is = |value: &Value, id: &Value| {
        value.as_str().is_some_and(|value| value.eq_ignore_ascii_case(id.as_str().expect("an id")))
    };
    let is_one_of =
        |value: &Value, ids: &Value| ids.as_array().expect("a list").iter().any(|id| is(value, id));
    let is_good = claims["iss"] == issuer
        && is(publisher, &VECTORS["publisher_app_id"])
        && claims["exp"].as_u64()?.saturating_add(SKEW) > now()
        && claims["nbf"].as_u64()? <= now() + SKEW
        && is_one_of(&claims["aud"], &VECTORS["expected_app_ids"])
        && is_one_of(&claims["tid"], &VECTORS["expected_tenant_ids"]);
    // Who names no issuer is heard where nobody of that id names one.
    let is_silenced = |key: &PublicKey| {
        key.issuer.is_none() && keys.iter().any(|other| other.id == key.id && other.issuer.is_some())
    };
    let mut keys = keys.iter().filter(|key| !is_silenced(key) && speaks_for(key));
    (is_good && keys.any(signed_by)).then(|| tenant.to_owned())
}

/// Whether an object says everything once, without escapes, and nothing in a type of its own: then every reader sees the
/// same.
fn is_plain(text: &str) -> bool {
    let Some(Members(members)) = Members::of(text) else { return false };
    let names: HashSet<&str> = members.iter().map(|(name, _)| *name).collect();
    let known =
        ["\"typ\"", "\"alg\"", "\"kid\"", "\"aud\"", "\"iss\"", "\"tid\"", "\"ver\"", "\"exp\"", "\"nbf\""];
    let is_simple = |value: &str| value.starts_with('"') || value.parse::<u64>().is_ok();
    let is_known = |name: &str| known.contains(&name) || ["\"appid\"", "\"azp\""].contains(&name);
    !text.contains('\\')
        && names.len() == members.len()
        && members.iter().all(|(name, value)| is_known(name) && is_simple(value))
}

/// An RSA key of a key set, by another reading.
pub(super) struct PublicKey {
    pub(super) id: String,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    issuer: Option<String>,
    /// Whether it is ours, as it is published.
    pub(super) is_usual: bool,
}

/// The keys of a set that are for signatures of this kind.
pub(super) fn public_keys(document: &Value) -> Vec<PublicKey> {
    let keys = document["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.iter().filter_map(public_key).collect()
}

fn public_key(key: &Value) -> Option<PublicKey> {
    let text = |name: &str| key[name].as_str().map(str::to_owned);
    let is = |name: &str, word: &str| key[name].is_null() || key[name] == word;
    if key["kty"] != "RSA" || !is("use", "sig") || !is("alg", "RS256") || !key["d"].is_null() {
        return None;
    }
    // One of less than 2048 bits counts for nothing, and silences nobody.
    if key["n"].as_str()?.trim_start_matches('A').len() < 342 {
        return None;
    }
    Some(PublicKey {
        id: text("kid")?,
        modulus: unarmoured(key["n"].as_str()?)?,
        exponent: unarmoured(key["e"].as_str()?)?,
        issuer: text("issuer"),
        is_usual: *key == VECTORS["jwks"]["keys"][0],
    })
}

/// Base64 for URLs (RFC 4648, section 5), without padding, and with nothing in the bits that are left over.
fn unarmoured(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut left) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        (bits, left) = (bits << 6 | u32::from(value), left + 6);
        if left >= 8 {
            left -= 8;
            bytes.push(u8::try_from(bits >> left).expect("eight bits"));
            bits &= (1 << left) - 1;
        }
    }
    (left < 6 && bits == 0).then_some(bytes)
}

fn signed(head: &str, claims: &str) -> String {
    let encoded = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", encoded(head), encoded(claims));
    let mut signature = vec![0; KEY.public_modulus_len()];
    KEY.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).expect("it signs");
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn expectations() -> Expectations {
    let ids = |name: &str| -> HashSet<String> {
        let ids = VECTORS[name].as_array().expect("a list").iter();
        ids.map(|id| id.as_str().expect("an id").to_owned()).collect()
    };
    Expectations {
        app_ids: ids("expected_app_ids"),
        tenants: ids("expected_tenant_ids"),
        issuer_v1: "https://sts.windows.net/{tenant}/".to_owned(),
        issuer_v2: "https://login.microsoftonline.com/{tenant}/v2.0".to_owned(),
        publisher: VECTORS["publisher_app_id"].as_str().expect("an id").to_owned(),
        clock_skew: Duration::from_secs(SKEW),
    }
}

fn now() -> u64 {
    VECTORS["reference_clock_unix"].as_u64().expect("a time")
}

static VECTORS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../tests/data/vector-jwt-validation.json")).expect("JSON")
});

/// The test key of the vectors.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| {
    let pem = VECTORS["test_signing_private_key_pkcs8_pem"].as_str().expect("PEM");
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).expect("a key");
    KeyPair::from_pkcs8(der.secret_pkcs8_der()).expect("an RSA key")
});

const SKEW: u64 = 300;

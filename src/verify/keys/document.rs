//! Key documents as the identity platform publishes them: OpenID configurations and the key sets they point at. Pure.

use jsonwebtoken::DecodingKey;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::SigningKey;

/// A document that says something about keys.
#[derive(Debug)]
pub(super) enum Document {
    /// A JSON Web Key Set (RFC 7517); at least one key that we can use.
    Keys(Vec<(String, SigningKey)>),
    /// An OpenID configuration: the keys are at this URL.
    Elsewhere(String),
}

/// It says nothing that we could use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rubbish {
    /// No JSON object with `keys` or `jwks_uri`.
    #[error("the answer is neither a key set nor an OpenID configuration")]
    NoDocument,
    /// None that is RSA, for signatures, of 2048 bits at least, and has an id.
    #[error("the key set has no RSA key of 2048 bits or more")]
    NoKeys,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    keys: Option<Vec<&'a RawValue>>,
    jwks_uri: Option<String>,
}

/// As RFC 7517 has it; `issuer` is Microsoft's own.
#[derive(Deserialize)]
struct WireKey {
    kty: String,
    kid: String,
    n: String,
    e: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    issuer: Option<String>,
    /// Not a public key at all.
    d: Option<IgnoredAny>,
}

impl Document {
    pub(super) fn read(text: &[u8]) -> Result<Self, Rubbish> {
        let wire: Wire<'_> = serde_json::from_slice(text).map_err(|_| Rubbish::NoDocument)?;
        let Some(keys) = wire.keys else {
            return wire.jwks_uri.map(Self::Elsewhere).ok_or(Rubbish::NoDocument);
        };
        // One that we cannot use costs the others nothing.
        let keys: Vec<_> = keys.into_iter().filter_map(|raw| key(raw.get())).collect();
        if keys.is_empty() { Err(Rubbish::NoKeys) } else { Ok(Self::Keys(keys)) }
    }
}

fn key(text: &str) -> Option<(String, SigningKey)> {
    let WireKey { kty, kid, n, e, purpose, alg, issuer, d } = serde_json::from_str(text).ok()?;
    let is_for_us = kty == "RSA"
        && purpose.is_none_or(|purpose| purpose == "sig")
        && alg.is_none_or(|alg| alg == "RS256")
        && d.is_none();
    // Base64 has four letters for three bytes.
    let is_strong = n.trim_start_matches('A').len() * 6 >= BITS_MIN;
    let key = DecodingKey::from_rsa_components(&n, &e).ok().filter(|_| is_for_us && is_strong)?;
    Some((kid, SigningKey { key, issuer }))
}

/// As the check of signatures wants it, too.
const BITS_MIN: usize = 2048;

#[cfg(test)]
mod tests;

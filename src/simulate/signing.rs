//! The key that signs tokens, published as Microsoft publishes its own.

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer, Pkcs8V1Der},
    rand::{SystemRandom, fill},
    rsa::{KeyPair, KeySize},
    signature::{
        KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
        UnparsedPublicKey,
    },
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};
use zeroize::{Zeroize, Zeroizing};

/// What signs, and what it is called.
#[derive(Debug)]
pub(super) struct SigningKey {
    pair: KeyPair,
    id: String,
}

/// A JWT taken apart; nothing in it is proven.
#[derive(Debug)]
pub(super) struct Jwt<'a> {
    pub(super) header: Value,
    pub(super) claims: Value,
    message: &'a str,
    signature: Vec<u8>,
}

impl SigningKey {
    /// A new one; `None` if the system has no random numbers.
    pub(super) fn generate() -> Option<Self> {
        KeyPair::generate(KeySize::Rsa2048).ok().map(Self::of)
    }

    /// One that was written with [`SigningKey::to_pem`]; `None` if it is no RSA key.
    pub(super) fn from_pem(text: &str) -> Option<Self> {
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).ok()?;
        let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der());
        der.zeroize();
        pair.ok().map(Self::of)
    }

    /// All of it; `None` never comes of a key that was made here.
    pub(super) fn to_pem(&self) -> Option<Zeroizing<String>> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().ok()?;
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(der.as_ref()));
        // Never moved: a copy that is left behind would not be wiped.
        let mut pem = Zeroizing::new(String::with_capacity(encoded.len() + 64));
        pem.push_str("-----BEGIN PRIVATE KEY-----\n");
        pem.push_str(&encoded);
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        Some(pem)
    }

    /// Its name is made of it, so that a key that is kept has the same one for ever.
    fn of(pair: KeyPair) -> Self {
        let digest = digest(&SHA256, pair.public_key().as_ref());
        let id = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { pair, id }
    }

    /// A token with these claims, RS256.
    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": self.id, "x5t": self.id });
        let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encoded(&header), encoded(claims));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
        Some(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token of ours.
    pub(super) fn verified(&self, token: &str) -> Option<Value> {
        let jwt = Jwt::read(token)?;
        let public = self.pair.public_key().as_ref();
        (jwt.header["alg"] == "RS256" && jwt.is_signed_by(public)).then_some(jwt.claims)
    }

    /// The key set (RFC 7517); `issuer` is Microsoft's own addition.
    pub(super) fn published(&self) -> Value {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({
            "kty": "RSA", "use": "sig", "kid": self.id, "x5t": self.id,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
            "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
        });
        json!({ "keys": [key] })
    }
}

impl<'a> Jwt<'a> {
    pub(super) fn read(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let json = |text: &str| serde_json::from_slice(&decoded(text)?).ok();
        Some(Self { header: json(header)?, claims: json(claims)?, message, signature: decoded(signature)? })
    }

    /// Whether this RSA key (PKCS #1, DER) has signed it, by the algorithm it names.
    pub(super) fn is_signed_by(&self, public: &[u8]) -> bool {
        let parameters: &'static RsaParameters = match self.header["alg"].as_str() {
            Some("PS256") => &RSA_PSS_2048_8192_SHA256,
            Some("RS256") => &RSA_PKCS1_2048_8192_SHA256,
            Some(_) | None => return false,
        };
        UnparsedPublicKey::new(parameters, public).verify(self.message.as_bytes(), &self.signature).is_ok()
    }
}

/// A word that nobody guesses; `None` if the system has no random numbers.
pub(super) fn random_word() -> Option<String> {
    let mut bytes = [0; 32];
    fill(&mut bytes).ok()?;
    Some(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_kept_stays_the_same() {
        let key = SigningKey::generate().expect("random numbers");
        let kept = SigningKey::from_pem(&key.to_pem().expect("PEM")).expect("a key");
        assert_eq!(kept.published(), key.published());
        assert!(SigningKey::from_pem("").is_none());
    }

    #[test]
    fn a_token_is_believed_as_it_was_signed_and_no_other() {
        let [ours, other] = [(), ()].map(|()| SigningKey::generate().expect("random numbers"));
        let claims = json!({ "aud": "a" });
        let token = ours.sign(&claims).expect("signed");
        assert_eq!(ours.verified(&token), Some(claims));
        assert_eq!(other.verified(&token), None);
        let (message, signature) = token.rsplit_once('.').expect("two points");
        let forged = BASE64_URL_SAFE_NO_PAD.encode(r#"{"aud":"b"}"#);
        let header = message.split_once('.').expect("a point").0;
        assert_eq!(ours.verified(&format!("{header}.{forged}.{signature}")), None);
        let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert_eq!(ours.verified(&format!("{none}.{forged}.")), None);
        for rubbish in ["", ".", "..", "a.b.c", "Bearer", &token[1..]] {
            assert_eq!(ours.verified(rubbish), None, "{rubbish}");
        }
    }
}

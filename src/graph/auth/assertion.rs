//! What an app shows instead of a secret: a token that is signed with the key of its certificate ("Microsoft identity
//! platform application authentication certificate credentials",
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>).

use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, error::KeyRejected, rand::SystemRandom, rsa::KeyPair, signature::RSA_PSS_SHA256};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::json;
use uuid::Uuid;

use super::{super::error::Cause, AuthError};
use crate::secret::Secret;

/// Makes them.
pub(super) struct Assertion {
    key: KeyPair,
    header: String,
    client_id: String,
}

impl Assertion {
    /// For this app, by the key of this certificate.
    pub(super) fn new(certificate: &[u8], private_key: &Secret, client_id: &str) -> Result<Self, AuthError> {
        let key = PrivateKeyDer::from_pem_slice(private_key.expose().as_bytes());
        let key = rsa(&key.map_err(|error| AuthError::Key(Cause::new(error)))?);
        let key = key.map_err(|error| AuthError::Key(Cause::new(error)))?;
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, certificate));
        let header = encoded(&json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint }));
        Ok(Self { key, header, client_id: client_id.to_owned() })
    }

    /// One for this endpoint, used once.
    pub(super) fn sign(&self, audience: &str, now: SystemTime) -> Result<Secret, AuthError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = encoded(&json!({
            "aud": audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": Uuid::now_v7().to_string(),
            "nbf": now,
            "iat": now,
            "exp": now + LIFE.as_secs(),
        }));
        let message = format!("{}.{claims}", self.header);
        let mut signature = vec![0; self.key.public_modulus_len()];
        let signed = self.key.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature);
        signed.map_err(|error| AuthError::Key(Cause::new(error)))?;
        Ok(Secret::new(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn rsa(key: &PrivateKeyDer<'_>) -> Result<KeyPair, KeyRejected> {
    match key {
        PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
        // Of other forms it says that they are none.
        PrivateKeyDer::Pkcs8(_) | PrivateKeyDer::Sec1(_) | _ => KeyPair::from_pkcs8(key.secret_der()),
    }
}

fn encoded(part: &serde_json::Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Microsoft's page wants it short: five to ten minutes.
const LIFE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
    use rcgen::{CertificateParams, PKCS_RSA_SHA256, RsaKeySize};
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_assertion_is_as_the_platform_wants_it() {
        let key = rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
        let certificate = CertificateParams::default().self_signed(&key).expect("a certificate");
        let secret = Secret::new(key.serialize_pem());
        let assertion = Assertion::new(certificate.der(), &secret, "app").expect("the key is good");
        let now = SystemTime::now();
        let signed = assertion.sign("https://login.example/t/oauth2/v2.0/token", now).expect("it signs");
        let header = decode_header(signed.expose()).expect("a header");
        assert_eq!((header.alg, header.typ.as_deref()), (Algorithm::PS256, Some("JWT")));
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, certificate.der()));
        assert_eq!(header.x5t_s256, Some(thumbprint));

        let public = x509_parser::parse_x509_certificate(certificate.der()).expect("X.509").1;
        let public = DecodingKey::from_rsa_der(&public.public_key().subject_public_key.data);
        let mut validation = Validation::new(Algorithm::PS256);
        validation.set_audience(&["https://login.example/t/oauth2/v2.0/token"]);
        validation.set_issuer(&["app"]);
        validation.validate_nbf = true;
        let claims = decode::<Value>(signed.expose(), &public, &validation).expect("a good token").claims;
        assert_eq!((&claims["sub"], &claims["nbf"]), (&"app".into(), &claims["iat"]));
        let life = claims["exp"].as_u64().expect("a time") - claims["nbf"].as_u64().expect("a time");
        assert!((300..=600).contains(&life), "{life}");
        let again = assertion.sign("https://login.example/t/oauth2/v2.0/token", now).expect("it signs");
        let again = decode::<Value>(again.expose(), &public, &validation).expect("a good token").claims;
        assert_ne!(claims["jti"], again["jti"]);
    }

    #[test]
    fn a_key_that_is_none_is_told_of_without_being_shown() {
        let key = "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n";
        let Err(error) = Assertion::new(b"der", &Secret::new(key.to_owned()), "app") else {
            panic!("that is no key");
        };
        let shown = format!("{error:?} {}", crate::error::Chain(&error));
        assert!(!shown.contains("aHVudGVy") && shown.contains("graph.private_key"), "{shown}");
    }
}

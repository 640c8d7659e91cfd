//! Client assertions: whether a JWT proves an app ("Microsoft identity platform application authentication certificate
//! credentials", <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>). Pure.

use std::time::SystemTime;

use hyper::StatusCode;
use serde_json::Value;

use super::Denial;
use crate::simulate::{
    api::{clock::unix, tokens::Checked},
    signing::Jwt,
};

/// What an assertion is held against.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    pub(super) directory: &'a Checked,
    pub(super) tenant: &'a str,
    pub(super) origin: &'a str,
    pub(super) app: &'a str,
    pub(super) now: SystemTime,
}

impl Judge<'_> {
    pub(super) fn check(&self, assertion: &str) -> Result<(), Denial> {
        let jwt = Jwt::read(assertion).ok_or(MALFORMED)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let is_known_algorithm = matches!(jwt.header["alg"].as_str(), Some("PS256" | "RS256"));
        let named = text(&jwt.header["x5t#S256"]);
        // A SHA-1 thumbprint is what older libraries send.
        if !is_known_algorithm || (named.is_none() && text(&jwt.header["x5t"]).is_none()) {
            return Err(MALFORMED);
        }
        if let Some(certificate) = &self.directory.client_certificate {
            let is_named = named.is_none_or(|named| named == certificate.thumbprint);
            if !is_named || !jwt.is_signed_by(&certificate.public) {
                return Err(SIGNATURE);
            }
        }
        let claims = &jwt.claims;
        if claims["iss"] != self.app || claims["sub"] != self.app {
            return Err(ISSUER);
        }
        if !text(&claims["aud"]).is_some_and(|audience| self.is_us(&audience)) {
            return Err(AUDIENCE);
        }
        let now = unix(self.now);
        let number = |name: &str| claims[name].as_u64();
        let begun = number("nbf").is_none_or(|nbf| nbf <= now + SKEW_SECONDS);
        let lasts = number("exp").is_some_and(|exp| exp.saturating_add(SKEW_SECONDS) > now);
        if !begun || !lasts {
            return Err(TIME);
        }
        // One that can be used again and again is no proof; the id is what tells.
        text(&claims["jti"]).filter(|id| !id.is_empty()).map(drop).ok_or(MALFORMED)
    }

    /// The token endpoint, or what the tenant is called as an issuer.
    fn is_us(&self, audience: &str) -> bool {
        let Self { tenant, origin, .. } = self;
        [format!("{origin}/{tenant}/oauth2/v2.0/token"), format!("{origin}/{tenant}/v2.0")]
            .iter()
            .any(|known| known == audience)
    }
}

/// The value of `client_assertion_type` (RFC 7523).
pub(super) const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far another clock may be from ours.
const SKEW_SECONDS: u64 = 300;
const WHO: StatusCode = StatusCode::UNAUTHORIZED;
const MALFORMED: Denial =
    Denial::new(WHO, "invalid_client", 50_027, "The JWT token is invalid or malformed.");
const SIGNATURE: Denial = Denial::new(
    WHO,
    "invalid_client",
    700_027,
    "The certificate with identifier used to sign the client assertion is not registered on application.",
);
const ISSUER: Denial = Denial::new(
    WHO,
    "invalid_client",
    700_021,
    "Client assertion application identifier doesn't match 'client_id' parameter.",
);
const AUDIENCE: Denial = Denial::new(
    WHO,
    "invalid_client",
    700_023,
    "Client assertion audience claim does not match Realm issuer.",
);
const TIME: Denial =
    Denial::new(WHO, "invalid_client", 700_024, "Client assertion is not within its valid time range.");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;
    use crate::simulate::api::Directory;

    /// A value in place of what a good assertion has; null for nothing.
    fn judged(part: &str, name: &str, value: Value) -> Result<(), Denial> {
        let mut header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": "t" });
        let mut claims = json!({
            "aud": "https://l/tenant/oauth2/v2.0/token", "iss": "app", "sub": "app", "jti": "1",
            "nbf": 1_000, "exp": 1_600,
        });
        let changed = if part == "header" { &mut header } else { &mut claims };
        if !name.is_empty() {
            changed[name] = value;
        }
        let encoded = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let assertion = format!("{}.{}.c2ln", encoded(header), encoded(claims));
        let directory = Checked::new(Directory::default()).expect("nothing to read");
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        Judge { directory: &directory, tenant: "tenant", origin: "https://l", app: "app", now }
            .check(&assertion)
    }

    #[test]
    fn an_assertion_says_who_it_is_from_and_for_whom() {
        for (part, name, value, expected) in [
            ("", "", Value::Null, Ok(())),
            ("header", "alg", json!("RS256"), Ok(())),
            ("header", "alg", json!("HS256"), Err(MALFORMED)),
            ("header", "alg", json!("none"), Err(MALFORMED)),
            ("header", "x5t#S256", Value::Null, Err(MALFORMED)),
            ("claims", "aud", json!("https://l/tenant/v2.0"), Ok(())),
            ("claims", "aud", json!("https://l/other/oauth2/v2.0/token"), Err(AUDIENCE)),
            ("claims", "iss", json!("other"), Err(ISSUER)),
            ("claims", "sub", Value::Null, Err(ISSUER)),
            ("claims", "jti", Value::Null, Err(MALFORMED)),
            ("claims", "nbf", json!(1_301), Err(TIME)),
            ("claims", "exp", json!(700), Err(TIME)),
            ("claims", "exp", Value::Null, Err(TIME)),
        ] {
            assert_eq!(judged(part, name, value.clone()), expected, "{part} {name} {value}");
        }
    }
}

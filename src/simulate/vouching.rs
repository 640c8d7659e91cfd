//! Validation tokens: by them Graph's change tracking vouches for resource data ("Set up change notifications that include
//! resource data", <https://learn.microsoft.com/graph/change-notifications-with-resource-data>).
//!
//! The issuer is Microsoft's own name, so that a receiver needs to be told of our keys and of nothing else.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::signing::SigningKey;

/// What a token says.
#[derive(Clone, Copy, Debug)]
pub struct Voucher<'a> {
    /// For whom it is: the app that subscribes.
    pub app: &'a str,
    /// Whose resources it is about.
    pub tenant: &'a str,
    /// When it was issued.
    pub now: SystemTime,
    /// Its form.
    pub version: Version,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
}

/// The identity platform has two forms of tokens, and both occur.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// `appid`, and the issuer at `sts.windows.net`.
    V1,
    /// `azp`, and the issuer at `login.microsoftonline.com`.
    V2,
}

/// What can be wrong with a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// Its time is over.
    Expired,
    /// Its time is to come.
    NotYetValid,
    /// For an app that nobody knows.
    WrongAudience,
    /// From somebody who is not the identity platform.
    WrongIssuer,
    /// Issued to an app that is not Graph's change tracking.
    WrongPublisher,
    /// About a tenant that nobody knows.
    OtherTenant,
    /// Changed after it was signed.
    BadSignature,
    /// Signed with a key that nobody publishes.
    UnknownKey,
    /// Signed by nobody: the algorithm is `none`.
    Unsigned,
    /// No token at all.
    Malformed,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongAudience,
        Self::WrongIssuer,
        Self::WrongPublisher,
        Self::OtherTenant,
        Self::BadSignature,
        Self::UnknownKey,
        Self::Unsigned,
        Self::Malformed,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::WrongAudience => "wrong-audience",
            Self::WrongIssuer => "wrong-issuer",
            Self::WrongPublisher => "wrong-publisher",
            Self::OtherTenant => "other-tenant",
            Self::BadSignature => "bad-signature",
            Self::UnknownKey => "unknown-key",
            Self::Unsigned => "unsigned",
            Self::Malformed => "malformed",
        }
    }
}

impl<'a> Voucher<'a> {
    /// A good one of version 2.0.
    pub fn new(app: &'a str, tenant: &'a str, now: SystemTime) -> Self {
        Self { app, tenant, now, version: Version::V2, flaw: None }
    }

    /// The token; `None` if the system has no random numbers.
    pub(super) fn sign(&self, key: &SigningKey) -> Option<String> {
        let claims = self.claims();
        match self.flaw {
            Some(Flaw::Malformed) => Some("no.token".to_owned()),
            Some(Flaw::Unsigned) => Some(unsigned(&claims)),
            Some(Flaw::UnknownKey) => SigningKey::generate()?.sign(&claims),
            Some(Flaw::BadSignature) => {
                let other = key.sign(&json!({ "aud": self.app }))?;
                let (_, signature) = other.rsplit_once('.')?;
                let token = key.sign(&claims)?;
                let (message, _) = token.rsplit_once('.')?;
                Some(format!("{message}.{signature}"))
            }
            Some(
                Flaw::Expired
                | Flaw::NotYetValid
                | Flaw::WrongAudience
                | Flaw::WrongIssuer
                | Flaw::WrongPublisher
                | Flaw::OtherTenant,
            )
            | None => key.sign(&claims),
        }
    }

    fn claims(&self) -> Value {
        let is = |flaw| self.flaw == Some(flaw);
        let begin = match self.flaw {
            Some(Flaw::Expired) => self.now - 2 * LIFETIME,
            Some(Flaw::NotYetValid) => self.now + LIFETIME,
            Some(_) | None => self.now,
        };
        let begin = begin.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let tenant = if is(Flaw::OtherTenant) { NOBODY } else { self.tenant };
        let audience = if is(Flaw::WrongAudience) { NOBODY } else { self.app };
        let publisher = if is(Flaw::WrongPublisher) { NOBODY } else { CHANGE_TRACKING };
        let host = if is(Flaw::WrongIssuer) { "login.example.com" } else { self.version.host() };
        let mut claims = json!({
            "aud": audience, "iat": begin, "nbf": begin, "exp": begin + LIFETIME.as_secs(),
            "aio": "E2ZgYGjnuFglnX7mtjJzwR5lYaWvAA==", "oid": PRINCIPAL, "sub": PRINCIPAL, "tid": tenant,
            "rh": "0.AX0A", "uti": "AAAAAAAAAAAAAAAAAAAAAA",
        });
        match self.version {
            Version::V1 => {
                claims["iss"] = json!(format!("https://{host}/{tenant}/"));
                claims["idp"] = claims["iss"].clone();
                claims["appid"] = json!(publisher);
                claims["appidacr"] = json!("2");
                claims["ver"] = json!("1.0");
            }
            Version::V2 => {
                claims["iss"] = json!(format!("https://{host}/{tenant}/v2.0"));
                claims["azp"] = json!(publisher);
                claims["azpacr"] = json!("2");
                claims["ver"] = json!("2.0");
            }
        }
        claims
    }
}

impl Version {
    fn host(self) -> &'static str {
        match self {
            Self::V1 => "sts.windows.net",
            Self::V2 => "login.microsoftonline.com",
        }
    }
}

fn unsigned(claims: &Value) -> String {
    let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", encoded(&json!({ "typ": "JWT", "alg": "none" })), encoded(claims))
}

/// Microsoft Graph Change Tracking: the app to which these tokens are issued.
const CHANGE_TRACKING: &str = "0bf30f3b-4a52-48df-9a82-234910c4a086";
/// Its service principal in some tenant.
const PRINCIPAL: &str = "1e7d79fa-7893-4d50-bdde-164260d9c5ba";
/// An app and a tenant that nobody knows.
const NOBODY: &str = "ffffffff-ffff-4fff-bfff-ffffffffffff";
/// Eight hours and five minutes, as in Microsoft's example.
const LIFETIME: Duration = Duration::from_secs(8 * 60 * 60 + 5 * 60);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::verify::{Expectations, TokenFault, keys::SigningKeys};

    const APP: &str = "925bff9f-f6e2-4a69-b858-f71ea2b9b6d0";
    const TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";

    /// What a receiver finds that goes by Microsoft's page.
    fn judged(key: &SigningKey, version: Version, flaw: Option<Flaw>) -> Option<TokenFault> {
        let expectations = Expectations {
            app_ids: HashSet::from([APP.to_owned()]),
            tenants: HashSet::from([TENANT.to_owned()]),
            issuer_v1: "https://sts.windows.net/{tenant}/".to_owned(),
            issuer_v2: "https://login.microsoftonline.com/{tenant}/v2.0".to_owned(),
            publisher: CHANGE_TRACKING.to_owned(),
            clock_skew: Duration::from_secs(300),
        };
        let now = SystemTime::now();
        let keys = SigningKeys::read(key.published().to_string().as_bytes()).expect("a key set");
        let token = Voucher { version, flaw, ..Voucher::new(APP, TENANT, now) }.sign(key).expect("a token");
        expectations.judge(&token, &keys, now).err()
    }

    #[test]
    fn a_token_is_good_or_wrong_in_just_the_way_it_says() {
        let key = SigningKey::generate().expect("random numbers");
        for version in [Version::V1, Version::V2] {
            assert_eq!(judged(&key, version, None), None, "{version:?}");
            for flaw in Flaw::ALL {
                let expected = match flaw {
                    Flaw::Expired => TokenFault::Expired,
                    Flaw::NotYetValid => TokenFault::NotYetValid,
                    Flaw::WrongAudience => TokenFault::Audience,
                    Flaw::WrongIssuer => TokenFault::Issuer,
                    Flaw::WrongPublisher => TokenFault::Publisher,
                    Flaw::OtherTenant => TokenFault::Tenant,
                    Flaw::BadSignature => TokenFault::Signature,
                    Flaw::UnknownKey => TokenFault::UnknownKey,
                    Flaw::Unsigned | Flaw::Malformed => TokenFault::Malformed,
                };
                assert_eq!(judged(&key, version, Some(flaw)), Some(expected), "{version:?} {flaw:?}");
            }
        }
    }
}

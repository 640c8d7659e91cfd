//! What our access token says about itself. Nobody decides anything by it: it is Graph's, and only shown.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::{moment::at, secret::Secret};

/// Claims of an access token ("Access token claims reference",
/// <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TokenClaims {
    /// Permissions of the app.
    pub roles: Vec<String>,
    /// Permissions that a user has given to it; with any, it acts for that user.
    pub scopes: Vec<String>,
    /// The app.
    pub app_id: Option<String>,
    /// The tenant.
    pub tenant_id: Option<String>,
    /// When it ends.
    pub expires_at: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "lenient")]
    roles: Option<Vec<String>>,
    #[serde(default, deserialize_with = "lenient")]
    scp: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    appid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    azp: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    tid: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    exp: Option<u64>,
}

impl TokenClaims {
    /// Reads a token, without a look at its signature; unless it is no JWT.
    pub fn read(token: &Secret) -> Option<Self> {
        let mut parts = token.expose().split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        Some(Self {
            roles: claims.roles.unwrap_or_default(),
            scopes: claims.scp.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            app_id: claims.appid.or(claims.azp),
            tenant_id: claims.tid,
            expires_at: claims.exp.map(|seconds| at(Duration::from_secs(seconds))),
        })
    }

    /// Whether one of these permissions is there, for the app or from a user.
    pub fn permits(&self, permission: &str) -> bool {
        self.roles.iter().chain(&self.scopes).any(|held| held.eq_ignore_ascii_case(permission))
    }

    /// Whether it acts for a user.
    pub fn is_delegated(&self) -> bool {
        !self.scopes.is_empty()
    }
}

/// A claim of another type than ours says nothing, and spoils no other.
fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Maybe<T> {
        Known(T),
        Other(IgnoredAny),
    }
    Ok(match Maybe::deserialize(deserializer)? {
        Maybe::Known(value) => Some(value),
        Maybe::Other(_) => None,
    })
}

#[cfg(test)]
mod tests;

//! Whether a token vouches for resource data: every check of it, pure.
//!
//! A token is one that Microsoft's identity platform has issued to Graph's change tracking, for an app of ours, about a
//! tenant of ours ("Set up change notifications that include resource data",
//! <https://learn.microsoft.com/graph/change-notifications-with-resource-data>). The identity platform signs with RS256.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde::Deserialize;

use super::keys::SigningKeys;
use crate::notification::id::TenantId;

/// What a token must say. Ids are GUIDs, and compared without regard to case.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectations {
    /// Apps that have subscribed: who a token is for.
    pub app_ids: HashSet<String>,
    /// Tenants whose resources they subscribed to.
    pub tenants: HashSet<String>,
    /// Issuer of tokens of version 1.0, with `{tenant}` in place of the tenant.
    pub issuer_v1: String,
    /// The same of version 2.0.
    pub issuer_v2: String,
    /// The app to which tokens are issued: Microsoft Graph Change Tracking.
    pub publisher: String,
    /// How far another clock may be from ours.
    pub clock_skew: Duration,
}

/// Why a token does not vouch for anything.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TokenFault {
    /// No JWT with the claims that all of them have.
    Malformed,
    /// Not RS256.
    Algorithm,
    /// Signed with a key that nobody knows.
    UnknownKey,
    /// Not signed with the key that it names.
    Signature,
    /// From another issuer, or signed with a key that is not for this one.
    Issuer,
    /// Issued to another app than Graph's change tracking.
    Publisher,
    /// Its time is over.
    Expired,
    /// Its time is to come.
    NotYetValid,
    /// Genuine, and for another app.
    Audience,
    /// Genuine, and of another tenant.
    Tenant,
}

impl TokenFault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Issuer,
        Self::Publisher,
        Self::Expired,
        Self::NotYetValid,
        Self::Audience,
        Self::Tenant,
    ];

    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Publisher => "publisher",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Audience => "audience",
            Self::Tenant => "tenant",
        }
    }

    /// Whether it makes the whole POST suspicious. A genuine token for an app or a tenant that nobody has told us of
    /// does not: it stands beside others when one URL serves many, and must cost them nothing.
    pub fn is_suspicious(self) -> bool {
        match self {
            Self::Audience | Self::Tenant => false,
            Self::Malformed
            | Self::Algorithm
            | Self::UnknownKey
            | Self::Signature
            | Self::Issuer
            | Self::Publisher
            | Self::Expired
            | Self::NotYetValid => true,
        }
    }
}

/// The claims that matter; what else a token holds is not read, least of all its URLs.
#[derive(Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    tid: String,
    ver: String,
    exp: u64,
    nbf: u64,
    /// The publisher in version 1.0.
    appid: Option<String>,
    /// The publisher in version 2.0.
    azp: Option<String>,
}

impl Expectations {
    /// The tenant that a token vouches for.
    pub fn judge(
        &self,
        token: &str,
        keys: &SigningKeys,
        now: SystemTime,
    ) -> Result<TenantId<'static>, TokenFault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Malformed);
        }
        let header = decode_header(token).map_err(|error| fault(error.kind()))?;
        if header.alg != Algorithm::RS256 || header.crit.is_some() {
            return Err(TokenFault::Algorithm);
        }
        let kid = header.kid.ok_or(TokenFault::Malformed)?;
        let mut failed = TokenFault::UnknownKey;
        for key in keys.named(&kid) {
            match decode::<Claims>(token, &key.key, &signature_only()) {
                // Published twice, a key may be for one issuer there and for another here.
                Ok(proven) => match self.check(&proven.claims, key.issuer.as_deref(), now) {
                    Ok(()) => return Ok(TenantId::from(proven.claims.tid)),
                    Err(fault) => failed = fault,
                },
                Err(error) => failed = fault(error.kind()),
            }
        }
        Err(failed)
    }

    /// Whether the claims of a signed token are right; what would still be genuine comes last.
    fn check(&self, claims: &Claims, key_issuer: Option<&str>, now: SystemTime) -> Result<(), TokenFault> {
        let (form, publisher) = match claims.ver.as_str() {
            "1.0" => (&self.issuer_v1, &claims.appid),
            "2.0" => (&self.issuer_v2, &claims.azp),
            _ => return Err(TokenFault::Malformed),
        };
        // A tenant that is no GUID could make one issuer look like another.
        if uuid::Uuid::try_parse(&claims.tid).is_err() || claims.iss != filled(form, &claims.tid) {
            return Err(TokenFault::Issuer);
        }
        // Keys name their issuer in the form of version 2.0, whatever they sign.
        let may_sign = |issuer: &str| {
            let issuer = issuer.replace("{tenantid}", &claims.tid);
            issuer == claims.iss || issuer == filled(&self.issuer_v2, &claims.tid)
        };
        if !key_issuer.is_none_or(may_sign) {
            return Err(TokenFault::Issuer);
        }
        if !publisher.as_ref().is_some_and(|publisher| publisher.eq_ignore_ascii_case(&self.publisher)) {
            return Err(TokenFault::Publisher);
        }
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let skew = self.clock_skew.as_secs();
        if claims.exp.saturating_add(skew) <= now {
            return Err(TokenFault::Expired);
        }
        if claims.nbf > now.saturating_add(skew) {
            return Err(TokenFault::NotYetValid);
        }
        if !contains(&self.app_ids, &claims.aud) {
            return Err(TokenFault::Audience);
        }
        if !contains(&self.tenants, &claims.tid) {
            return Err(TokenFault::Tenant);
        }
        Ok(())
    }
}

/// Times and names are ours to check: by one clock, and each with its own verdict.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn fault(error: &ErrorKind) -> TokenFault {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all that is left is a token that cannot be read")]
    match error {
        ErrorKind::InvalidSignature => TokenFault::Signature,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => TokenFault::Algorithm,
        _ => TokenFault::Malformed,
    }
}

/// Graph's have 1 to 2 KiB. What a longer one holds could take two hundred times its length when it is read, and it is
/// read before anything is known of who made it.
const TOKEN_BYTES_MAX: usize = 8 << 10;

fn filled(form: &str, tenant: &str) -> String {
    form.replace("{tenant}", tenant)
}

fn contains(ids: &HashSet<String>, id: &str) -> bool {
    ids.contains(&id.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;

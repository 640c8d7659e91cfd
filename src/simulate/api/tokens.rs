//! Access tokens: what stands in them, who gets one, and whom one proves to be calling.

use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

use super::{ApiError, Directory, calls::Caller, clock::unix, refusal::Refusal};
use crate::{secret::Secret, simulate::signing::SigningKey};

/// [`Directory`], ready for use.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) tenants: Vec<String>,
    pub(super) apps: Vec<String>,
    pub(super) client_secret: Option<Secret>,
    pub(super) client_certificate: Option<ClientCertificate>,
    pub(super) roles: Vec<String>,
}

/// What client assertions are checked with.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    /// The key, PKCS #1, DER.
    pub(super) public: Vec<u8>,
    /// SHA-256 over the certificate, base64url: `x5t#S256`.
    pub(super) thumbprint: String,
}

/// For whom, and for what, a token is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Grant {
    pub(super) app: String,
    pub(super) tenant: String,
    /// Origin of the service that it opens.
    pub(super) audience: String,
    /// Scopes that a user has granted; without them the app is there for itself.
    pub(super) scopes: Option<Vec<String>>,
}

impl Checked {
    pub(super) fn new(directory: Directory) -> Result<Self, ApiError> {
        let Directory { tenants, apps, client_secret, client_certificate, roles } = directory;
        let client_certificate = client_certificate.as_deref().map(ClientCertificate::read);
        let client_certificate = client_certificate.map(|read| read.ok_or(ApiError::ClientCertificate));
        Ok(Self { tenants, apps, client_secret, client_certificate: client_certificate.transpose()?, roles })
    }
}

impl ClientCertificate {
    fn read(pem: &str) -> Option<Self> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (_, x509) = X509Certificate::from_der(&der).ok()?;
        let PublicKey::RSA(_) = x509.public_key().parsed().ok()? else { return None };
        let public = x509.public_key().subject_public_key.data.to_vec();
        Some(Self { public, thumbprint: BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)) })
    }
}

/// A token of version 1.0, as Graph's are.
pub(super) fn access_token(
    key: &SigningKey,
    grant: &Grant,
    roles: &[String],
    now: SystemTime,
    lifetime: u64,
) -> Option<String> {
    let Grant { app, tenant, audience, scopes } = grant;
    let now = unix(now);
    let mut claims = json!({
        "aud": audience, "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": now, "nbf": now, "exp": now.saturating_add(lifetime),
        "appid": app, "tid": tenant, "oid": principal(app, scopes.is_some()), "ver": "1.0",
    });
    match scopes {
        Some(scopes) => claims["scp"] = json!(scopes.join(" ")),
        None => {
            claims["roles"] = json!(roles);
            claims["idtyp"] = json!("app");
        }
    }
    key.sign(&claims)
}

/// Who has sent this `Authorization`.
pub(super) fn caller(
    key: &SigningKey,
    authorization: Option<&str>,
    origins: &[&str],
    now: SystemTime,
) -> Result<Caller, Refusal> {
    let token = authorization.and_then(|value| value.split_once(' '));
    let token =
        token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let token = token.ok_or_else(|| Refusal::unauthenticated("Access token is empty."))?;
    let claims = key.verified(token).ok_or_else(|| {
        Refusal::unauthenticated("Access token validation failure. Signature verification failed.")
    })?;
    let number = |name: &str| claims[name].as_u64().unwrap_or_default();
    if number("exp") <= unix(now) {
        return Err(Refusal::unauthenticated("Lifetime validation failed, the token is expired."));
    }
    let text = |name: &str| claims[name].as_str().unwrap_or_default();
    let audience = text("aud").trim_end_matches('/');
    if !AUDIENCES.contains(&audience) && !origins.contains(&audience) {
        return Err(Refusal::unauthenticated("Access token validation failure. Invalid audience."));
    }
    let [app, tenant, creator] = ["appid", "tid", "oid"].map(|name| text(name).to_owned());
    Ok(Caller { app, tenant, creator })
}

/// Always the same for the same app: its own principal, or the one user that the stand-in has.
fn principal(app: &str, is_user: bool) -> String {
    if is_user { USER.to_owned() } else { app.to_owned() }
}

/// The scope of a request: the service it is for, and what of it.
pub(super) fn scopes(text: &str, own_audience: &str) -> (String, Vec<String>) {
    let mut audience = None;
    let mut names = Vec::new();
    for scope in text.split_whitespace() {
        match scope.rsplit_once('/') {
            Some((service, name)) if service.contains("://") => {
                audience.get_or_insert(service.trim_end_matches('/').to_owned());
                names.push(name.to_owned());
            }
            Some(_) | None => names.push(scope.to_owned()),
        }
    }
    (audience.unwrap_or_else(|| own_audience.to_owned()), names)
}

/// What the answer of a token endpoint says of it.
pub(super) fn answer(token: &str, lifetime: u64) -> Value {
    json!({
        "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token,
    })
}

/// Graph in all clouds ("Microsoft Graph national cloud deployments", <https://learn.microsoft.com/graph/deployments>), and
/// its app id, which is as good.
const AUDIENCES: [&str; 5] = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
    "00000003-0000-0000-c000-000000000000",
];
const USER: &str = "12345678-a5c7-46da-8107-b25090a1ed66";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn grant(audience: &str) -> Grant {
        let [app, tenant, audience] = ["app", "tenant", audience].map(str::to_owned);
        Grant { app, tenant, audience, scopes: None }
    }

    #[test]
    fn a_token_opens_what_it_is_for_while_it_lives() {
        let key = SigningKey::generate().expect("a key");
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let token = |audience| access_token(&key, &grant(audience), &[], begin, 60).expect("a token");
        let caller = |authorization: &str, seconds| {
            let now = begin + Duration::from_secs(seconds);
            caller(&key, Some(authorization), &["https://127.0.0.1:1"], now)
                .map_err(|refusal| refusal.message)
        };
        for audience in ["https://graph.microsoft.com", "https://graph.microsoft.com/", "https://127.0.0.1:1"]
        {
            let found = caller(&format!("Bearer {}", token(audience)), 59).expect("a caller");
            assert_eq!((found.app.as_str(), found.tenant.as_str()), ("app", "tenant"));
        }
        let good = token("https://graph.microsoft.com");
        for (authorization, seconds, words) in [
            (format!("Bearer {good}"), 60, "expired"),
            (format!("Basic {good}"), 0, "empty"),
            (format!("Bearer {good}x"), 0, "Signature"),
            (format!("Bearer {}", token("https://vault.azure.net")), 0, "audience"),
            (String::new(), 0, "empty"),
        ] {
            let message = caller(&authorization, seconds).expect_err(words);
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn scopes_name_a_service_and_what_of_it() {
        for (text, audience, names) in [
            ("https://graph.microsoft.com/.default", "https://graph.microsoft.com", vec![".default"]),
            ("https://127.0.0.1:1/.default", "https://127.0.0.1:1", vec![".default"]),
            ("Mail.Read offline_access", "own", vec!["Mail.Read", "offline_access"]),
            (
                "https://graph.microsoft.us/Mail.Read openid",
                "https://graph.microsoft.us",
                vec!["Mail.Read", "openid"],
            ),
            ("https://graph.microsoft.com//.default", "https://graph.microsoft.com", vec![".default"]),
        ] {
            let (found, found_names) = scopes(text, "own");
            assert_eq!(
                (found.as_str(), found_names),
                (audience, names.iter().map(|n| (*n).to_owned()).collect())
            );
        }
    }
}

//! The login: tokens for those who prove who they are, in the ways that daemons can ("OAuth 2.0 client credentials flow" and
//! "device authorization grant", <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>).

mod assertion;

use std::{collections::HashMap, time::SystemTime};

use hyper::StatusCode;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{
    clock::{unix, written},
    keys::random_word,
    refusal::Reply,
    tokens::{Checked, Grant, scopes},
    world::World,
};
use crate::secret::Secret;

/// What a request for a token says; the first value of each name counts.
#[derive(Debug)]
pub(super) struct Form(HashMap<String, Secret>);

/// An error as OAuth has it (RFC 6749, section 5.2), with the codes of Microsoft's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Denial {
    status: StatusCode,
    error: &'static str,
    code: u32,
    words: &'static str,
}

/// Where a request came, as it concerns the login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Desk<'a> {
    pub(super) tenant: &'a str,
    pub(super) origin: &'a str,
    pub(super) now: SystemTime,
}

impl Form {
    pub(super) fn read(body: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(body).take(FIELDS_MAX);
        let mut fields = HashMap::new();
        for (name, value) in pairs {
            fields.entry(name.into_owned()).or_insert_with(|| Secret::new(value.into_owned()));
        }
        Self(fields)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(Secret::expose).filter(|value| !value.is_empty())
    }

    fn require(&self, name: &str) -> Result<&str, Denial> {
        self.get(name).ok_or(MISSING)
    }

    /// What is kept with a grant has a bound.
    fn scopes(&self, own_audience: &str) -> Result<(String, Vec<String>), Denial> {
        let text = self.require("scope")?;
        if text.len() <= SCOPE_BYTES_MAX { Ok(scopes(text, own_audience)) } else { Err(SCOPE) }
    }
}

impl Denial {
    pub(super) const fn new(status: StatusCode, error: &'static str, code: u32, words: &'static str) -> Self {
        Self { status, error, code, words }
    }

    pub(super) fn reply(&self, now: SystemTime) -> Reply {
        let Self { status, error, code, words } = self;
        Reply::json(
            *status,
            json!({
                "error": error, "error_description": format!("AADSTS{code}: {words}"),
                "error_codes": [code], "timestamp": written(now),
            }),
        )
    }
}

/// POST …/oauth2/v2.0/token
pub(super) fn token(world: &World, desk: Desk<'_>, form: &Form) -> Result<Value, Denial> {
    let app = known(&world.directory, desk.tenant, form)?;
    match form.require("grant_type")? {
        "client_credentials" => {
            if SHARED_TENANTS.contains(&desk.tenant) {
                return Err(NO_TENANT);
            }
            prove(&world.directory, desk, form, app)?;
            let (audience, names) = form.scopes(desk.origin)?;
            if names != [".default"] {
                return Err(SCOPE);
            }
            issue(world, desk, grant(app, desk.tenant, audience, None), None)
        }
        "refresh_token" => {
            let grant = world.redeem(form.require("refresh_token")?).ok_or(STALE)?;
            if grant.app != app {
                return Err(STALE);
            }
            issue_with_refresh(world, desk, grant)
        }
        DEVICE_CODE => {
            let grant = world.poll(form.require("device_code")?, desk.now).map_err(Waiting::denial)?;
            issue_with_refresh(world, desk, grant)
        }
        _ => Err(GRANT),
    }
}

/// POST …/oauth2/v2.0/devicecode
pub(super) fn device_code(world: &World, desk: Desk<'_>, form: &Form) -> Result<Value, Denial> {
    let app = known(&world.directory, desk.tenant, form)?;
    let (audience, names) = form.scopes(desk.origin)?;
    let tenant = if SHARED_TENANTS.contains(&desk.tenant) { HOME_TENANT } else { desk.tenant };
    let grant = grant(app, tenant, audience, Some(names));
    let (code, user_code) = random_word().zip(user_code()).ok_or(FAILED)?;
    let interval = world.begin_device(&code, &user_code, grant, desk.now);
    let page = format!("{}/devicelogin", desk.origin);
    Ok(json!({
        "user_code": user_code, "device_code": code, "verification_uri": page,
        "expires_in": DEVICE_SECONDS, "interval": interval,
        "message": format!("To sign in, open the page {page} and enter the code {user_code} to authenticate."),
    }))
}

/// The OpenID configuration of a tenant, as far as clients look into it.
pub(super) fn configuration(origin: &str, tenant: &str) -> Value {
    let base = format!("{origin}/{tenant}");
    json!({
        "issuer": format!("{base}/v2.0"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "response_types_supported": ["code"], "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}

/// What clients ask to learn which names a login has.
pub(super) fn instance(origin: &str) -> Value {
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    json!({
        "tenant_discovery_endpoint": format!("{origin}/common/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    })
}

/// The app, if it and the tenant exist.
fn known<'a>(directory: &Checked, tenant: &str, form: &'a Form) -> Result<&'a str, Denial> {
    let is_shared = SHARED_TENANTS.contains(&tenant);
    if tenant.len() > NAME_BYTES_MAX {
        return Err(TENANT);
    }
    if !is_shared && !directory.tenants.is_empty() && !directory.tenants.iter().any(|known| known == tenant) {
        return Err(TENANT);
    }
    let app = form.require("client_id")?;
    let is_known = directory.apps.is_empty() && app.len() <= NAME_BYTES_MAX
        || directory.apps.iter().any(|known| known == app);
    if is_known { Ok(app) } else { Err(APP) }
}

/// By a secret or an assertion.
fn prove(directory: &Checked, desk: Desk<'_>, form: &Form, app: &str) -> Result<(), Denial> {
    match (form.get("client_secret"), form.get("client_assertion")) {
        (Some(secret), None) => {
            let wanted = directory.client_secret.as_ref().map_or(secret, Secret::expose);
            let is_right = bool::from(wanted.as_bytes().ct_eq(secret.as_bytes()));
            if is_right { Ok(()) } else { Err(SECRET) }
        }
        (None, Some(assertion)) => {
            let is_bearer = form.get("client_assertion_type") == Some(assertion::TYPE);
            let judge =
                assertion::Judge { directory, tenant: desk.tenant, origin: desk.origin, app, now: desk.now };
            if is_bearer { judge.check(assertion) } else { Err(UNPROVEN) }
        }
        (None, None) | (Some(_), Some(_)) => Err(UNPROVEN),
    }
}

fn grant(app: &str, tenant: &str, audience: String, scopes: Option<Vec<String>>) -> Grant {
    Grant { app: app.to_owned(), tenant: tenant.to_owned(), audience, scopes }
}

/// With a new refresh token, if the user has granted that; the one it was got with is spent.
fn issue_with_refresh(world: &World, desk: Desk<'_>, grant: Grant) -> Result<Value, Denial> {
    let is_lasting = grant.scopes.iter().flatten().any(|scope| scope == "offline_access");
    let refresh = if is_lasting { Some(world.keep(grant.clone()).ok_or(FAILED)?) } else { None };
    issue(world, desk, grant, refresh)
}

fn issue(world: &World, desk: Desk<'_>, grant: Grant, refresh: Option<String>) -> Result<Value, Denial> {
    let mut answer = world.issue(&grant, desk.now).ok_or(FAILED)?;
    if let Some(scopes) = &grant.scopes {
        answer["scope"] = json!(scopes.join(" "));
    }
    if let Some(refresh) = refresh {
        answer["refresh_token"] = json!(refresh);
    }
    Ok(answer)
}

/// A sign-in that has begun on another device.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) code: Secret,
    pub(super) user_code: String,
    pub(super) grant: Grant,
    pub(super) until: u64,
    /// Questions that get "not yet", if it is not the user who ends it.
    pub(super) polls: Option<u32>,
    /// What the user has said.
    pub(super) is_approved: Option<bool>,
}

/// Why there is no token for a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Waiting {
    Pending,
    Declined,
    Expired,
    Unknown,
}

impl Waiting {
    fn denial(self) -> Denial {
        match self {
            Self::Pending => PENDING,
            Self::Declined => DECLINED,
            Self::Expired => EXPIRED,
            Self::Unknown => STALE,
        }
    }
}

impl Device {
    pub(super) fn new(
        code: &str,
        user_code: &str,
        grant: Grant,
        polls: Option<u32>,
        now: SystemTime,
    ) -> Self {
        let until = unix(now) + DEVICE_SECONDS;
        let (code, user_code) = (Secret::new(code.to_owned()), user_code.to_owned());
        Self { code, user_code, grant, until, polls, is_approved: None }
    }

    /// Whether the user has signed in by now.
    pub(super) fn ask(&mut self, now: SystemTime) -> Result<(), Waiting> {
        if self.until <= unix(now) {
            return Err(Waiting::Expired);
        }
        match (self.is_approved, self.polls) {
            (Some(true), _) | (None, Some(0)) => Ok(()),
            (Some(false), _) => Err(Waiting::Declined),
            (None, Some(polls)) => {
                self.polls = Some(polls - 1);
                Err(Waiting::Pending)
            }
            (None, None) => Err(Waiting::Pending),
        }
    }
}

/// Nine letters that people can type.
fn user_code() -> Option<String> {
    let mut bytes = [0; 9];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    Some(bytes.iter().map(letter).collect())
}

const LETTERS: &[u8; 23] = b"ABCDEFGHJKLMNPQRSTUVWXY";
const FIELDS_MAX: usize = 100;
/// Of an app or a tenant.
const NAME_BYTES_MAX: usize = 255;
const SCOPE_BYTES_MAX: usize = 4 << 10;
const DEVICE_SECONDS: u64 = 900;
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Users of any tenant may sign in there, but no app by itself.
const SHARED_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];
/// Where the stand-in's user lives who signs in at one of those.
const HOME_TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";
const BAD: StatusCode = StatusCode::BAD_REQUEST;
const WHO: StatusCode = StatusCode::UNAUTHORIZED;
const MISSING: Denial =
    Denial::new(BAD, "invalid_request", 900_144, "The request body lacks a parameter that is required.");
const NO_TENANT: Denial = Denial::new(
    BAD,
    "invalid_request",
    53_003,
    "An app signs in at a tenant of its own, not at common, organizations or consumers.",
);
const TENANT: Denial = Denial::new(BAD, "invalid_request", 90_002, "Tenant not found.");
const APP: Denial =
    Denial::new(BAD, "unauthorized_client", 700_016, "The application was not found in the directory.");
const SCOPE: Denial = Denial::new(
    BAD,
    "invalid_scope",
    1_002_012,
    "The scope of a client credentials request is the resource identifier with the suffix /.default.",
);
const GRANT: Denial =
    Denial::new(BAD, "unsupported_grant_type", 70_003, "The app requested an unsupported grant type.");
const SECRET: Denial = Denial::new(WHO, "invalid_client", 7_000_215, "Invalid client secret provided.");
const UNPROVEN: Denial = Denial::new(
    WHO,
    "invalid_client",
    7_000_218,
    "The request body must contain either 'client_secret', or 'client_assertion' with its type.",
);
const STALE: Denial =
    Denial::new(BAD, "invalid_grant", 70_000, "The provided grant is invalid, expired or used before.");
const PENDING: Denial = Denial::new(BAD, "authorization_pending", 70_016, "The user has not signed in yet.");
const DECLINED: Denial = Denial::new(BAD, "authorization_declined", 70_018, "The user declined the request.");
const EXPIRED: Denial = Denial::new(BAD, "expired_token", 70_020, "The device code has expired.");
const FAILED: Denial =
    Denial::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", 90_033, "Try again.");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sign_in_elsewhere_ends_as_it_is_told() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let device = |polls| Device::new("c", "u", grant("a", "t", String::new(), None), polls, now);
        let mut counted = device(Some(2));
        let answers = [(); 4].map(|()| counted.ask(now));
        assert_eq!(answers, [Err(Waiting::Pending), Err(Waiting::Pending), Ok(()), Ok(())]);
        let mut told = device(None);
        assert_eq!(told.ask(now), Err(Waiting::Pending));
        told.is_approved = Some(true);
        assert_eq!(told.ask(now), Ok(()));
        told.is_approved = Some(false);
        assert_eq!(told.ask(now), Err(Waiting::Declined));
        assert_eq!(told.ask(now + Duration::from_secs(DEVICE_SECONDS)), Err(Waiting::Expired));
    }
}

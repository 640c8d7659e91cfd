//! The login: tokens for those who prove who they are, in the ways that daemons can ("OAuth 2.0 client credentials flow" and
//! "device authorization grant", <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>).

mod assertion;
mod denial;
mod device;

use std::{collections::HashMap, time::SystemTime};

use serde_json::{Value, json};
use subtle::ConstantTimeEq;

pub(super) use self::{
    denial::Denial,
    device::{Device, Waiting},
};
use self::{
    denial::{APP, FAILED, GRANT, MISSING, NO_TENANT, SCOPE, SECRET, STALE, TENANT, UNPROVEN},
    device::{DEVICE_SECONDS, user_code},
};
use super::{
    tokens::{Checked, Grant, scopes},
    world::World,
};
use crate::{secret::Secret, simulate::signing::random_word};

/// What a request for a token says; the first value of each name counts.
#[derive(Debug)]
pub(super) struct Form(HashMap<String, Secret>);

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

const FIELDS_MAX: usize = 100;
/// Of an app or a tenant.
const NAME_BYTES_MAX: usize = 255;
const SCOPE_BYTES_MAX: usize = 4 << 10;
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Users of any tenant may sign in there, but no app by itself.
const SHARED_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];
/// Where the stand-in's user lives who signs in at one of those.
const HOME_TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";

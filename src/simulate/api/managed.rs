//! Identities that machines have without a secret: the metadata service of virtual machines, and that of App Service
//! ("How to use managed identities to acquire an access token",
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>).

use std::{collections::HashMap, time::SystemTime};

use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{clock::unix, refusal::Reply, tokens::Grant, world::World};

/// Whose endpoint it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Machine {
    /// GET /metadata/identity/oauth2/token
    Virtual,
    /// GET of `IDENTITY_ENDPOINT`, here /msi/token
    AppService,
}

impl Machine {
    /// A header that nobody's browser sends.
    fn is_asked_by_a_program(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Virtual => headers.get("metadata").is_some_and(|value| value == "true"),
            Self::AppService => headers.get("x-identity-header").is_some_and(|value| !value.is_empty()),
        }
    }
}

pub(super) fn token(
    world: &World,
    machine: Machine,
    headers: &HeaderMap,
    query: &str,
    now: SystemTime,
) -> Reply {
    if !machine.is_asked_by_a_program(headers) {
        return refused("Required metadata header not specified");
    }
    let query: HashMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let Some(resource) = query.get("resource").filter(|_| query.contains_key("api-version")) else {
        return refused("Required query variable 'resource' or 'api-version' is missing");
    };
    let app = query.get("client_id").map_or(SYSTEM_ASSIGNED, String::as_str);
    let grant = Grant {
        app: app.to_owned(),
        tenant: TENANT.to_owned(),
        audience: resource.trim_end_matches('/').to_owned(),
        scopes: None,
    };
    match world.issue(&grant, now) {
        Some(answer) => Reply::json(StatusCode::OK, as_machines_have_it(&answer, app, resource, now)),
        None => Reply::empty(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// Numbers are strings there.
fn as_machines_have_it(answer: &Value, app: &str, resource: &str, now: SystemTime) -> Value {
    let lifetime = answer["expires_in"].as_u64().unwrap_or_default();
    json!({
        "access_token": answer["access_token"], "token_type": "Bearer",
        "client_id": app, "resource": resource,
        "expires_in": lifetime.to_string(), "ext_expires_in": lifetime.to_string(),
        "expires_on": unix(now).saturating_add(lifetime).to_string(), "not_before": unix(now).to_string(),
    })
}

fn refused(words: &str) -> Reply {
    let error = json!({ "error": "invalid_request", "error_description": words });
    Reply::json(StatusCode::BAD_REQUEST, error)
}

const TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";
/// The identity of a machine that has been given one of its own.
const SYSTEM_ASSIGNED: &str = "0a1b2c3d-1111-4222-8333-444444444444";

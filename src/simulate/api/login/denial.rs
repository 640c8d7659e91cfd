//! Why there is no token, in the words of OAuth and by Microsoft's numbers ("Microsoft Entra authentication and authorization
//! error codes", <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>).

use std::time::SystemTime;

use hyper::StatusCode;
use serde_json::json;

use crate::simulate::api::{clock::written, refusal::Reply};

/// An error as OAuth has it (RFC 6749, section 5.2), with the codes of Microsoft's own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::simulate::api) struct Denial {
    status: StatusCode,
    error: &'static str,
    code: u32,
    words: &'static str,
}

impl Denial {
    pub(super) const fn new(status: StatusCode, error: &'static str, code: u32, words: &'static str) -> Self {
        Self { status, error, code, words }
    }

    pub(in crate::simulate::api) fn reply(&self, now: SystemTime) -> Reply {
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

const BAD: StatusCode = StatusCode::BAD_REQUEST;
const WHO: StatusCode = StatusCode::UNAUTHORIZED;
pub(super) const MISSING: Denial =
    Denial::new(BAD, "invalid_request", 900_144, "The request body lacks a parameter that is required.");
pub(super) const NO_TENANT: Denial = Denial::new(
    BAD,
    "invalid_request",
    50_059,
    "No tenant-identifying information found in either the request or implied by any provided credentials.",
);
pub(super) const TENANT: Denial = Denial::new(BAD, "invalid_request", 90_002, "Tenant not found.");
pub(super) const APP: Denial =
    Denial::new(BAD, "unauthorized_client", 700_016, "The application was not found in the directory.");
pub(super) const SCOPE: Denial = Denial::new(
    BAD,
    "invalid_scope",
    1_002_012,
    "The scope of a client credentials request is the resource identifier with the suffix /.default.",
);
pub(super) const GRANT: Denial =
    Denial::new(BAD, "unsupported_grant_type", 70_003, "The app requested an unsupported grant type.");
pub(super) const SECRET: Denial =
    Denial::new(WHO, "invalid_client", 7_000_215, "Invalid client secret provided.");
pub(super) const UNPROVEN: Denial = Denial::new(
    WHO,
    "invalid_client",
    7_000_218,
    "The request body must contain either 'client_secret', or 'client_assertion' with its type.",
);
pub(super) const STALE: Denial =
    Denial::new(BAD, "invalid_grant", 70_000, "The provided grant is invalid, expired or used before.");
pub(super) const PENDING: Denial =
    Denial::new(BAD, "authorization_pending", 70_016, "The user has not signed in yet.");
pub(super) const DECLINED: Denial =
    Denial::new(BAD, "authorization_declined", 70_018, "The user declined the request.");
pub(super) const EXPIRED: Denial = Denial::new(BAD, "expired_token", 70_020, "The device code has expired.");
pub(super) const FAILED: Denial =
    Denial::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", 90_033, "Try again.");

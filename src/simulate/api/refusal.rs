//! Answers of the service, and its errors in Graph's form.

use std::time::SystemTime;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::clock::written_bare;

/// An answer without what every answer has.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

/// Why a call is not answered as wished.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) retry_after: Option<u64>,
}

/// What an error says of the call.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    pub(super) request: String,
    pub(super) client: String,
}

impl Reply {
    pub(super) fn json(status: StatusCode, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), retry_after: None }
    }

    /// 400, for what the call itself gets wrong.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", "The object was not found.")
    }

    pub(super) fn unauthenticated(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", message)
    }

    /// Graph's envelope ("Microsoft Graph error responses and resource types",
    /// <https://learn.microsoft.com/graph/errors>).
    pub(super) fn reply(self, ids: &Ids, now: SystemTime) -> Reply {
        let Self { status, code, message, retry_after } = self;
        let inner = json!({
            "date": written_bare(now), "request-id": ids.request, "client-request-id": ids.client,
        });
        let error = json!({ "code": code, "message": message, "innerError": inner });
        let mut headers: Vec<_> =
            retry_after.map(|after| ("retry-after", after.to_string())).into_iter().collect();
        if status == StatusCode::UNAUTHORIZED {
            headers.push(("www-authenticate", r#"Bearer realm="""#.to_owned()));
        }
        Reply { status, headers, body: Some(json!({ "error": error })) }
    }
}

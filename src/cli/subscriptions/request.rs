//! What Graph is sent, and how a dry run tells of it: with `[secret]` for a clientState.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use crate::graph::subscription::NewSubscription;

/// A request that a dry run does not send.
#[derive(Debug, Serialize)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<Value>,
}

impl Request {
    /// What a dry run says.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            return writeln!(out, "{}", json!({ "would_send": self }));
        }
        let Self { method, path, body } = self;
        writeln!(out, "would send {method} {path}")?;
        match body {
            Some(body) => writeln!(out, "{body:#}"),
            None => Ok(()),
        }
    }

    /// The POST that makes a subscription.
    pub(super) fn create(new: &NewSubscription) -> serde_json::Result<Self> {
        let mut body = serde_json::to_value(new)?;
        body["clientState"] = json!("[secret]");
        Ok(Self { method: "POST", path: "/v1.0/subscriptions".to_owned(), body: Some(body) })
    }
}

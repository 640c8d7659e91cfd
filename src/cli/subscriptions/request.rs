//! What Graph is sent, and how a dry run tells of it: with `[secret]` for a clientState.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use serde_json::{Value, json};

use super::session::Session;
use crate::{
    config::Wanted,
    graph::{resources::lifetime, subscription::NewSubscription},
    secret::Secret,
    subscriptions::state::Form,
};

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

/// What is asked for with a POST.
pub(super) fn new_subscription(
    wanted: &Wanted,
    client_state: Secret,
    lifetime: Duration,
    now: SystemTime,
) -> NewSubscription {
    NewSubscription {
        resource: wanted.resource.clone(),
        change_type: Form::of(wanted).change_type(),
        notification_url: wanted.notification_url.clone(),
        lifecycle_notification_url: wanted.lifecycle_url.clone(),
        expiration_date_time: now + lifetime,
        client_state,
        include_resource_data: wanted.encryption.is_some().then_some(true),
        encryption_certificate: wanted.encryption.as_ref().map(|encryption| encryption.certificate.clone()),
        encryption_certificate_id: wanted.encryption.as_ref().map(|encryption| encryption.id.clone()),
        notification_url_app_id: wanted.app_id.clone(),
        notification_query_options: wanted.query_options.clone(),
        prefer: wanted.prefer.clone(),
    }
}

impl Session {
    /// How long one of these should live.
    pub(super) fn lifetime(&self, wanted: &Wanted) -> Duration {
        let of_kind = || lifetime(&wanted.resource, wanted.encryption.is_some(), &self.settings.lifetimes);
        wanted.lifetime.unwrap_or_else(of_kind)
    }
}

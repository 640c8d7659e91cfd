//! The stand-in for login and Graph, in this process, and a caller that knows no rules.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use graphhook::simulate::api::{Api, Options};
use hyper::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::https::{Client, Reply, request};
use super::issuer::{APP, TENANT};

/// A stand-in, the file of its authority, and a client of it.
pub struct Stand {
    /// The stand-in.
    pub api: Arc<Api>,
    /// Where the certificate of its authority lies.
    pub files: TempDir,
    client: Client,
}

impl Stand {
    /// One that believes every receiver.
    pub async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// One with other options.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::local();
        change(&mut options);
        let api = Api::start(options).await.expect("the stand-in starts");
        let files = tempfile::tempdir().expect("a directory");
        let ca = files.path().join("api-ca.pem");
        let authority = api.authority().expect("a throwaway certificate");
        assert!(CertificateDer::from_pem_slice(authority.as_bytes()).is_ok());
        std::fs::write(&ca, authority).expect("the authority's certificate can be written");
        let client = Client::new(api.address(), &ca);
        Self { api: Arc::new(api), files, client }
    }

    /// Any request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl ToString,
    ) -> Reply {
        self.client.send(request(method, path, headers, body.to_string())).await
    }

    /// The same, where the connection may end; without keeping it.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl ToString,
    ) -> std::io::Result<Reply> {
        self.client.fresh().try_send(request(method, path, headers, body.to_string())).await
    }

    /// A form, POSTed to a path of the tenant's login.
    pub async fn login(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.send(Method::POST, &format!("/{TENANT}/oauth2/v2.0/{path}"), &headers, form).await
    }

    /// An access token of the tests' app.
    pub async fn token(&self) -> String {
        self.token_of(APP).await
    }

    /// One of another app.
    pub async fn token_of(&self, app: &str) -> String {
        let fields = [
            ("client_id", app),
            ("client_secret", "any"),
            ("grant_type", "client_credentials"),
            ("scope", "https://graph.microsoft.com/.default"),
        ];
        let reply = self.login("token", &fields).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// A call of Graph's with this token.
    pub async fn call(&self, token: &str, method: Method, path: &str, body: &Value) -> Reply {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &headers, body).await
    }

    /// The same, where the connection may end.
    pub async fn try_call(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> std::io::Result<Reply> {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.try_send(method, path, &headers, body).await
    }

    /// Tells it something over HTTP.
    pub async fn control(&self, method: Method, path: &str, body: &Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, &format!("/simulate/{path}"), &[], body).await
    }
}

/// The time so many minutes from now, by the stand-in's clock.
pub fn ahead(api: &Api, minutes: u64) -> String {
    humantime::format_rfc3339_seconds(api.now() + std::time::Duration::from_secs(minutes * 60)).to_string()
}

/// What a token says, unproven.
pub fn claims(token: &str) -> Value {
    let claims = token.split('.').nth(1).expect("a JWT has three parts");
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64");
    serde_json::from_slice(&claims).expect("JSON")
}

/// A subscription to somebody's inbox, for an hour.
pub fn inbox(api: &Api, notification_url: &str, client_state: &str) -> Value {
    json!({
        "changeType": "created",
        "notificationUrl": notification_url,
        "resource": "/users/a@contoso.com/mailFolders('inbox')/messages",
        "expirationDateTime": ahead(api, 60),
        "clientState": client_state,
    })
}

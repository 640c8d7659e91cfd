//! Managed identities: the platform that runs us gives tokens to whoever runs here ("How to use managed identities for
//! Azure resources on an Azure VM to acquire an access token",
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>; "How to use managed
//! identities for App Service", <https://learn.microsoft.com/azure/app-service/overview-managed-identity>).

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{Request, Uri, header::HeaderValue};

use super::{
    super::error::Cause,
    AuthError,
    endpoint::{Granted, granted_or_not},
};
use crate::{client::Client, config, secret::Secret};

/// Asks the platform.
pub(super) struct Identity {
    client: Client,
    url: String,
    /// What an App Service wants to see; a virtual machine wants another header.
    header: Option<Secret>,
    within: Duration,
}

impl Identity {
    pub(super) async fn new(
        settings: &config::Graph,
        endpoint: &Uri,
        header: Option<Secret>,
        identity: Option<&str>,
    ) -> Result<Self, AuthError> {
        let version = if header.is_some() { "2019-08-01" } else { "2018-02-01" };
        let query = {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("api-version", version);
            query.append_pair("resource", &super::super::base(&settings.url));
            if let Some(identity) = identity {
                query.append_pair("client_id", identity);
            }
            query.finish()
        };
        let separator = if endpoint.query().is_some() { '&' } else { '?' };
        let url = format!("{endpoint}{separator}{query}");
        // What is not on this machine's own network is nowhere else: no authority file is meant for it.
        let client = super::super::client_for(endpoint, None).await.map_err(AuthError::Setup)?;
        Ok(Self { client, url, header, within: settings.answer_within })
    }

    pub(super) async fn fetch(&self) -> Result<Granted, AuthError> {
        let request = match &self.header {
            None => Request::get(&self.url).header("metadata", "true"),
            Some(secret) => {
                let mut value = HeaderValue::try_from(secret.expose())
                    .map_err(|error| AuthError::Setup(Cause::new(error)))?;
                value.set_sensitive(true);
                Request::get(&self.url).header("x-identity-header", value)
            }
        };
        let request = request.body(Empty::<Bytes>::new());
        let request = request.map_err(|error| AuthError::Setup(Cause::new(error)))?;
        let answer = self.client.send(request, self.within).await;
        let answer = answer.map_err(|error| AuthError::Unanswered(Cause::new(error)))?;
        let secrets: Vec<&Secret> = self.header.iter().collect();
        Granted::read(&granted_or_not(answer, &secrets)?, SystemTime::now())
    }
}

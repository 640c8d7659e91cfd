//! What `check` asks: whether the cache can be used, and whether the authority is one. Makes nothing, orders nothing.

use std::{path::PathBuf, time::SystemTime};

use hyper::header::DATE;
use serde::Deserialize;

pub(crate) use super::client::RequestError;
use super::{
    cache::Cache,
    client::Client,
    held::{Held, NotHeld},
};
use crate::config;

/// What the cache has of each domain, in the order of the configuration.
pub(crate) fn held(config: &config::Acme) -> impl Iterator<Item = (&str, Result<Held, NotHeld>)> {
    let cache = Cache::new(&config.cache, &config.directory);
    config.domains.iter().map(move |domain| (domain.as_str(), Held::load(&cache, domain)))
}

/// Where certificates of this authority are kept, or will be.
pub(crate) fn directory(config: &config::Acme) -> PathBuf {
    Cache::new(&config.cache, &config.directory).directory().to_owned()
}

/// What an authority says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    #[serde(rename = "newNonce")]
    _new_nonce: String,
    #[serde(rename = "newAccount")]
    _new_account: String,
    #[serde(rename = "newOrder")]
    _new_order: String,
    #[serde(default)]
    meta: Meta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    external_account_required: bool,
}

/// Why nothing can be ordered of an authority.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It cannot be asked.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It is something else.
    #[error("this is no ACME directory")]
    Foreign(#[source] serde_json::Error),
    /// It takes only those who are its customers already.
    #[error("the authority demands an external account, which graphhook cannot present")]
    Closed,
}

/// Asks an authority for its directory, and hears what time it has there.
pub(crate) async fn probe(config: &config::Acme) -> Result<Option<SystemTime>, Unusable> {
    let client = Client::new(config.ca_file.clone()).await?;
    let answer = client.fetch(&config.directory).await?;
    let directory: Directory = serde_json::from_slice(answer.body()).map_err(Unusable::Foreign)?;
    if directory.meta.external_account_required {
        return Err(Unusable::Closed);
    }
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(|date| httpdate::parse_http_date(date).ok()))
}

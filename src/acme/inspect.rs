//! What `check` asks: whether the cache can be used, and whether the authority is one. Makes nothing, orders nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};
use serde::Deserialize;

use super::{
    cache::Cache,
    client::{Client, RequestError},
    held::{Held, NotHeld},
};
use crate::config;

/// What the cache has of each domain, in the order of the configuration.
pub(crate) fn held(config: &config::Acme) -> impl Iterator<Item = (&str, Result<Held, NotHeld>)> {
    let cache = Cache::new(&config.cache, &config.directory);
    config.domains.iter().map(move |domain| (domain.as_str(), Held::load(&cache, domain)))
}

/// Whether certificates can be kept: where, or why not.
pub(crate) fn outlook(config: &config::Acme) -> Result<PathBuf, (PathBuf, io::Error)> {
    let directory = Cache::new(&config.cache, &config.directory).directory().to_owned();
    // What is not there yet is made by the daemon, where it may.
    let there = directory.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(Path::new("/"));
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Ok(directory),
        Err(error) => Err((there.to_owned(), error.into())),
    }
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

/// Asks an authority for its directory.
pub(crate) async fn probe(config: &config::Acme) -> Result<(), Unusable> {
    let client = Client::new(config.ca_file.clone()).await?;
    let (body, _) = client.get(&config.directory).await?;
    let directory: Directory = serde_json::from_slice(&body).map_err(Unusable::Foreign)?;
    if directory.meta.external_account_required { Err(Unusable::Closed) } else { Ok(()) }
}

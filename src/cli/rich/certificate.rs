//! `graphhook rich certificate`

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::Outcome;
use crate::config::{self, Environment, RichKey};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// Which one, by the id of its key [default: the last of rich.keys that names a certificate].
    id: Option<String>,
    /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON object: both members, as POST /subscriptions has them.
    #[arg(long)]
    json: bool,
}

pub(super) const HELP: &str = "\
It is public: what makes a subscription needs it, and graphhook does not.

Examples:
  graphhook rich certificate 2026-11-22
  graphhook rich certificate --json | jq '. + {resource: \"chats/getAllMessages\"}'";

/// Members of a subscription, under Graph's names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    encryption_certificate: String,
    encryption_certificate_id: &'a str,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let config = config::load(arguments.config.as_deref(), environment)?.config;
    let keys = config.rich.map(|rich| rich.keys).unwrap_or_default();
    let (key, encoded) = find(&keys, arguments.id.as_deref())?;
    let mut out = io::stdout().lock();
    if arguments.json {
        let members = Members { encryption_certificate: encoded, encryption_certificate_id: &key.id };
        writeln!(out, "{}", serde_json::to_string(&members)?)?;
    } else {
        writeln!(out, "{encoded}")?;
    }
    Ok(Outcome::Good)
}

fn find<'a>(keys: &'a [RichKey], id: Option<&str>) -> anyhow::Result<(&'a RichKey, String)> {
    let key = match id {
        Some(id) => keys
            .iter()
            .find(|key| key.id == id)
            .with_context(|| format!("no key of rich.keys has the id {id:?}"))?,
        None => keys
            .iter()
            .rfind(|key| key.certificate.is_some())
            .context("no key of rich.keys names a certificate")?,
    };
    let certificate = key
        .certificate
        .as_ref()
        .with_context(|| format!("the key {:?} names no certificate in the configuration", key.id))?;
    Ok((key, certificate.encoded()))
}

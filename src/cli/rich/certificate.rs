//! `graphhook rich certificate`

use std::{
    io::{self, Write},
    path::PathBuf,
};

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
    let named = keys.iter().rev().filter(|key| id.is_none_or(|id| key.id == id));
    let mut known = false;
    for key in named {
        known = true;
        if let Some(certificate) = &key.certificate {
            return Ok((key, certificate.encoded()));
        }
    }
    match id {
        Some(id) if known => anyhow::bail!("the key {id:?} names no certificate in the configuration"),
        Some(id) => anyhow::bail!("no key of rich.keys has the id {id:?}"),
        None => anyhow::bail!("no key of rich.keys names a certificate"),
    }
}

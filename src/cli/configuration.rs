//! `graphhook config`: what the configuration is, could be, and does when it changes.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde::Serialize;
use serde_json::Value;

use super::{Failure, Outcome, conclude};
use crate::config::{self, EXAMPLE, Effective, Environment, Key, Loaded, Origins, toml_value};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Every key as `serve` would take it; secrets are masked.
    #[command(after_help = "Example:\n  graphhook config print --origin")]
    Print {
        /// Configuration file [default: /etc/graphhook/config.toml, then ./config.toml].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Say where each value comes from: file and line, an environment variable, or the default.
        #[arg(long)]
        origin: bool,
        /// Print one JSON object instead of TOML.
        #[arg(long)]
        json: bool,
    },
    /// Every key with its default, and when a change of it takes effect.
    #[command(after_help = "Example:\n  graphhook config keys | grep restart")]
    Keys {
        /// Print a JSON array, with what each key means.
        #[arg(long)]
        json: bool,
    },
    /// A JSON Schema (2020-12) of the configuration file, for editors.
    #[command(after_help = "Example:\n  graphhook config schema >/tmp/graphhook.schema.json")]
    Schema,
    /// The configuration file as it ships: every key, explained.
    #[command(after_help = "Example:\n  graphhook config example >./config.toml")]
    Example,
}

pub(super) fn run(command: Command, environment: &Environment) -> Result<(), Failure> {
    conclude(match command {
        Command::Print { config, origin, json } => {
            let origins = if origin { Origins::Shown } else { Origins::Hidden };
            print(config.as_deref(), origins, json, environment)
        }
        Command::Keys { json } => keys(json),
        Command::Schema => json_of(&config::schema()),
        Command::Example => text(EXAMPLE),
    })
}

fn print(
    file: Option<&Path>,
    origins: Origins,
    json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let Loaded { effective, name, warnings, config: _, files: _ } = config::load(file, environment)?;
    if json {
        return json_of(&Printed::new(&effective, &name, origins));
    }
    let warnings = match warnings.len() {
        0 => String::new(),
        many => format!("; {many} to look at: graphhook check"),
    };
    let hash = effective.hash();
    text(&format!("# From {name}; hash {hash}{warnings}\n\n{}", effective.toml(origins)))
}

#[derive(Serialize)]
struct Printed<'a> {
    file: &'a str,
    hash: String,
    values: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    origins: Option<&'a BTreeMap<String, String>>,
}

impl<'a> Printed<'a> {
    fn new(effective: &'a Effective, file: &'a str, origins: Origins) -> Self {
        let origins = (origins == Origins::Shown).then_some(&effective.origins);
        Self { file, hash: effective.hash(), values: &effective.values, origins }
    }
}

fn keys(json: bool) -> anyhow::Result<Outcome> {
    let keys = config::keys();
    if json {
        return json_of(&keys);
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{:<38}  {:<15}  default", "key", "takes effect")?;
    for Key { key, default, effect, .. } in &keys {
        let default = default.as_ref().map(toml_value).unwrap_or_default();
        writeln!(out, "{}", format!("{key:<38}  {:<15}  {default}", effect.as_str()).trim_end())?;
    }
    Ok(Outcome::Good)
}

fn json_of(value: &impl Serialize) -> anyhow::Result<Outcome> {
    text(&(serde_json::to_string_pretty(value)? + "\n"))
}

fn text(text: &str) -> anyhow::Result<Outcome> {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Outcome::Good)
}

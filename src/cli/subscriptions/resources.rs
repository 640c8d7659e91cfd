//! `graphhook subscriptions resources`

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::Manner;
use crate::{
    cli::{
        Outcome,
        check::Style,
        table::{Cell, Table, Tone},
        words,
    },
    config::{self, Environment},
    graph::resources::{KINDS, ResourceKind, Rich, lifetime},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
    /// Only this type, with all that is known of it.
    #[arg(value_name = "TYPE")]
    kind: Option<String>,
}

pub(super) const HELP: &str = "\
ASKED FOR is the lifetime that graphhook asks for: a little less than the
longest, or what graph.lifetimes says (marked by \"*\"). \"?\" is not known here:
see Microsoft's page of the resource. It needs no configuration.

Examples:
  graphhook subscriptions resources
  graphhook subscriptions resources chatMessage --json";

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let overrides = overrides(&arguments.manner, environment)?;
    let is_asked = |kind: &&ResourceKind| {
        arguments.kind.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(kind.name))
    };
    let kinds: Vec<Line> = KINDS.iter().filter(is_asked).map(|kind| Line::of(kind, &overrides)).collect();
    if kinds.is_empty() {
        anyhow::bail!("no type of resource has this name: see `graphhook subscriptions resources`");
    }
    let mut out = io::stdout().lock();
    if arguments.manner.json {
        for line in &kinds {
            writeln!(out, "{}", serde_json::to_string(line)?)?;
        }
        return Ok(Outcome::Good);
    }
    match (&arguments.kind, kinds.as_slice()) {
        (Some(_), [one]) => one.print(&mut out)?,
        (_, lines) => out.write_all(table(lines, Style::of(environment)).as_bytes())?,
    }
    Ok(Outcome::Good)
}

/// A table of facts needs no configuration; one that is named, or found, may override lifetimes.
fn overrides(manner: &Manner, environment: &Environment) -> anyhow::Result<BTreeMap<String, Duration>> {
    let loaded = match config::load(manner.config.as_deref(), environment) {
        Ok(loaded) => loaded,
        Err(config::LoadError::NoFile) if manner.config.is_none() => return Ok(BTreeMap::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(loaded.config.graph.map(|graph| graph.lifetimes).unwrap_or_default())
}

/// What is told of a type.
#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    name: &'static str,
    example: &'static str,
    /// Empty where Graph's pages do not say it.
    change_types: Vec<&'static str>,
    lifetime_max_seconds: u64,
    lifetime_seconds: u64,
    is_overridden: bool,
    /// "no", "yes" or "with $select".
    resource_data: &'static str,
    resource_data_lifetime_max_seconds: Option<u64>,
    /// A lifecycle URL is needed for those that live longer than this.
    lifecycle_url_above_seconds: Option<u64>,
    application_permission: Option<&'static str>,
    delegated_permission: Option<&'static str>,
    delegated_only: bool,
    global_cloud_only: bool,
    quota: &'static str,
}

impl Line {
    fn of(kind: &'static ResourceKind, overrides: &BTreeMap<String, Duration>) -> Self {
        Self {
            name: kind.name,
            example: kind.example,
            change_types: kind.change_types.iter().map(|change| change.as_str()).collect(),
            lifetime_max_seconds: kind.lifetime_max.as_secs(),
            lifetime_seconds: lifetime(kind.example, false, overrides).as_secs(),
            is_overridden: overrides.keys().any(|name| name.eq_ignore_ascii_case(kind.name)),
            resource_data: match kind.rich {
                Rich::No => "no",
                Rich::Yes => "yes",
                Rich::NeedsSelect => "with $select",
            },
            resource_data_lifetime_max_seconds: kind.rich_lifetime_max.map(|time| time.as_secs()),
            lifecycle_url_above_seconds: kind.lifecycle_above.map(|time| time.as_secs()),
            application_permission: kind.application_permission,
            delegated_permission: kind.delegated_permission,
            delegated_only: kind.delegated_only,
            global_cloud_only: kind.global_only,
            quota: kind.quota,
        }
    }

    fn changes(&self) -> String {
        if self.change_types.is_empty() { "?".to_owned() } else { self.change_types.join(",") }
    }

    fn asked_for(&self) -> String {
        format!("{}{}", seconds(self.lifetime_seconds), if self.is_overridden { " *" } else { "" })
    }

    fn app_permission(&self) -> &'static str {
        match (self.application_permission, self.delegated_only) {
            (Some(permission), _) => permission,
            (None, true) => "users only",
            (None, false) => "?",
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let data = match self.resource_data_lifetime_max_seconds {
            Some(longest) => format!("{}, for {} at most", self.resource_data, seconds(longest)),
            None => self.resource_data.to_owned(),
        };
        let lifecycle = match self.lifecycle_url_above_seconds {
            Some(above) => format!("needed above {}", seconds(above)),
            None => "not needed".to_owned(),
        };
        let quota = if self.quota.is_empty() { "no number is published" } else { self.quota };
        let clouds = if self.global_cloud_only { "the global one only" } else { "all" };
        for (label, value) in [
            ("type", self.name),
            ("path", self.example),
            ("changes", &self.changes()),
            ("longest", &seconds(self.lifetime_max_seconds)),
            ("asked for", &self.asked_for()),
            ("resource data", &data),
            ("lifecycle URL", &lifecycle),
            ("for an app", self.app_permission()),
            ("for a user", self.delegated_permission.unwrap_or("?")),
            ("quota", quota),
            ("clouds", clouds),
        ] {
            writeln!(out, "{label:<15}{value}")?;
        }
        Ok(())
    }
}

fn table(lines: &[Line], style: Style) -> String {
    let head =
        ["TYPE", "CHANGES", "LONGEST", "ASKED FOR", "DATA", "LIFECYCLE URL", "FOR AN APP", "FOR A USER"];
    let mut table = Table::new(head);
    for line in lines {
        let asked = if line.is_overridden { Tone::Odd } else { Tone::Plain };
        let lifecycle = line.lifecycle_url_above_seconds.map(|above| format!("above {}", seconds(above)));
        table.row([
            line.name.into(),
            line.changes().into(),
            seconds(line.lifetime_max_seconds).into(),
            Cell::new(&line.asked_for(), asked),
            line.resource_data.into(),
            lifecycle.unwrap_or_default().into(),
            line.app_permission().into(),
            line.delegated_permission.unwrap_or("?").into(),
        ]);
    }
    table.text(style)
}

fn seconds(seconds: u64) -> String {
    words::brief(Duration::from_secs(seconds))
}

//! `graphhook simulate notify`

use std::path::PathBuf;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;

use super::{
    Outcome, Unusable, Usage,
    courier::{Courier, Parcel, Sending, check_size, fits},
    file,
    presented::Presented,
    to::To,
    whose::Whose,
};
use crate::{
    config::Environment,
    simulate::{
        cast::{Cast, Ids, Kind},
        template::{Template, Tokens, collection},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    presented: Presented,
    /// What changes, by the name of a template: see `graphhook simulate templates`.
    #[arg(long, value_name = "NAME", default_value = "message", value_parser = resource)]
    resource: String,
    /// Items of your own: JSON with {{placeholders}}.
    #[arg(long, value_name = "FILE", conflicts_with = "resource")]
    template: Option<PathBuf>,
    /// A payload of your own, byte for byte; - for standard input.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "template", "resource", "changes", "items", "size", "id", "no_id", "tenants", "subscriptions", "user",
            "client_state", "no_client_state",
        ]
    )]
    body: Option<PathBuf>,
    /// created, updated or deleted; may be repeated, then they take turns.
    #[arg(long = "change", value_name = "TYPE", default_value = "created")]
    changes: Vec<String>,
    /// Items in each POST.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    items: u32,
    #[command(flatten)]
    whose: Whose,
    /// Make each item so long, by a member that nobody knows.
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = size)]
    size: usize,
    /// Give this id to every item, so that they are one notification, sent again.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Items without an id, as some services send them.
    #[arg(long, conflicts_with = "id")]
    no_id: bool,
    #[command(flatten)]
    sending: Sending,
}

pub(super) const HELP: &str = "\
A line for each POST says how it was answered, and what Graph would do. Exit code
0: Graph would call all of them delivered.

Examples:
  graphhook simulate notify https://hooks.example.com/graph/notifications \\
      --client-state file:/etc/graphhook/secrets/client-state
  graphhook simulate notify https://localhost:8443/graph/notifications --insecure \\
      --client-state env:CLIENT_STATE --resource event --change updated --items 20";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    fits(arguments.items, arguments.size)?;
    let body = arguments.body.as_deref().map(file::read).transpose()?.map(Bytes::from);
    let cast = if body.is_none() { Some(cast(&arguments, environment)?) } else { None };
    if let Some(cast) = &cast {
        // A template may be long.
        fits(arguments.items, cast.item(0).len())?;
    }
    let Sending { count, pause, manner } = &arguments.sending;
    let mut courier = Courier::new(&arguments.to, manner)?.pausing(*pause);
    let items = u64::from(arguments.items);
    for post in 0..u64::from(*count) {
        match (&body, &cast) {
            (Some(body), _) => courier.send(Parcel::default(), body.clone()).await?,
            (None, Some(cast)) => {
                let texts: Vec<String> = (0..items).map(|item| cast.item(post * items + item)).collect();
                if post == 0 {
                    check_size(&texts, arguments.size)?;
                }
                let parcel = Parcel { what: None, items: Some(texts.len()) };
                courier.send(parcel, collection(&texts, Tokens::None).into()).await?;
            }
            (None, None) => {}
        }
    }
    courier.conclude()
}

fn cast(arguments: &Arguments, environment: &Environment) -> anyhow::Result<Cast> {
    let Whose { tenants, subscriptions, user } = &arguments.whose;
    let kind = match &arguments.template {
        None => {
            check_changes(&[&arguments.resource], &arguments.changes)?;
            Kind::named(&arguments.resource).context("no such template")?
        }
        Some(path) => {
            let template = Template::read(&file::read_text(path)?);
            let template = template.with_context(|| format!("cannot use {}", path.display()));
            let template = template.map_err(Unusable)?;
            Kind { name: path.display().to_string(), template }
        }
    };
    Ok(Cast {
        kinds: vec![kind],
        changes: arguments.changes.clone(),
        tenants: tenants.clone(),
        subscriptions: subscriptions.clone(),
        user: user.clone(),
        client_state: arguments.presented.read(environment)?,
        ids: match &arguments.id {
            Some(id) => Ids::Always(id.clone()),
            None if arguments.no_id => Ids::None,
            None => Ids::Fresh,
        },
        bytes_min: arguments.size,
    })
}

/// The name of a template.
pub(super) fn resource(text: &str) -> Result<String, String> {
    let known: Vec<&str> = Template::names().collect();
    if known.contains(&text) { Ok(text.to_owned()) } else { Err(format!("known are {}", known.join(", "))) }
}

/// What changes a resource is nothing that happens to a subscription.
pub(super) fn check_changes(resources: &[impl AsRef<str>], changes: &[impl AsRef<str>]) -> Result<(), Usage> {
    let is_lifecycle = resources.iter().any(|name| name.as_ref().starts_with("lifecycle"));
    if is_lifecycle && changes.iter().any(|change| CHANGES.contains(&change.as_ref())) {
        return Err(Usage(
            "created, updated and deleted are no lifecycle events: graphhook simulate lifecycle sends those that are, and \
             notify those that --change names",
        ));
    }
    Ok(())
}

/// The length of an item: plain, or with a unit.
pub(super) fn size(text: &str) -> Result<usize, String> {
    let size: bytesize::ByteSize = text.parse().map_err(|_| "expected a size, such as 4KiB".to_owned())?;
    let bytes = usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
    if bytes > ITEM_BYTES_MAX { Err("an item has 16 MiB at most".to_owned()) } else { Ok(bytes) }
}

const CHANGES: [&str; 3] = ["created", "updated", "deleted"];
const ITEM_BYTES_MAX: usize = 16 << 20;

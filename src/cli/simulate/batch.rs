//! `graphhook simulate batch`

use clap::Args;

use super::{
    Outcome,
    courier::{Courier, Parcel, Sending, check_size, fits},
    notify::{check_changes, resource, size},
    presented::Presented,
    to::To,
};
use crate::{
    config::Environment,
    simulate::{
        cast::{Cast, Ids, Kind},
        run::{subscriptions, tenants},
        template::{Tokens, USER, collection},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    presented: Presented,
    /// Items in each POST.
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    items: u32,
    /// Subscriptions that they belong to.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    subscriptions: u32,
    /// Tenants that those belong to.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,
    /// What changes, by the names of templates.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "message,event,contact,driveItem,user,chatMessage",
        value_parser = resource
    )]
    resources: Vec<String>,
    /// How it changes.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', default_value = "created,updated,deleted")]
    changes: Vec<String>,
    /// Make each item so long, by a member that nobody knows.
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = size)]
    size: usize,
    #[command(flatten)]
    sending: Sending,
}

pub(super) const HELP: &str = "\
Graph puts into one POST what is due for one URL: items of several subscriptions,
apps and tenants. A receiver judges each by itself, and answers for all of them.

Example:
  graphhook simulate batch https://hooks.example.com/graph/notifications \\
      --client-state env:CLIENT_STATE --items 100 --subscriptions 20 --tenants 3";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    fits(arguments.items, arguments.size)?;
    check_changes(&arguments.resources, &arguments.changes)?;
    let Sending { count, pause, manner } = &arguments.sending;
    let cast = Cast {
        kinds: arguments.resources.iter().filter_map(|name| Kind::named(name)).collect(),
        changes: arguments.changes,
        tenants: tenants(arguments.tenants),
        subscriptions: subscriptions(arguments.subscriptions),
        user: USER.to_owned(),
        client_state: arguments.presented.read(environment)?,
        ids: Ids::Fresh,
        bytes_min: arguments.size,
    };
    let mut courier = Courier::new(&arguments.to, manner)?.pausing(*pause);
    let items = u64::from(arguments.items);
    for post in 0..u64::from(*count) {
        let texts: Vec<String> = (0..items).map(|item| cast.item(post * items + item)).collect();
        if post == 0 {
            check_size(&texts, cast.bytes_min)?;
        }
        let parcel = Parcel { what: None, items: Some(texts.len()) };
        courier.send(parcel, collection(&texts, Tokens::None).into()).await?;
    }
    courier.conclude()
}

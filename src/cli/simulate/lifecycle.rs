//! `graphhook simulate lifecycle`

use anyhow::Context;
use clap::Args;

use super::{
    Outcome,
    courier::{Courier, Parcel, Sending},
    presented::Presented,
    to::To,
    whose::Whose,
};
use crate::{
    config::Environment,
    simulate::{
        cast::{Cast, Ids, Kind},
        template::{Tokens, collection},
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    presented: Presented,
    /// reauthorizationRequired, subscriptionRemoved, missed, or a word that Graph does not know yet; may be repeated:
    /// a POST for each.
    #[arg(long = "event", value_name = "EVENT", default_values_t = EVENTS.map(str::to_owned))]
    events: Vec<String>,
    /// All events in one POST.
    #[arg(long)]
    all: bool,
    /// The form that Microsoft documents, instead of the one that Graph sends.
    #[arg(long)]
    documented: bool,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    sending: Sending,
}

pub(super) const HELP: &str = "\
Graph sends such events to the lifecycleNotificationUrl of a subscription. They
really come with organizationId in place of tenantId, and with null members.

Examples:
  graphhook simulate lifecycle https://hooks.example.com/graph/lifecycle \\
      --client-state env:CLIENT_STATE
  graphhook simulate lifecycle https://hooks.example.com/graph/lifecycle \\
      --client-state env:CLIENT_STATE --event missed --documented";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Sending { count, pause, manner } = &arguments.sending;
    let name = if arguments.documented { "lifecycle-documented" } else { "lifecycle" };
    let Whose { tenants, subscriptions, user } = arguments.whose;
    let cast = Cast {
        kinds: vec![Kind::named(name).context("no such template")?],
        changes: Vec::new(),
        tenants,
        subscriptions,
        user,
        client_state: arguments.presented.read(environment)?,
        ids: Ids::Fresh,
        bytes_min: 0,
    };
    let mut courier = Courier::new(&arguments.to, manner)?.pausing(*pause);
    let posts: Vec<&[String]> =
        if arguments.all { vec![&arguments.events] } else { arguments.events.chunks(1).collect() };
    for post in 0..u64::from(*count) {
        for events in &posts {
            let item = |event: &String| Cast { changes: vec![event.clone()], ..cast.clone() }.item(post);
            let texts: Vec<String> = events.iter().map(item).collect();
            let what = if arguments.all { None } else { events.first().map(String::as_str) };
            let parcel = Parcel { what, items: Some(texts.len()) };
            courier.send(parcel, collection(&texts, Tokens::None).into()).await?;
        }
    }
    courier.conclude()
}

const EVENTS: [&str; 3] = ["reauthorizationRequired", "subscriptionRemoved", "missed"];

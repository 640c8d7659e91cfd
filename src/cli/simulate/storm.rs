//! `graphhook simulate storm`

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;

use super::{
    Outcome,
    courier::fits,
    notify::{resource, size},
    presented::Presented,
    run::{show, there, watched},
    to::To,
};
use crate::{
    config::Environment,
    simulate::{
        run::{Extent, Pace, Scenario, Stock, Weighted, report::Report, subscriptions, tenants},
        template::Template,
    },
    supervise::signals::Signals,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    to: To,
    #[command(flatten)]
    presented: Presented,
    /// POSTs.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// POSTs at once, each on a connection that is kept alive.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Items in each POST.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    items: u32,
    /// What changes, by the name of a template: see `graphhook simulate templates`.
    #[arg(long, value_name = "NAME", default_value = "message", value_parser = resource)]
    resource: String,
    /// Subscriptions that items belong to.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    subscriptions: u32,
    /// Tenants that those belong to.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    tenants: u32,
    /// Make each item so long, by a member that nobody knows.
    #[arg(long, value_name = "BYTES", value_parser = size)]
    size: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) const HELP: &str = "\
Every connection sends as soon as it has its answer; nothing is sent twice, and
nothing put off. Exit code 0: all of it was answered 2xx within 3 s. For rates,
faults, repetitions and hours of load there are scenarios: `graphhook simulate
run`.

Example:
  graphhook simulate storm https://localhost:8443/graph/notifications --insecure \\
      --client-state env:CLIENT_STATE --count 10000 --connections 32 --items 10";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    fits(arguments.items, arguments.size.unwrap_or_default())?;
    let client_state = arguments.presented.read(environment)?;
    let receiver = arguments.to.receiver()?;
    let stock = Arc::new(Stock::new(scenario(&arguments)?, client_state));
    let mut signals = Signals::new().context("cannot wait for signals")?;
    there::ask(&receiver, &mut signals).await?;
    let ended = watched(receiver, &stock, None, &mut signals).await;
    let report = Report::of(&stock, &ended, None);
    show(&report, arguments.json, environment)?;
    Ok(if report.passed { Outcome::Good } else { Outcome::Bad })
}

/// Flat out, no second attempts, and slow answers change nothing for those that follow.
fn scenario(arguments: &Arguments) -> anyhow::Result<Scenario> {
    let items = arguments.items;
    let mut scenario =
        Scenario::new(Pace::FlatOut, Extent::Count(u64::from(arguments.count) * u64::from(items)));
    scenario.connections = arguments.connections.into();
    scenario.per_post = Weighted::one((items, items));
    scenario.size = arguments.size;
    scenario.subscriptions = subscriptions(arguments.subscriptions);
    scenario.tenants = tenants(arguments.tenants);
    scenario.templates = Weighted::one(Template::named(&arguments.resource).context("no such template")?);
    scenario.graph.rules.give_up_after = Duration::ZERO;
    scenario.graph.rules.punishes = false;
    // The last answers.
    scenario.drain = 2 * scenario.graph.first_allowance;
    Ok(scenario)
}

//! `graphhook subscriptions renew`

use std::{
    io::{self, Write},
    time::Duration,
};

use clap::Args;
use serde_json::json;

use super::{Manner, request::Request, session::Session, shown::Shown, touch::allow};
use crate::{
    cli::{Outcome, Usage, words},
    config::Environment,
    graph::{
        resources,
        subscription::{Change, Subscription},
    },
    subscriptions::state::TouchKind,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
    /// The subscription, by its name here or its id at Graph.
    #[arg(value_name = "ID|NAME")]
    which: String,
    /// How long it should live from now [default: what was configured for it, else what its type of resource allows].
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Option<Duration>,
    /// Send nothing; say what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Even within ten minutes of a reauthorize.
    #[arg(long)]
    force: bool,
}

pub(super) const HELP: &str = "\
A renewal reauthorizes, too. What Graph answers counts, which may be less than
was asked for.

Examples:
  graphhook subscriptions renew sales
  graphhook subscriptions renew sales --for 2days --dry-run";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { manner, which, lifetime, dry_run, force } = arguments;
    if lifetime.is_some_and(|lifetime| lifetime > LIFETIME_MAX) {
        return Err(Usage("no subscription lives longer than 60 days").into());
    }
    let session = Session::open(&manner, environment).await?;
    let named = session.find(&which)?;
    allow(&named, TouchKind::Patch, force, session.now)?;
    let lifetime = match lifetime {
        Some(lifetime) => lifetime,
        None => {
            let shown = session.workshop.graph.get(&named.id).await.map_err(|error| named.gone(error))?;
            session.lifetime_of(&shown)
        }
    };
    let change = Change { expiration_date_time: Some(session.now + lifetime), ..Change::default() };
    if dry_run {
        let path = format!("/v1.0/subscriptions/{}", &*named.id);
        let request = Request { method: "PATCH", path, body: Some(serde_json::to_value(&change)?) };
        request.print(session.json)?;
        return Ok(Outcome::Good);
    }
    session.begin(&named, TouchKind::Patch, force).await?;
    let answer =
        session.workshop.graph.update(&named.id, &change).await.map_err(|error| named.gone(error))?;
    session.done(&named, TouchKind::Patch, Some(&answer)).await?;
    let mut out = io::stdout().lock();
    if session.json {
        writeln!(out, "{}", json!({ "renewed": Shown::of(&answer, &session) }))?;
    } else {
        let end = words::end(answer.expiration_date_time, session.now);
        let at = words::time(answer.expiration_date_time);
        writeln!(out, "renewed {}: ends {end}, {at}", words::plain(&named.called()))?;
    }
    Ok(Outcome::Good)
}

impl Session {
    /// How long one that Graph has should live.
    fn lifetime_of(&self, shown: &Subscription) -> Duration {
        let kept = self.state.with_id(&shown.id);
        let wanted = kept.and_then(|kept| {
            self.workshop.settings.subscriptions.iter().find(|wanted| wanted.name == kept.name)
        });
        match wanted {
            Some(wanted) => self.workshop.lifetime(wanted),
            None => {
                let is_rich = shown.include_resource_data.unwrap_or_default();
                resources::lifetime(&shown.resource, is_rich, &self.workshop.settings.lifetimes)
            }
        }
    }
}

/// Longer than any resource allows.
const LIFETIME_MAX: Duration = Duration::from_secs(60 * 24 * 3600);

//! `graphhook subscriptions list`

use std::io::{self, Write};

use clap::Args;

use super::{
    Manner,
    session::{Session, note},
    shown::{Shown, table},
    whose::Whose,
};
use crate::{
    cli::{Outcome, words},
    config::Environment,
    graph::subscription::Subscription,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
    /// Only those that are wanted, or were made by hand.
    #[arg(long)]
    ours: bool,
}

pub(super) const HELP: &str = "\
WHOSE is \"wanted\" (by [[subscriptions]]), \"by hand\", \"left over\" (wanted no
more), \"unknown\" (it comes to a URL of ours, but its clientState is not known
here) or \"stranger\". With --json each line is an object.

Examples:
  graphhook subscriptions list
  graphhook subscriptions list --json | jq -r 'select(.ended) | .id'";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let session = Session::open(&arguments.manner, environment).await?;
    let listed = session.list().await?;
    let mut shown = all(&listed, &session);
    if arguments.ours {
        shown.retain(|one| matches!(one.whose, Whose::Wanted | Whose::ByHand));
    }
    let mut out = io::stdout().lock();
    if session.json {
        for one in &shown {
            writeln!(out, "{}", serde_json::to_string(one)?)?;
        }
    } else if shown.is_empty() {
        note("Graph has no subscriptions of this app");
    } else {
        out.write_all(table(&shown, &session).as_bytes())?;
        note(&counted(&shown));
    }
    Ok(Outcome::Good)
}

/// Ours first, each kind by its names; then those that Graph lacks.
pub(super) fn all(listed: &[Subscription], session: &Session) -> Vec<Shown> {
    let mut shown: Vec<Shown> = listed.iter().map(|one| Shown::of(one, session)).collect();
    shown.sort_by(|one, other| (one.whose, &one.name, &one.id).cmp(&(other.whose, &other.name, &other.id)));
    let is_listed = |id: &str| listed.iter().any(|one| *one.id == *id);
    let kept = session.state.kept.iter();
    let absent = kept.filter(|kept| kept.live().is_none_or(|live| !is_listed(&live.id)));
    let wanted = session.workshop.settings.subscriptions.iter();
    let never_made = wanted.filter(|wanted| session.state.named(&wanted.name).is_none());
    let absent = absent.map(|kept| Shown::kept(kept, session));
    shown.extend(absent.chain(never_made.map(Shown::wanted)));
    shown
}

fn counted(shown: &[Shown]) -> String {
    let at_graph = shown.iter().filter(|one| one.at_graph).count();
    let strangers = shown.iter().filter(|one| one.whose == Whose::Stranger).count();
    let all = words::number(at_graph as u64, "subscription");
    match shown.len() - at_graph {
        0 => format!("{all}, {strangers} of others"),
        missing => format!("{all}, {strangers} of others; {missing} not at Graph"),
    }
}

//! `graphhook subscriptions delete`

use std::{
    io::{self, Write},
    time::SystemTime,
};

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{
    Manner,
    request::Request,
    session::{Named, Session, note},
};
use crate::{
    cli::{Outcome, ask, words},
    config::Environment,
    graph::Deleted,
    notification::id::SubscriptionId,
    subscriptions::state::{Former, Kept, Standing, State},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
    /// The subscription, by its name here or its id at Graph.
    #[arg(value_name = "ID|NAME")]
    which: String,
    /// Send nothing; say what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

pub(super) const HELP: &str = "\
What it would have told of is not told any more. What Graph still repeats of it
is believed for four hours more. A wanted one is made again by the daemon, or by
`apply`: take it out of [[subscriptions]] instead.

Examples:
  graphhook subscriptions delete 7f105c7d-2dc5-4530-97cd-4e7ae6534c07
  graphhook subscriptions delete sales --yes";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { manner, which, dry_run, yes } = arguments;
    let session = Session::open(&manner, environment).await?;
    let named = session.find(&which)?;
    if dry_run {
        let path = format!("/v1.0/subscriptions/{}", &*named.id);
        Request { method: "DELETE", path, body: None }.print(session.json)?;
        return Ok(Outcome::Good);
    }
    ask::confirm(&format!("This ends the subscription {}.", words::plain(&named.called())), yes)?;
    let is_wanted = named.kept.as_ref().is_some_and(|kept| {
        session.workshop.settings.subscriptions.iter().any(|wanted| wanted.name == kept.name)
    });
    // A crash behind this line leaves what the daemon, or the next `apply`, brings to its end.
    session.retire(&named, Standing::Doomed).await?;
    let deleted = session.workshop.graph.delete(&named.id).await.map_err(|error| named.gone(error))?;
    session.retire(&named, Standing::Gone { at: SystemTime::now() }).await?;
    let was_there = match deleted {
        Deleted::Now => true,
        // Ids are UUIDs: a name that is mistyped is no subscription that has ended.
        Deleted::WasGone if named.kept.is_none() && Uuid::parse_str(&named.id).is_err() => {
            anyhow::bail!("no subscription has this name or id: see `graphhook subscriptions list`")
        }
        Deleted::WasGone => false,
    };
    if is_wanted {
        note(
            "the configuration wants it: it will be made again, unless it is taken out of [[subscriptions]]",
        );
    }
    let mut out = io::stdout().lock();
    if session.json {
        let name = named.kept.as_ref().map(|kept| &kept.name);
        let deleted = json!({ "id": &*named.id, "name": name, "was_there": was_there });
        writeln!(out, "{}", json!({ "deleted": deleted }))?;
    } else {
        let words = if was_there { "deleted" } else { "was gone already:" };
        writeln!(out, "{words} {}", words::plain(&named.called()))?;
    }
    Ok(Outcome::Good)
}

impl Session {
    /// It is ours no more, but what it sent may still come.
    async fn retire(&self, named: &Named, standing: Standing) -> anyhow::Result<()> {
        let id = named.id.clone();
        self.update(move |state| retire(state, &id, standing)).await.map(drop)
    }
}

fn retire(state: &mut State, id: &SubscriptionId<'static>, standing: Standing) {
    if let Some(former) = state.former.iter_mut().find(|former| former.id == *id) {
        former.standing = standing;
        return;
    }
    let Some(index) = state.kept.iter().position(|kept| kept.live().is_some_and(|live| live.id == *id))
    else {
        return;
    };
    let kept = state.kept.remove(index);
    let entry = kept.entry().to_owned();
    let Kept { name, client_state, .. } = kept;
    state.former.push(Former { id: id.clone(), name, entry, client_state, standing });
}

//! `graphhook subscriptions reauthorize`

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::{Manner, request::Request, session::Session, touch::allow};
use crate::{
    cli::{Outcome, words},
    config::Environment,
    subscriptions::state::TouchKind,
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
    /// Even within ten minutes of a renewal.
    #[arg(long)]
    force: bool,
}

pub(super) const HELP: &str = "\
Answers a lifecycle notification reauthorizationRequired. `renew` does the same
and gives it a new end; both within ten minutes may leave it inconsistent.

Example:
  graphhook subscriptions reauthorize sales";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { manner, which, dry_run, force } = arguments;
    let session = Session::open(&manner, environment).await?;
    let named = session.find(&which)?;
    allow(&named, TouchKind::Reauthorize, force, session.now)?;
    if dry_run {
        let path = format!("/v1.0/subscriptions/{}/reauthorize", &*named.id);
        Request { method: "POST", path, body: None }.print(session.json)?;
        return Ok(Outcome::Good);
    }
    session.begin(&named, TouchKind::Reauthorize, force).await?;
    session.workshop.graph.reauthorize(&named.id).await.map_err(|error| named.gone(error))?;
    session.done(&named, TouchKind::Reauthorize, None).await?;
    let mut out = io::stdout().lock();
    match session.json {
        true => {
            let name = named.kept.as_ref().map(|kept| &kept.name);
            writeln!(out, "{}", json!({ "reauthorized": { "id": &*named.id, "name": name } }))?;
        }
        false => writeln!(out, "reauthorized {}", words::plain(&named.called()))?,
    }
    Ok(Outcome::Good)
}

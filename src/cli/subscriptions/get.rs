//! `graphhook subscriptions get`

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::{Manner, session::Session, shown::Shown};
use crate::{
    cli::Outcome,
    config::Environment,
    graph::subscription::Subscription,
    moment::rfc3339,
    subscriptions::state::{Kept, Touch, TouchKind},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
    /// The subscription, by its name here or its id at Graph.
    #[arg(value_name = "ID|NAME")]
    which: String,
}

pub(super) const HELP: &str = "\
Examples:
  graphhook subscriptions get sales
  graphhook subscriptions get 7f105c7d-2dc5-4530-97cd-4e7ae6534c07 --json";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let session = Session::open(&arguments.manner, environment).await?;
    let named = session.find(&arguments.which)?;
    let subscription = session.workshop.graph.get(&named.id).await.map_err(|error| named.gone(error))?;
    let details = Details::of(&subscription, named.kept.as_ref(), &session);
    let mut out = io::stdout().lock();
    if session.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&details)?)?;
        return Ok(Outcome::Good);
    }
    details.shown.print(&mut out, session.now)?;
    writeln!(out, "{:<15}{}", "", details.graph_shows.words())?;
    if let Some(touched) = &details.last_touched {
        writeln!(out, "{:<15}{} at {}", "last call", touched.call, touched.at)?;
    }
    Ok(Outcome::Good)
}

#[derive(Serialize)]
struct Details {
    #[serde(flatten)]
    shown: Shown,
    /// What Graph shows as clientState, against what we know.
    graph_shows: ClientState,
    last_touched: Option<Touched>,
}

#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum ClientState {
    /// Nothing: it need not.
    Nothing,
    /// The one that we know.
    Ours,
    /// One that we do not know.
    Another,
}

#[derive(Serialize)]
struct Touched {
    call: &'static str,
    at: String,
}

impl Details {
    fn of(subscription: &Subscription, kept: Option<&Kept>, session: &Session) -> Self {
        let ours = kept.map(|kept| &kept.client_state);
        Self {
            shown: Shown::of(subscription, session),
            graph_shows: match &subscription.client_state {
                None => ClientState::Nothing,
                Some(shown) if Some(shown) == ours => ClientState::Ours,
                Some(_) => ClientState::Another,
            },
            last_touched: kept.and_then(|kept| kept.touch).map(|Touch { kind, at, .. }| Touched {
                call: match kind {
                    TouchKind::Patch => "PATCH",
                    TouchKind::Reauthorize => "reauthorize",
                },
                at: rfc3339(at),
            }),
        }
    }
}

impl ClientState {
    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "Graph does not show it",
            Self::Ours => "Graph has the one that is known here",
            Self::Another => "Graph has one that is not known here",
        }
    }
}

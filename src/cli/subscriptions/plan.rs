//! `graphhook subscriptions plan`

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::{
    Manner,
    advice::explained,
    session::{Session, note},
};
use crate::{
    cli::{
        Outcome, Usage,
        table::{Cell, Table, Tone},
        words,
    },
    config::{Environment, Wanted},
    graph::GraphError,
    subscriptions::{
        plan::{Calls, Plan, Step},
        state::{Loss, State},
        work::Workshop,
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
    /// Exit code 2 if anything is to be done.
    #[arg(long)]
    exit_code: bool,
}

pub(super) const HELP: &str = "\
Asks Graph, and changes nothing. Exit code 0; with --exit-code 2 if anything is
to be done.

Examples:
  graphhook subscriptions plan
  graphhook subscriptions plan --json | jq '.steps | length'";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let session = Session::open(&arguments.manner, environment).await?;
    let plan = look(&session.workshop, &session.state).await.map_err(explained)?;
    let drawn = Drawn::of(&plan, &session);
    drawn.print(&session)?;
    match arguments.exit_code && !drawn.steps.is_empty() {
        true => Err(Usage("there is something to do").into()),
        false => Ok(Outcome::Good),
    }
}

/// Whether a step changes anything at Graph, or in what is known to be ours there.
pub(in crate::cli) fn counts(step: &Step) -> bool {
    match step {
        Step::Believe { .. } | Step::Forget { .. } => false,
        Step::Expect { .. } | Step::Adopt { .. } | Step::Rename { .. } | Step::Lose { .. } => true,
        Step::Replace { .. } | Step::Drop { .. } | Step::Delete { .. } | Step::Create { .. } => true,
        Step::Renew { .. } | Step::Move { .. } | Step::Rotate { .. } | Step::Reauthorize { .. } => true,
    }
}

/// What is to be done as far as can be told from here: which subscriptions genuine items have come from is known to the
/// daemon alone, so it may adopt one that looks like nobody's.
pub(in crate::cli) async fn look(workshop: &Workshop, state: &State) -> Result<Plan, GraphError> {
    let (policy, calls) = (workshop.policy().await?, Calls::default());
    let actual = workshop.look(state, &calls, &policy).await?;
    Ok(workshop.question(state, &actual, &calls, &policy, workshop.graph.now()).plan())
}

/// A plan for people: what only our own books have to know is not in it.
#[derive(Serialize)]
pub(super) struct Drawn {
    pub(super) steps: Vec<Line>,
    /// Ids of subscriptions that are none of ours.
    strangers: Vec<String>,
}

/// One step.
#[derive(Serialize)]
pub(super) struct Line {
    step: &'static str,
    name: Option<String>,
    id: Option<String>,
    what: String,
}

impl Drawn {
    pub(super) fn of(plan: &Plan, session: &Session) -> Self {
        let steps = plan.steps.iter().filter_map(|step| Line::of(step, session)).collect();
        Self { steps, strangers: plan.strangers.iter().map(|id| id.to_string()).collect() }
    }

    pub(super) fn print(&self, session: &Session) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if session.json {
            writeln!(out, "{}", serde_json::to_string_pretty(self)?)?;
            return Ok(());
        }
        if self.steps.is_empty() {
            writeln!(out, "nothing to do: Graph has what is wanted")?;
        } else {
            out.write_all(self.table(session).as_bytes())?;
        }
        if !self.strangers.is_empty() {
            note(&format!(
                "{} of others stay as they are",
                words::number(self.strangers.len() as u64, "subscription")
            ));
        }
        Ok(())
    }

    fn table(&self, session: &Session) -> String {
        let mut table = Table::new(["STEP", "NAME", "ID", "WHAT"]);
        for line in &self.steps {
            table.row(line.cells());
        }
        table.text(session.style)
    }
}

impl Line {
    /// As a row of a table.
    fn cells(&self) -> [Cell; 4] {
        let Self { step, name, id, what } = self;
        let tone = match *step {
            "delete" => Tone::Bad,
            "create" => Tone::Good,
            _ => Tone::Odd,
        };
        let text = |text: &Option<String>| Cell::from(text.as_deref().unwrap_or("-"));
        [Cell::new(step, tone), text(name), text(id), Cell::from(what.as_str())]
    }

    /// For people, on one line.
    pub(super) fn words(&self) -> String {
        let Self { step, name, id, what } = self;
        let name = name.as_deref().or(id.as_deref()).unwrap_or("-");
        words::plain(&format!("{step} {name}: {what}"))
    }

    /// Nothing for what changes nothing at Graph.
    pub(super) fn of(step: &Step, session: &Session) -> Option<Self> {
        let wanted = step.name().and_then(|name| {
            session.workshop.settings.subscriptions.iter().find(|wanted| wanted.name == name)
        });
        let (word, what) = words_of(step, wanted, session)?;
        let (name, id) = (step.name().map(str::to_owned), step.id().map(|id| id.to_string()));
        Some(Self { step: word, name, id, what })
    }
}

fn words_of(step: &Step, wanted: Option<&Wanted>, session: &Session) -> Option<(&'static str, String)> {
    let life = || wanted.map(|wanted| words::brief(session.workshop.lifetime(wanted))).unwrap_or_default();
    let resource = || wanted.map(|wanted| wanted.resource.clone()).unwrap_or_default();
    Some(match step {
        Step::Expect { .. } | Step::Create { .. } => ("create", format!("{}, for {}", resource(), life())),
        Step::Adopt { .. } => ("adopt", "it is there, and it is ours".to_owned()),
        Step::Rename { from, .. } => ("rename", format!("it was called {from}")),
        Step::Lose { loss, .. } => ("replace", format!("{}; another one is made", loss_words(*loss))),
        Step::Replace { overlaps: true, .. } => {
            ("replace", "the new one is made first, then this one is deleted".to_owned())
        }
        Step::Replace { overlaps: false, .. } => {
            ("replace", "this one is deleted first: changes in between are lost".to_owned())
        }
        Step::Drop { .. } => ("delete", "no longer wanted".to_owned()),
        Step::Delete { why, .. } => ("delete", why.as_str().to_owned()),
        Step::Renew { id, .. } => ("renew", format!("{}, for {} from now", ends(id, session), life())),
        Step::Move { .. } => {
            ("move", wanted.map(|wanted| format!("to {}", wanted.notification_url)).unwrap_or_default())
        }
        Step::Rotate { .. } => {
            let encryption = wanted.and_then(|wanted| wanted.encryption.as_ref());
            ("rotate", encryption.map(|key| format!("encrypted for {}", key.id)).unwrap_or_default())
        }
        Step::Reauthorize { .. } => ("reauthorize", "it wants a fresh token".to_owned()),
        Step::Believe { .. } | Step::Forget { .. } => return None,
    })
}

fn ends(id: &str, session: &Session) -> String {
    let live = session.state.with_id(id).and_then(|kept| kept.live());
    live.map(|live| words::ends(live.expires_at, session.now)).unwrap_or_default()
}

fn loss_words(loss: Loss) -> &'static str {
    match loss {
        Loss::Removed => "Graph has removed it",
        Loss::Expired => "it has ended",
        Loss::Gone => "Graph does not have it any more",
        Loss::Replaced => "it had to go",
    }
}

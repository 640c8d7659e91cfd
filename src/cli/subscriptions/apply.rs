//! `graphhook subscriptions apply`: what the daemon would do, once, with the same hands.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Arc,
};

use clap::Args;
use serde::Serialize;

use super::{
    Manner,
    advice::explained,
    force::{self, NotInForce},
    plan::{Drawn, Line, look},
    session::{Session, note},
};
use crate::{
    cli::{Outcome, status::place, words},
    config::{Environment, Listen},
    subscriptions::{
        plan::{Calls, Step},
        state::State,
        work::WorkError,
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
    /// Do nothing; say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// The daemon's admin listener: its address, or unix:/path of a socket [default: admin.listen].
    #[arg(long, value_name = "ADDR", value_parser = place)]
    admin: Option<Listen>,
    /// Do not wait until a daemon here believes new clientStates.
    #[arg(long)]
    no_wait: bool,
    /// Although a daemon does it by itself.
    #[arg(long)]
    force: bool,
}

pub(super) const HELP: &str = "\
Steps that fail hold up no others; the exit code is 1 then. While a daemon
manages the subscriptions it does all this by itself.

Examples:
  graphhook subscriptions apply --dry-run
  graphhook subscriptions apply --json | jq .failed";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { manner, dry_run, admin, no_wait, force } = arguments;
    let session = Session::open(&manner, environment).await?;
    if dry_run {
        let plan = look(&session.workshop, &session.state).await.map_err(explained)?;
        Drawn::of(&plan, &session).print(&session)?;
        return Ok(Outcome::Good);
    }
    let place = session.admin(admin);
    if !force && session.is_managed(&place).await {
        anyhow::bail!(
            "a daemon manages the subscriptions, and does this by itself: see `graphhook status`; --force does it nevertheless"
        );
    }
    let mut applied = Applied::default();
    let asked = (!no_wait).then_some(&place);
    for _ in 0..ROUNDS_MAX {
        if !applied.round(&session, asked).await? {
            break;
        }
    }
    applied.tell(&session)
}

/// What came of it.
#[derive(Default, Serialize)]
struct Applied {
    done: Vec<Line>,
    failed: Vec<Failed>,
    /// Names and ids of what has failed: it is not tried again.
    #[serde(skip)]
    given_up: BTreeSet<String>,
}

#[derive(Serialize)]
struct Failed {
    #[serde(flatten)]
    line: Line,
    error: String,
}

impl Applied {
    /// Looks, plans, and does it; whether that may have made something else possible.
    async fn round(&mut self, session: &Session, asked: Option<&Listen>) -> anyhow::Result<bool> {
        let workshop = &session.workshop;
        let calls = Calls::default();
        let policy = workshop.policy().await.map_err(explained)?;
        let state = workshop.state().await?;
        let mut actual = Arc::new(workshop.look(&state, &calls, &policy).await.map_err(explained)?);
        let steps = workshop.question(&state, &actual, &calls, &policy, workshop.graph.now()).plan().steps;
        if steps.iter().any(Step::is_ours_alone) {
            workshop.settle(&steps, &actual).await?;
            return Ok(true);
        }
        let (mut state, mut has_moved) = (state, false);
        for step in &steps {
            if self.is_given_up(step) {
                continue;
            }
            let line = Line::of(step, session);
            if let Err(error) = ready(step, &state, asked).await {
                self.fail(session, step, line, error.into());
                continue;
            }
            match workshop.call(step, &mut actual).await {
                Ok(now) => {
                    state = now;
                    has_moved = true;
                    self.note(session, line);
                }
                // Somebody else was here, too: the next plan goes by that.
                Err(WorkError::Outdated) => has_moved = true,
                Err(WorkError::Graph(error)) => self.fail(session, step, line, explained(error)),
                Err(error @ (WorkError::State(_) | WorkError::NotInForce)) => return Err(error.into()),
            }
        }
        Ok(has_moved)
    }

    fn is_given_up(&self, step: &Step) -> bool {
        subject(step).is_some_and(|subject| self.given_up.contains(subject))
    }

    fn note(&mut self, session: &Session, line: Option<Line>) {
        let Some(line) = line else { return };
        if !session.json {
            note(&line.words());
        }
        self.done.push(line);
    }

    fn fail(&mut self, session: &Session, step: &Step, line: Option<Line>, error: anyhow::Error) {
        self.given_up.extend(subject(step).map(str::to_owned));
        let Some(line) = line else { return };
        let error = format!("{error:#}");
        if !session.json {
            note(&format!("{} FAILED: {}", line.words(), words::plain(&error)));
        }
        self.failed.push(Failed { line, error });
    }

    fn tell(&self, session: &Session) -> anyhow::Result<Outcome> {
        let mut out = io::stdout().lock();
        if session.json {
            writeln!(out, "{}", serde_json::to_string_pretty(self)?)?;
        } else {
            let done = words::number(self.done.len() as u64, "step");
            match (self.done.len(), self.failed.len()) {
                (0, 0) => writeln!(out, "nothing to do: Graph has what is wanted")?,
                (_, 0) => writeln!(out, "{done} done: Graph has what is wanted")?,
                (_, failed) => writeln!(out, "{done} done, {failed} failed")?,
            }
        }
        Ok(if self.failed.is_empty() { Outcome::Good } else { Outcome::Bad })
    }
}

/// Of what there is only one step at a time.
fn subject(step: &Step) -> Option<&str> {
    step.name().or(step.id().map(|id| &**id))
}

/// A clientState that was made here must be believed before Graph is asked.
async fn ready(step: &Step, state: &State, asked: Option<&Listen>) -> Result<(), NotInForce> {
    let (Step::Create { name }, Some(place)) = (step, asked) else { return Ok(()) };
    match state.named(name) {
        Some(kept) if kept.form.entry.is_none() => force::wait(place, state.revision).await,
        Some(_) | None => Ok(()),
    }
}

/// A subscription that is replaced takes five.
const ROUNDS_MAX: usize = 16;

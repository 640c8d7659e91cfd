//! `graphhook subscriptions create`
//!
//! The clientState is made, saved and in force before Graph is asked: the first notification may overtake Graph's answer. If
//! Graph refuses, it is taken back; if nobody knows what Graph did, it stays, and the next try goes on with it.

mod asked;

use std::{
    collections::HashSet,
    io::{self, Write},
};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use self::asked::Asked;
use super::{
    Manner,
    advice::explained,
    force,
    request::Request,
    session::{Session, note},
    shown::Shown,
};
use crate::{
    cli::{Outcome, status::place},
    config::{Environment, Listen, Wanted},
    graph::{
        GraphError,
        subscription::{NewSubscription, Subscription},
    },
    secret::Secret,
    subscriptions::{
        state::{Form, Kept, MadeBy, State},
        work::make_secret,
    },
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    asked: Asked,
    /// Send nothing; say what would be sent.
    #[arg(long)]
    dry_run: bool,
    /// Print the clientState, too: it makes notifications genuine, and is nobody's business.
    #[arg(long)]
    show_client_state: bool,
    /// The daemon's admin listener: its address, or unix:/path of a socket [default: admin.listen].
    #[arg(long, value_name = "ADDR", value_parser = place)]
    admin: Option<Listen>,
    /// Do not wait until a daemon here believes the new clientState.
    #[arg(long)]
    no_wait: bool,
    /// Although a daemon makes it by itself.
    #[arg(long)]
    force: bool,
}

pub(super) const HELP: &str = "\
A clientState of 32 random bytes is made, kept in graph.directory, and in force
in the daemon before Graph is asked; it is not printed. Graph calls both URLs
before it answers, so the daemon must be reachable under them.

Examples:
  graphhook subscriptions create sales
  graphhook subscriptions create --resource '/users/{id}/messages' --change-types created,updated
  graphhook subscriptions create --resource /groups --change-types updated --name groups --dry-run";

pub(super) async fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<Outcome> {
    let Arguments { manner, asked, dry_run, show_client_state, admin, no_wait, force } = arguments;
    let session = Session::open(&manner, environment).await?;
    let (wanted, made_by) = asked.resolve(&session)?;
    if dry_run {
        Request::create(&session.new_subscription(&wanted, made_by, Secret::new(String::new())))?
            .print(session.json)?;
        return Ok(Outcome::Good);
    }
    let place = session.admin(admin);
    if made_by == MadeBy::Wanted && !force && session.is_managed(&place).await {
        anyhow::bail!(
            "a daemon manages the subscriptions, and makes {} by itself: see `graphhook status`; --force does it nevertheless",
            wanted.name
        );
    }
    let known: HashSet<_> = session.list().await?.into_iter().map(|one| one.id).collect();
    let Expected { client_state, revision, before } = session.expect(&wanted, made_by).await?;
    if wanted.client_state.is_none()
        && !no_wait
        && let Err(error) = force::wait(&place, revision).await
    {
        session.take_back(&wanted.name, before).await?;
        return Err(error.into());
    }
    let new = session.new_subscription(&wanted, made_by, client_state.clone());
    let made = match session.workshop.graph.create(&new, &known).await {
        Ok(made) => made,
        Err(error) => return Err(session.failed(&wanted.name, before, error).await?),
    };
    let state = session.record(&wanted.name, &made).await?;
    let session = Session { state, ..session };
    tell(&session, &made, show_client_state.then_some(&client_state))?;
    Ok(Outcome::Good)
}

fn tell(session: &Session, made: &Subscription, client_state: Option<&Secret>) -> anyhow::Result<()> {
    let shown = Shown::of(made, session);
    let mut out = io::stdout().lock();
    if session.json {
        let mut created = json!({ "created": shown });
        if let Some(secret) = client_state {
            created["client_state_secret"] = json!(secret.expose());
        }
        writeln!(out, "{created}")?;
        return Ok(());
    }
    shown.print(&mut out, session.now)?;
    if let Some(secret) = client_state {
        writeln!(out, "{:<15}{}", "secret", secret.expose())?;
    }
    Ok(())
}

/// What the first notification will be judged by.
struct Expected {
    client_state: Secret,
    /// The version of the state that has it.
    revision: u64,
    /// What was known under this name before.
    before: Option<Kept>,
}

impl Session {
    fn new_subscription(&self, wanted: &Wanted, made_by: MadeBy, client_state: Secret) -> NewSubscription {
        let kept = Kept::pending(wanted.name.clone(), made_by, Form::of(wanted), client_state, self.now);
        self.workshop.new_subscription(wanted, &kept, self.now)
    }

    /// Whether a daemon would make wanted ones by itself.
    pub(super) async fn is_managed(&self, place: &Listen) -> bool {
        let said = force::management(place).await;
        said.is_ok_and(|said| said.is_some_and(|management| management.is_manager()))
    }

    /// Saves what the first notification will be judged by; returns the clientState, the version of the state
    /// that has it, and what was there before.
    async fn expect(&self, wanted: &Wanted, made_by: MadeBy) -> anyhow::Result<Expected> {
        let table = &self.config.client_states;
        let configured = wanted.client_state.as_ref().and_then(|name| {
            table.iter().find(|entry| entry.name == *name).map(|entry| entry.secret.clone())
        });
        let fresh = configured.clone().unwrap_or_else(make_secret);
        let (name, form, now) = (wanted.name.clone(), Form::of(wanted), self.now);
        let expected = move |state: &mut State| {
            let before = state.named(&name).cloned();
            let client_state = match state.named_mut(&name) {
                Some(kept) if kept.live().is_some() => None,
                // A try before this one was cut off: what it may have made carries this clientState.
                Some(kept) if kept.form == form && configured.is_none() => Some(kept.client_state.clone()),
                Some(kept) => {
                    let owed = std::mem::take(&mut kept.owed);
                    *kept = Kept { owed, ..Kept::pending(name, made_by, form, fresh.clone(), now) };
                    Some(fresh)
                }
                None => {
                    state.kept.push(Kept::pending(name, made_by, form, fresh.clone(), now));
                    Some(fresh)
                }
            };
            (client_state, before)
        };
        let ((client_state, before), state) = self.update(expected).await?;
        let client_state = client_state.with_context(|| {
            let name = &wanted.name;
            format!("there is {name} already: see `graphhook subscriptions get {name}`")
        })?;
        Ok(Expected { client_state, revision: state.revision, before })
    }

    /// Graph has it.
    async fn record(&self, name: &str, made: &Subscription) -> anyhow::Result<State> {
        let (name, made, now) = (name.to_owned(), made.clone(), self.now);
        let change = move |state: &mut State| {
            if let Some(kept) = state.named_mut(&name) {
                kept.is_now(&made, now);
            }
        };
        Ok(self.update(change).await?.1)
    }

    /// What is to be told of an error; the state keeps what Graph may have made.
    async fn failed(
        &self,
        name: &str,
        before: Option<Kept>,
        error: GraphError,
    ) -> anyhow::Result<anyhow::Error> {
        let may_be_made = matches!(
            error,
            GraphError::Uncertain { .. } | GraphError::Unanswered { .. } | GraphError::Answer { .. }
        );
        if may_be_made {
            note("what it may have made is believed: the next `apply` finds it");
        } else {
            self.take_back(name, before).await?;
        }
        Ok(explained(error))
    }

    /// Nothing was made by this try. What was made by one before it, or is owed to consumers since, is still believed and
    /// owed.
    async fn take_back(&self, name: &str, before: Option<Kept>) -> anyhow::Result<()> {
        let name = name.to_owned();
        let change = move |state: &mut State| {
            if state.named(&name).is_some_and(|kept| kept.live().is_none()) {
                state.kept.retain(|kept| kept.name != name);
                state.kept.extend(before);
            }
        };
        self.update(change).await.map(drop)
    }
}

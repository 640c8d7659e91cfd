//! What a command works with: the configuration, a client of Graph, and what is known of our subscriptions.

use std::{sync::Arc, time::SystemTime};

use anyhow::Context;

use super::{Manner, advice::explained};
use crate::{
    blocking::off_thread,
    cli::check::Style,
    config::{self, Config, Environment},
    graph::{Graph, GraphError, subscription::Subscription},
    metrics::Metrics,
    notification::id::SubscriptionId,
    subscriptions::{
        state::{Kept, State},
        work::Workshop,
    },
};

/// Everything at hand.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) config: Config,
    /// The way to Graph, and what is wanted.
    pub(super) workshop: Workshop,
    /// As it was when the command began.
    pub(super) state: State,
    pub(super) now: SystemTime,
    pub(super) style: Style,
    pub(super) json: bool,
}

/// A subscription that was named on the command line.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) id: SubscriptionId<'static>,
    /// What we know of it, if it is ours.
    pub(super) kept: Option<Kept>,
}

/// The configuration, if somebody may sign in by it.
pub(super) fn settings(
    manner: &Manner,
    environment: &Environment,
) -> anyhow::Result<(Config, config::Graph)> {
    let loaded = config::load(manner.config.as_deref(), environment)?;
    let settings = loaded.config.graph.clone().with_context(|| {
        format!("{}: [graph] does not say who signs in to Graph: set graph.sign_in", loaded.name)
    })?;
    Ok((loaded.config, settings))
}

impl Session {
    /// Signs nobody in yet.
    pub(super) async fn open(manner: &Manner, environment: &Environment) -> anyhow::Result<Self> {
        let (config, settings) = settings(manner, environment)?;
        let graph = Graph::new(&settings, Metrics::new()).await.map_err(explained)?;
        let (settings, table) = (Arc::new(settings), config.client_states.clone().into());
        let workshop = Workshop { graph, settings, table };
        let state = workshop.state().await?;
        let (now, style) = (SystemTime::now(), Style::of(environment));
        Ok(Self { config, workshop, state, now, style, json: manner.json })
    }

    /// Everything that Graph lists.
    pub(super) async fn list(&self) -> anyhow::Result<Vec<Subscription>> {
        self.workshop.graph.list().await.map_err(explained)
    }

    /// The subscription of this name, or else the one with this id.
    pub(super) fn find(&self, text: &str) -> anyhow::Result<Named> {
        if let Some(kept) = self.state.named(text) {
            let live = kept
                .live()
                .with_context(|| format!("{text} is not at Graph yet: see `graphhook subscriptions plan`"))?;
            return Ok(Named { id: live.id.clone(), kept: Some(kept.clone()) });
        }
        if self.workshop.settings.subscriptions.iter().any(|wanted| wanted.name == text) {
            anyhow::bail!("{text} is wanted, and not made yet: see `graphhook subscriptions plan`");
        }
        let id = SubscriptionId::from(text.to_owned());
        if !id.is_safe_in_path() {
            anyhow::bail!("no subscription has this name: see `graphhook subscriptions list`");
        }
        Ok(Named { id, kept: self.state.with_id(text).cloned() })
    }

    /// Changes the state, beside a daemon that may change it, too.
    pub(super) async fn update<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> anyhow::Result<(T, State)> {
        let directory = self.workshop.settings.directory.clone();
        let updated = off_thread(move || State::update(&directory, change)).await?;
        if let Some(path) = &updated.set_aside {
            note(&format!("what was known of subscriptions was damaged, and is now {}", path.display()));
        }
        Ok((updated.value, updated.state))
    }
}

impl Named {
    /// As people call it.
    pub(super) fn called(&self) -> String {
        match &self.kept {
            Some(kept) => format!("{} ({})", kept.name, &*self.id),
            None => self.id.to_string(),
        }
    }

    /// As the error of a call about it, with what it means for the state.
    pub(super) fn gone(&self, error: GraphError) -> anyhow::Error {
        let is_gone = matches!(error, GraphError::Gone(_));
        let error = explained(error);
        match (&self.kept, is_gone) {
            (Some(kept), true) => error.context(format!(
                "{} has ended, or somebody has deleted it: `graphhook subscriptions plan` shows what follows",
                kept.name
            )),
            (Some(_) | None, _) => error,
        }
    }
}

/// What is said beside the result.
#[expect(clippy::print_stderr, reason = "it is said to who waits, and is no result")]
pub(super) fn note(words: &str) {
    eprintln!("graphhook: {words}");
}

//! How far what Graph has is from what is wanted.

use std::sync::Arc;

use super::super::report::{Check, Finding};
use crate::{
    cli::{
        subscriptions::{counts, look},
        words,
    },
    config::{self, Config},
    graph::Graph,
    subscriptions::work::Workshop,
};

/// The plan, in one line.
pub(super) async fn drift(graph: &Graph, settings: &config::Graph, config: &Config) -> Option<Finding> {
    let (settings, table) = (Arc::new(settings.clone()), config.client_states.clone().into());
    let workshop = Workshop { graph: graph.clone(), settings, table };
    // Told of already, if it cannot be read.
    let state = workshop.state().await.ok()?;
    let plan = match look(&workshop, &state).await {
        Ok(plan) => plan,
        Err(error) => return Some(super::failed(CHECK, "", &error)),
    };
    let steps = plan.steps.iter().filter(|step| counts(step)).count() as u64;
    if steps == 0 {
        return Some(Finding::ok(CHECK, "Graph has what is wanted"));
    }
    let advice = match workshop.settings.manage {
        true => "the daemon does it when it runs: graphhook status says what keeps it from that",
        false => "graphhook subscriptions plan shows it, and apply does it",
    };
    let words = format!("{} from what is wanted", words::number(steps, "step"));
    Some(Finding::warning(CHECK, words, advice))
}

const CHECK: Check = Check::Subscriptions;

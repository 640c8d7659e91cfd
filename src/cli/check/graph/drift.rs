//! How far what Graph has is from what is wanted.

use super::super::report::{Check, Finding};
use crate::{
    blocking::off_thread,
    cli::{
        subscriptions::{Look, counts},
        words,
    },
    config::{self, Config},
    graph::{Graph, subscription::Subscription},
    subscriptions::state::State,
};

/// The plan, in one line.
pub(super) async fn drift(
    graph: &Graph,
    settings: &config::Graph,
    config: &Config,
    list: Vec<Subscription>,
) -> Vec<Finding> {
    let directory = settings.directory.clone();
    // Told of already, if it cannot be read.
    let Ok(state) = off_thread(move || State::load(&directory)).await else { return Vec::new() };
    let look = match Look::at(graph, (settings, config), &state, list).await {
        Ok(look) => look,
        Err(error) => return vec![super::failed(CHECK, "", &error)],
    };
    let steps = look.plan().steps.iter().filter(|step| counts(step)).count() as u64;
    if steps == 0 {
        return vec![Finding::ok(CHECK, "Graph has what is wanted")];
    }
    let advice = match settings.manage {
        true => "the daemon does it when it runs: graphhook status says what keeps it from that",
        false => "graphhook subscriptions plan shows it, and apply does it",
    };
    let words = format!("{} from what is wanted", words::number(steps, "step"));
    vec![Finding::warning(CHECK, words, advice)]
}

const CHECK: Check = Check::Subscriptions;

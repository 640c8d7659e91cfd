//! What requests are judged by: one version of the configuration, made ready.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

use crate::{
    config::{ClientState, Config, Limits},
    envelope::Router,
    metrics::Metrics,
    verify::Verifier,
};

/// The part of a configuration that a request sees. It holds one from its head to its answer, so that a reload
/// never shows it two versions.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) paths: Vec<String>,
    pub(super) limits: Limits,
    pub(super) answer_within: Duration,
    pub(super) verifier: Verifier,
    pub(super) router: Router,
    /// Genuine items of each entry of the table, in its order.
    pub(super) genuine: Vec<Counter>,
}

impl Rules {
    pub(super) fn of(config: &Config, metrics: &Metrics) -> Self {
        let counter = |state: &ClientState| metrics.client_states.verified(&state.name);
        Self {
            paths: config.server.paths.clone(),
            limits: config.server.limits,
            answer_within: config.server.answer_within,
            verifier: Verifier::new(&config.client_states),
            router: Router::new(config.broker.routing_key.clone(), config.broker.client_state),
            genuine: config.client_states.iter().map(counter).collect(),
        }
    }
}

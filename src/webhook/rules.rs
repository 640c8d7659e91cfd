//! What requests are judged by: one version of the configuration, made ready.

use std::time::Duration;

use crate::{
    config::{Config, Limits},
    envelope::Router,
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
}

impl Rules {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            paths: config.server.paths.clone(),
            limits: config.server.limits,
            answer_within: config.server.answer_within,
            verifier: Verifier::new(&config.client_states),
            router: Router::new(config.broker.routing_key.clone(), config.broker.client_state),
        }
    }
}

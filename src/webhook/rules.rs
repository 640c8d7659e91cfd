//! What requests are judged by: one version of the configuration, made ready.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

use crate::{
    config::{ClientState, Config, Limits},
    deadline::Deadline,
    envelope::Router,
    metrics::Metrics,
    notification::Batch,
    verify::{
        Verified, Verifier,
        keys::Keys,
        rich::{Rich, Turns, Undecided},
    },
};

/// The part of a configuration that a request sees. It holds one from its head to its answer, so that a reload
/// never shows it two versions.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) paths: Vec<String>,
    pub(super) limits: Limits,
    pub(super) answer_within: Duration,
    pub(super) verifier: Verifier,
    /// Resource data, if it is to be checked.
    pub(super) rich: Option<Rich>,
    pub(super) router: Router,
    /// Genuine items of each entry of the table, in its order.
    pub(super) genuine: Vec<Counter>,
}

/// What all versions of the configuration judge with.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) keys: Keys,
    pub(super) turns: Turns,
}

impl Rules {
    pub(super) fn of(config: &Config, means: &Means, metrics: &Arc<Metrics>) -> Self {
        let rich = |rich| Rich::new(rich, means.keys.clone(), means.turns.clone(), Arc::clone(metrics));
        let counter = |state: &ClientState| metrics.client_states.verified(&state.name);
        Self {
            paths: config.server.paths.clone(),
            limits: config.server.limits,
            answer_within: config.server.answer_within,
            verifier: Verifier::new(&config.client_states),
            rich: config.rich.clone().map(rich),
            router: Router::new(config.broker.routing_key.clone(), config.broker.client_state),
            genuine: config.client_states.iter().map(counter).collect(),
        }
    }

    /// Judges the items that were read from `body`.
    pub(super) async fn verify<'a>(
        &self,
        batch: Batch<'a>,
        body: &Bytes,
        now: SystemTime,
        owed: Deadline,
    ) -> Result<Verified<'a>, Undecided<'a>> {
        let verified = self.verifier.verify(batch);
        match &self.rich {
            Some(rich) => rich.judge(verified, body, now, owed).await,
            None => Ok(verified),
        }
    }
}

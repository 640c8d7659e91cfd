//! Telling consumers what they may have missed, so that they fetch it by a delta query.
//!
//! A [`Gap`] goes the road of every message: when [`Gaps::tell`] says `Ok`, the broker has confirmed it or the spool has it
//! on disk. [`losses`] finds the gaps that this daemon knows of by itself, whether or not it manages subscriptions; what
//! cannot be told at once is kept in a [`ledger`] that outlives a restart.

mod file;
mod ledger;
pub mod losses;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing::warn;

use crate::{
    deadline::Deadline,
    delivery::{Delivery, Undeliverable},
    envelope::{
        gap::{Gap, GapReason},
        routing::Template,
    },
    metrics::Metrics,
    moment::rfc3339,
    telemetry::Sparse,
};

/// Tells consumers of gaps.
#[derive(Debug)]
pub struct Gaps {
    delivery: Arc<Delivery>,
    template: Mutex<Template>,
    managed: Mutex<HashSet<String>>,
    metrics: Arc<Metrics>,
    /// One for each reason.
    words: [Sparse; GapReason::ALL.len()],
}

/// Consumers could not be told: whoever owes the gap still does.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("consumers cannot be told of a gap")]
pub struct Untold(#[from] Undeliverable);

impl Gaps {
    /// Tells by this delivery, and addresses by this template.
    pub fn new(delivery: Arc<Delivery>, template: Template, metrics: Arc<Metrics>) -> Arc<Self> {
        let words = std::array::from_fn(|_| Sparse::default());
        let (template, managed) = (Mutex::new(template), Mutex::default());
        Arc::new(Self { delivery, template, managed, metrics, words })
    }

    /// Addresses by this template from now on.
    pub fn adopt(&self, template: Template) {
        *self.template.lock().unwrap_or_else(PoisonError::into_inner) = template;
    }

    /// Tells of a gap. After `Ok` it is safe; one that is told twice has the same message id both times.
    ///
    /// # Errors
    ///
    /// [`Untold`]: keep it and tell it again.
    ///
    /// # Cancel safety
    ///
    /// It may have been told.
    pub async fn tell(&self, gap: &Gap) -> Result<(), Untold> {
        self.tell_all(std::slice::from_ref(gap)).await
    }

    /// These subscriptions are managed: of their removal, whoever manages them tells, when there is a new one in their
    /// place. Of all others it is told as soon as Graph says it.
    pub fn manage(&self, subscriptions: impl IntoIterator<Item = String>) {
        *self.managed() = subscriptions.into_iter().collect();
    }

    fn is_managed(&self, subscription: &str) -> bool {
        self.managed().contains(subscription)
    }

    fn managed(&self) -> MutexGuard<'_, HashSet<String>> {
        self.managed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell_all(&self, gaps: &[Gap]) -> Result<(), Untold> {
        let template = self.template.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let envelopes = gaps.iter().map(|gap| gap.envelope(&template)).collect();
        let _receipts = self.delivery.deliver(envelopes, Deadline::after(TELL_WITHIN)).await?;
        for gap in gaps {
            self.metrics.gaps.count(gap.reason);
            self.log(gap);
        }
        Ok(())
    }

    fn log(&self, gap: &Gap) {
        let words = GapReason::ALL.iter().zip(&self.words).find(|(reason, _)| **reason == gap.reason);
        let Some(others) = words.and_then(|(_, words)| words.pass(Instant::now())) else { return };
        warn!(
            event = "gap_told",
            reason = gap.reason.as_str(),
            subscription = gap.subscription_id,
            from = gap.from.map(rfc3339),
            to = rfc3339(gap.to),
            others,
            "consumers are told that changes may be missing"
        );
    }
}

/// Time for the broker or the spool to take a gap.
const TELL_WITHIN: Duration = Duration::from_secs(5);

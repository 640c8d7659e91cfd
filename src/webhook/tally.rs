//! The books of one request.

use super::rules::Rules;
use crate::{
    delivery::Receipts,
    metrics::{Metrics, Outcome},
    notification::lifecycle::{Event, Kind},
    verify::Verified,
};

/// The books of one request: what was received has exactly one outcome, whatever happens to the request.
pub(super) struct Tally<'a> {
    authentic: usize,
    refused: usize,
    /// Published and spooled, once the answer is 202.
    settled: (usize, usize),
    metrics: &'a Metrics,
}

impl<'a> Tally<'a> {
    /// Counts what was received, now that the verdicts are known.
    pub(super) fn of(verified: &Verified<'_>, rules: &Rules, metrics: &'a Metrics) -> Self {
        let (authentic, refused) = (verified.authentic(), verified.refused());
        metrics.open.add(verified.len());
        metrics.batch_items.observe(verified.len() as f64);
        // Counters are shared with all other requests: each is touched once, or once for a run of equal items.
        for run in authentic.chunk_by(|item, next| item.entry == next.entry) {
            rules.genuine[run[0].entry].inc_by(run.len() as u64);
        }
        let kinds = || {
            let authentic = authentic.iter().map(|item| &item.notification);
            authentic
                .chain(refused.iter().map(|item| &item.notification))
                .map(|notification| notification.kind)
        };
        let lifecycle = kinds().filter(|kind| *kind == Kind::Lifecycle).count();
        metrics.received.count_many(Kind::Lifecycle, lifecycle);
        metrics.received.count_many(Kind::Notification, verified.len() - lifecycle);
        if lifecycle > 0 {
            let told = authentic.iter().filter(|item| item.notification.kind == Kind::Lifecycle);
            told.for_each(|item| {
                metrics.lifecycle_events.count(item.notification.event().unwrap_or(Event::Other))
            });
        }
        for run in refused.chunk_by(|item, next| item.reason == next.reason) {
            metrics.refused.count_many(run[0].reason, run.len());
        }
        Self { authentic: authentic.len(), refused: refused.len(), settled: (0, 0), metrics }
    }

    /// The request is answered 202, and this is what the answer rests on.
    pub(super) fn settle(mut self, receipts: &Receipts) {
        debug_assert_eq!(receipts.published() + receipts.spooled(), self.authentic);
        self.settled = (receipts.published(), receipts.spooled());
    }
}

impl Drop for Tally<'_> {
    /// A request that failed, or whose client hung up, ends here as well: Graph will repeat its items.
    fn drop(&mut self) {
        let (published, spooled) = self.settled;
        self.metrics.outcomes.count_many(Outcome::Published, published);
        self.metrics.outcomes.count_many(Outcome::Spooled, spooled);
        self.metrics.outcomes.count_many(Outcome::Unavailable, self.authentic - published - spooled);
        self.metrics.outcomes.count_many(Outcome::Refused, self.refused);
        self.metrics.open.settle(self.authentic + self.refused);
    }
}

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
        for item in authentic {
            rules.genuine[item.entry].inc();
            if item.notification.kind == Kind::Lifecycle {
                metrics.lifecycle_events.count(item.notification.event().unwrap_or(Event::Other));
            }
        }
        for notification in authentic
            .iter()
            .map(|item| &item.notification)
            .chain(refused.iter().map(|item| &item.notification))
        {
            metrics.received.count(notification.kind);
        }
        for item in refused {
            metrics.refused.count(item.reason);
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

//! What became of every item.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::{Metrics, Outcome};

/// What became of everything: received = published + spooled + refused + unavailable + in flight.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Books {
    /// Items whose verdict is known.
    pub received: u64,
    /// See [`Outcome`].
    pub published: u64,
    /// See [`Outcome`].
    pub spooled: u64,
    /// See [`Outcome`].
    pub refused: u64,
    /// See [`Outcome`].
    pub unavailable: u64,
    /// Received, and their request not answered yet.
    pub in_flight: u64,
    /// More outcomes than items: must be 0.
    pub conservation_error: u64,
}

/// Items received whose request is not answered yet, counted by the requests themselves: so the equation can be proven
/// at the end, instead of being solved for what is missing.
#[derive(Debug, Default)]
pub struct Open(AtomicU64);

impl Open {
    /// Items are received.
    pub fn add(&self, items: usize) {
        self.0.fetch_add(items as u64, Ordering::Relaxed);
    }

    /// They have their outcomes.
    pub fn settle(&self, items: usize) {
        self.0.fetch_sub(items as u64, Ordering::Relaxed);
    }
}

impl Metrics {
    /// By how many items the equation is wrong. Only once nothing moves any more is it exact.
    pub fn imbalance(&self) -> u64 {
        let open = self.open.0.load(Ordering::Relaxed);
        let settled: u64 = self.outcomes.sum();
        self.received.sum().abs_diff(settled.saturating_add(open))
    }

    /// The books as they stand.
    pub fn books(&self) -> Books {
        // Outcomes are read first: an item that arrives in between can only look as if still in flight.
        let outcome = |outcome| self.outcomes.of_label(outcome).get();
        let [published, spooled, refused, unavailable] =
            [Outcome::Published, Outcome::Spooled, Outcome::Refused, Outcome::Unavailable].map(outcome);
        let settled = published + spooled + refused + unavailable;
        let received = self.received.sum();
        Books {
            received,
            published,
            spooled,
            refused,
            unavailable,
            in_flight: received.saturating_sub(settled),
            conservation_error: settled.saturating_sub(received),
        }
    }
}

//! What failed, and when it is tried again.

use std::time::{Duration, Instant};

use crate::{backoff::Backoff, telemetry::Sparse};

/// A subscription with which something failed.
#[derive(Debug)]
pub(super) struct Rest {
    backoff: Backoff,
    /// It is not tried before.
    pub(super) until: Instant,
    /// Why it failed the last time.
    pub(super) words: String,
    /// The log hears of it now and then.
    pub(super) sparse: Sparse,
}

impl Rest {
    /// Nothing has failed yet.
    pub(super) fn new() -> Self {
        Self {
            backoff: Backoff::new(super::PAUSE_FIRST, super::PAUSE_LONGEST),
            until: Instant::now(),
            words: String::new(),
            sparse: Sparse::every(super::PAUSE_LONGEST),
        }
    }

    /// It has failed again. Returns the pause before the next try.
    pub(super) fn again(&mut self, words: String, given: Option<Duration>) -> Duration {
        let given = given.unwrap_or_default().min(super::PAUSE_GIVEN_MAX);
        let pause = self.backoff.next_pause().max(given);
        self.until = Instant::now() + pause;
        self.words = words;
        pause
    }
}

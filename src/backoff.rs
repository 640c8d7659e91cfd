//! Pauses between tries: growing, jittered, bounded. The only retry timing of the program; [`acme`](crate::acme) goes by
//! what an authority says besides.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The pause before the next try.
///
/// Each pause is drawn evenly between half a ceiling and the ceiling, which doubles up to a maximum: a fleet of
/// daemons does not come back to a recovering broker at one moment, and none of them comes in a tight loop.
#[derive(Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    tries: u32,
}

impl Backoff {
    /// Ceilings from `first`, doubling, up to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, tries: 0 }
    }

    /// Begins anew. Call it only after a success that lasted: a connection that breaks at once is no success.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Draws the next pause.
    pub fn next_pause(&mut self) -> Duration {
        let ceiling = self.ceiling();
        self.tries = self.tries.saturating_add(1);
        ceiling.mul_f64(0.5 + chance() / 2.0)
    }

    /// Pauses.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the pause; the try it stood for stays counted.
    #[expect(clippy::disallowed_methods, reason = "this is the place where the program waits by the clock")]
    pub async fn pause(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }

    fn ceiling(&self) -> Duration {
        let doubled = 2_u32.checked_pow(self.tries).and_then(|factor| self.first.checked_mul(factor));
        doubled.map_or(self.longest, |ceiling| ceiling.min(self.longest))
    }
}

/// A time drawn evenly from a tenth below `around` to a tenth above, so that what began together does not end together.
pub fn jittered(around: Duration) -> Duration {
    around.mul_f64(0.9 + chance() / 5.0)
}

/// A number from 0 up to 1. `RandomState` is seeded by the system; jitter needs no better source.
pub(crate) fn chance() -> f64 {
    let draw = RandomState::new().hash_one(0_u8);
    f64::from(u32::try_from(draw >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_pause_lies_in_the_upper_half_of_its_ceiling(first in 1_u64..10_000, longest in 1_u64..100_000, tries in 0_usize..80) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(longest));
            let mut backoff = Backoff::new(first, longest);
            for _ in 0..tries {
                let ceiling = backoff.ceiling();
                prop_assert!(ceiling <= longest);
                let pause = backoff.next_pause();
                prop_assert!(ceiling / 2 <= pause && pause <= ceiling);
            }
            backoff.reset();
            prop_assert_eq!(backoff.ceiling(), first.min(longest));
        }
    }

    #[test]
    fn pauses_differ() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        let pauses: std::collections::BTreeSet<_> = (0..20).map(|_| backoff.next_pause()).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
    }
}

//! When a subscription ends, as its items say it. Pure.

use super::Moment;

/// The end that a subscription's items name, and what makes an alarm of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct End {
    /// The end.
    pub(super) at: Moment,
    /// When it was first named: the subscription was made or renewed by then.
    pub(super) named_at: Moment,
}

impl End {
    /// Whether less than a fifth of what we saw of its life is left.
    pub(super) fn is_near(&self, now: Moment) -> bool {
        let life = self.at.saturating_sub(self.named_at);
        !self.is_past(now) && self.at.saturating_sub(now).saturating_mul(5) < life
    }

    pub(super) fn is_past(&self, now: Moment) -> bool {
        self.at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_the_last_fifth_of_the_life_that_was_seen() {
        let end = End { at: Moment::from_secs(1_000), named_at: Moment::from_secs(0) };
        for (now, is_near, is_past) in [
            (0, false, false),
            (800, false, false),
            (801, true, false),
            (999, true, false),
            (1_000, false, true),
        ] {
            let now = Moment::from_secs(now);
            assert_eq!((end.is_near(now), end.is_past(now)), (is_near, is_past), "{now:?}");
        }
        let born_dead = End { at: Moment::from_secs(5), named_at: Moment::from_secs(9) };
        assert!(born_dead.is_past(Moment::from_secs(9)) && !born_dead.is_near(Moment::from_secs(9)));
    }
}

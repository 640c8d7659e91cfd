//! When to ask the authority: pure, so that years pass in a test within a moment.

use std::time::{Duration, SystemTime};

use crate::{listener::tls::Facts, moment::at_unix};

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Life {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

/// When the authority would like a certificate to be renewed (RFC 9773, section 4.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Window {
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
}

impl Life {
    /// The life that a certificate tells of.
    pub(super) fn of(facts: &Facts) -> Self {
        Self { from: at_unix(facts.not_before), until: at_unix(facts.not_after) }
    }

    /// When to renew it, if the authority suggests nothing: when two thirds of its life are over, or half of a short
    /// life, as Let's Encrypt advises; up to a twentieth sooner, by `chance` from 0 to 1, so that certificates that
    /// were issued together do not come back together.
    pub(super) fn renewal(self, chance: f64) -> SystemTime {
        let length = self.length();
        let due = if length < SHORT_LIFE { length / 2 } else { length / 3 * 2 };
        self.from + due - (length / 20).mul_f64(chance.clamp(0.0, 1.0))
    }

    /// A moment within the authority's window, by `chance`; but while there is still time for failures.
    pub(super) fn renewal_within(self, window: Window, chance: f64) -> SystemTime {
        let wide = window.end.duration_since(window.start).unwrap_or_default();
        (window.start + wide.mul_f64(chance.clamp(0.0, 1.0))).min(self.until - self.length() / 6)
    }

    fn length(self) -> Duration {
        self.until.duration_since(self.from).unwrap_or_default()
    }
}

/// When to try again after a failure at `now`.
///
/// The authority's word (`told`, Retry-After) counts, up to a day. Without one it is after `pause`, or sooner when a
/// good certificate ends (`until`) before that: then after half of what is left, again and again.
pub(super) fn retry(
    now: SystemTime,
    pause: Duration,
    told: Option<SystemTime>,
    until: Option<SystemTime>,
) -> SystemTime {
    if let Some(told) = told {
        return told.clamp(now + SHORTEST_PAUSE, now + LONGEST_WORD);
    }
    let left = until.and_then(|until| until.duration_since(now).ok()).filter(|left| !left.is_zero());
    let pause = left.map_or(pause, |left| pause.min(left / 2));
    now + pause.max(SHORTEST_PAUSE)
}

/// How long to sleep towards `then`: never for long, because the clock on the wall may be set, and does not stand still
/// while the machine sleeps.
pub(super) fn nap(now: SystemTime, then: SystemTime) -> Duration {
    then.duration_since(now).unwrap_or_default().min(LONGEST_NAP)
}

/// Of lives shorter than this, half is kept for renewal.
const SHORT_LIFE: Duration = Duration::from_secs(10 * 24 * 60 * 60);
/// Between two tries in any case.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// Let's Encrypt tells those over a limit to come back in up to a week; asking once a day costs nobody anything, and
/// finds out when the limit was lifted.
const LONGEST_WORD: Duration = Duration::from_secs(24 * 60 * 60);
const LONGEST_NAP: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn day(days: u32) -> SystemTime {
        at_unix(1_700_000_000) + DAY * days
    }

    fn life(days: u32) -> Life {
        Life { from: day(0), until: day(days) }
    }

    #[test]
    fn two_thirds_of_a_life_and_half_of_a_short_one() {
        assert_eq!(life(90).renewal(0.0), day(60));
        assert_eq!(life(90).renewal(1.0), day(60) - DAY * 9 / 2);
        assert_eq!(life(6).renewal(0.0), day(3));
        let minute = Life { from: day(0), until: day(0) + Duration::from_secs(60) };
        assert_eq!(minute.renewal(0.0), day(0) + Duration::from_secs(30));
    }

    #[test]
    fn a_window_is_taken_at_its_word_while_there_is_time() {
        let window = |start, end| Window { start: day(start), end: day(end) };
        assert_eq!(life(90).renewal_within(window(10, 12), 0.5), day(11));
        assert_eq!(life(90).renewal_within(window(89, 95), 0.5), day(75));
        assert_eq!(life(90).renewal_within(window(12, 10), 0.5), day(12));
    }

    #[test]
    fn the_authority_says_when_to_come_back() {
        let (now, minute) = (day(0), Duration::from_secs(60));
        assert_eq!(retry(now, minute, Some(day(0) + minute * 5), None), now + minute * 5);
        assert_eq!(retry(now, minute, Some(day(0) + minute * 5), Some(now + minute)), now + minute * 5);
        assert_eq!(retry(now, minute, Some(day(7)), None), day(1));
        assert_eq!(retry(now, minute, Some(now - minute), None), now + SHORTEST_PAUSE);
    }

    #[test]
    fn the_end_of_a_certificate_shortens_a_pause() {
        let (now, hour) = (day(0), Duration::from_secs(3600));
        assert_eq!(retry(now, hour, None, None), now + hour);
        assert_eq!(retry(now, hour, None, Some(day(30))), now + hour);
        assert_eq!(retry(now, hour, None, Some(now + hour)), now + hour / 2);
        assert_eq!(retry(now, hour, None, Some(now - hour)), now + hour);
    }

    proptest! {
        /// Failures all along: there is a last try before the end, and never a tight loop.
        #[test]
        fn tries_go_on_to_the_end_and_are_never_crowded(seconds in 30_u64..40_000_000, pause in 1_u64..100_000, chance in 0.0..1.0_f64) {
            let (from, pause) = (day(0), Duration::from_secs(pause));
            let life = Life { from, until: from + Duration::from_secs(seconds) };
            let mut now = life.renewal(chance);
            prop_assert!(from <= now && now < life.until);
            let (mut last, mut tries) = (now, 0);
            while now < life.until {
                last = now;
                let next = retry(now, pause, None, Some(life.until));
                prop_assert!(next >= now + SHORTEST_PAUSE);
                now = next;
                tries += 1;
            }
            prop_assert!(life.until.duration_since(last).unwrap_or_default() <= SHORTEST_PAUSE * 2);
            prop_assert!(tries as u64 <= seconds / pause.as_secs().max(2) + 40);
        }

        #[test]
        fn no_date_is_too_odd(from in any::<i64>(), until in any::<i64>(), chance in any::<f64>()) {
            let life = Life { from: at_unix(from), until: at_unix(until) };
            let renewal = life.renewal(chance);
            prop_assert!(life.from <= renewal);
            prop_assert!(renewal <= life.until.max(life.from));
            prop_assert!(nap(day(0), renewal) <= LONGEST_NAP);
        }
    }
}

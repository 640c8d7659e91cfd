//! Graph's ten-minute rules, kept on our own answers. Pure: time is an argument.
//!
//! "Receive change notifications through webhooks" (April 2026): an endpoint is *slow* when over 10 % of its answers in
//! ten minutes took longer than 3 s, and leaves that state when they are under 10 %; then every notification comes ten
//! minutes late. It is *dropped* when over 15 % took longer than 10 s, until they are under 15 %; then notifications are
//! thrown away, for good.
//!
//! What the page leaves open, and how it is taken here: exactly 10 % neither enters nor leaves. Ten minutes are this
//! second and the 599 before it. While the window is empty a state stays, because nothing has shown that it is over.
//! There is no least number of answers (the page of 2023 had one, of 100). A client that has gone before its answer
//! waited in vain: that is over 3 s, whatever our clock says; and if it had waited longer than 3 s, it was a
//! repetition, which is waited for 10 s, so it is over these as well.

use std::{mem, time::Duration};

use serde::Serialize;

/// Our answers of the last ten minutes.
#[derive(Debug)]
pub struct Answers {
    /// By second, at its place in the ring.
    seconds: Box<[Count; WINDOW_SECONDS]>,
    /// The newest second.
    newest: u64,
    /// All of them.
    sum: Count,
    is_slow: bool,
    is_drop: bool,
}

/// How long Graph waited.
#[derive(Clone, Copy, Debug)]
pub enum Waited {
    /// For its answer.
    Answered(Duration),
    /// And was gone then.
    InVain(Duration),
}

/// What Graph will do with new notifications.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prediction {
    /// Send them at once.
    Good,
    /// Send them ten minutes late.
    Slow,
    /// Throw them away.
    Drop,
}

/// The window as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outlook {
    /// Share of the answers that took longer than 3 s; 0 without any.
    pub slow_ratio: f64,
    /// Share of the answers that took longer than 10 s.
    pub drop_ratio: f64,
    /// What follows.
    pub predicted: Prediction,
    /// Answers in the window.
    pub answers: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u32,
    over_first: u32,
    over_repeated: u32,
}

impl Default for Answers {
    fn default() -> Self {
        let seconds = Box::new([Count::default(); WINDOW_SECONDS]);
        Self { seconds, newest: 0, sum: Count::default(), is_slow: false, is_drop: false }
    }
}

impl Answers {
    /// Notes an answer that ended `now`; times are since any one moment.
    pub fn note(&mut self, now: Duration, waited: Waited) {
        self.advance(now);
        let (over_first, over_repeated) = match waited {
            Waited::Answered(time) => (time > FIRST_ALLOWANCE, time > REPEATED_ALLOWANCE),
            Waited::InVain(time) => (true, time > FIRST_ALLOWANCE),
        };
        let one = Count { all: 1, over_first: over_first.into(), over_repeated: over_repeated.into() };
        self.seconds[place(self.newest)].add(one);
        self.sum.add(one);
        self.judge();
    }

    /// The window as it stands `now`.
    pub fn outlook(&mut self, now: Duration) -> Outlook {
        self.advance(now);
        let Count { all, over_first, over_repeated } = self.sum;
        let share = |part: u32| if all == 0 { 0.0 } else { f64::from(part) / f64::from(all) };
        let predicted = match (self.is_slow, self.is_drop) {
            (_, true) => Prediction::Drop,
            (true, false) => Prediction::Slow,
            (false, false) => Prediction::Good,
        };
        Outlook { slow_ratio: share(over_first), drop_ratio: share(over_repeated), predicted, answers: all }
    }

    /// Lets go of seconds that are over, one by one, so that a look that comes late sees what an early one would have.
    fn advance(&mut self, now: Duration) {
        let second = now.as_secs();
        for passed in self.newest + 1..=second.min(self.newest + WINDOW_SECONDS as u64) {
            let gone = mem::take(&mut self.seconds[place(passed)]);
            if gone.all > 0 {
                self.sum.all -= gone.all;
                self.sum.over_first -= gone.over_first;
                self.sum.over_repeated -= gone.over_repeated;
                self.judge();
            }
        }
        self.newest = self.newest.max(second);
    }

    fn judge(&mut self) {
        let Count { all, over_first, over_repeated } = self.sum;
        if all == 0 {
            return;
        }
        let is_over = |was: bool, part: u32, percent: u32| {
            let (part, limit) = (u64::from(part) * 100, u64::from(all) * u64::from(percent));
            part > limit || was && part == limit
        };
        self.is_slow = is_over(self.is_slow, over_first, SLOW_PERCENT);
        self.is_drop = is_over(self.is_drop, over_repeated, DROP_PERCENT);
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.over_first += other.over_first;
        self.over_repeated += other.over_repeated;
    }
}

fn place(second: u64) -> usize {
    (second % WINDOW_SECONDS as u64) as usize
}

const WINDOW_SECONDS: usize = 600;
/// How long Graph waits for the first answer.
const FIRST_ALLOWANCE: Duration = Duration::from_secs(3);
/// How long it waits when it repeats.
const REPEATED_ALLOWANCE: Duration = Duration::from_secs(10);
/// Over so many of the answers later than 3 s, Graph delays.
pub const SLOW_PERCENT: u32 = 10;
/// Over so many of them later than 10 s, it drops.
pub const DROP_PERCENT: u32 = 15;

#[cfg(test)]
mod tests {
    use Prediction::{Drop, Good, Slow};

    use super::*;

    /// So many answers at this second, each after so many milliseconds.
    type Step = (u64, u32, u64);

    #[track_caller]
    fn check(steps: &[Step], at: u64, expected: (f64, f64, Prediction, u32)) {
        let mut answers = Answers::default();
        for &(second, many, millis) in steps {
            for _ in 0..many {
                answers.note(Duration::from_secs(second), Waited::Answered(Duration::from_millis(millis)));
            }
        }
        let Outlook { slow_ratio, drop_ratio, predicted, answers } = answers.outlook(Duration::from_secs(at));
        assert_eq!((slow_ratio, drop_ratio, predicted, answers), expected, "{steps:?} at {at}");
    }

    #[test]
    fn shares_and_the_states_they_enter() {
        check(&[], 0, (0.0, 0.0, Good, 0));
        check(&[(0, 10, 20)], 0, (0.0, 0.0, Good, 10));
        // The allowance itself is no excess.
        check(&[(0, 1, 3_000)], 0, (0.0, 0.0, Good, 1));
        check(&[(0, 1, 3_001)], 0, (1.0, 0.0, Slow, 1));
        check(&[(0, 1, 10_000)], 0, (1.0, 0.0, Slow, 1));
        check(&[(0, 1, 10_001)], 0, (1.0, 1.0, Drop, 1));
        // Exactly 10 % is not over 10 %.
        check(&[(0, 90, 20), (0, 10, 4_000)], 0, (0.1, 0.0, Good, 100));
        check(&[(0, 89, 20), (0, 10, 4_000)], 0, (10.0 / 99.0, 0.0, Slow, 99));
        // Nor 15 % over 15 %: then it is only slow.
        check(&[(0, 85, 20), (0, 15, 11_000)], 0, (0.15, 0.15, Slow, 100));
        check(&[(0, 84, 20), (0, 15, 11_000)], 0, (15.0 / 99.0, 15.0 / 99.0, Drop, 99));
    }

    #[test]
    fn a_state_is_left_under_its_share() {
        let slow = [(0, 80, 20), (0, 20, 4_000)];
        let with = |more: u32| [slow.as_slice(), &[(1, more, 20)]].concat();
        // 20 of 200 is exactly 10 %: it stays; one more, and it is left.
        check(&with(100), 1, (0.1, 0.0, Slow, 200));
        check(&with(101), 1, (20.0 / 201.0, 0.0, Good, 201));
        let drop = [(0, 85, 20), (0, 17, 12_000)];
        let with = |more: Step| [drop.as_slice(), &[more]].concat();
        // 15.3 % of 111 would be under 15 %, and over 10 %: dropped no more, but slow.
        check(&drop, 0, (17.0 / 102.0, 17.0 / 102.0, Drop, 102));
        check(&with((1, 11, 20)), 1, (17.0 / 113.0, 17.0 / 113.0, Drop, 113));
        check(&with((1, 12, 20)), 1, (17.0 / 114.0, 17.0 / 114.0, Slow, 114));
        check(&with((1, 69, 20)), 1, (17.0 / 171.0, 17.0 / 171.0, Good, 171));
    }

    #[test]
    fn the_window_is_ten_minutes() {
        let steps = [(0, 1, 4_000), (1, 1, 20)];
        check(&steps, 599, (0.5, 0.0, Slow, 2));
        check(&steps, 600, (0.0, 0.0, Good, 1));
        check(&steps, 601, (0.0, 0.0, Good, 0));
        // An old second and a new one share a place in the ring, not their counts.
        check(&[(5, 1, 4_000), (605, 3, 20)], 605, (0.0, 0.0, Good, 3));
        check(&[(5, 1, 4_000), (7_205, 3, 20)], 7_205, (0.0, 0.0, Good, 3));
    }

    #[test]
    fn an_empty_window_shows_nothing_new() {
        check(&[(0, 1, 4_000)], 600, (0.0, 0.0, Slow, 0));
        check(&[(0, 1, 12_000)], 100_000, (0.0, 0.0, Drop, 0));
        check(&[(0, 1, 12_000), (100_000, 1, 20)], 100_000, (0.0, 0.0, Good, 1));
    }

    #[test]
    fn a_late_look_sees_what_an_early_one_would_have() {
        // At 600 the good answers are gone and all that is left is slow; that is what it ends with.
        let steps = [(0, 95, 20), (1, 5, 4_000)];
        check(&steps, 599, (0.05, 0.0, Good, 100));
        check(&steps, 600, (1.0, 0.0, Slow, 5));
        check(&steps, 90_000, (0.0, 0.0, Slow, 0));
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing() {
        check(&[(700, 1, 20), (3, 1, 4_000)], 2, (0.5, 0.0, Slow, 2));
    }

    #[test]
    fn a_client_that_is_gone_waited_in_vain() {
        for (millis, expected) in [(0, Slow), (2_900, Slow), (3_000, Slow), (3_001, Drop), (9_900, Drop)] {
            let mut answers = Answers::default();
            answers.note(Duration::ZERO, Waited::InVain(Duration::from_millis(millis)));
            assert_eq!(answers.outlook(Duration::ZERO).predicted, expected, "{millis}");
        }
    }
}

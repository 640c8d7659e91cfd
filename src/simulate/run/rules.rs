//! How Graph treats a receiver that does not answer, or not soon. Pure: time is an argument, and it is Graph's time.
//!
//! "Receive change notifications through webhooks" (April 2026): what is not answered 2xx in time is sent again, with pauses
//! that grow exponentially, for up to four hours. An endpoint is *slow* when over 10 % of the answers in ten minutes took
//! longer than 3 s: new notifications are sent ten minutes late. It is *dropped* when over 15 % took longer than 10 s: new
//! ones are thrown away for ten minutes. Every ten minutes a few test whether that is over, which it is under 10 % and 15 %.
//!
//! The page leaves open how long pauses are, and how many "a few" is: a scenario says. What else it leaves open is taken so:
//! exactly 10 % or 15 % neither enters nor leaves; ten minutes are this second and the 599 before it; while nothing is known
//! a state stays; what could not be connected to, or broke, is no answer. Repetitions go on in every state, and what waits
//! because the endpoint was slow is sent even if it is dropped by then.

use std::{collections::VecDeque, time::Duration};

use serde::Serialize;

/// What Graph's page leaves open, or what somebody wants otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The pause before the second attempt.
    pub first_pause: Duration,
    /// No pause is longer, but for a tenth.
    pub longest_pause: Duration,
    /// No attempt is later than this after the first.
    pub give_up_after: Duration,
    /// How many notifications test an endpoint, every ten minutes.
    pub probes: u32,
    /// Whether slow receivers get their notifications late, and slower ones none.
    pub punishes: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(10),
            longest_pause: Duration::from_secs(30 * 60),
            give_up_after: Duration::from_secs(4 * 60 * 60),
            probes: 3,
            punishes: true,
        }
    }
}

impl Rules {
    /// The pause after so many failed attempts, at least one; `chance` from 0 to 1 makes it a tenth shorter or longer.
    pub fn pause(&self, failed: u32, chance: f64) -> Duration {
        let doubled =
            2_u32.checked_pow(failed.saturating_sub(1)).and_then(|by| self.first_pause.checked_mul(by));
        doubled.map_or(self.longest_pause, |pause| pause.min(self.longest_pause)).mul_f64(0.9 + chance / 5.0)
    }

    /// When the next attempt is, if there is one.
    pub fn next(&self, first: Duration, now: Duration, failed: u32, chance: f64) -> Option<Duration> {
        let next = now + self.pause(failed, chance);
        (next <= first + self.give_up_after).then_some(next)
    }
}

/// What becomes of new notifications.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// They are sent at once.
    Good,
    /// They are sent ten minutes late.
    Slow,
    /// They are thrown away.
    Drop,
}

impl State {
    /// A word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Slow => "slow",
            Self::Drop => "drop",
        }
    }
}

/// What becomes of one new notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// Sent.
    Now,
    /// Sent then.
    At(Duration),
    /// Thrown away.
    Never,
}

/// How long an answer took, or how long it was waited for in vain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spent {
    /// No longer than the first allowance.
    Prompt,
    /// Longer than the first allowance, no longer than the one of repetitions.
    OverFirst,
    /// Longer than both.
    OverRepeated,
}

/// A receiver as Graph sees it.
#[derive(Debug)]
pub(super) struct Endpoint {
    probes: u32,
    punishes: bool,
    /// Answers by second, the oldest first.
    seconds: VecDeque<(u64, Count)>,
    sum: Count,
    is_slow: bool,
    is_drop: bool,
    /// New ones are thrown away at least until then.
    dropped_until: Option<Duration>,
    /// When the next probes are due, and how many of the last are left.
    probing: (Duration, u32),
    /// The last moment that was looked at, and how long each state lasted until then.
    at: Duration,
    spent: [Duration; 3],
    entered: [u64; 3],
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    all: u64,
    over_first: u64,
    over_repeated: u64,
}

impl Endpoint {
    /// A receiver of which nothing is known.
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            probes: rules.probes,
            punishes: rules.punishes,
            seconds: VecDeque::new(),
            sum: Count::default(),
            is_slow: false,
            is_drop: false,
            dropped_until: None,
            probing: (Duration::ZERO, 0),
            at: Duration::ZERO,
            spent: [Duration::ZERO; 3],
            entered: [0; 3],
        }
    }

    /// Notes an answer, or a wait in vain, that ended `now`.
    pub(super) fn note(&mut self, now: Duration, spent: Spent) {
        self.advance(now);
        if !self.punishes {
            return;
        }
        let one = Count {
            all: 1,
            over_first: (spent != Spent::Prompt).into(),
            over_repeated: (spent == Spent::OverRepeated).into(),
        };
        let second = self.at.as_secs();
        match self.seconds.back_mut().filter(|(newest, _)| *newest == second) {
            Some((_, count)) => count.add(one),
            None => self.seconds.push_back((second, one)),
        }
        self.sum.add(one);
        self.judge();
    }

    /// What becomes of a notification that is new `now`.
    pub(super) fn admit(&mut self, now: Duration) -> Way {
        let state = self.state(now);
        if state != State::Good {
            let (due, left) = &mut self.probing;
            if *due <= self.at {
                let passed = (self.at - *due).as_secs() / TEN_MINUTES.as_secs() + 1;
                *due += TEN_MINUTES.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX));
                *left = self.probes;
            }
            if *left > 0 {
                *left -= 1;
                return Way::Now;
            }
        }
        match state {
            State::Good => Way::Now,
            State::Slow => Way::At(now + TEN_MINUTES),
            State::Drop => Way::Never,
        }
    }

    /// How it stands `now`.
    pub(super) fn state(&mut self, now: Duration) -> State {
        self.advance(now);
        self.standing()
    }

    /// How long it was good, slow and dropped until `now`.
    pub(super) fn spent(&mut self, now: Duration) -> [Duration; 3] {
        self.advance(now);
        self.spent
    }

    /// How often it became good, slow and dropped.
    pub(super) fn entered(&self) -> [u64; 3] {
        self.entered
    }

    fn standing(&self) -> State {
        match (self.is_slow, self.is_drop || self.dropped_until.is_some()) {
            (_, true) => State::Drop,
            (true, false) => State::Slow,
            (false, false) => State::Good,
        }
    }

    /// Lets pass, in order, all that ends until `now`.
    fn advance(&mut self, now: Duration) {
        loop {
            let oldest = self.seconds.front().map(|(second, _)| Duration::from_secs(*second) + TEN_MINUTES);
            let ends = [oldest, self.dropped_until].into_iter().flatten().min();
            let Some(end) = ends.filter(|end| *end <= now) else { break };
            self.pass(end);
            if oldest == Some(end)
                && let Some((_, gone)) = self.seconds.pop_front()
            {
                self.sum.take(gone);
                self.judge();
            }
            if self.dropped_until == Some(end) {
                self.change(|endpoint| endpoint.dropped_until = None);
            }
        }
        self.pass(now);
    }

    fn pass(&mut self, to: Duration) {
        self.spent[self.standing() as usize] += to.saturating_sub(self.at);
        self.at = self.at.max(to);
    }

    /// Graph's page names no least number of answers: a short run is judged by few, and one late answer of seven is over 10 %.
    fn judge(&mut self) {
        let Count { all, over_first, over_repeated } = self.sum;
        if all == 0 {
            return;
        }
        let is_over = |was: bool, part: u64, percent: u64| {
            let (part, limit) = (part * 100, all * percent);
            part > limit || was && part == limit
        };
        let is_slow = is_over(self.is_slow, over_first, SLOW_PERCENT);
        let is_drop = is_over(self.is_drop, over_repeated, DROP_PERCENT);
        self.change(|endpoint| {
            if is_drop && !endpoint.is_drop {
                endpoint.dropped_until = Some(endpoint.at + TEN_MINUTES);
            }
            (endpoint.is_slow, endpoint.is_drop) = (is_slow, is_drop);
        });
    }

    /// Whoever enters a state is tested ten minutes later.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        let before = self.standing();
        change(self);
        let after = self.standing();
        if before != after {
            self.entered[after as usize] += 1;
            self.probing = (self.at + TEN_MINUTES, 0);
        }
    }
}

impl Count {
    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.over_first += other.over_first;
        self.over_repeated += other.over_repeated;
    }

    fn take(&mut self, other: Self) {
        self.all -= other.all;
        self.over_first -= other.over_first;
        self.over_repeated -= other.over_repeated;
    }
}

/// The window, how late notifications come to the slow, how long they are thrown away at least, and how often is tested.
const TEN_MINUTES: Duration = Duration::from_secs(600);
const SLOW_PERCENT: u64 = 10;
const DROP_PERCENT: u64 = 15;

#[cfg(test)]
mod tests;

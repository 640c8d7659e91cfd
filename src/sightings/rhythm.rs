//! How often a subscription speaks, and from when on its silence means something. Pure.
//!
//! What people do has pauses: meals, nights, weekends. So no average is kept, but the longest pause of the last four to
//! eight weeks, and a subscription is silent when it is quiet for twice as long. Until that can be known there are
//! safeguards: fewer than ten calls (bursts within a minute are one) make no rhythm; a rhythm of less than a day, or
//! one with pauses of an hour and more that is not a week old, may be before its first night or weekend, and gets three
//! days; and nothing is silent within an hour, for Graph itself delays and repeats.
//!
//! A pause that was called silence, and ended, is a pause like any other: the same alarm does not come twice.

use std::time::Duration;

use super::Moment;

/// When and how often change notifications of one subscription come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Rhythm {
    /// The first and the last one.
    pub(super) heard: Option<(Moment, Moment)>,
    /// Calls: what comes within a minute is one.
    pub(super) calls: u32,
    /// The longest pause of these four weeks, and of those before.
    pub(super) longest: [Duration; 2],
    /// When these four weeks began.
    pub(super) weeks_from: Moment,
    /// Time since the last one in which nobody listened.
    pub(super) deaf: Duration,
}

impl Rhythm {
    /// A change notification comes.
    pub(super) fn hear(&mut self, now: Moment) {
        let Some((first, last)) = self.heard else {
            *self = Self { heard: Some((now, now)), calls: 1, weeks_from: now, ..Self::default() };
            return;
        };
        let pause = self.quiet_since(last, now);
        self.heard = Some((first, last.max(now)));
        self.deaf = Duration::ZERO;
        if pause >= CALL {
            self.calls = self.calls.saturating_add(1);
        }
        if now.saturating_sub(self.weeks_from) >= FOUR_WEEKS {
            let [these, _] = self.longest;
            self.longest = [Duration::ZERO, these];
            self.weeks_from = now;
        }
        self.longest[0] = self.longest[0].max(pause);
    }

    /// For how long nothing has come, after `first_at` if nothing ever did.
    pub(super) fn quiet(&self, first_at: Moment, now: Moment) -> Duration {
        self.quiet_since(self.heard.map_or(first_at, |(_, last)| last), now)
    }

    /// The longest quiet that is no silence; `None` while there is no rhythm.
    pub(super) fn patience(&self) -> Option<Duration> {
        let (first, last) = self.heard.filter(|_| self.calls >= CALLS_MIN)?;
        let (span, longest) = (last.saturating_sub(first), self.longest[0].max(self.longest[1]));
        let has_seen_a_night = span >= DAY;
        let never_rests = has_seen_a_night && longest < REST;
        let least = if span >= WEEK || never_rests { FLOOR } else { NEW };
        Some(least.max(longest * 2))
    }

    /// Nobody listened for so long.
    pub(super) fn was_deaf(&mut self, time: Duration) {
        self.deaf = self.deaf.saturating_add(time);
    }

    fn quiet_since(&self, last: Moment, now: Moment) -> Duration {
        now.saturating_sub(last).saturating_sub(self.deaf)
    }
}

/// What comes within this time belongs together: Graph sends several items for one act.
const CALL: Duration = Duration::from_secs(60);
/// Calls that make a rhythm.
const CALLS_MIN: u32 = 10;
/// The least patience.
const FLOOR: Duration = Duration::from_secs(60 * 60);
/// A pause that somebody who never rests does not make.
const REST: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const FOUR_WEEKS: Duration = Duration::from_secs(4 * 7 * 24 * 60 * 60);
/// The least patience with what is new: from Friday evening to Monday morning, and some.
const NEW: Duration = Duration::from_secs(3 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;

    fn heard(moments: impl IntoIterator<Item = u64>) -> Rhythm {
        let mut rhythm = Rhythm::default();
        for moment in moments {
            rhythm.hear(Moment::from_secs(moment));
        }
        rhythm
    }

    #[track_caller]
    fn check(moments: impl IntoIterator<Item = u64>, patience: Option<u64>) {
        assert_eq!(heard(moments).patience(), patience.map(Duration::from_secs));
    }

    /// Every ten minutes from eight to six, on the first five days of each week.
    fn office_hours(days: u64) -> impl Iterator<Item = u64> {
        let day = |day: u64| (8 * HOUR..=18 * HOUR).step_by(600).map(move |time| day * DAY + time);
        (0..days).filter(|day| day % 7 < 5).flat_map(day)
    }

    #[test]
    fn patience_is_twice_the_longest_pause_within_bounds() {
        // No rhythm yet.
        check([], None);
        check([0], None);
        check((0..9).map(|n| n * HOUR), None);
        // A burst is one call.
        check(0..50, None);
        // New: three days.
        check((0..10).map(|n| n * MINUTE), Some(3 * DAY));
        check((0..=24).map(|n| n * HOUR), Some(3 * DAY));
        // Never rests, through a night: an hour.
        check((0..=24 * 60).map(|n| n * MINUTE), Some(HOUR));
        check((0..=72).map(|n| n * 20 * MINUTE), Some(HOUR));
        check((0..=30).map(|n| n * 50 * MINUTE), Some(100 * MINUTE));
        // A week old, with rests of two hours: four.
        check((0..=84).map(|n| n * 2 * HOUR), Some(4 * HOUR));
        // Rare, but steady: twice its pause, though that is long.
        check((0..=10).map(|n| n * 10 * DAY), Some(20 * DAY));
    }

    #[test]
    fn nights_and_weekends_are_no_silence() {
        let mut rhythm = Rhythm::default();
        let mut first_patience = None;
        for moment in office_hours(21).map(Moment::from_secs) {
            if let Some(patience) = rhythm.patience() {
                first_patience = first_patience.or(Some(patience));
                let quiet = rhythm.quiet(Moment::ZERO, moment);
                assert!(quiet <= patience, "silent for {quiet:?} at {moment:?}, with patience {patience:?}");
            }
            rhythm.hear(moment);
        }
        assert_eq!(first_patience, Some(NEW));
        assert_eq!(rhythm.patience(), Some(Duration::from_secs(2 * 62 * HOUR)));
    }

    #[test]
    fn a_long_pause_is_forgotten_after_eight_weeks() {
        let every_hour = |from: u64, to: u64| (from * 24..=to * 24).map(|n| n * HOUR);
        let patience = |days| {
            let rhythm = heard(every_hour(0, 10).chain(every_hour(15, days)));
            rhythm.patience().expect("a rhythm").as_secs()
        };
        assert_eq!(patience(16), 10 * DAY);
        assert_eq!(patience(30), 10 * DAY);
        assert_eq!(patience(55), 10 * DAY);
        assert_eq!(patience(57), 2 * HOUR);
    }

    #[test]
    fn time_in_which_nobody_listened_is_no_quiet() {
        let mut rhythm = heard((0..=200).map(|n| n * HOUR));
        rhythm.was_deaf(Duration::from_secs(50 * HOUR));
        let at = |hours: u64| Moment::from_secs(hours * HOUR);
        assert_eq!(rhythm.quiet(Moment::ZERO, at(251)), Duration::from_secs(HOUR));
        rhythm.hear(at(252));
        assert_eq!(rhythm.patience(), Some(Duration::from_secs(4 * HOUR)));
        assert_eq!(rhythm.quiet(Moment::ZERO, at(255)), Duration::from_secs(3 * HOUR));
    }

    #[test]
    fn a_clock_that_steps_back_does_no_harm() {
        let mut rhythm = heard([100, 50]);
        assert_eq!(rhythm.heard, Some((Moment::from_secs(100), Moment::from_secs(100))));
        assert_eq!(rhythm.quiet(Moment::ZERO, Moment::from_secs(10)), Duration::ZERO);
        rhythm.hear(Moment::from_secs(101));
        assert_eq!(rhythm.longest[0], Duration::from_secs(1));
    }
}

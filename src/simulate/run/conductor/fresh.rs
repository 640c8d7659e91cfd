//! New notifications: when the next ones are due, and what they are.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::simulate::run::{
    draw::Draw,
    job::{Fault, Job},
    scenario::{COUNT_MAX, Extent, Pace, Scenario},
    stock::Stock,
};

/// What was made, and what is to come.
pub(super) struct Fresh {
    begin: Instant,
    pace: Pace,
    /// How many there will be, where that is known.
    planned: Option<u64>,
    /// When there will be no more, where that is known.
    end: Option<Instant>,
    posts: u64,
    made: u64,
    genuine: u64,
}

impl Fresh {
    pub(super) fn new(scenario: &Scenario, begin: Instant) -> Self {
        let (planned, end) = match (scenario.pace, scenario.extent) {
            (Pace::PerSecond(rate), Extent::Count(count)) => {
                (Some(count), Some(begin + Duration::from_secs_f64(count as f64 / rate)))
            }
            (Pace::PerSecond(rate), Extent::Time(time)) => {
                (Some((rate * time.as_secs_f64()).ceil() as u64), Some(begin + time))
            }
            (Pace::FlatOut, Extent::Count(count)) => (Some(count), None),
            (Pace::FlatOut, Extent::Time(time)) => (None, Some(begin + time)),
        };
        Self { begin, pace: scenario.pace, planned, end, posts: 0, made: 0, genuine: 0 }
    }

    /// When the next ones are due, if there are any.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if self.is_over(now) {
            return None;
        }
        Some(match self.pace {
            Pace::PerSecond(rate) => self.begin + Duration::from_secs_f64(self.made as f64 / rate),
            Pace::FlatOut => now,
        })
    }

    /// Whether all there will be were made.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        match self.planned {
            Some(planned) => self.made >= planned,
            None => self.made >= COUNT_MAX || self.end.is_some_and(|end| end <= now),
        }
    }

    /// When the last ones are due or were made, once that is known.
    pub(super) fn end(&self) -> Option<Instant> {
        self.end.or_else(|| self.is_over(self.begin).then(Instant::now))
    }

    /// How many there will be, where that is known.
    pub(super) fn planned(&self) -> Option<u64> {
        self.planned
    }

    /// Genuine ones that were made.
    pub(super) fn genuine(&self) -> u64 {
        self.genuine
    }

    /// Genuine ones that were planned and not made.
    pub(super) fn unmade(&self, stock: &Stock) -> u64 {
        let missing = self.planned.map_or(0, |planned| planned - self.made);
        (0..missing).filter(|number| !stock.is_forged(self.made + number)).count() as u64
    }

    /// The next ones, which were due at this moment.
    pub(super) fn make(&mut self, stock: &Stock, due: Instant) -> Job {
        let scenario = stock.scenario();
        let (number, first) = (self.posts, self.made);
        let left = self.planned.map_or(u64::MAX, |planned| planned - first);
        let items = items(scenario, number).min(u32::try_from(left).unwrap_or(u32::MAX));
        let forged = stock.forged_in(first, items);
        self.posts += 1;
        self.made += u64::from(items);
        self.genuine += u64::from(items - forged);
        Job {
            number,
            first,
            items,
            forged,
            moment: SystemTime::now(),
            due,
            failed: 0,
            first_sent: None,
            allowance: scenario.graph.first_allowance,
            fault: fault(scenario, number),
            is_duplicate: false,
            waited: Duration::ZERO,
        }
    }
}

fn items(scenario: &Scenario, number: u64) -> u32 {
    let chance = scenario.seed.chance(Draw::Items, number);
    let (from, to) = *scenario.per_post.pick(chance);
    // Another draw, or each range would give only a part of itself.
    from + scenario.seed.below(Draw::Size, number, u64::from(to - from) + 1) as u32
}

/// At most one; shares of more than all of them leave nothing for the last.
fn fault(scenario: &Scenario, number: u64) -> Option<Fault> {
    let faults = &scenario.faults;
    let mut chance = scenario.seed.chance(Draw::Fault, number);
    let shares = [
        (faults.slow_reader, Fault::SlowReader),
        (faults.hang_up, Fault::HangUp),
        (faults.duplicate, Fault::Duplicate),
        (faults.out_of_order, Fault::OutOfOrder),
    ];
    shares.into_iter().find_map(|(share, fault)| {
        chance -= share;
        (chance < 0.0).then_some(fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_planned_are_made_when_they_are_due() {
        let mut scenario = Scenario::new(Pace::PerSecond(10.0), Extent::Count(25));
        scenario.per_post = crate::simulate::run::Weighted::one((4, 4));
        let (stock, begin) = (Stock::new(scenario.clone(), None), Instant::now());
        let mut fresh = Fresh::new(&scenario, begin);
        let mut made = Vec::new();
        while let Some(due) = fresh.due(begin) {
            made.push(((due - begin).as_millis(), fresh.make(&stock, due).items));
        }
        let expected = [(0, 4), (400, 4), (800, 4), (1_200, 4), (1_600, 4), (2_000, 4), (2_400, 1)];
        assert_eq!(made, expected);
        assert_eq!((fresh.genuine(), fresh.unmade(&stock)), (25, 0));
        assert_eq!(fresh.end(), Some(begin + Duration::from_millis(2_500)));
    }

    #[test]
    fn a_time_ends_whatever_was_made() {
        let time = Duration::from_secs(2);
        let begin = Instant::now();
        let flat_out = Fresh::new(&Scenario::new(Pace::FlatOut, Extent::Time(time)), begin);
        assert!(!flat_out.is_over(begin) && flat_out.is_over(begin + time));
        let steady = Scenario::new(Pace::PerSecond(2.5), Extent::Time(time));
        let fresh = Fresh::new(&steady, begin);
        assert_eq!((fresh.planned(), fresh.unmade(&Stock::new(steady, None))), (Some(5), 5));
    }

    #[test]
    fn faults_have_their_shares() {
        let mut scenario = Scenario::new(Pace::FlatOut, Extent::Count(1));
        (scenario.faults.hang_up, scenario.faults.out_of_order) = (0.25, 0.5);
        let count =
            |wanted: Fault| (0..10_000).filter(|number| fault(&scenario, *number) == Some(wanted)).count();
        assert!(count(Fault::HangUp).abs_diff(2_500) < 200);
        assert!(count(Fault::OutOfOrder).abs_diff(5_000) < 200);
        assert_eq!(count(Fault::SlowReader) + count(Fault::Duplicate), 0);
    }
}

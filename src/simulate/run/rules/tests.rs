use proptest::prelude::*;

use super::*;
use crate::metrics::throttling::{Answers, Prediction, Waited};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An endpoint with so many answers of each kind at these seconds.
fn endpoint(answers: &[(u64, u32, Spent)]) -> Endpoint {
    let mut endpoint = Endpoint::new(&Rules::default());
    for &(second, many, spent) in answers {
        for _ in 0..many {
            endpoint.note(at(second), spent);
        }
    }
    endpoint
}

#[test]
fn who_is_not_to_be_punished_is_good_whatever_it_does() {
    let mut endpoint = Endpoint::new(&Rules { punishes: false, ..Rules::default() });
    for second in 0..20 {
        endpoint.note(at(second), Spent::OverRepeated);
    }
    assert_eq!((endpoint.state(at(20)), endpoint.admit(at(20))), (State::Good, Way::Now));
}

#[test]
fn pauses_double_up_to_the_longest() {
    let rules = Rules::default();
    let middle = |failed: u32| rules.pause(failed, 0.5).as_secs();
    assert_eq!([1, 2, 3, 4, 8, 9, 10, 40].map(middle), [10, 20, 40, 80, 1_280, 1_800, 1_800, 1_800]);
    assert_eq!(rules.pause(1, 0.0), at(9));
    assert_eq!(rules.pause(1, 1.0), at(11));
}

#[test]
fn four_hours_after_the_first_attempt_nothing_is_sent_any_more() {
    let rules = Rules::default();
    let hours = 4 * 3_600;
    assert_eq!(rules.next(at(100), at(hours + 90), 1, 0.5), Some(at(hours + 100)));
    assert_eq!(rules.next(at(100), at(hours + 91), 1, 0.5), None);
}

proptest! {
    #[test]
    fn pauses_grow_and_none_is_later_than_four_hours(
        first in 1_u64..100_000, chances in prop::collection::vec(0.0..=1.0_f64, 1..60)
    ) {
        let rules = Rules::default();
        let (mut now, mut before) = (at(first), Duration::ZERO);
        let mut attempts = 1;
        for (failed, chance) in (1..).zip(chances) {
            let pause = rules.pause(failed, chance);
            prop_assert!(pause > before || before >= rules.longest_pause.mul_f64(0.9));
            prop_assert!(pause <= rules.longest_pause.mul_f64(1.1));
            before = pause;
            // However long the attempt itself took.
            now += SECOND;
            let Some(next) = rules.next(at(first), now, failed, chance) else { break };
            prop_assert!(next > now && next <= at(first) + rules.give_up_after);
            now = next;
            attempts += 1;
        }
        prop_assert!(attempts < 25, "{} attempts", attempts);
    }

    /// What the daemon tells of itself, and what this says of it, are two readings of one page.
    #[test]
    fn the_shares_are_judged_as_the_daemon_judges_its_own(
        answers in prop::collection::vec((0_u64..200, prop_oneof![4 => Just(1_u64), 1 => Just(4), 1 => Just(12)]), 1..60)
    ) {
        let (mut ours, mut theirs) = (Endpoint::new(&Rules::default()), Answers::default());
        let mut now = Duration::ZERO;
        for (later, took) in answers {
            now += at(later);
            let spent = match took {
                1 => Spent::Prompt,
                4 => Spent::OverFirst,
                _ => Spent::OverRepeated,
            };
            ours.note(now, spent);
            theirs.note(now, Waited::Answered(at(took)));
            let predicted = match (ours.is_slow, ours.is_drop) {
                (_, true) => Prediction::Drop,
                (true, false) => Prediction::Slow,
                (false, false) => Prediction::Good,
            };
            prop_assert_eq!(theirs.outlook(now).predicted, predicted);
        }
    }

    #[test]
    fn every_second_is_spent_in_one_state(
        answers in prop::collection::vec((0_u64..900, any::<bool>()), 1..40)
    ) {
        let mut endpoint = Endpoint::new(&Rules::default());
        let mut now = Duration::ZERO;
        for (later, is_late) in answers {
            now += at(later);
            endpoint.note(now, if is_late { Spent::OverRepeated } else { Spent::Prompt });
            prop_assert_eq!(endpoint.spent(now).iter().sum::<Duration>(), now);
        }
    }
}

#[test]
fn states_are_entered_over_their_limits() {
    use Spent::{OverFirst, OverRepeated, Prompt};
    for (answers, state) in [
        (vec![], State::Good),
        (vec![(0, 1, Prompt)], State::Good),
        (vec![(0, 90, Prompt), (0, 10, OverFirst)], State::Good),
        (vec![(0, 89, Prompt), (0, 10, OverFirst)], State::Slow),
        (vec![(0, 85, Prompt), (0, 15, OverRepeated)], State::Slow),
        (vec![(0, 84, Prompt), (0, 15, OverRepeated)], State::Drop),
    ] {
        // In this order no share is over its limit before the last answer.
        assert_eq!(endpoint(&answers).state(at(0)), state, "{answers:?}");
    }
}

#[test]
fn slow_is_left_under_its_limit_and_new_ones_come_ten_minutes_late_until_then() {
    let mut endpoint = endpoint(&[(0, 80, Spent::Prompt), (0, 20, Spent::OverFirst)]);
    assert_eq!(endpoint.admit(at(1)), Way::At(at(601)));
    for _ in 0..100 {
        endpoint.note(at(2), Spent::Prompt);
    }
    assert_eq!(endpoint.state(at(2)), State::Slow, "exactly 10 % stays");
    endpoint.note(at(3), Spent::Prompt);
    assert_eq!(endpoint.admit(at(3)), Way::Now);
    assert_eq!(endpoint.entered(), [1, 1, 0]);
    assert_eq!(endpoint.spent(at(10)), [at(7), at(3), at(0)]);
}

#[test]
fn what_is_dropped_is_dropped_for_ten_minutes_however_good_it_gets() {
    let mut endpoint = endpoint(&[(5, 1, Spent::OverRepeated)]);
    assert_eq!(endpoint.admit(at(5)), Way::Never);
    for _ in 0..1_000 {
        endpoint.note(at(6), Spent::Prompt);
    }
    assert_eq!(endpoint.admit(at(604)), Way::Never);
    assert_eq!(endpoint.admit(at(605)), Way::Now);
    assert_eq!(endpoint.spent(at(605))[State::Drop as usize], at(600));
}

#[test]
fn a_few_test_it_every_ten_minutes() {
    let mut endpoint = endpoint(&[(0, 1, Spent::OverRepeated)]);
    let mut ways = |second: u64| [(); 4].map(|()| endpoint.admit(at(second)));
    let (now, never) = (Way::Now, Way::Never);
    assert_eq!(ways(599), [never; 4]);
    // The window is empty, and nothing has shown that it is over.
    assert_eq!(ways(600), [now, now, now, never]);
    assert_eq!(ways(1_199), [never; 4]);
    assert_eq!(ways(1_200), [now, now, now, never]);
    assert_eq!(ways(9_000), [now, now, now, never]);
    assert_eq!(ways(9_001), [never; 4]);
    endpoint.note(at(9_002), Spent::Prompt);
    assert_eq!(endpoint.admit(at(9_002)), Way::Now);
    assert_eq!(endpoint.state(at(9_002)), State::Good);
}

#[test]
fn the_window_is_ten_minutes() {
    let mut endpoint = endpoint(&[(0, 1, Spent::OverFirst), (1, 1, Spent::Prompt)]);
    assert_eq!(endpoint.state(at(599)), State::Slow);
    assert_eq!(endpoint.state(at(600)), State::Good);
    assert_eq!(endpoint.spent(at(700)), [at(100), at(600), at(0)]);
}

//! When tokens are renewed and challenges answered, and that the two never come too close.

use super::*;

#[test]
fn it_is_renewed_in_time() {
    for (began, ends, expected) in [
        (NOW - 10 * HOUR, NOW + 10 * HOUR, None),
        // 65 percent are past, in any case.
        (NOW - 14 * HOUR, NOW + 6 * HOUR, Some("renew mail 1")),
        (NOW - 11 * HOUR + 60, NOW + 9 * HOUR, None),
        // One of an hour, and one of five minutes.
        (NOW - 30 * 60, NOW + 30 * 60, None),
        (NOW - 40 * 60, NOW + 20 * 60, Some("renew mail 1")),
        (NOW - 100, NOW + 200, None),
        (NOW - 200, NOW + 100, Some("renew mail 1")),
        // A clock that was set back.
        (NOW + DAY, NOW + 2 * DAY, None),
        (NOW + DAY, NOW + HOUR, Some("renew mail 1")),
    ] {
        check(|case| case.ends(began, ends), expected.as_slice());
    }
    // Never so late that there is no margin.
    let mut case = Case::settled();
    case.policy.renew_at = 90;
    case.ends(NOW - 30 * DAY, NOW + HOUR - 60);
    assert_eq!(words(&case.question().plan()), ["renew mail 1"]);
}

#[test]
fn renewals_are_spread() {
    let dues: HashSet<SystemTime> = (0..50)
        .map(|n| {
            let mut live = live(&n.to_string(), &wanted("mail", "r"));
            let Phase::Live(life) = &mut live.phase else { panic!("made live") };
            life.renewed_at = time(NOW);
            life.expires_at = time(NOW + 100 * HOUR);
            let due = due::renewal(life, 60);
            assert!(time(NOW + 55 * HOUR) <= due && due <= time(NOW + 65 * HOUR), "{due:?}");
            assert_eq!(due, due::renewal(life, 60));
            due
        })
        .collect();
    assert!(dues.len() > 40, "{}", dues.len());
}

#[test]
fn graph_knows_better_when_it_ends() {
    let later = |case: &mut Case| case.actual.subscriptions[0].expiration_date_time = time(NOW + 30 * HOUR);
    check(later, &["believe mail 1"]);
    // But a list may be older than our own last word.
    check(
        |case| {
            later(case);
            case.live().renewed_at = time(NOW - 60);
        },
        &[],
    );
}

#[test]
fn a_challenge_is_answered_once() {
    let challenged = |change: fn(&mut Case), expected: &[&str]| {
        check(
            |case| {
                case.calls.challenged.insert(id("1"));
                change(case);
            },
            expected,
        );
    };
    challenged(|case| case.ends(NOW - HOUR, NOW + 19 * HOUR), &["reauthorize mail 1"]);
    // A renewal within the next quarter of its life does it as well.
    challenged(|case| case.ends(NOW - 10 * HOUR, NOW + 10 * HOUR), &["renew mail 1"]);
    // Or one within ten minutes, which must not follow the other call.
    challenged(|case| case.ends(NOW - 60, NOW + 14 * 60), &["renew mail 1"]);
    for (kind, ago, is_done, expected) in [
        (TouchKind::Patch, 599, true, None),
        (TouchKind::Reauthorize, 599, true, None),
        (TouchKind::Patch, 600, true, Some("reauthorize mail 1")),
        (TouchKind::Reauthorize, 600, true, Some("reauthorize mail 1")),
        // What may not have been done is done again, the same way.
        (TouchKind::Patch, 599, false, Some("renew mail 1")),
        (TouchKind::Reauthorize, 599, false, Some("reauthorize mail 1")),
    ] {
        check(
            |case| {
                case.calls.challenged.insert(id("1"));
                case.ends(NOW - HOUR, NOW + 19 * HOUR);
                case.touched(kind, ago, is_done);
            },
            expected.as_slice(),
        );
    }
    challenged(|case| *case = Case { calls: Calls::default(), ..Case::settled() }, &[]);
}

#[test]
fn no_patch_follows_a_reauthorization() {
    let due = |ago, is_done| {
        move |case: &mut Case| {
            case.ends(NOW - 15 * HOUR, NOW + 5 * HOUR);
            case.touched(TouchKind::Reauthorize, ago, is_done);
        }
    };
    check(due(599, true), &[]);
    check(due(599, false), &[]);
    check(due(600, true), &["renew mail 1"]);
    check(
        |case| {
            due(60, true)(case);
            case.wanted[0].notification_url = "https://hooks.example/b".to_owned();
        },
        &[],
    );
    let mut case = Case::settled();
    due(60, true)(&mut case);
    assert_eq!(case.question().plan().next, Some(time(NOW + 540)));
}

#[test]
fn a_call_that_was_made_meanwhile_is_heeded_and_lasts_from_its_end() {
    let renew = Step::Renew { name: "mail".to_owned(), id: id("1") };
    let again = Step::Reauthorize { name: "mail".to_owned(), id: id("1") };
    for (step, kind, ago, is_done, expected) in [
        (&renew, TouchKind::Reauthorize, 599, true, false),
        (&again, TouchKind::Patch, 599, true, false),
        (&renew, TouchKind::Reauthorize, 600, true, true),
        (&renew, TouchKind::Patch, 1, true, true),
        // Nobody knows when it was tried last.
        (&renew, TouchKind::Reauthorize, 1_199, false, false),
        (&renew, TouchKind::Reauthorize, 1_200, false, true),
    ] {
        let mut case = Case::settled();
        case.touched(kind, ago, is_done);
        let before = case.state.clone();
        let settlement = |now| Settlement {
            wanted: &case.wanted,
            table: &case.table,
            actual: &case.actual,
            now,
            make_secret: || Secret::new("made".to_owned()),
        };
        let mut state = case.state.clone();
        assert_eq!(settlement(time(NOW)).may_begin(&mut state, step), expected, "{step:?} {kind:?} {ago}");
        assert_eq!(state != before, expected);
        if expected {
            settlement(time(NOW + 300)).finish(&mut state, step, None);
            let touch = state.kept[0].touch.expect("it was made");
            assert_eq!((touch.at, touch.is_done), (time(NOW + 300), true));
        }
    }
}

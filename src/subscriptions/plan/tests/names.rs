//! Names that come and go, and what they leave behind.

use super::*;

#[test]
fn names_come_and_go() {
    check(|case| case.wanted.clear(), &["drop mail"]);
    check(
        |case| {
            case.wanted.clear();
            case.kept().made_by = MadeBy::Hand;
        },
        &[],
    );
    check(|case| case.wanted[0].name = "post".to_owned(), &["rename post"]);
    check(
        |case| {
            case.wanted[0].name = "post".to_owned();
            case.wanted[0].prefer = vec!["x".to_owned()];
        },
        &["drop mail", "expect post"],
    );
    // It was asked for, and nobody knows whether it came to be.
    check(
        |case| {
            case.is_pending();
            case.wanted.clear();
        },
        &["delete mail 1"],
    );
    check(
        |case| {
            case.is_pending();
            case.wanted.clear();
            case.actual = Actual::default();
        },
        &["drop mail"],
    );
    // It is wanted in another way, by now.
    check(
        |case| {
            case.is_pending();
            case.wanted[0].resource = "other".to_owned();
        },
        &["delete mail 1"],
    );
}

#[test]
fn former_ones_go_when_they_may() {
    let former = |standing: Standing| {
        move |case: &mut Case| {
            case.state.former.push(Former {
                id: id("0"),
                name: "mail".to_owned(),
                entry: "mail".to_owned(),
                client_state: Secret::new("former".to_owned()),
                standing,
            });
        }
    };
    check(former(Standing::Outgoing), &["delete mail 0"]);
    check(former(Standing::Doomed), &["delete mail 0"]);
    check(former(Standing::Gone { at: time(NOW - 4 * HOUR) }), &[]);
    check(former(Standing::Gone { at: time(NOW - 5 * HOUR) }), &["forget - 0"]);
    let waiting = |standing| {
        move |case: &mut Case| {
            former(standing)(case);
            case.is_pending();
            case.actual = Actual::default();
        }
    };
    check(waiting(Standing::Outgoing), &["create mail"]);
    check(waiting(Standing::Doomed), &["delete mail 0", "create mail"]);
    // Its successor is to be where it stands, by now.
    check(
        |case| {
            waiting(Standing::Outgoing)(case);
            case.actual = Actual::of(vec![shown("0", &case.wanted[0])]);
        },
        &["delete mail 0", "create mail"],
    );
    // Its name is gone, too.
    check(
        |case| {
            former(Standing::Outgoing)(case);
            case.state.kept.clear();
            case.wanted.clear();
            case.actual = Actual::default();
        },
        &["delete mail 0"],
    );
}

#[test]
fn graph_is_asked_for_what_the_list_does_not_tell() {
    let ask = |change: fn(&mut Case)| {
        let mut case = Case::settled();
        change(&mut case);
        case.question().to_ask().iter().map(|id| id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(ask(|_| {}), [""; 0]);
    assert_eq!(ask(|case| case.actual = Actual::default()), ["1"]);
    assert_eq!(ask(|case| _ = case.calls.removed.insert(id("1"))), ["1"]);
    assert_eq!(ask(Case::is_pending), ["1"]);
    assert_eq!(ask(|case| case.state = State::default()), ["1"]);
    assert_eq!(ask(|case| case.ends(NOW - DAY, NOW)), [""; 0]);
    assert_eq!(
        ask(|case| {
            case.state = State::default();
            case.actual.subscriptions[0].notification_url = "https://other.example/".to_owned();
        }),
        [""; 0]
    );
}

#[test]
fn what_is_owed_is_bounded_and_nothing_of_it_is_lost() {
    let mut kept = pending(&wanted("mail", "r"));
    for n in 0..100_u64 {
        kept.owe(Owed { loss: Loss::Gone, id: Some(id(&n.to_string())), from: Some(time(NOW - n)) });
    }
    assert_eq!(kept.owed.len(), 8);
    assert_eq!(kept.owed.last().and_then(|owed| owed.from), Some(time(NOW - 99)));
    kept.owed.clear();
    kept.owe(Owed { loss: Loss::Gone, id: None, from: Some(time(5)) });
    kept.owe(Owed { loss: Loss::Gone, id: None, from: Some(time(3)) });
    assert_eq!(kept.owed, [Owed { loss: Loss::Gone, id: None, from: Some(time(3)) }]);
}

#[test]
fn what_an_older_form_may_have_left_goes_before_it_is_forgotten() {
    check(
        |case| {
            case.is_pending();
            case.wanted[0].resource = "/users/2/messages".to_owned();
        },
        &["delete mail 1"],
    );
    check(
        |case| {
            case.is_pending();
            case.wanted[0].resource = "/users/2/messages".to_owned();
            case.actual.lose(&id("1"));
        },
        &["expect mail"],
    );
}

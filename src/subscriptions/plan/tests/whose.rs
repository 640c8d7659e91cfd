//! What is ours, what stands in our place, and what is a stranger's.

use super::*;

#[test]
fn what_shows_that_it_is_ours_is_adopted() {
    let found = |secret: Option<&'static str>| {
        move |case: &mut Case| {
            case.is_pending();
            case.actual.subscriptions[0].client_state = secret.map(|secret| Secret::new(secret.to_owned()));
        }
    };
    check(found(Some("secret of mail")), &["adopt mail 1"]);
    check(found(Some("another")), &["delete mail 1", "create mail"]);
    check(found(None), &["delete mail 1", "create mail"]);
    let seen = |entry: &str, seconds: u64| {
        let (entry, last_at) = (entry.to_owned(), time(seconds));
        move |case: &mut Case| {
            found(None)(case);
            case.actual.seen.insert(id("1"), Seen { entry, last_at });
        }
    };
    check(seen("mail", NOW), &["adopt mail 1"]);
    check(seen("chat", NOW), &["delete mail 1", "create mail"]);
    // Before this clientState was made.
    check(seen("mail", NOW - 11 * HOUR), &["delete mail 1", "create mail"]);
    // Ours, but not as it should be.
    check(
        |case| {
            found(Some("secret of mail"))(case);
            case.actual.subscriptions[0].lifecycle_notification_url = None;
        },
        &["delete mail 1", "create mail"],
    );
    // Nothing is known, but for the entry of the table.
    let lost = |secret: &'static str| {
        move |case: &mut Case| {
            case.uses_entry("configured");
            case.state = State::default();
            case.actual.subscriptions[0].client_state = Some(Secret::new(secret.to_owned()));
        }
    };
    check(lost("configured"), &["adopt mail 1"]);
    check(lost("another"), &["expect mail"]);
    check(
        |case| {
            lost("")(case);
            case.actual.subscriptions[0].client_state = None;
            case.actual.seen.insert(id("1"), Seen { entry: "entry".to_owned(), last_at: time(NOW - DAY) });
        },
        &["adopt mail 1"],
    );
}

#[test]
fn doubles_go_and_strangers_stay() {
    let another = |change: fn(&mut Subscription)| {
        move |case: &mut Case| {
            let mut other = shown("2", &case.wanted[0]);
            change(&mut other);
            case.actual.subscriptions.push(other);
        }
    };
    check(another(|_| {}), &["delete mail 2"]);
    check(another(|other| other.application_id = None), &["delete mail 2"]);
    check(another(|other| other.notification_url = "https://HOOKS.example/a".to_owned()), &["delete mail 2"]);
    for change in [
        |other: &mut Subscription| other.notification_url = "https://other.example/".to_owned(),
        |other: &mut Subscription| other.application_id = Some("other".to_owned()),
        |other: &mut Subscription| other.resource = "/users/2/messages".to_owned(),
        |other: &mut Subscription| other.change_type = "created".to_owned(),
        |other: &mut Subscription| other.expiration_date_time = time(NOW),
    ] {
        let mut case = Case::settled();
        another(change)(&mut case);
        let plan = case.question().plan();
        assert_eq!(words(&plan), [""; 0]);
        assert_eq!(plan.strangers, [id("2")]);
        // Nor when there is none of ours.
        case.state = State::default();
        case.actual.subscriptions.remove(0);
        assert_eq!(words(&case.question().plan()), ["expect mail"]);
        let kept = pending(&case.wanted[0]);
        case.state.kept.push(kept);
        assert_eq!(words(&case.question().plan()), ["create mail"]);
    }
    // Whose app is unknown is nobody's of whom we know the app.
    check(
        |case| {
            another(|_| {})(case);
            case.policy.app = None;
        },
        &[],
    );
}

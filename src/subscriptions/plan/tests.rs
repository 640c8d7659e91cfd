//! Tables of plans, and a model of Graph that says whether they lead anywhere.

mod model;
mod reach;

use super::*;
use crate::{
    config::{ChangeType, Encryption},
    moment::at,
    subscriptions::{
        settle::Settlement,
        state::{Former, Owed, Touch},
    },
};

pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 24 * HOUR;
/// When the plans of the tables are made.
const NOW: u64 = 100 * DAY;

pub(super) fn time(seconds: u64) -> SystemTime {
    at(Duration::from_secs(seconds))
}

pub(super) fn wanted(name: &str, resource: &str) -> Wanted {
    Wanted {
        name: name.to_owned(),
        resource: resource.to_owned(),
        change_types: vec![ChangeType::Created, ChangeType::Updated],
        notification_url: "https://hooks.example/a".to_owned(),
        lifecycle_url: "https://hooks.example/l".to_owned(),
        lifetime: None,
        client_state: None,
        encryption: None,
        app_id: None,
        query_options: None,
        prefer: Vec::new(),
    }
}

/// What Graph would show of `wanted`, with ten hours of life before it and ten behind.
pub(super) fn shown(id: &str, wanted: &Wanted) -> Subscription {
    Subscription {
        id: id.to_owned().into(),
        resource: wanted.resource.clone(),
        change_type: Form::of(wanted).change_type(),
        notification_url: wanted.notification_url.clone(),
        lifecycle_notification_url: Some(wanted.lifecycle_url.clone()),
        expiration_date_time: time(NOW + 10 * HOUR),
        application_id: Some("app".to_owned()),
        client_state: None,
        include_resource_data: wanted.encryption.as_ref().map(|_| true),
        encryption_certificate_id: wanted.encryption.as_ref().map(|encryption| encryption.id.clone()),
    }
}

fn live(id: &str, wanted: &Wanted) -> Kept {
    let mut kept = pending(wanted);
    kept.phase = Phase::Live(Live {
        id: id.to_owned().into(),
        expires_at: time(NOW + 10 * HOUR),
        made_at: time(NOW - 10 * HOUR),
        renewed_at: time(NOW - 10 * HOUR),
        notification_url: wanted.notification_url.clone(),
    });
    kept
}

fn pending(wanted: &Wanted) -> Kept {
    let secret = Secret::new(format!("secret of {}", wanted.name));
    Kept::pending(wanted.name.clone(), MadeBy::Wanted, Form::of(wanted), secret, time(NOW - 10 * HOUR))
}

/// Everything that a plan is made of, to be changed by a case.
struct Case {
    wanted: Vec<Wanted>,
    table: Vec<ClientState>,
    state: State,
    actual: Actual,
    calls: Calls,
    policy: Policy,
}

impl Case {
    /// One that is wanted, kept and there, half way through its life.
    fn settled() -> Self {
        let mail = wanted("mail", "/users/1/messages");
        Self {
            state: State { kept: vec![live("1", &mail)], ..State::default() },
            actual: Actual::of(vec![shown("1", &mail)]),
            wanted: vec![mail],
            table: Vec::new(),
            calls: Calls::default(),
            policy: Policy { app: Some("APP".to_owned()), renew_at: 60 },
        }
    }

    fn question(&self) -> Question<'_> {
        let Self { wanted, table, state, actual, calls, policy } = self;
        Question { wanted, table, state, actual, calls, policy, now: time(NOW) }
    }

    fn kept(&mut self) -> &mut Kept {
        self.state.kept.first_mut().expect("a case with one that is kept")
    }

    fn live(&mut self) -> &mut Live {
        match &mut self.kept().phase {
            Phase::Live(live) => live,
            Phase::Pending { .. } => panic!("a case with one that is live"),
        }
    }

    fn ends(&mut self, began: u64, ends: u64) {
        let live = self.live();
        (live.renewed_at, live.expires_at) = (time(began), time(ends));
        self.actual.subscriptions[0].expiration_date_time = time(ends);
    }

    fn touched(&mut self, kind: TouchKind, seconds_ago: u64, is_done: bool) {
        self.kept().touch = Some(Touch { kind, at: time(NOW - seconds_ago), is_done });
    }

    fn is_pending(&mut self) {
        let kept = pending(&self.wanted[0]);
        *self.kept() = kept;
    }

    fn uses_entry(&mut self, secret: &str) {
        self.wanted[0].client_state = Some("entry".to_owned());
        self.table = vec![ClientState {
            name: "entry".to_owned(),
            secret: Secret::new(secret.to_owned()),
            subscriptions: HashSet::new(),
            tenants: HashSet::new(),
            silent_after: None,
        }];
    }
}

/// Steps as `word name id`.
fn words(plan: &Plan) -> Vec<String> {
    let word = |step: &Step| {
        let id = step.id().map(|id| format!(" {}", &**id)).unwrap_or_default();
        format!("{} {}{id}", step.as_str(), step.name().unwrap_or("-"))
    };
    plan.steps.iter().map(word).collect()
}

#[track_caller]
fn check(change: impl FnOnce(&mut Case), expected: &[&str]) {
    let mut case = Case::settled();
    change(&mut case);
    assert_eq!(words(&case.question().plan()), expected);
}

fn id(id: &str) -> SubscriptionId<'static> {
    id.to_owned().into()
}

#[test]
fn what_is_as_it_should_be_is_left_alone() {
    check(|_| {}, &[]);
    // Graph may write it in its own way.
    check(|case| case.actual.subscriptions[0].resource = "Users/1/Messages".to_owned(), &[]);
    check(|case| case.actual.subscriptions[0].change_type = "updated, created".to_owned(), &[]);
    let url = "https://Hooks.example:443/a";
    check(|case| case.actual.subscriptions[0].notification_url = url.to_owned(), &[]);
    let plan = Case::settled().question().plan();
    let next = plan.next.expect("a renewal to come");
    assert!(time(NOW + HOUR) <= next && next <= time(NOW + 3 * HOUR), "{next:?}");
}

#[test]
fn what_is_missing_is_made() {
    check(|case| (case.state, case.actual) = Default::default(), &["expect mail"]);
    check(
        |case| {
            case.is_pending();
            case.actual = Actual::default();
        },
        &["create mail"],
    );
    // The list lacks it: nobody knows, until it is asked for.
    check(|case| case.actual = Actual::default(), &[]);
    check(|case| case.actual.lose(&id("1")), &["lose mail 1"]);
    check(|case| case.ends(NOW - DAY, NOW), &["lose mail 1"]);
    // By the clock, whether or not anybody can be asked.
    check(
        |case| {
            case.ends(NOW - DAY, NOW - 1);
            case.actual = Actual::default();
        },
        &["lose mail 1"],
    );
}

#[test]
fn how_it_was_lost_is_known() {
    let loss = |change: fn(&mut Case)| {
        let mut case = Case::settled();
        change(&mut case);
        match case.question().plan().steps.first() {
            Some(Step::Lose { loss, .. }) => *loss,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(loss(|case| case.actual.lose(&id("1"))), Loss::Gone);
    assert_eq!(loss(|case| case.ends(NOW - DAY, NOW)), Loss::Expired);
    let removed = |case: &mut Case| {
        case.calls.removed.insert(id("1"));
        case.actual.lose(&id("1"));
    };
    assert_eq!(loss(removed), Loss::Removed);
    // Graph still has it: that counts.
    check(|case| _ = case.calls.removed.insert(id("1")), &[]);
}

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
fn what_can_be_changed_is_changed_and_what_cannot_is_replaced() {
    check(|case| case.wanted[0].notification_url = "https://hooks.example/b".to_owned(), &["move mail 1"]);
    // Somebody has moved it.
    check(
        |case| case.actual.subscriptions[0].notification_url = "https://other.example/".to_owned(),
        &["move mail 1"],
    );
    for change in [
        |wanted: &mut Wanted| wanted.lifecycle_url = "https://hooks.example/b".to_owned(),
        |wanted: &mut Wanted| wanted.prefer = vec!["x".to_owned()],
        |wanted: &mut Wanted| wanted.app_id = Some("x".to_owned()),
        |wanted: &mut Wanted| wanted.query_options = Some("x".to_owned()),
        |wanted: &mut Wanted| {
            let (id, certificate) = ("new".to_owned(), String::new());
            wanted.encryption = Some(Encryption { id, certificate });
        },
    ] {
        check(|case| change(&mut case.wanted[0]), &["replace mail 1"]);
    }
    check(|case| case.uses_entry("configured"), &["replace mail 1"]);
    // The secret of its entry is another now.
    let mut case = Case::settled();
    case.uses_entry("secret of mail");
    case.state.kept[0].form = Form::of(&case.wanted[0]);
    assert!(words(&case.question().plan()).is_empty());
    case.uses_entry("another");
    assert_eq!(words(&case.question().plan()), ["replace mail 1"]);
}

#[test]
fn another_place_is_taken_before_the_old_one_is_left() {
    let overlaps = |change: fn(&mut Case)| {
        let mut case = Case::settled();
        change(&mut case);
        match case.question().plan().steps.first() {
            Some(Step::Replace { overlaps, .. }) => *overlaps,
            other => panic!("{other:?}"),
        }
    };
    assert!(overlaps(|case| case.wanted[0].resource = "/users/2/messages".to_owned()));
    assert!(overlaps(|case| case.wanted[0].change_types = vec![ChangeType::Deleted]));
    assert!(!overlaps(|case| case.wanted[0].resource = "Users/1/messages".to_owned()));
    assert!(!overlaps(|case| case.wanted[0].prefer = vec!["x".to_owned()]));
    // There is one of ours already.
    assert!(!overlaps(|case| {
        case.wanted[0].resource = "/users/2/messages".to_owned();
        let other = wanted("other", "users/2/messages");
        case.state.kept.push(Kept { made_by: MadeBy::Hand, ..live("2", &other) });
    }));
}

#[test]
fn a_certificate_is_rotated_if_graph_lets_us() {
    let rotation = |case: &mut Case| {
        case.wanted[0].encryption = Some(Encryption { id: "old".to_owned(), certificate: String::new() });
        let (form, shown) = (Form::of(&case.wanted[0]), shown("1", &case.wanted[0]));
        case.kept().form = form;
        case.actual = Actual::of(vec![shown]);
        case.wanted[0].encryption = Some(Encryption { id: "new".to_owned(), certificate: String::new() });
    };
    check(rotation, &["rotate mail 1"]);
    check(
        |case| {
            rotation(case);
            case.kept().is_unrotatable = true;
        },
        &["replace mail 1"],
    );
    // One thing after the other.
    check(
        |case| {
            rotation(case);
            case.wanted[0].notification_url = "https://hooks.example/b".to_owned();
        },
        &["move mail 1"],
    );
}

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

//! Tables of plans, and a model of Graph that says whether they lead anywhere.

mod model;
mod names;
mod reach;
mod tokens;
mod whose;

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

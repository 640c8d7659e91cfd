use std::sync::Arc;

use super::*;
use crate::{
    moment::at,
    secret::Secret,
    subscriptions::state::{Form, Live, Phase, Touch, TouchKind},
};

const NOW: u64 = 1_000_000;

fn time(seconds: u64) -> SystemTime {
    at(Duration::from_secs(seconds))
}

/// One that is there, by this name, with this id and this entry of the table.
fn live(name: &str, id: &str, entry: Option<&str>) -> Kept {
    let form = Form {
        resource: "/users".to_owned(),
        change_types: Vec::new(),
        notification_url: String::new(),
        lifecycle_url: String::new(),
        entry: entry.map(str::to_owned),
        encryption: None,
        app_id: None,
        query_options: None,
        prefer: Vec::new(),
    };
    let mut kept =
        Kept::pending(name.to_owned(), MadeBy::Wanted, form, Secret::new("secret".to_owned()), time(NOW));
    kept.phase = Phase::Live(Live {
        id: id.to_owned().into(),
        expires_at: time(NOW * 2),
        made_at: time(NOW),
        renewed_at: time(NOW),
        notification_url: String::new(),
    });
    kept
}

fn state() -> State {
    let kept = vec![live("mail", "1", None), live("named", "2", Some("entry"))];
    State { kept, ..State::default() }
}

fn nudge(id: &str, event: Event, entry: &str) -> Mail {
    let (first_at, last_at) = (time(NOW), time(NOW));
    let nudge = Nudge {
        subscription_id: id.into(),
        event,
        client_state: entry.into(),
        tenant_id: None,
        before: None,
        first_at,
        last_at,
        times: 1,
    };
    Mail { nudges: vec![nudge], lumps: Vec::new() }
}

fn lump(event: Event, entry: &str) -> Mail {
    let client_state: Arc<str> = entry.into();
    let lump = Lump { event, client_state, first_at: time(NOW), last_at: time(NOW), times: 1 };
    Mail { nudges: Vec::new(), lumps: vec![lump] }
}

#[track_caller]
fn check(mail: Mail, challenged: &[&str], removed: &[&str]) {
    let mut heard = Heard::default();
    let is_news = heard.hear(mail, &state(), time(NOW));
    let calls = heard.calls(time(NOW));
    let ids = |ids: &std::collections::HashSet<SubscriptionId<'static>>| {
        let mut ids: Vec<String> = ids.iter().map(|id| id.to_string()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!((ids(&calls.challenged), ids(&calls.removed)), (words(challenged), words(removed)));
    assert_eq!(is_news, !(challenged.is_empty() && removed.is_empty()));
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn who_knows_the_secret_of_one_entry_speaks_for_no_other() {
    let (asks, removed) = (Event::ReauthorizationRequired, Event::SubscriptionRemoved);
    check(nudge("1", asks, "mail"), &["1"], &[]);
    check(nudge("2", removed, "entry"), &[], &["2"]);
    for event in [asks, removed] {
        check(nudge("1", event, "entry"), &[], &[]);
        check(nudge("2", event, "named"), &[], &[]);
        check(nudge("3", event, "entry"), &[], &[]);
        check(lump(event, "another"), &[], &[]);
    }
    // Of which subscriptions, nobody knows; but of that entry.
    check(lump(asks, "entry"), &["2"], &[]);
    check(lump(removed, "mail"), &[], &["1"]);
}

#[test]
fn a_token_is_wanted_until_there_is_one() {
    let (mut heard, mut state) = (Heard::default(), state());
    let asked = |heard: &mut Heard, state: &State, seconds| {
        heard.hear(nudge("1", Event::ReauthorizationRequired, "mail"), state, time(NOW + seconds));
    };
    let wanted = |heard: &Heard, seconds| heard.calls(time(NOW + seconds)).challenged.len();
    asked(&mut heard, &state, 0);
    // Graph may be away for hours, and who asks again is asked for again.
    assert_eq!(wanted(&heard, 86_399), 1);
    asked(&mut heard, &state, 90_000);
    assert_eq!(wanted(&heard, 90_000), 1);
    heard.answered("1");
    assert_eq!(wanted(&heard, 90_000), 0);
    let touch = Touch { kind: TouchKind::Patch, at: time(NOW + 90_000), is_done: true };
    state.kept[0].touch = Some(touch);
    asked(&mut heard, &state, 90_001);
    assert_eq!(wanted(&heard, 90_001), 0);
}

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    sync::Arc,
    thread,
};

use super::{
    file::{NAME, StateError},
    *,
};
use crate::moment::at;

fn time(seconds: u64) -> SystemTime {
    at(Duration::from_secs(seconds))
}

fn id(id: &str) -> SubscriptionId<'static> {
    id.to_owned().into()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn kept(name: &str) -> Kept {
    let form = Form {
        resource: "/users/1/messages".to_owned(),
        change_types: vec![ChangeType::Created, ChangeType::Deleted],
        notification_url: "https://hooks.example/a".to_owned(),
        lifecycle_url: "https://hooks.example/l".to_owned(),
        entry: None,
        encryption: Some("key".to_owned()),
        app_id: Some("app".to_owned()),
        query_options: Some("$filter=x".to_owned()),
        prefer: vec!["y".to_owned()],
    };
    Kept::pending(name.to_owned(), MadeBy::Wanted, form, secret(&format!("secret of {name}")), time(7))
}

fn live(name: &str, subscription: &str) -> Kept {
    let live = Live {
        id: id(subscription),
        expires_at: time(9_000),
        made_at: time(8),
        renewed_at: time(9),
        notification_url: "https://hooks.example/a".to_owned(),
    };
    Kept { phase: Phase::Live(live), ..kept(name) }
}

fn former(subscription: &str, standing: Standing) -> Former {
    Former {
        id: id(subscription),
        name: "old".to_owned(),
        entry: "entry".to_owned(),
        client_state: secret("secret of old"),
        standing,
    }
}

/// One with everything in it.
fn full() -> State {
    let touch = |kind| Some(Touch { kind, at: time(5), is_done: true });
    let owed = |loss| Owed { loss, id: Some(id("0")), from: None };
    let by_hand = Kept {
        made_by: MadeBy::Hand,
        touch: touch(TouchKind::Reauthorize),
        is_unrotatable: true,
        ..live("by hand", "2")
    };
    let owing = Kept {
        touch: touch(TouchKind::Patch),
        owed: vec![
            owed(Loss::Removed),
            owed(Loss::Expired),
            owed(Loss::Gone),
            Owed { loss: Loss::Replaced, id: None, from: Some(time(3)) },
        ],
        ..live("owing", "1")
    };
    State {
        revision: 0,
        kept: vec![kept("pending"), owing, by_hand],
        former: vec![
            former("3", Standing::Outgoing),
            former("4", Standing::Doomed),
            former("5", Standing::Gone { at: time(6) }),
        ],
    }
}

#[test]
fn what_is_saved_comes_back_and_nobody_else_can_read_it() {
    let parent = tempfile::tempdir().expect("a directory");
    let directory = parent.path().join("a/b");
    assert_eq!(State::load(&directory).expect("nothing is there"), State::default());
    assert_eq!(State::stamp(&directory), None);
    let updated = State::update(&directory, |state| *state = full()).expect("it can be written");
    let loaded = State::load(&directory).expect("it can be read");
    assert_eq!(loaded, updated.state);
    assert_eq!(State { revision: 0, ..loaded.clone() }, full());
    let mode = |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join(NAME))), (0o700, 0o600));
    // What changes nothing writes nothing; what changes something is another version.
    let (stamp, revision) = (State::stamp(&directory), loaded.revision);
    State::update(&directory, |_| ()).expect("there is nothing to write");
    assert_eq!(State::stamp(&directory), stamp);
    let changed = State::update(&directory, |state| state.kept.clear()).expect("it can be written");
    assert!(changed.state.revision > revision);
    assert_ne!(State::stamp(&directory), stamp);
    // Nor does it show itself.
    assert!(!format!("{:?}", full()).contains("secret of"));
}

#[test]
fn the_revision_grows_even_when_the_file_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let update = |name: &str| {
        let updated = State::update(directory.path(), |state| state.kept = vec![kept(name)]);
        updated.expect("it can be written").state.revision
    };
    let before = update("a");
    fs::remove_file(directory.path().join(NAME)).expect("it was there");
    assert!(update("b") >= before);
}

#[test]
fn what_is_damaged_is_set_aside_and_what_is_newer_is_left_alone() {
    let whole = {
        let directory = tempfile::tempdir().expect("a directory");
        State::update(directory.path(), |state| *state = full()).expect("it can be written");
        fs::read_to_string(directory.path().join(NAME)).expect("it is there")
    };
    let damages = [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        "[]".to_owned(),
        r#"{"graphhook_subscriptions":1}"#.to_owned(),
        whole.replace(r#""pending_since":7000"#, r#""pending_since":null"#),
        // An id that leads elsewhere.
        whole.replace(r#""id":"3""#, r#""id":"../3""#),
    ];
    for text in damages {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(NAME);
        fs::write(&path, &text).expect("it can be written");
        assert!(matches!(State::load(directory.path()), Err(StateError::Damaged(_))), "{text}");
        let updated = State::update(directory.path(), |state| state.kept.len()).expect("it is set aside");
        assert_eq!(updated.value, 0);
        let aside = updated.set_aside.expect("it was there");
        assert_eq!(fs::read_to_string(aside).expect("it is kept"), text);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let newer = r#"{"graphhook_subscriptions":2,"other":true}"#;
    fs::write(directory.path().join(NAME), newer).expect("it can be written");
    let refused = State::update(directory.path(), |state| state.kept.clear());
    assert!(matches!(refused, Err(StateError::Newer(_))));
    assert_eq!(fs::read_to_string(directory.path().join(NAME)).expect("it is there"), newer);
}

#[test]
fn nobody_is_led_elsewhere() {
    let (directory, elsewhere) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let target = elsewhere.path().join("target");
    fs::write(&target, "precious").expect("it can be written");
    symlink(&target, directory.path().join(NAME)).expect("a link");
    assert!(matches!(State::load(directory.path()), Err(StateError::Unreadable(..))));
    fs::remove_file(directory.path().join(NAME)).expect("it was there");
    symlink(&target, directory.path().join(format!("{NAME}.new"))).expect("a link");
    State::update(directory.path(), |state| *state = full()).expect("it can be written");
    assert_eq!(fs::read_to_string(&target).expect("it is there"), "precious");
    let file = fs::symlink_metadata(directory.path().join(NAME)).expect("it is there");
    let owner = fs::metadata(directory.path()).expect("it is there");
    assert!(file.is_file());
    assert_eq!((file.uid(), file.gid()), (owner.uid(), owner.gid()));
}

#[test]
fn those_who_write_at_once_lose_nothing() {
    let directory = Arc::new(tempfile::tempdir().expect("a directory"));
    let threads: Vec<_> = (0..8)
        .map(|writer| {
            let directory = Arc::clone(&directory);
            thread::spawn(move || {
                for n in 0..10 {
                    let name = format!("{writer}-{n}");
                    State::update(directory.path(), |state| state.kept.push(kept(&name)))
                        .expect("it can be written");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let names: HashSet<String> =
        State::load(directory.path()).expect("it is there").kept.into_iter().map(|kept| kept.name).collect();
    assert_eq!(names.len(), 80);
}

#[test]
fn the_file_is_bounded() {
    let directory = tempfile::tempdir().expect("a directory");
    let many = |state: &mut State| {
        state.kept = (0..=file::KEPT_MAX).map(|n| kept(&n.to_string())).collect();
    };
    assert!(matches!(State::update(directory.path(), many), Err(StateError::Full)));
    let gone = State::update(directory.path(), |state| {
        state.former.push(former("doomed", Standing::Doomed));
        for n in 0..file::KEPT_MAX as u64 {
            state.former.push(former(&n.to_string(), Standing::Gone { at: time(n) }));
        }
    });
    let former = gone.expect("it can be written").state.former;
    assert_eq!(former.len(), file::KEPT_MAX);
    // The one that has been gone for longest made room, and none that is still there.
    assert!(former.iter().all(|former| *former.id != *"0"));
    assert_eq!(former[0].standing, Standing::Doomed);
}

#[test]
fn each_clientstate_admits_its_own_and_nothing_else() {
    let mut named = live("named", "7");
    named.form.entry = Some("entry".to_owned());
    let state = State {
        revision: 1,
        kept: vec![kept("pending"), live("live", "1"), named.clone()],
        former: vec![former("3", Standing::Gone { at: time(6) })],
    };
    let entry = |secret: &Secret, subscriptions: &[&str]| ClientState {
        name: "entry".to_owned(),
        secret: secret.clone(),
        subscriptions: subscriptions.iter().map(|text| id(text)).collect(),
        tenants: HashSet::new(),
        silent_after: None,
    };
    let made = |table: &[ClientState]| {
        let made = state.client_states(table).into_iter().map(|entry| {
            let ids: Vec<String> = entry.subscriptions.iter().map(|id| id.to_string()).collect();
            (entry.name, entry.secret.expose().to_owned(), ids.join(" "))
        });
        made.collect::<Vec<_>>()
    };
    let row = |name: &str, secret: &str, ids: &str| (name.to_owned(), secret.to_owned(), ids.to_owned());
    let common = [
        row("pending", "secret of pending", ""),
        row("live", "secret of live", "1"),
        row("entry", "secret of old", "3"),
    ];
    let also = |rows: &[_]| [&common[..2], rows, &common[2..]].concat();
    // What the configuration has, and admits, needs no other entry.
    assert_eq!(made(&[entry(&named.client_state, &[])]), common);
    assert_eq!(made(&[entry(&named.client_state, &["7"])]), common);
    let its_own = row("entry", "secret of named", "7");
    assert_eq!(made(&[entry(&named.client_state, &["8"])]), also(std::slice::from_ref(&its_own)));
    // The secret of the entry is another now: until it is replaced, its items carry the one of before.
    assert_eq!(made(&[entry(&secret("another"), &[])]), also(&[its_own]));
}

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::delivery::spool::{
    record::Record,
    trouble::{Fault, Retry, Trouble},
};

fn record(number: u64, bytes: usize) -> Record {
    Record {
        message_id: format!("m-{number}"),
        routing_key: "a.b.c".to_owned(),
        properties: "{}".to_owned(),
        body: vec![b'x'; bytes].into(),
    }
}

fn parked(retry: Retry) -> Trouble {
    Trouble { fault: Fault::Returned, attempts: 1, since: SystemTime::UNIX_EPOCH, retry }
}

const ALL: Limit = Limit { items: usize::MAX, bytes: usize::MAX };

/// What somebody does to a store; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Deed {
    Append { bytes: usize, is_parked: bool },
    Remove(usize),
    Park(usize, bool),
    Reopen,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0_usize..9000, any::<bool>()).prop_map(|(bytes, is_parked)| Deed::Append { bytes, is_parked }),
        2 => any::<usize>().prop_map(Deed::Remove),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, aside)| Deed::Park(which, aside)),
        1 => Just(Deed::Reopen),
    ];
    proptest::collection::vec(deed, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is done, the books say what is there, and everything comes out as it went in, in order.
    #[test]
    fn the_books_are_even_and_nothing_changes(deeds in deeds()) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut store = Store::open(directory.path()).expect("a store");
        let mut model = BTreeMap::<u64, (Record, Option<bool>)>::new();
        for (number, deed) in deeds.into_iter().enumerate() {
            let mut changes = Changes::default();
            let some = record(number as u64, match deed { Deed::Append { bytes, .. } => bytes, Deed::Remove(_) | Deed::Park(..) | Deed::Reopen => 0 });
            let pick = |which: usize| model.keys().nth(which % model.len().max(1)).copied();
            match deed {
                Deed::Append { is_parked, .. } => {
                    let trouble = is_parked.then(|| parked(Retry::At(SystemTime::UNIX_EPOCH)));
                    changes.append.push((&some, trouble));
                }
                Deed::Remove(which) => changes.remove.extend(pick(which)),
                Deed::Park(which, aside) => {
                    let retry = if aside { Retry::SetAside } else { Retry::At(SystemTime::now()) };
                    changes.park.extend(pick(which).map(|seq| (seq, parked(retry))));
                }
                Deed::Reopen => {
                    store.close().expect("it closes");
                    store = Store::open(directory.path()).expect("it opens again");
                }
            }
            let seqs = store.commit(&changes, SystemTime::now()).expect("a commit");
            for (seq, (record, trouble)) in seqs.into_iter().zip(&changes.append) {
                model.insert(seq, ((*record).clone(), trouble.map(|_| false)));
            }
            for seq in &changes.remove {
                model.remove(seq);
            }
            for (seq, trouble) in &changes.park {
                model.get_mut(seq).expect("picked").1 = Some(trouble.retry == Retry::SetAside);
            }
        }
        let books = store.recount().expect("books");
        prop_assert_eq!(books.items, model.len() as u64);
        prop_assert_eq!(books.bytes, model.values().map(|(record, _)| record.bytes() as u64).sum::<u64>());
        prop_assert_eq!(books.parked, model.values().filter(|(_, parked)| parked.is_some()).count() as u64);
        prop_assert_eq!(books.set_aside, model.values().filter(|(_, parked)| *parked == Some(true)).count() as u64);
        let listed = store.list(0, ALL).expect("a list");
        let there: Vec<_> = listed.into_iter().map(|(found, _)| (found.seq, found.record)).collect();
        let expected: Vec<_> = model.into_iter().map(|(seq, (record, _))| (seq, Some(record))).collect();
        prop_assert_eq!(there, expected);
        prop_assert_eq!(store.check().expect("checked"), Vec::<String>::new());
    }
}

#[test]
fn what_is_restored_keeps_its_place_and_displaces_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = Store::open(directory.path()).expect("a store");
    let (ours, other) = (record(1, 10), record(2, 20));
    assert_eq!(store.restore(&[(5, ours.clone()), (5, ours.clone())], "f", 1).expect("restored"), 1);
    assert_eq!(store.restore(&[(5, other.clone()), (3, other.clone())], "f", 2).expect("restored"), 2);
    let listed = store.list(0, ALL).expect("a list");
    let there: Vec<_> = listed.into_iter().map(|(found, _)| (found.seq, found.record)).collect();
    assert_eq!(there, [(3, Some(other.clone())), (5, Some(ours)), (6, Some(other))]);
    assert_eq!(store.salvaged("f").expect("a place"), 2);
}

#[test]
fn places_grow_whatever_the_clock_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = Store::open(directory.path()).expect("a store");
    let some = record(1, 1);
    let append = |store: &mut Store, now| {
        let changes = Changes { append: vec![(&some, None)], ..Changes::default() };
        store.commit(&changes, now).expect("a commit")[0]
    };
    let now = SystemTime::now();
    let first = append(&mut store, now);
    assert_eq!(first, micros(now));
    assert_eq!(append(&mut store, SystemTime::UNIX_EPOCH), first + 1);
    store.close().expect("it closes");
    let mut store = Store::open(directory.path()).expect("it opens again");
    assert_eq!(append(&mut store, SystemTime::UNIX_EPOCH), first + 2);
}

#[test]
fn an_emptied_file_gives_its_pages_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = Store::open(directory.path()).expect("a store");
    let records: Vec<Record> = (0..2000).map(|number| record(number, 3000)).collect();
    let append = records.iter().map(|record| (record, None)).collect();
    let seqs = store.commit(&Changes { append, ..Changes::default() }, SystemTime::now()).expect("a commit");
    assert!(store.disk_bytes().expect("a size") > 6_000_000);
    store.commit(&Changes { remove: seqs, ..Changes::default() }, SystemTime::now()).expect("a commit");
    while store.give_back().expect("given back") {}
    assert!(store.disk_bytes().expect("a size") < 100_000);
    assert!(!store.hides_something().expect("looked"));
    assert!(fs::metadata(directory.path().join(FILE)).expect("the file").len() < 100_000);
}

//! The oracle finds what is wrong, each thing by itself, and passes what is right.

use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Item, Oracle, Recognised, Sender, Taken, Verdict};
use crate::support::broker::Node;
use crate::support::daemon::Daemon;
use crate::support::disk::Disk;
use crate::support::load::Plan;
use crate::support::queue::{Amqp, Delivered};

/// What consumers get when all goes well.
fn delivered(oracle: &Oracle, item: Item) -> Delivered {
    Delivered { message_id: oracle.id(item), ..message(&oracle.text(item)) }
}

fn message(body: &str) -> Delivered {
    Delivered {
        body: body.to_owned().into(),
        exchange: String::new(),
        routing_key: String::new(),
        redelivered: false,
        message_id: "somebody's".to_owned(),
        content_type: String::new(),
        kind: String::new(),
        app_id: String::new(),
        delivery_mode: None,
        timestamp: None,
        headers: std::collections::BTreeMap::new(),
    }
}

/// An oracle with four items that were answered 202; the first has no `id`, the last is forged.
fn accepted() -> (Arc<Oracle>, Vec<Item>) {
    let oracle = Oracle::with_fresh_key();
    let senders = [Sender::Graph, Sender::Graph, Sender::Graph, Sender::Forger];
    let items: Vec<Item> = senders.into_iter().map(|sender| oracle.issue(sender)).collect();
    oracle.sent(&items);
    oracle.answered(&items, Answer::Status(202), Duration::from_millis(5), None);
    (oracle, items)
}

/// The judgement when consumers got this in place of what they should have got.
fn judged(spoil: impl FnOnce(&Oracle, &[Item], &mut Taken)) -> Verdict {
    let (oracle, items) = accepted();
    let normal = items[..3].iter().map(|item| delivered(&oracle, *item)).collect();
    let mut taken = Taken { normal, quarantine: vec![delivered(&oracle, items[3])] };
    spoil(&oracle, &items, &mut taken);
    oracle.judge(&taken)
}

/// How much is wrong: lost, invented, altered, believed, doubted, renamed.
#[track_caller]
fn check(wrong: [usize; 6], spoil: impl FnOnce(&Oracle, &[Item], &mut Taken)) {
    let verdict = judged(spoil);
    let Verdict { report: _, lost, invented, altered, believed, doubted, renamed } = &verdict;
    let found = [lost, invented, altered, believed, doubted, renamed].map(Vec::len);
    assert_eq!(found, wrong, "{}", verdict.json());
    assert_eq!(std::panic::catch_unwind(|| _ = verdict.check()).is_ok(), wrong == [0; 6]);
}

#[test]
fn all_is_well_when_all_is_there() {
    check([0; 6], |_, _, _| {});
}

#[test]
fn a_lost_item_is_missed() {
    check([1, 0, 0, 0, 0, 0], |_, _, taken| _ = taken.normal.remove(1));
}

#[test]
fn an_item_of_nobody_is_recognised() {
    check([0, 1, 0, 0, 0, 0], |_, _, taken| taken.normal.push(message("{}")));
    check([0, 1, 0, 0, 0, 0], |_, items, taken| {
        let (other, _) = accepted();
        taken.normal.push(delivered(&other, items[0]));
    });
}

#[test]
fn one_other_byte_is_seen() {
    check([1, 0, 1, 0, 0, 0], |oracle, items, taken| {
        let body = oracle.text(items[1]).replace("created", "Created");
        taken.normal[1].body = body.into();
    });
    check([1, 1, 0, 0, 0, 0], |oracle, items, taken| {
        let id = oracle.id(items[1]);
        let other = id.replace(['0', '1', '2', '3'], "4");
        taken.normal[1].body = oracle.text(items[1]).replace(&id, &other).into();
    });
}

#[test]
fn a_forged_item_that_was_believed_is_seen() {
    check([0, 0, 0, 1, 0, 0], |_, _, taken| taken.normal.append(&mut taken.quarantine));
}

#[test]
fn a_genuine_item_that_was_doubted_is_seen() {
    check([0, 0, 0, 0, 1, 0], |_, _, taken| taken.quarantine.push(taken.normal.remove(0)));
}

#[test]
fn an_item_keeps_its_message_id() {
    check([0, 0, 0, 0, 0, 1], |_, _, taken| taken.normal[1].message_id = "another".to_owned());
    // The first has no id of its own: any will do, but always the same.
    check([0; 6], |_, _, taken| taken.normal[0].message_id = "another".to_owned());
    check([0, 0, 0, 0, 0, 1], |_, _, taken| {
        let mut again = taken.normal[0].clone();
        again.message_id = "another".to_owned();
        taken.normal.push(again);
    });
}

#[test]
fn doubles_are_allowed_and_counted() {
    let verdict = judged(|_, _, taken| taken.normal.extend_from_within(..2));
    assert_eq!((verdict.report.delivered, verdict.report.doubles), (5, 2));
    verdict.check().check_doubles(2);
    assert!(std::panic::catch_unwind(|| _ = verdict.check_doubles(1)).is_err());
}

#[test]
fn what_was_not_answered_202_is_owed_by_nobody() {
    let oracle = Oracle::with_fresh_key();
    for answer in [Answer::Status(503), Answer::None, Answer::Status(202)] {
        let items = [oracle.issue(Sender::Graph), oracle.issue(Sender::Forger)];
        oracle.sent(&items);
        oracle.answered(&items, answer, Duration::from_micros(2001), None);
    }
    assert_eq!(oracle.obligations(), [Item(4)]);
    let report = oracle.report();
    assert_eq!((report.issued, report.forged, report.accepted), (6, 3, 2));
    assert_eq!((report.requests, report.unavailable, report.unanswered), (3, 1, 1));
    assert_eq!((report.worst_ms, report.p999_ms, report.p999_accepted_ms), (3, 3, 3));
    let verdict = oracle.judge(&Taken::default());
    assert_eq!(verdict.lost, [oracle.id(Item(4))]);
    assert!(verdict.json().contains(r#""issued":6"#), "{}", verdict.json());
    assert!(std::panic::catch_unwind(|| _ = verdict.check_times(Duration::from_millis(2))).is_err());
}

#[test]
fn other_answers_are_not_overlooked() {
    let oracle = Oracle::with_fresh_key();
    oracle.answered(&[], Answer::Status(400), Duration::ZERO, None);
    assert!(std::panic::catch_unwind(|| _ = oracle.judge(&Taken::default()).check()).is_err());
}

#[test]
fn only_the_oracle_that_issued_an_item_knows_it() {
    let (oracle, items) = accepted();
    let text = oracle.text(items[0]);
    assert_eq!(oracle.recognise(text.as_bytes()), Recognised::Known(items[0]));
    assert_eq!(accepted().0.recognise(text.as_bytes()), Recognised::Invented);
}

/// A load of all kinds against the real program.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mixed_load_arrives() {
    let daemon = Daemon::configure().connected().await;
    let oracle = Oracle::with_fresh_key();
    let disk = Arc::new(Disk::empty());
    let load = Plan::new(&oracle).clients(3).mixed().forged_one_in(10).rate(200).retries().marks(&disk);
    let load = load.start(&daemon);
    load.eventually_accepts(1000).await;
    load.stop().await;
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let taken = oracle.taken(&amqp, &daemon).await;
    let verdict = oracle.judge(&taken);
    verdict.check().check_doubles(0).check_times(Duration::from_secs(10));
    let report = &verdict.report;
    assert!(report.forged >= 100 && report.quarantined > 0 && report.worst_ms > 0, "{}", report.json());
    let owed = u64::try_from(oracle.obligations().len()).expect("a count fits");
    assert_eq!(report.delivered, owed, "{}", report.json());
    let without_one = Taken { normal: taken.normal[1..].to_vec(), ..Taken::default() };
    assert_eq!(oracle.judge(&without_one).lost.len(), 1);
    assert_eq!(oracle.obligations_by(|_| false), []);
}

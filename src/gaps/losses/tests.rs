//! What happened, and the gaps that are owed for it.

use std::{path::Path, sync::OnceLock};

use super::*;
use crate::{
    config::{self, ClientState},
    delivery::Delivery,
    envelope::routing::Template,
    metrics::throttling::Waited,
    moment::rfc3339,
    notification::Batch,
    secret::Secret,
    trace::export::Tracer,
    verify::Verifier,
};

/// The times of these tests are minutes, of which the 2,000th is about now: what is older is forgotten one day.
fn at(minute: u64) -> SystemTime {
    static BEGIN: OnceLock<Duration> = OnceLock::new();
    let begin = BEGIN.get_or_init(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        Duration::from_secs(now.as_secs() - 2_000 * 60)
    });
    SystemTime::UNIX_EPOCH + *begin + Duration::from_secs(60 * minute)
}

/// A daemon's part that finds gaps, in this directory.
fn losses(directory: &Path, minute: u64) -> Losses {
    let metrics = Metrics::new();
    let settings = config::Spool {
        directory: directory.to_owned(),
        bytes_max: 1 << 20,
        set_aside_after: Duration::from_secs(60),
        waiting_bytes: 1 << 20,
    };
    // Nobody keeps it: what is owed stays owed.
    let (spool, _) = Spool::open(settings, Arc::clone(&metrics)).expect("a spool");
    let delivery = Arc::new(Delivery::without_broker(
        spool.clone(),
        Tracer::idle(crate::trace::Sample::ratio(0.0).expect("a ratio")),
    ));
    let sightings = Sightings::open(directory, Arc::clone(&metrics), at(minute));
    sightings.adopt(&table());
    let gaps = Gaps::new(delivery, Template::default(), Arc::clone(&metrics));
    Losses::open(gaps, sightings, spool, directory.to_owned(), metrics)
}

fn table() -> [ClientState; 1] {
    [ClientState {
        name: "mail".to_owned(),
        secret: Secret::new("x".to_owned()),
        subscriptions: [].into(),
        tenants: [].into(),
        silent_after: None,
    }]
}

/// These items come, genuine or not.
fn come(losses: &Losses, minute: u64, items: &[&str]) {
    let body = format!(r#"{{"value":[{}]}}"#, items.join(","));
    let verified = Verifier::new(&table()).verify(Batch::parse(body.as_bytes(), 100).expect("a batch"));
    losses.sightings.note(&verified, at(minute));
}

fn change(id: &str) -> String {
    format!(
        r##"{{"subscriptionId":"{id}","clientState":"x","tenantId":"t","changeType":"created","resourceData":{{"@odata.type":"#Microsoft.Graph.Message"}}}}"##
    )
}

fn lifecycle(id: &str, event: &str) -> String {
    format!(r#"{{"subscriptionId":"{id}","clientState":"x","lifecycleEvent":"{event}"}}"#)
}

/// What is owed, in short: reason, subscription, and the minutes from and to.
#[track_caller]
fn check(losses: &Losses, expected: &[(&str, &str, Option<u64>, u64)]) {
    let minute = |time: SystemTime| time.duration_since(at(0)).expect("after the begin").as_secs() / 60;
    let owed = losses.ledger.all();
    let owed = owed.iter().map(|gap| {
        let id = gap.subscription_id.as_deref().unwrap_or("all");
        (gap.reason.as_str(), id, gap.from.map(minute), minute(gap.to))
    });
    let mut owed: Vec<_> = owed.collect();
    owed.sort_unstable();
    assert_eq!(owed, expected);
}

/// The last life of a daemon that knew these, and ended at this minute.
fn lived(directory: &Path, items: &[&str], from: u64, to: u64) {
    let losses = losses(directory, from);
    come(&losses, from, items);
    let written = directory.join("subscriptions.json");
    let stop = CancellationToken::new();
    stop.cancel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Arc::clone(&losses.sightings).run(stop));
    let text = std::fs::read_to_string(&written).expect("it is saved");
    let (before, rest) = text.split_once("\"saved_at\":").expect("the time of it");
    let (_, after) = rest.split_once(',').expect("what follows it");
    let millis = at(to).duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
    std::fs::write(&written, format!("{before}\"saved_at\":{millis},{after}")).expect("written");
}

#[test]
fn what_graph_gave_up_is_owed_since_it_was_first_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut losses = losses(directory.path(), 1_000);
    let look = |losses: &mut Losses, minute| losses.look(Instant::now(), at(minute));
    come(&losses, 1_000, &[&change("a")]);
    come(&losses, 1_100, &[&lifecycle("a", "missed"), &lifecycle("new", "missed")]);
    come(&losses, 1_100, &[&lifecycle("a", "reauthorizationRequired"), &lifecycle("a", "later")]);
    let forged = lifecycle("b", "missed").replace("\"x\"", "\"y\"");
    come(&losses, 1_100, &[&forged]);
    look(&mut losses, 1_100);
    // 240 minutes of repetitions come before what is given up; a longer silence goes further back.
    check(&losses, &[("missed", "a", Some(860), 1_100), ("missed", "new", Some(860), 1_100)]);
    let gap = &losses.ledger.all()[0];
    assert_eq!(
        (gap.client_state.as_deref(), gap.tenant_id.as_deref(), gap.resource_type.as_deref()),
        (Some("mail"), Some("t"), Some("#Microsoft.Graph.Message"))
    );
    losses.ledger = Ledger::default();
    come(&losses, 2_000, &[&lifecycle("a", "missed")]);
    look(&mut losses, 2_000);
    check(&losses, &[("missed", "a", Some(1_100), 2_000)]);
}

#[test]
fn of_a_removal_who_manages_it_tells() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut losses = losses(directory.path(), 1_000);
    losses.gaps.manage(["ours".to_owned()]);
    let removed = ["ours", "theirs"].map(|id| lifecycle(id, "subscriptionRemoved"));
    come(&losses, 1_000, &[&removed[0], &removed[1], &lifecycle("ours", "missed")]);
    losses.look(Instant::now(), at(1_000));
    check(
        &losses,
        &[("missed", "ours", Some(760), 1_000), ("subscription_removed", "theirs", Some(760), 1_000)],
    );
}

#[test]
fn away_for_longer_than_graph_repeats_is_a_gap_of_all_that_lived() {
    let end = format!(r#""subscriptionExpirationDateTime":"{}","clientState""#, rfc3339(at(133)));
    let ended = change("ended").replace(r#""clientState""#, &end);
    for (back_at, expected) in
        [(1_000 + 240, vec![]), (1_000 + 241, vec![("downtime", "a", Some(1_000), 1_241)])]
    {
        let directory = tempfile::tempdir().expect("a directory");
        lived(directory.path(), &[&change("a"), &ended], 100, 1_000);
        let mut losses = losses(directory.path(), back_at);
        losses.look_back(at(back_at));
        check(&losses, &expected);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mut losses = losses(directory.path(), 1_900);
    losses.look_back(at(1_900));
    check(&losses, &[]);
}

#[test]
fn one_gap_for_each_time_in_which_graph_drops() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut losses = losses(directory.path(), 1_000);
    come(&losses, 1_000, &[&change("a")]);
    let begun = Instant::now();
    let answer = |losses: &mut Losses, second: u64, waited| {
        let now = begun + Duration::from_secs(second);
        losses.metrics.graph.answered(now, waited);
        losses.look(now, at(1_000) + Duration::from_secs(second));
    };
    let (slow, quick) = (Waited::Answered(Duration::from_secs(11)), Waited::Answered(Duration::ZERO));
    answer(&mut losses, 0, slow);
    for second in 1..=5 {
        answer(&mut losses, second, quick);
    }
    // One of six is over 15 %.
    check(&losses, &[]);
    assert_eq!(losses.dropping_since, Some(at(990)));
    answer(&mut losses, 60, quick);
    check(&losses, &[("dropped", "a", Some(990), 1_001)]);
    losses.ledger = Ledger::default();
    answer(&mut losses, 61, quick);
    check(&losses, &[]);
    // One that comes and goes between two looks.
    let at_once = begun + Duration::from_secs(62);
    for waited in [slow, quick, quick, quick, quick, quick, quick] {
        losses.metrics.graph.answered(at_once, waited);
    }
    losses.look(at_once, at(1_002));
    check(&losses, &[("dropped", "a", Some(992), 1_002)]);
    losses.ledger = Ledger::default();
    // Nothing comes any more: that is its end, too.
    for second in 120..130 {
        answer(&mut losses, second, slow);
    }
    losses.look(begun + Duration::from_secs(730), at(1_012));
    check(&losses, &[("dropped", "a", Some(992), 1_012)]);
}

#[test]
fn what_had_begun_to_drop_before_a_crash_is_told_after_it() {
    let directory = tempfile::tempdir().expect("a directory");
    lived(directory.path(), &[&change("a")], 1_000, 1_050);
    keepsake::replace(&directory.path().join(file::NAME), &Written::of(Some(at(1_040)), Vec::new()))
        .expect("written");
    let mut losses = losses(directory.path(), 1_060);
    losses.look_back(at(1_060));
    check(&losses, &[("dropped", "a", Some(1_040), 1_050)]);
}

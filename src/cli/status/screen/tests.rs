//! The screen as people see it.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

/// 2026-11-22T03:00:00Z.
const NOW: u64 = 1_795_316_400;

#[track_caller]
fn shown(answer: &Value) -> String {
    let status = Status::read(&answer.to_string()).expect("an answer");
    let text = Screen::of(&status, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)).paint(Paint::Plain);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line:?} is too wide");
    }
    assert!(text.lines().count() <= 40, "{text}");
    text
}

fn ordinary() -> Value {
    json!({
        "version": "0.1.0", "started_at": "2026-11-20T01:55:00Z", "ready": true, "readiness": "ready",
        "listeners": ["[::]:8443"], "admin_listener": "127.0.0.1:9464",
        "config": { "hash": "0123456789ab", "warnings": [] },
        "broker": { "state": "up", "since": "2026-11-22T02:00:00Z", "url": "amqps://rabbit.example.com:5671/%2f",
                    "last_error": { "at": "2026-11-22T01:59:00Z", "message": "connection lost: broken pipe" } },
        "spool": { "state": "ready", "items": 0, "parked_items": 0, "set_aside_items": 0, "bytes": 69632,
                   "max_bytes": 4_294_967_296_u64, "oldest_item_at": null },
        "notifications": { "received": 18234, "published": 18000, "spooled": 200, "refused": 30, "unavailable": 4,
                           "in_flight": 0, "conservation_error": 0 },
        "graph": { "slow_ratio": 0.004, "drop_ratio": 0.0, "predicted": "good", "answers": 812 },
        "certificates": [{ "hosts": ["hooks.example.com"], "not_after": "2027-01-24T12:00:00Z", "file": null, "refused": null }],
        "subscriptions": { "seen": 42, "silent": 0, "ending": 0, "ended": 0, "list": [] },
        "last_reload": null
    })
}

#[test]
fn an_ordinary_day_fits_on_one_screen() {
    assert_eq!(
        shown(&ordinary()),
        "\
graphhook      0.1.0, up 2 days 1 h, since 2026-11-20T01:55:00Z
               ready
listening      [::]:8443; admin 127.0.0.1:9464
broker         up for 1 h, amqps://rabbit.example.com:5671/%2f
               last error 1 h 1 min ago: connection lost: broken pipe
spool          ready: empty; 68.0 KiB of 4.0 GiB
received       18234 = 18000 published + 200 spooled + 30 refused
               + 4 unavailable + 0 in flight
Graph's view   good; of 812 answers 0.4 % over 3 s (limit 10 %),
               0.0 % over 10 s (limit 15 %)
certificates   hooks.example.com: 63 days left, until 2027-01-24T12:00:00Z
subscriptions  42 seen, 0 silent, 0 ending, 0 ended
last reload    none since the start
configuration  0123456789ab, no warnings
"
    );
}

#[test]
fn the_manual_shows_the_same_screen() {
    assert!(include_str!("../../../../docs/status.md").contains(&shown(&ordinary())));
}

#[test]
fn a_bad_night_says_what_is_wrong() {
    let mut answer = ordinary();
    answer["ready"] = json!(false);
    answer["readiness"] = json!("no broker, and the spool is full");
    answer["broker"]["state"] = json!("down");
    answer["broker"]["last_error"]["message"] = json!("\u{1b}[31mred ".to_owned() + &"x".repeat(400));
    answer["spool"] = json!({ "state": "full", "items": 7, "parked_items": 2, "set_aside_items": 1, "bytes": 1024,
        "max_bytes": 1024, "oldest_item_at": "2026-11-22T02:56:00Z" });
    answer["notifications"]["conservation_error"] = json!(1);
    answer["graph"] = json!({ "slow_ratio": 0.2, "drop_ratio": 0.01, "predicted": "slow", "answers": 100 });
    answer["certificates"] = json!([
        { "hosts": ["later.example.com"], "not_after": "2027-11-24T12:00:00Z" },
        { "hosts": ["good.example.com"], "not_after": "2027-01-24T12:00:00Z" },
        { "hosts": ["over.example.com", "b", "c"], "not_after": "2026-11-22T02:00:00Z" },
        { "hosts": ["soon.example.com"], "not_after": "2026-11-28T03:00:00Z", "refused": "the key does not fit" },
    ]);
    answer["acme"] = json!([{ "domain": "new.example.com", "state": "failing", "last_error": "no route" }]);
    answer["subscriptions"] = json!({ "seen": 500, "silent": 1, "ending": 1, "ended": 245, "troubled": 247, "list": [
        { "id": "c", "ending": true, "expires_at": "2026-11-22T05:00:00Z" },
        { "id": "a", "client_state": "mail", "silent": true, "last_at": "2026-11-22T01:00:00Z" },
        { "id": "b", "ended": true, "expires_at": "2026-11-22T02:30:00Z" },
        { "id": "d", "ended": true },
    ] });
    answer["last_reload"] =
        json!({ "at": "2026-11-22T02:59:00Z", "ok": false, "message": "server.listen: differs" });
    answer["config"]["warnings"] = json!(["server.tls.mode (default): plain HTTP"]);
    let text = shown(&answer);
    for words in [
        "NOT READY: no broker, and the spool is full",
        "\\u{1b}[31mred",
        "xx…",
        "full: 7 messages, the oldest 4 min old",
        "2 refused by the broker, 1 set aside",
        "report this as a mistake",
        "slow; of 100 answers 20.0 % over 3 s",
        "over.example.com and 2 more: ENDED",
        "soon.example.com: 6 days left",
        "a newer one is not served: the key does not fit",
        "and 1 that end later",
        "new.example.com failing: no route",
        "a (mail): silent for 2 h",
        "b: ended 30 min ago",
        "c: ends in 2 h",
        "and 244 more: graphhook status --json",
        "1 min ago, REFUSED: server.listen: differs",
        "1 warning\n",
        "plain HTTP",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains("  d:"), "{text}");
    let place = |words: &str| text.find(words).expect(words);
    assert!(place("c: ends") < place("a (mail)") && place("a (mail)") < place("b: ended"), "{text}");
    assert!(place("soon.example.com") < place("over.example.com"), "what is refused comes first:\n{text}");
}

#[test]
fn what_graph_has_removed_before_its_end_says_so() {
    let mut answer = ordinary();
    answer["subscriptions"] = json!({ "seen": 2, "silent": 0, "ending": 0, "ended": 2, "troubled": 2, "list": [
        { "id": "a", "client_state": "mail", "ended": true, "expires_at": "2026-11-29T03:00:00Z" },
        { "id": "b", "ended": true },
    ] });
    let text = shown(&answer);
    assert!(text.contains("a (mail): no longer there\n") && text.contains("b: no longer there\n"), "{text}");
}

#[test]
fn resource_data_has_its_keys() {
    let mut answer = ordinary();
    answer["rich"] = json!({
        "deliver": "opened",
        "decryption_keys": [
            { "id": "bare", "not_after": null, "last_used_at": null },
            { "id": "new", "not_after": "2028-11-21T03:00:00Z", "last_used_at": "2026-11-22T02:59:00Z" },
            { "id": "old", "not_after": "2026-11-22T02:00:00Z", "last_used_at": "2026-11-21T03:00:00Z" },
        ],
        "signing_keys": { "known": 7, "fetched_at": "2026-11-22T00:00:00Z", "failing": false },
    });
    let expected = "\
resource data  opened; 7 signing keys, fetched 3 h ago
               key old: last used 1 day ago, certificate ended
               key new: last used 1 min ago, certificate ends in 730 days
               key bare: not used since the start
";
    assert!(shown(&answer).contains(expected), "{}", shown(&answer));
    assert!(include_str!("../../../../docs/status.md").contains(expected));
    let more = json!({ "id": "soon", "not_after": "2026-11-28T03:00:00Z" });
    answer["rich"]["decryption_keys"].as_array_mut().expect("keys").push(more);
    answer["rich"]["signing_keys"]["failing"] = json!(true);
    let text = shown(&answer);
    for words in [
        "7 signing keys, fetched 3 h ago; others cannot be fetched\n",
        "key soon: not used since the start, certificate ends in 6 days\n",
        "and 1 more: graphhook status --json\n",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    answer["rich"]["signing_keys"] = json!({ "known": 0, "fetched_at": null, "failing": true });
    assert!(shown(&answer).contains("opened; NO SIGNING KEYS: resource data is answered 503\n"));
    answer["rich"]["signing_keys"]["failing"] = json!(false);
    assert!(shown(&answer).contains("opened; no signing keys yet\n"));
    answer["rich"] = json!({ "deliver": "sealed" });
    assert!(shown(&answer).contains("sealed; no signing keys yet\nlast reload"));
    assert!(!shown(&ordinary()).contains("resource data"));
}

#[test]
fn wanted_subscriptions_have_somebody_who_keeps_them() {
    let mut answer = ordinary();
    assert!(!shown(&answer).contains("managed"));
    answer["management"] = json!({ "manager": "off", "revision": 0 });
    assert!(!shown(&answer).contains("managed"));
    answer["management"] = json!({ "manager": "off", "revision": 1_795_316_400_000_u64 });
    assert!(shown(&answer).contains("managed        by hand: graph.manage = false\n"));
    answer["management"] = json!({ "manager": "standby" });
    assert!(shown(&answer).contains("managed        not by this daemon: it stands by\n"));
    answer["management"] = json!({
        "manager": "active", "wanted": 3, "live": 3, "failing": 0, "next_at": "2026-11-22T05:10:00Z",
        "list": [{ "name": "sales", "live": true, "expires_at": "2026-11-24T06:00:00Z" }],
    });
    let expected = "managed        by this daemon: 3 wanted, 3 live, next step in 2 h 10 min\n";
    assert!(shown(&answer).contains(&format!("{expected}last reload")), "{}", shown(&answer));
    assert!(include_str!("../../../../docs/status.md").contains(expected));
    answer["management"] = json!({
        "manager": "active", "wanted": 5, "live": 1, "failing": 2, "trouble": "cannot sign in to Graph",
        "next_at": "2026-11-22T02:00:00Z",
        "list": [
            { "name": "sales", "live": true, "expires_at": "2026-11-24T06:00:00Z", "trouble": "Graph refuses it",
              "again_at": "2026-11-22T03:00:30Z" },
            { "name": "late", "live": true, "expires_at": "2026-11-22T02:00:00Z", "trouble": "no answer" },
            { "name": "new", "live": false }, { "name": "newer", "live": false },
        ],
    });
    let text = shown(&answer);
    for words in [
        "by this daemon: 5 wanted, 1 live, next step now\n",
        "Graph cannot be asked: cannot sign in to Graph\n",
        "sales: ends in 2 d 3 h, again in 30 s: Graph refuses it\n",
        "late: ended 1 h ago: no answer\n",
        "new: not there\n",
        "and 1 more: graphhook status --json\n",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
}

#[test]
fn an_older_daemon_says_less() {
    let text = shown(&json!({ "version": "0.0.9", "ready": true }));
    assert!(text.starts_with("graphhook      0.0.9\n               ready\n"), "{text}");
    assert!(!text.contains("Graph's view") && !text.contains("subscriptions"), "{text}");
    let mut answer = ordinary();
    let silent = json!({ "id": "a", "silent": true, "last_at": "2026-11-22T01:00:00Z" });
    answer["subscriptions"]["list"] = vec![silent; 4].into();
    assert!(shown(&answer).contains("and 1 more: graphhook status --json"));
}

#[test]
fn colours_change_no_letter() {
    let status = Status::read(&ordinary().to_string()).expect("an answer");
    let screen = Screen::of(&status, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
    let coloured = screen.paint(Paint::Colours);
    assert!(coloured.contains("\u{1b}[32mready\u{1b}[0m"), "{coloured}");
    let mut bare = coloured;
    for code in ["\u{1b}[32m", "\u{1b}[33m", "\u{1b}[1;31m", "\u{1b}[0m"] {
        bare = bare.replace(code, "");
    }
    assert_eq!(bare, screen.paint(Paint::Plain));
}

#[test]
fn long_words_are_cut_and_short_ones_kept_whole() {
    assert_eq!(wrapped(""), [""]);
    assert_eq!(wrapped("a b"), ["a b"]);
    let long = wrapped(&"é".repeat(TEXT + 3));
    assert_eq!((long[0].chars().count(), long[1].as_str()), (TEXT, "ééé"));
    let many = wrapped(&"word ".repeat(100));
    assert_eq!(many.len(), WRAPPED_MAX);
    assert!(many[2].ends_with('…') && many.iter().all(|row| row.chars().count() <= TEXT));
}

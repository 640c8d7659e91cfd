//! JSON that is meant to hurt (N9): each body costs itself, and no more than the time of a request.

use std::fmt::Write;

use super::{Memory, daemon};
use crate::support::daemon::{Daemon, SECRET};
use crate::support::graph::{PATH, collection, created, post};

/// What is said of a body, and of the items in it.
#[derive(Clone, Copy)]
enum Verdict {
    /// Not a collection: this status, and nothing is received.
    Refused(u16),
    /// So many items, none of which can be read.
    Malformed(u64),
    /// One item, which does not know the secret.
    Wrong,
    /// One item, which is genuine.
    Genuine,
}

use Verdict::{Genuine, Malformed, Refused, Wrong};

type Case = (&'static str, Vec<u8>, Verdict);

/// A collection of one item with these members.
fn item(members: &str) -> String {
    format!(r#"{{"value":[{{"subscriptionId":"s",{members}}}]}}"#)
}

/// The same with the secret.
fn genuine(members: &str) -> Vec<u8> {
    item(&format!(r#"{members},"clientState":"{SECRET}""#)).into()
}

/// The same with a string that holds these bytes.
fn text(bytes: &[u8]) -> Vec<u8> {
    let (before, after) = (r#"{"value":[{"subscriptionId":"s","clientState":""#, r#""}]}"#);
    [before.as_bytes(), bytes, after.as_bytes()].concat()
}

/// One thing again and again, with commas between.
fn again(thing: &str, times: usize) -> String {
    format!("{thing},").repeat(times - 1) + thing
}

/// Too deep, too wide, twice.
fn shapes() -> Vec<Case> {
    let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    let array = |depth: usize| deep("[", "]", depth);
    let mut members = String::from(r#""x":0"#);
    (0..200_000).for_each(|number| write!(members, r#","{number}":{number}"#).expect("a string takes all"));
    let ones = again("1", 2_000_000);
    vec![
        ("depth", array(100_000).into(), Refused(400)),
        ("depth without an end", "[".repeat(1_000_000).into(), Refused(400)),
        ("depth of objects", deep(r#"{"a":"#, "}", 100_000).into(), Refused(400)),
        ("depth in value", collection([array(100_000)]).into(), Refused(400)),
        ("depth in an item", genuine(&format!(r#""x":{}"#, array(100_000))), Refused(400)),
        ("depth in a string", genuine(&format!(r#""x":"{}""#, "[".repeat(100_000))), Genuine),
        ("depth that is allowed", genuine(&format!(r#""x":{}"#, array(100))), Genuine),
        ("two million items", format!(r#"{{"value":[{ones}]}}"#).into(), Refused(413)),
        ("as many as may be", collection(vec!["{}"; 10_000]).into(), Malformed(10_000)),
        ("two million of something else", format!(r#"{{"x":[{ones}],"value":[]}}"#).into(), Malformed(0)),
        ("two million in an item", genuine(&format!(r#""x":[{ones}]"#)), Genuine),
        ("many members", genuine(&members), Genuine),
        ("one member again and again", genuine(&again(r#""x":1"#, 200_000)), Genuine),
        ("one guess again and again", item(&again(r#""clientState":"guess""#, 100_000)).into(), Wrong),
        ("a guess and the secret", genuine(r#""clientState":"guess""#), Malformed(1)),
        ("value twice", br#"{"value":[],"value":[]}"#.into(), Refused(400)),
        ("value by two names", br#"{"value":[],"\u0076alue":[]}"#.into(), Refused(400)),
        ("a prototype", br#"{"__proto__":{"value":[]},"value":[]}"#.into(), Malformed(0)),
        (
            "quotes without an end",
            format!(r#"{{"value":["{}"#, r#"\""#.repeat(1_000_000)).into(),
            Refused(400),
        ),
        ("only blanks", " ".repeat(4 << 20).into(), Refused(400)),
        ("comments", br#"{"value":[] /* x */}"#.into(), Refused(400)),
        ("single quotes", b"{'value':[]}".into(), Refused(400)),
        ("a comma too many", br#"{"value":[],}"#.into(), Refused(400)),
        ("two documents", br#"{"value":[]}{"value":[]}"#.into(), Refused(400)),
    ]
}

/// Numbers and strings that are none, or hardly.
fn texts() -> Vec<Case> {
    let number = |number: &str| genuine(&format!(r#""x":{number}"#));
    let empty = r#"{"value":[]}"#;
    let surrogate_of_subscription = br#"{"value":[{"subscriptionId":"\udc00","clientState":"x"}]}"#;
    vec![
        ("a huge number", number("1e999999999999"), Genuine),
        ("a long number", number(&"9".repeat(1_000_000)), Genuine),
        ("a long fraction", number(&format!("-0.{}e-9", "1".repeat(1_000_000))), Genuine),
        ("a number for a secret", item(r#""clientState":1e400"#).into(), Malformed(1)),
        ("no number at all", number("NaN"), Refused(400)),
        ("a number that begins with zero", number("01"), Refused(400)),
        ("a lone surrogate for a secret", item(r#""clientState":"\ud800""#).into(), Wrong),
        ("a lone surrogate for a subscription", surrogate_of_subscription.into(), Malformed(1)),
        ("a lone surrogate in a name", genuine(r#""\ud800":1"#), Genuine),
        ("lone surrogates for an id", genuine(r#""id":"\ud800\ud800""#), Genuine),
        ("half an escape", genuine(r#""x":"\u12""#), Refused(400)),
        ("an escape that is none", genuine(r#""x":"\x41""#), Refused(400)),
        ("NUL", text(b"\0"), Refused(400)),
        ("NUL around it", b"\0{\"value\":[]}\0".into(), Refused(400)),
        ("NUL escaped", genuine(r#""id":"\u0000""#), Genuine),
        ("a line feed in a string", text(b"\n"), Refused(400)),
        ("a byte order mark", ["\u{feff}".as_bytes(), &genuine(r#""x":1"#)].concat(), Genuine),
        ("two byte order marks", format!("\u{feff}\u{feff}{empty}").into(), Refused(400)),
        ("a byte order mark within", "{\u{feff}\"value\":[]}".into(), Refused(400)),
        ("UTF-16", empty.encode_utf16().flat_map(u16::to_le_bytes).collect(), Refused(400)),
        ("UTF-32", empty.chars().flat_map(|letter| u32::from(letter).to_be_bytes()).collect(), Refused(400)),
        ("not UTF-8", text(b"\xff"), Refused(400)),
        ("UTF-8 that is too long", text(b"\xc0\x80"), Refused(400)),
        ("a surrogate in UTF-8", text(b"\xed\xa0\x80"), Refused(400)),
        ("beyond Unicode", text(b"\xf4\x90\x80\x80"), Refused(400)),
        ("half a letter at the end", [empty.as_bytes(), b"\xe2\x82"].concat(), Refused(400)),
    ]
}

#[tokio::test]
async fn json_that_is_meant_to_hurt_does_not() {
    let daemon = daemon().await;
    let memory = Memory::of(&daemon).await;
    let (client, neighbour) = (daemon.client(), daemon.client());
    for (what, body, verdict) in shapes().into_iter().chain(texts()) {
        let before = Counts::of(&daemon).await;
        // Somebody genuine at the same time, who would be told 503 if it took too long.
        let (reply, beside) =
            tokio::join!(client.post(PATH, &[], body), post(&neighbour, [created("neighbour")]));
        assert_eq!(beside.status, 202, "beside {what}");
        let after = Counts::of(&daemon).await;
        let counts = Counts {
            received: after.received - before.received - 1,
            malformed: after.malformed - before.malformed,
            mismatched: after.mismatched - before.mismatched,
        };
        let (status, expected) = match verdict {
            Refused(status) => (status, Counts::default()),
            Malformed(items) => (202, Counts { received: items, malformed: items, mismatched: 0 }),
            Wrong => (202, Counts { received: 1, malformed: 0, mismatched: 1 }),
            Genuine => (202, Counts { received: 1, ..Counts::default() }),
        };
        assert_eq!((reply.status, counts), (status, expected), "{what}: {}", reply.text());
    }
    memory.check(&daemon).await;
    assert_eq!(daemon.exited(), None);
}

/// Items as the daemon counts them.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    received: u64,
    malformed: u64,
    mismatched: u64,
}

impl Counts {
    async fn of(daemon: &Daemon) -> Self {
        let metrics = daemon.metrics().await;
        let refused = |reason: &str| format!(r#"graphhook_notifications_refused_total{{reason="{reason}"}}"#);
        Self {
            received: metrics.sum("graphhook_notifications_received_total") as u64,
            malformed: metrics.get(&refused("malformed")) as u64,
            mismatched: metrics.get(&refused("mismatch")) as u64,
        }
    }
}

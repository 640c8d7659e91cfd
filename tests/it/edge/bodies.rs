//! Heads and bodies without measure (N7, N8), and JSON that is meant to hurt (N9).

use std::time::Instant;

use super::http2::post;
use super::{Memory, check_nothing_was_seen, daemon};
use crate::faults::GRAPH_WAITS;
use crate::support::daemon::{Daemon, SECRET};
use crate::support::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, fields, frame};
use crate::support::graph::{self, PATH, collection, created};
use crate::support::https::statuses;

/// N7: heads of absurd sizes.
#[tokio::test]
async fn heads_without_measure_are_refused() {
    let daemon = daemon().await;
    let memory = Memory::of(&daemon).await;
    let large = "x".repeat(1 << 20);
    let many: String = (0..10_000).map(|number| format!("X-{number}: y\r\n")).collect();
    for (what, head) in [
        ("a large header", format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nX: {large}\r\n\r\n")),
        ("many headers", format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n{many}\r\n")),
        ("a long path", format!("POST /{large} HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("a long token", format!("POST {PATH}?validationToken={large} HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("a long method", format!("{large} {PATH} HTTP/1.1\r\nHost: h\r\n\r\n")),
        ("a long host", format!("POST {PATH} HTTP/1.1\r\nHost: {large}\r\n\r\n")),
        ("many empty lines", "\r\n".repeat(1 << 20)),
    ] {
        for _ in 0..5 {
            let mut raw = daemon.client().raw().await;
            // The server may be gone before the last byte.
            raw.try_send(&head).await.ok();
            let answer = String::from_utf8_lossy(&raw.read_to_end().await).into_owned();
            let refused = ["HTTP/1.1 400", "HTTP/1.1 414", "HTTP/1.1 431"];
            let is_refused = answer.is_empty() || refused.iter().any(|start| answer.starts_with(start));
            assert!(is_refused, "{what}: {answer}");
        }
    }
    let token = format!("{PATH}?validationToken={large}");
    let field = |name: &str, value: &str| [post(), fields([(name, value)])].concat();
    for block in [field("x", &large), field(":path", &token), field(&large, "y"), post().repeat(20_000)] {
        let (first, rest) = block.split_at(16 << 10);
        let mut bytes = frame(HEADERS, END_STREAM, 1, first);
        bytes.extend(rest.chunks(16 << 10).flat_map(|piece| frame(CONTINUATION, 0, 1, piece)));
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, ""));
        let flooded = Frames::open(&daemon.client()).await.flood(&bytes).await;
        assert!(flooded.gone.is_some() && flooded.answers.iter().all(|status| *status == 431), "{flooded:?}");
    }
    memory.check(&daemon).await;
    check_nothing_was_seen(&daemon).await;
}

/// N8: over the limit, whoever says so or does not.
#[tokio::test]
async fn bodies_without_measure_are_refused() {
    let configuration = Daemon::configure().without_broker();
    let daemon = configuration.set("server.limits", "body", "\"1MiB\"").start().await;
    let memory = Memory::of(&daemon).await;
    let genuine = collection([created("hidden")]);
    let padded = format!("{genuine}{}", " ".repeat(12 << 20));
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, " ".repeat(1 << 20));
    let chunks = format!("{:x}\r\n{genuine}\r\n{}", genuine.len(), chunk.repeat(12));
    let bomb = vec![0; 1 << 20];
    for (what, fields, body, status) in [
        ("as long as the disk", "Content-Length: 1000000000000", genuine.as_bytes(), 413),
        ("as long as it says", &format!("Content-Length: {}", padded.len()), padded.as_bytes(), 413),
        ("in chunks", "Transfer-Encoding: chunked", chunks.as_bytes(), 413),
        ("gzip", "Content-Encoding: gzip\r\nContent-Length: 1048576", bomb.as_slice(), 415),
        ("deflate", "Content-Encoding: deflate\r\nContent-Length: 1048576", bomb.as_slice(), 415),
        ("br", "Content-Encoding: br\r\nContent-Length: 1048576", bomb.as_slice(), 415),
        ("zstd", "Content-Encoding: zstd\r\nContent-Length: 1048576", bomb.as_slice(), 415),
        ("twice", "Content-Encoding: gzip, gzip\r\nContent-Length: 1048576", bomb.as_slice(), 415),
        (
            "nothing, then gzip",
            "Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 1048576",
            bomb.as_slice(),
            415,
        ),
    ] {
        for _ in 0..3 {
            let mut raw = daemon.client().raw().await;
            raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")).await;
            // The server may be gone before the last byte.
            raw.try_send(body).await.ok();
            raw.try_send("0\r\n\r\n").await.ok();
            assert_eq!(statuses(&raw.read_to_end().await), [status], "{what}");
        }
    }
    let body: Vec<u8> =
        padded.as_bytes().chunks(16 << 10).flat_map(|piece| frame(DATA, 0, 1, piece)).collect();
    for length in ["", "1000000000000", "12582912"] {
        let length = if length.is_empty() { vec![] } else { fields([("content-length", length)]) };
        let head = frame(HEADERS, END_HEADERS, 1, [post(), length].concat());
        let flooded = Frames::open(&daemon.client()).await.flood(&[&head, body.as_slice()].concat()).await;
        assert!(flooded.answers.iter().all(|status| *status == 413), "{flooded:?}");
    }
    memory.check(&daemon).await;
    check_nothing_was_seen(&daemon).await;
}

/// What is said of a body, and of the items in it.
enum Verdict {
    /// Not a collection: this status, and nothing is received.
    Refused(u16),
    /// So many items, none of which can be read.
    Malformed(u64),
    /// So many items, none of which knows the secret.
    Wrong(u64),
    /// One that is genuine.
    Genuine,
}

/// N9: each costs itself, and no more than the time of a request.
#[tokio::test]
async fn json_that_is_meant_to_hurt_does_not() {
    use Verdict::{Genuine, Malformed, Refused, Wrong};
    let daemon = Daemon::configure().without_broker().start().await;
    let memory = Memory::of(&daemon).await;
    let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    let item = |members: &str| format!(r#"{{"value":[{{"subscriptionId":"s",{members}}}]}}"#);
    let genuine = |members: &str| item(&format!(r#"{members},"clientState":"{SECRET}""#));
    let bytes =
        |before: &str, bytes: &[u8], after: &str| [before.as_bytes(), bytes, after.as_bytes()].concat();
    let quoted = |text: &[u8]| bytes(r#"{"value":[{"subscriptionId":"s","clientState":"#, text, r#""}]}"#);
    let cases: Vec<(&str, Vec<u8>, Verdict)> = vec![
        ("depth", deep("[", "]", 100_000).into(), Refused(400)),
        ("depth without an end", "[".repeat(1_000_000).into(), Refused(400)),
        ("depth of objects", deep(r#"{"a":"#, "}", 100_000).into(), Refused(400)),
        ("depth in value", collection([deep("[", "]", 100_000)]).into(), Refused(400)),
        ("depth in an item", genuine(&format!(r#""x":{}"#, deep("[", "]", 100_000))).into(), Refused(400)),
        ("depth in a string", genuine(&format!(r#""x":"{}""#, "[".repeat(100_000))).into(), Genuine),
        ("depth that is allowed", genuine(&format!(r#""x":{}"#, deep("[", "]", 100))).into(), Genuine),
        ("two million items", format!(r#"{{"value":[{}1]}}"#, "1,".repeat(2_000_000)).into(), Refused(413)),
        ("as many as may be", collection(vec!["{}"; 10_000]).into(), Malformed(10_000)),
        (
            "two million of something else",
            format!(r#"{{"x":[{}1],"value":[]}}"#, "1,".repeat(2_000_000)).into(),
            Malformed(0),
        ),
        ("two million in an item", genuine(&format!(r#""x":[{}1]"#, "1,".repeat(2_000_000))).into(), Genuine),
        (
            "many members",
            genuine(
                &(0..200_000)
                    .map(|n| format!(r#""{n}":{n},"#))
                    .collect::<String>()
                    .trim_end_matches(',')
                    .to_owned(),
            )
            .into(),
            Genuine,
        ),
        (
            "one member again and again",
            genuine(r#""x":1,"#.repeat(200_000).trim_end_matches(',')).into(),
            Genuine,
        ),
        (
            "many secrets",
            item(&r#""clientState":"guess","#.repeat(100_000).trim_end_matches(',').to_owned()).into(),
            Wrong(1),
        ),
        ("a secret and a guess", genuine(r#""clientState":"guess""#).into(), Malformed(1)),
        ("value twice", br#"{"value":[],"value":[]}"#.to_vec(), Refused(400)),
        ("value twice by another name", br#"{"value":[],"\u0076alue":[]}"#.to_vec(), Refused(400)),
        ("a huge number", genuine(r#""x":1e999999999999"#).into(), Genuine),
        ("a long number", genuine(&format!(r#""x":{}"#, "9".repeat(1_000_000))).into(), Genuine),
        ("a long fraction", genuine(&format!(r#""x":-0.{}e-9"#, "1".repeat(1_000_000))).into(), Genuine),
        ("a number for a secret", item(r#""clientState":1e400"#).into(), Malformed(1)),
        ("no numbers at all", genuine(r#""x":NaN"#).into(), Refused(400)),
        ("a number with a zero first", genuine(r#""x":01"#).into(), Refused(400)),
        ("a lone surrogate for a secret", item(r#""clientState":"\ud800""#).into(), Wrong(1)),
        (
            "a lone surrogate for a subscription",
            br#"{"value":[{"subscriptionId":"\udc00","clientState":"x"}]}"#.to_vec(),
            Malformed(1),
        ),
        ("a lone surrogate in a name", genuine(r#""\ud800":1"#).into(), Genuine),
        ("a lone surrogate in the other", genuine(r#""id":"\ud800\ud800""#).into(), Genuine),
        ("half an escape", genuine(r#""x":"\u12""#).into(), Refused(400)),
        ("an escape that is none", genuine(r#""x":"\x41""#).into(), Refused(400)),
        ("NUL", quoted(b"\"\0"), Refused(400)),
        ("NUL around it", b"\0{\"value\":[]}\0".to_vec(), Refused(400)),
        ("NUL escaped", genuine(r#""id":"\u0000""#).into(), Genuine),
        ("a line feed in a string", quoted(b"\"\n"), Refused(400)),
        ("a byte order mark", bytes("\u{feff}", genuine(r#""x":1"#).as_bytes(), ""), Genuine),
        ("two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbf{\"value\":[]}".to_vec(), Refused(400)),
        ("a byte order mark within", b"{\xef\xbb\xbf\"value\":[]}".to_vec(), Refused(400)),
        (
            "UTF-16",
            "\u{feff}{\"value\":[]}".encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Refused(400),
        ),
        ("UTF-32", "{\"value\":[]}".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(), Refused(400)),
        ("not UTF-8", quoted(b"\"\xff"), Refused(400)),
        ("UTF-8 too long", quoted(b"\"\xc0\x80"), Refused(400)),
        ("a surrogate in UTF-8", quoted(b"\"\xed\xa0\x80"), Refused(400)),
        ("beyond Unicode", quoted(b"\"\xf4\x90\x80\x80"), Refused(400)),
        ("half a letter at the end", b"{\"value\":[]}\xe2\x82".to_vec(), Refused(400)),
        (
            "quotes without an end",
            format!(r#"{{"value":["{}"#, r#"\""#.repeat(1_000_000)).into(),
            Refused(400),
        ),
        ("only blanks", " ".repeat(4 << 20).into(), Refused(400)),
        ("comments", br#"{"value":[] /* x */}"#.to_vec(), Refused(400)),
        ("single quotes", b"{'value':[]}".to_vec(), Refused(400)),
        ("a comma too many", br#"{"value":[],}"#.to_vec(), Refused(400)),
        ("two documents", br#"{"value":[]}{"value":[]}"#.to_vec(), Refused(400)),
        ("a prototype", br#"{"__proto__":{"value":[]},"value":[]}"#.to_vec(), Malformed(0)),
    ];
    let (client, neighbour) = (daemon.client(), daemon.client());
    for (what, body, verdict) in cases {
        let before = Counts::of(&daemon).await;
        let begun = Instant::now();
        // Somebody else at the same time, for whom it must not take longer than Graph waits.
        let (reply, beside) =
            tokio::join!(client.post(PATH, &[], body), graph::post(&neighbour, [created("neighbour")]));
        assert!(begun.elapsed() < GRAPH_WAITS, "{what} took {:?}", begun.elapsed());
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
            Wrong(items) => (202, Counts { received: items, malformed: 0, mismatched: items }),
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
        let refused = |reason: &str| format!("graphhook_notifications_refused_total{{reason=\"{reason}\"}}");
        Self {
            received: metrics.sum("graphhook_notifications_received_total") as u64,
            malformed: metrics.get(&refused("malformed")) as u64,
            mismatched: metrics.get(&refused("mismatch")) as u64,
        }
    }
}

//! Heads and bodies without measure (N7, N8).

use super::http2::post;
use super::{Memory, check_nothing_was_seen, daemon};
use crate::support::daemon::Daemon;
use crate::support::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, fields, frame};
use crate::support::graph::{PATH, collection, created};
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
        assert!(flooded.gone.is_some() && flooded.answers.iter().all(|status| *status == 413), "{flooded:?}");
    }
    memory.check(&daemon).await;
    check_nothing_was_seen(&daemon).await;
}

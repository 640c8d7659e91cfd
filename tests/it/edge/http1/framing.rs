//! Where a body ends: lengths and chunks.

use super::Then::{Closes, GoesOn, MayGoOn, Refused};
use super::{Then, check};
use crate::edge::BODY;
use crate::support::graph::PATH;

/// A POST with these lines, and what stands behind them.
fn post(rest: &str, then: Then) -> (Vec<u8>, Then) {
    (format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n{rest}").into_bytes(), then)
}

/// The same with the body in its chunks.
fn chunked(chunks: &str, then: Then) -> (Vec<u8>, Then) {
    post(&format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"), then)
}

#[tokio::test]
async fn lengths_say_one_thing_or_the_request_is_refused() {
    let length = |lines: &str, then| post(&format!("{lines}\r\n\r\n{BODY}"), then);
    check([
        length("Content-Length: 12", GoesOn(202)),
        length("content-length:12", GoesOn(202)),
        length("Content-Length: \t 12 \t ", GoesOn(202)),
        length("Content-Length: 0000000012", GoesOn(202)),
        length("Content-Length: 0\r\nContent-Length: 12", Refused),
        length("Content-Length: 12\r\nContent-Length: 0", Refused),
        length("Content-Length: 12, 12", Refused),
        length("Content-Length: 12,0", Refused),
        length("Content-Length: 12,", Refused),
        length("Content-Length: 12;x", Refused),
        length("Content-Length: +12", Refused),
        length("Content-Length: -12", Refused),
        length("Content-Length: -0", Refused),
        length("Content-Length: 0x0c", Refused),
        length("Content-Length: 0c", Refused),
        length("Content-Length: 12.0", Refused),
        length("Content-Length: 1e1", Refused),
        length("Content-Length: 1 2", Refused),
        length("Content-Length: 1_2", Refused),
        length("Content-Length: \"12\"", Refused),
        length("Content-Length: \u{661}\u{662}", Refused),
        length("Content-Length: \u{b}12", Refused),
        length("Content-Length:", Refused),
        length("Content-Length: ,", Refused),
        length("Content-Length: 18446744073709551615", Closes(431)),
        length("Content-Length: 18446744073709551628", Refused),
        length("Content-Length: 99999999999999999999999999999999999999999", Refused),
        length("Content-Length : 12", Refused),
        length("Content-Length\t: 12", Refused),
        length(" Content-Length: 12", Refused),
        length("X: y\r\n Content-Length: 12", Refused),
        length("X: y\r\n\tContent-Length: 12", Refused),
        length("Content-Length:\r\n 12", Refused),
        length("Content_Length: 12\r\nContent-Length: 12", GoesOn(202)),
        length("Content-Length\0: 12", Refused),
        length("Content-Length: 12\0", Refused),
        length("X: \0\r\nContent-Length: 12", Refused),
        length("X: a\rContent-Length: 0\r\nContent-Length: 12", Refused),
    ])
    .await;
}

#[tokio::test]
async fn a_transfer_coding_is_chunked_alone_or_the_request_is_refused() {
    let coded = |lines: &str, then| post(&format!("{lines}\r\n\r\nc\r\n{BODY}\r\n0\r\n\r\n"), then);
    check([
        coded("Transfer-Encoding: chunked", GoesOn(202)),
        coded("transfer-encoding:CHUNKED", GoesOn(202)),
        coded("Transfer-Encoding: \t chunked \t ", GoesOn(202)),
        coded("Transfer-Encoding: identity\r\nContent-Length: 22", Refused),
        coded("Transfer-Encoding: identity", Refused),
        coded("Transfer-Encoding: xchunked", Refused),
        coded("Transfer-Encoding: chunkedx", Refused),
        coded("Transfer-Encoding: chunke", Refused),
        coded("Transfer-Encoding: \"chunked\"", Refused),
        coded("Transfer-Encoding: chunked;q=1", Refused),
        coded("Transfer-Encoding: chunked chunked", Refused),
        coded("Transfer-Encoding: chunked, chunked", Refused),
        coded("Transfer-Encoding: chunked, identity", Refused),
        coded("Transfer-Encoding: identity, chunked", Refused),
        coded("Transfer-Encoding: gzip, chunked", Refused),
        coded("Transfer-Encoding: gzip", Refused),
        coded("Transfer-Encoding: , chunked", Refused),
        coded("Transfer-Encoding: chunked,", Refused),
        coded("Transfer-Encoding:", Refused),
        coded("Transfer-Encoding: ,", Refused),
        coded("Transfer-Encoding: \u{b}chunked", Refused),
        coded("Transfer-Encoding: chunked\0", Refused),
        coded("Transfer-Encoding: \u{ff}chunked", Refused),
        coded("Transfer-Encoding : chunked", Refused),
        coded("Transfer-Encoding\t: chunked", Refused),
        coded(" Transfer-Encoding: chunked", Refused),
        coded("Transfer-Encoding:\r\n chunked", Refused),
        coded("X: y\r\n Transfer-Encoding: chunked", Refused),
        coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Refused),
        coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", Refused),
        coded("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", Refused),
        coded("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", Refused),
        coded("Transfer_Encoding: gzip\r\nTransfer-Encoding: chunked", GoesOn(202)),
    ])
    .await;
}

#[tokio::test]
async fn chunks_have_a_plain_size_or_the_request_is_refused() {
    let size = |size: &str, then| chunked(&format!("{size}\r\n{BODY}\r\n0\r\n\r\n"), then);
    check([
        size("c", GoesOn(202)),
        size("C", GoesOn(202)),
        size("0000000c", GoesOn(202)),
        size("c;a=b", GoesOn(202)),
        size("c;a=\"b;c\"", GoesOn(202)),
        size("c ;a", GoesOn(202)),
        size("", Refused),
        size(" c", Refused),
        size("-c", Refused),
        size("+c", Refused),
        size("0xc", Refused),
        size("cx", Refused),
        size("c_", Refused),
        size("c,", Refused),
        size("c h", Refused),
        size("c\0", Refused),
        size("c\u{b}", Refused),
        size("g", Refused),
        size("\"c\"", Refused),
        size(";a=b", Refused),
        size("1000000000000000c", Refused),
        size("fffffffffffffffff", Refused),
        size("c;a\rb", Refused),
        size("c;a\nb", Refused),
        chunked(&format!("c\r\n{BODY}\r\n0;a\n\r\n"), Refused),
        size("c\r", Refused),
        size("c\r\r", Refused),
        size("b", Refused),
        size("d", Refused),
        // It cannot be known that the rest will not come.
        size("ffffffffffffffff", Closes(408)),
        chunked(&format!("c\r\n{BODY}0\r\n\r\n"), Refused),
        chunked(&format!("c\r\n{BODY}\r0\r\n\r\n"), Refused),
        chunked(&format!("c\r\n{BODY}xx0\r\n\r\n"), Refused),
        chunked(&format!("c\r\n{BODY}\r\n\r\n0\r\n\r\n"), Refused),
        chunked(&format!("c\r\n{BODY}\r\n0\r\r\n"), Refused),
        chunked(&format!("c\r\n{BODY}\r\n0\r\n\rx"), Refused),
        chunked(&format!("c;{}\r\n{BODY}\r\n0\r\n\r\n", "a".repeat(17 << 10)), Refused),
        chunked(&format!("4\r\n{}\r\n8;x\r\n{}\r\n000\r\n\r\n", &BODY[..4], &BODY[4..]), GoesOn(202)),
    ])
    .await;
}

/// Fields behind the last chunk are read by some servers and not by others.
#[tokio::test]
async fn trailers() {
    let trailers = |trailers: &str, then| chunked(&format!("c\r\n{BODY}\r\n0\r\n{trailers}\r\n"), then);
    check([
        trailers("X: y\r\n", Refused),
        trailers("Content-Length: 100\r\n", Refused),
        trailers("Transfer-Encoding: chunked\r\n", Refused),
        trailers("Host: other\r\n", Refused),
        trailers("X : y\r\n", Refused),
        trailers("no colon\r\n", Refused),
        trailers(": nameless\r\n", Refused),
        trailers("X: y\r\n folded\r\n", Refused),
        trailers("X: \0\r\n", Refused),
        trailers("X: a\rb\r\n", Refused),
        trailers(&"X: y\r\n".repeat(1000), Refused),
        trailers(&format!("X: {}\r\n", "y".repeat(20 << 10)), Refused),
    ])
    .await;
}

/// Chunks of requests that are answered without them: they end where they end, or nothing behind them is looked at.
#[tokio::test]
async fn chunks_that_nobody_reads_end_where_they_end() {
    let chunks = [
        ("c\r\n{\"value\":[]}\r\n0\r\n\r\n", true),
        ("0\r\n\r\n", true),
        ("0\r\nX: y\r\n\r\n", true),
        ("", false),
        ("x", false),
        ("-1\r\n\r\n", false),
        ("ffffffffffffffffff\r\n", false),
        ("0\n\n", false),
        ("0\r\n\n", false),
        ("0\r\nX: y\n\r\n", false),
        ("0\r\nX: y\n\n", false),
        ("c\r\n{\"value\":[]}\n0\r\n\r\n", false),
    ];
    let unread = [("POST /nothing", 404), ("GET /graph/notifications", 405), ("GET /healthz", 200)];
    let echo = ("POST /graph/notifications?validationToken=x", 200);
    let cases = unread.into_iter().chain([echo]).flat_map(|(line, status)| {
        chunks.map(|(chunks, have_end)| {
            let head = format!("{line} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
            let then = if have_end { MayGoOn(status) } else { Closes(status) };
            ((head + chunks).into_bytes(), then)
        })
    });
    check(cases).await;
}

/// Ends of lines without CR, where hyper itself sees that they are none.
#[tokio::test]
async fn bare_line_feeds_among_chunks_are_refused() {
    let bare = |chunks: &str| chunked(&chunks.replace("BODY", BODY), Refused);
    check([
        bare("c\nBODY\r\n0\r\n\r\n"),
        bare("c\n\r\nBODY\r\n0\r\n\r\n"),
        bare("c;a\nBODY\r\n0\r\n\r\n"),
        bare("c;a=\"\n\"\r\nBODY\r\n0\r\n\r\n"),
        bare("c;a\n0\r\n\r\nBODY\r\n0\r\n\r\n"),
        bare("c\r\nBODY\n0\r\n\r\n"),
        bare("c\r\nBODY\r\n0\n\r\n"),
        bare("c\r\nBODY\r\n0\n\n"),
        bare("c\r\nBODY\r\n0\r\n\n"),
        bare("c\r\nBODY\r\n0\r\nX: y\n\r\n"),
        bare("c\r\nBODY\r\n0\r\nX: y\n\n"),
        bare("c\r\nBODY\r\n0\r\nX: y\r\n\n"),
    ])
    .await;
}

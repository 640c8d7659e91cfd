//! Fields of requests: names, values, what they say of the body, and how they are written.

use super::Then::{Answered, Gone, Refused};
use super::{Then, body, check, head, hidden, post};
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, fields, frame, integer};
use crate::support::graph::{PATH, collection, created};

/// A request of these fields, with a body that is good if it may be read.
fn of(all: &[(&[u8], &[u8])], then: Then) -> Vec<u8> {
    let body = if matches!(then, Answered(_)) { body(1) } else { hidden(1) };
    [frame(HEADERS, END_HEADERS, 1, fields(all.iter().copied())), body].concat()
}

/// A good request with one more field.
fn with(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>, then: Then) -> (String, Vec<u8>, Then) {
    let all = [
        (b":method".as_slice(), b"POST".as_slice()),
        (b":scheme", b"https"),
        (b":authority", b"h"),
        (b":path", PATH.as_bytes()),
        (name.as_ref(), value.as_ref()),
    ];
    let what = format!("{}: {}", name.as_ref().escape_ascii(), value.as_ref().escape_ascii());
    (what, of(&all, then), then)
}

/// The four fields of a good request, one of them with another value, or left out.
fn but(name: &str, value: Option<&str>, then: Then) -> (String, Vec<u8>, Then) {
    let good = [(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", PATH)];
    let changed =
        good.map(
            |(known, good)| {
                if known == name { value.map(|value| (known, value)) } else { Some((known, good)) }
            },
        );
    let all: Vec<_> =
        changed.iter().flatten().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    (format!("{name} {value:?}"), of(&all, then), then)
}

/// Section 8.3.
#[tokio::test]
async fn a_request_says_what_it_is_once_and_first() {
    let late = [(":method", "POST"), (":scheme", "https"), ("x", "y"), (":path", PATH)];
    check([
        but(":authority", None, Answered(202)),
        but(":scheme", Some("http"), Answered(202)),
        but(":path", Some("/graph/notifications?a=b"), Answered(202)),
        // These two are looked at by nobody.
        but(":scheme", Some(""), Answered(202)),
        but(":authority", Some("h:port"), Answered(202)),
        but(":method", None, Refused),
        but(":scheme", None, Refused),
        but(":path", None, Refused),
        but(":path", Some(""), Refused),
        but(":path", Some("graph/notifications"), Refused),
        but(":path", Some("https://h/graph/notifications"), Refused),
        but(":path", Some("/graph/notifications x"), Refused),
        but(":path", Some("/graph/notifications\0"), Refused),
        but(":path", Some("/graph/notifications\r\nx: y"), Refused),
        but(":path", Some("*"), Answered(404)),
        but(":method", Some(""), Refused),
        but(":method", Some("PO ST"), Refused),
        but(":method", Some("POST\0"), Refused),
        but(":method", Some("POST / HTTP/1.1\r\nHost: h\r\n\r\n"), Refused),
        but(":method", Some("CONNECT"), Refused),
        but(":scheme", Some("ht tp"), Refused),
        but(":scheme", Some("https://h/?"), Refused),
        but(":authority", Some("h h"), Refused),
        but(":authority", Some("h/x"), Refused),
        but(":authority", Some("h\r\nx: y"), Refused),
        with(":method", "POST", Refused),
        with(":scheme", "https", Refused),
        with(":path", "/", Refused),
        with(":authority", "h", Refused),
        with(":status", "200", Refused),
        with(":protocol", "websocket", Refused),
        with(":unknown", "x", Refused),
        with(":", "x", Refused),
        (
            "a late :path".to_owned(),
            [frame(HEADERS, END_HEADERS, 1, fields(late)), hidden(1)].concat(),
            Refused,
        ),
    ])
    .await;
}

/// Section 8.2.
#[tokio::test]
async fn fields_are_small_letters_and_text() {
    check([
        with("x", "y", Answered(202)),
        with("x", "", Answered(202)),
        with("x", b"\x80\xff", Answered(202)),
        with("te", "trailers", Answered(202)),
        with("host", "h", Answered(202)),
        with("X", "y", Refused),
        with("x-Y", "z", Refused),
        with("", "y", Refused),
        with("x y", "z", Refused),
        with(" x", "y", Refused),
        with("x:", "y", Refused),
        with("x:y", "z", Refused),
        with("x\0", "y", Refused),
        with("x\r\ny", "z", Refused),
        with(b"x\xff", "y", Refused),
        with("x", "\0", Refused),
        with("x", "y\r\nz: z", Refused),
        with("x", "y\rz", Refused),
        with("x", "y\nz", Refused),
        with("connection", "close", Refused),
        with("connection", "te", Refused),
        with("keep-alive", "timeout=9", Refused),
        with("proxy-connection", "keep-alive", Refused),
        with("transfer-encoding", "chunked", Refused),
        with("transfer-encoding", "", Refused),
        with("upgrade", "h2c", Refused),
        with("te", "gzip", Refused),
        with("te", "trailers, gzip", Refused),
    ])
    .await;
}

/// Section 8.1.1, and trailers, which nobody sends us.
#[tokio::test]
async fn bodies_have_the_length_that_was_said() {
    let trailers = |trailers: &[u8], flags: u8| {
        let open = frame(DATA, 0, 1, collection([created("hidden")]));
        [head(1), open, frame(HEADERS, flags, 1, trailers)].concat()
    };
    let good = fields([("x", "y")]);
    check([
        with("content-length", "12", Answered(202)),
        with("content-length", "0", Refused),
        with("content-length", "11", Refused),
        with("content-length", "1000", Refused),
        with("content-length", "-1", Refused),
        with("content-length", "+12", Refused),
        with("content-length", "0x0c", Refused),
        with("content-length", "12,12", Refused),
        with("content-length", "", Refused),
        with("content-length", "x", Refused),
        with("content-length", "99999999999999999999999", Refused),
        ("trailers".to_owned(), trailers(&good, END_HEADERS | END_STREAM), Refused),
        ("trailers that are no end".to_owned(), trailers(&good, END_HEADERS), Refused),
        ("trailers that ask".to_owned(), trailers(&post(), END_HEADERS | END_STREAM), Refused),
        (
            "a length and no body".to_owned(),
            frame(
                HEADERS,
                END_HEADERS | END_STREAM,
                1,
                [post(), fields([("content-length", "12")])].concat(),
            ),
            Refused,
        ),
    ])
    .await;
}

/// RFC 7541.
#[tokio::test]
async fn what_cannot_be_unpacked_ends_the_connection() {
    let block = |block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    let behind = |bytes: &[u8]| block(&[&post(), bytes].concat());
    check([
        ("index 0", behind(&[0x80]), Gone),
        ("an index beyond the tables", behind(&integer(0x80, 7, 62)), Gone),
        ("an index far beyond the tables", behind(&integer(0x80, 7, 1 << 20)), Gone),
        ("a name beyond the tables", behind(&[&integer(0, 4, 99), [1, b'x'].as_slice()].concat()), Gone),
        ("a number without an end", behind(&[0xff]), Gone),
        (
            "a number that overflows",
            behind(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            Gone,
        ),
        ("a string without an end", behind(&[0, 5, b'x']), Gone),
        ("a string longer than all", behind(&[&[0], integer(0, 7, 1 << 30).as_slice(), b"x"].concat()), Gone),
        ("Huffman with too much filling", behind(&[0, 1, b'x', 0x82, 0xf3, 0xff]), Gone),
        ("Huffman with a wrong filling", behind(&[0, 1, b'x', 0x81, 0x00]), Gone),
        ("Huffman with its end", behind(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]), Gone),
        ("a table that is too large", block(&[integer(0x20, 5, 4097), post()].concat()), Gone),
        ("a table that changes too late", behind(&[0x20]), Gone),
        (
            "a table that shrinks",
            [frame(HEADERS, END_HEADERS, 1, [vec![0x20], post()].concat()), body(1)].concat(),
            Answered(202),
        ),
    ])
    .await;
}

//! Where the requests of an HTTP/1 connection begin and end.

use crate::listener::strict::{Body, Scanned, Scanner};

/// Scans a connection in one piece, byte by byte, and in pieces between: always the same passes, and the same heads are
/// found. In what passes as a head, lines end in CR LF and neither stands alone, and one field at most says how long the
/// body is.
pub fn framing(data: &[u8]) {
    let whole = scan(data, usize::MAX);
    for piece in [1, 7, 64] {
        assert_eq!(scan(data, piece), whole, "in pieces of {piece}");
    }
    for (start, end) in whole.heads {
        if let Some(start) = start {
            check_head(&data[start..end]);
        }
    }
}

#[derive(Debug, Default, Eq, PartialEq)]
struct Found {
    /// Where each head ends, and where it begins, if no chunks are in front of it.
    heads: Vec<(Option<usize>, usize)>,
    /// The first byte that does not pass.
    wrong: Option<usize>,
}

fn scan(data: &[u8], piece: usize) -> Found {
    let mut scanner = Scanner::default();
    let (mut found, mut at, mut start, mut behind_chunks) = (Found::default(), 0, 0, false);
    while at < data.len() {
        let end = data.len().min(at.saturating_add(piece));
        match scanner.scan(&data[at..end]) {
            Scanned::WrongAt(wrong) => {
                found.wrong = Some(at + wrong);
                break;
            }
            Scanned::Passes(passed) => at += passed,
        }
        if scanner.asks() {
            let body = body_of(&data[start..at]);
            assert!(scanner.follows(body), "nobody asked");
            found.heads.push((Some(start).filter(|_| !behind_chunks), at));
            behind_chunks = body == Body::Chunked;
            start = match body {
                Body::Length(length) => at.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)),
                Body::Chunked => at,
            };
        }
    }
    found
}

/// What follows a head, by a plain reading.
fn body_of(head: &[u8]) -> Body {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let field = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name));
    match (field("transfer-encoding:"), field("content-length:")) {
        (Some(_), _) => Body::Chunked,
        (None, Some(length)) => Body::Length(length.trim().parse().unwrap_or(0)),
        (None, None) => Body::Length(0),
    }
}

fn check_head(head: &[u8]) {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert!(lines.iter().all(|line| !line.contains(['\r', '\n'])), "{text:?} has lines of another kind");
    assert!(text.ends_with("\r\n\r\n"), "{text:?} has no end");
    let begin = lines.iter().position(|line| !line.is_empty()).unwrap_or(0);
    let end = lines.len() - 2;
    assert!(lines[begin..end].iter().all(|line| !line.is_empty()), "{text:?} goes on behind its end");
    let says_length = |line: &&&str| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        line.contains(':') && ["content-length", "transfer-encoding"].contains(&&*name)
    };
    assert!(lines.iter().filter(says_length).count() <= 1, "{text:?} has two ends");
}

//! Reads answers of HTTP/1.x out of what has come. Pure, so that it does not matter in which pieces it came: who has too few
//! bytes asks again with more.

use hyper::StatusCode;

/// What stands at the beginning of what has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Read {
    /// Nothing whole so far.
    More,
    /// An answer.
    Answer {
        /// Its status.
        status: StatusCode,
        /// How many bytes it has, with the interim answers before it.
        length: usize,
        /// Another request can be sent behind it.
        is_kept: bool,
    },
    /// No HTTP, or far too much of it.
    Broken,
}

/// How a body is bounded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bounds {
    Length(u64),
    Chunks,
    /// By the end of the connection.
    End,
}

struct Head {
    status: StatusCode,
    length: usize,
    bounds: Bounds,
    is_kept: bool,
}

/// Reads one answer; `is_over` says that nothing more will come.
pub(super) fn read(came: &[u8], is_over: bool) -> Read {
    let mut begin = 0;
    for _ in 0..HEADS_MAX {
        let rest = &came[begin..];
        let Some(length) = head_length(rest) else {
            return if is_over || rest.len() > HEAD_BYTES_MAX { Read::Broken } else { Read::More };
        };
        let Some(head) = Head::read(&rest[..length]) else { return Read::Broken };
        if is_answer(head.status) {
            return body(&head, begin, &rest[length..], is_over);
        }
        begin += length;
    }
    Read::Broken
}

fn body(head: &Head, begin: usize, rest: &[u8], is_over: bool) -> Read {
    let answer = |length: usize, is_kept| Read::Answer {
        status: head.status,
        length: begin + head.length + length,
        is_kept: is_kept && head.is_kept,
    };
    let more = if is_over { Read::Broken } else { Read::More };
    // Nobody wants to read more of it, and the status has said all.
    let is_enough = rest.len() >= BODY_BYTES_MAX;
    match head.bounds {
        Bounds::Length(length) if length <= rest.len() as u64 => answer(length as usize, true),
        Bounds::Chunks => match chunks(rest) {
            Chunks::Whole(length) => answer(length, true),
            Chunks::More if is_enough => answer(rest.len(), false),
            Chunks::More => more,
            Chunks::Broken => Read::Broken,
        },
        Bounds::Length(_) | Bounds::End if is_enough => answer(rest.len(), false),
        Bounds::End if is_over => answer(rest.len(), false),
        Bounds::Length(_) | Bounds::End => more,
    }
}

impl Head {
    fn read(head: &[u8]) -> Option<Self> {
        let mut lines = lines(head);
        let first = lines.next()?;
        let status = status(first)?;
        let is_modern = first.starts_with(b"HTTP/1.1");
        let (mut length, mut coding, mut is_kept) = (None, None, is_modern);
        for line in lines.filter(|line| !line.is_empty()) {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
                return None;
            }
            if name.eq_ignore_ascii_case(b"content-length") {
                let said = number(value)?;
                if length.replace(said).is_some_and(|before| before != said) {
                    return None;
                }
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                coding = words(value).last();
            } else if name.eq_ignore_ascii_case(b"connection") {
                is_kept &= !words(value).any(|word| word.eq_ignore_ascii_case(b"close"));
            }
        }
        let is_bare = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        // What is behind a change of protocols is no body, and no other answer.
        let is_left = status == StatusCode::SWITCHING_PROTOCOLS;
        let bounds = match (coding, length) {
            _ if is_bare || is_left => Bounds::Length(0),
            (Some(coding), _) if coding.eq_ignore_ascii_case(b"chunked") => Bounds::Chunks,
            (None, Some(length)) => Bounds::Length(length),
            (Some(_) | None, _) => Bounds::End,
        };
        let is_kept = is_kept && !is_left;
        Some(Self { status, length: head.len(), bounds, is_kept })
    }
}

enum Chunks {
    Whole(usize),
    More,
    Broken,
}

/// How long a body in chunks is, with all that is around them.
fn chunks(body: &[u8]) -> Chunks {
    let mut begin = 0;
    loop {
        let Some(line) = first_line(&body[begin..]) else {
            return if body.len() - begin > LINE_BYTES_MAX { Chunks::Broken } else { Chunks::More };
        };
        let size = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(size).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size.filter(|size| *size <= isize::MAX as usize) else { return Chunks::Broken };
        begin += line.len() + 2;
        if size == 0 {
            break;
        }
        match body.len().checked_sub(begin).filter(|left| *left >= size + 2) {
            None => return Chunks::More,
            Some(_) if !body[begin + size..].starts_with(b"\r\n") => return Chunks::Broken,
            Some(_) => begin += size + 2,
        }
    }
    // Trailers, up to an empty line.
    loop {
        let Some(line) = first_line(&body[begin..]) else { return Chunks::More };
        begin += line.len() + 2;
        if line.is_empty() {
            return Chunks::Whole(begin);
        }
    }
}

/// Without its end.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    bytes.windows(2).position(|pair| pair == b"\r\n").map(|length| &bytes[..length])
}

fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    head.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn head_length(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    bytes.windows(END.len()).position(|window| window == END).map(|begin| begin + END.len())
}

/// The status code of a status line, be there more behind it or not.
pub(super) fn status(line: &[u8]) -> Option<StatusCode> {
    let code = line.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    StatusCode::from_bytes(code).ok()
}

/// Early hints and the like come before an answer, and are none; who switches protocols has answered.
pub(super) fn is_answer(status: StatusCode) -> bool {
    !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS
}

/// An answer, and what may come before it: a receiver says "continue", and perhaps "early hints".
const HEADS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Longest body that is read; a receiver has nothing long to say.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Of a chunk's size, with all that may stand behind it.
const LINE_BYTES_MAX: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: [(&str, u16, bool); 11] = [
        ("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, true),
        ("HTTP/1.1 202\r\ncontent-length:0\r\nConnection: keep-alive\r\n\r\n", 202, true),
        ("HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nsorry", 500, true),
        ("HTTP/1.1 202 Yes\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", 202, false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, false),
        ("HTTP/1.1 204 Nothing\r\n\r\n", 204, true),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 202 A\r\nContent-Length: 0\r\n\r\n",
            202,
            true,
        ),
        ("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", 101, false),
        ("HTTP/1.1 200 A\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n", 200, true),
        (
            "HTTP/1.1 200 A\r\nTransfer-Encoding: gzip, chunked\r\n\r\nA\r\n0123456789\r\n1\r\nx\r\n0\r\nT: 1\r\n\r\n",
            200,
            true,
        ),
        ("HTTP/1.1 400 A\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, true),
    ];

    #[test]
    fn what_is_whole_is_read_in_whatever_pieces_it_comes() {
        for (text, code, is_kept) in WHOLE {
            let behind = format!("{text}HTTP/1.1 503");
            let answer = Read::Answer {
                status: StatusCode::from_u16(code).expect("a code"),
                length: text.len(),
                is_kept,
            };
            assert_eq!(read(text.as_bytes(), false), answer, "{text:?}");
            assert_eq!(read(behind.as_bytes(), false), answer, "{text:?} and more");
            for end in 0..text.len() {
                assert_eq!(read(&text.as_bytes()[..end], false), Read::More, "{:?}", &text[..end]);
                assert_eq!(read(&text.as_bytes()[..end], true), Read::Broken, "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn a_body_without_bounds_ends_with_the_connection() {
        let text = b"HTTP/1.1 202 A\r\nX: y\r\n\r\nabc";
        assert_eq!(read(text, false), Read::More);
        let status = StatusCode::ACCEPTED;
        assert_eq!(read(text, true), Read::Answer { status, length: text.len(), is_kept: false });
    }

    #[test]
    fn nobody_reads_a_body_that_never_ends() {
        for bounds in ["Content-Length: 99999999", "Transfer-Encoding: chunked", "X: y"] {
            let mut text = format!("HTTP/1.1 202 A\r\n{bounds}\r\n\r\n");
            text.push_str("FFFFFF\r\n");
            text.push_str(&"x".repeat(BODY_BYTES_MAX));
            let status = StatusCode::ACCEPTED;
            let answer = Read::Answer { status, length: text.len(), is_kept: false };
            assert_eq!(read(text.as_bytes(), false), answer, "{bounds}");
        }
    }

    #[test]
    fn what_is_no_http_is_broken() {
        let chunked = "HTTP/1.1 200 A\r\nTransfer-Encoding: chunked\r\n\r\n";
        for text in [
            "HTTP/2 202\r\n\r\n".to_owned(),
            "HTTP/1.1 abc\r\n\r\n".to_owned(),
            "hello\r\n\r\n".to_owned(),
            "HTTP/1.1 202 A\r\nno colon\r\n\r\n".to_owned(),
            "HTTP/1.1 202 A\r\nA : b\r\n\r\n".to_owned(),
            "HTTP/1.1 202 A\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(),
            "HTTP/1.1 202 A\r\nContent-Length: -1\r\n\r\n".to_owned(),
            format!("{chunked}xyz\r\n"),
            format!("{chunked}1\r\nabcd\r\n"),
            "HTTP/1.1 100 A\r\n\r\n".repeat(HEADS_MAX),
            format!("HTTP/1.1 202 {}", "x".repeat(HEAD_BYTES_MAX)),
        ] {
            assert_eq!(read(text.as_bytes(), false), Read::Broken, "{text:.80}");
        }
    }

    #[test]
    fn what_comes_before_an_answer_is_none() {
        let answers = [100, 101, 103, 202, 403].map(|code| StatusCode::from_u16(code).is_ok_and(is_answer));
        assert_eq!(answers, [false, true, false, true, true]);
    }

    #[test]
    fn a_status_line_is_read_or_refused() {
        for (head, code) in [
            ("HTTP/1.1 202 Accepted\r\n\r\n", Some(202)),
            ("HTTP/1.0 500\r\n\r\n", Some(500)),
            ("HTTP/1.1 2", None),
            ("HTTP/1.1 abc\r\n", None),
            ("HTTP/2 202\r\n", None),
            ("", None),
        ] {
            assert_eq!(status(head.as_bytes()).map(|status| status.as_u16()), code, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_any_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), is_over: bool) {
            let head = b"HTTP/1.1 200 A\r\nTransfer-Encoding: chunked\r\n\r\n";
            for text in [bytes.clone(), [head.as_slice(), &bytes].concat()] {
                if let Read::Answer { length, .. } = read(&text, is_over) {
                    prop_assert!(length <= text.len());
                }
            }
        }
    }
}

//! Where heads and bodies of HTTP/1 end, and what in them is not by the letter. Pure.

use memchr::{memchr, memchr2};

/// How long the body of a request is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// As many as its chunks say.
    Chunked,
}

/// Finds the ends of heads and bodies, and what is not by the letter.
#[derive(Debug, Default)]
pub struct Scanner {
    stage: Stage,
    /// The line at hand, as far as it was seen.
    line: Line,
    /// What was seen of the head at hand.
    head: Head,
    /// How long the body seems to be that was let pass before anybody said what follows its head.
    supposed: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stage {
    /// Before a head; empty lines may stand there.
    #[default]
    Before,
    Head,
    /// After a head: nobody has said what follows.
    Asking,
    Body(u64),
    /// The line before a chunk; its size so far.
    Size(Size),
    Chunk(u64),
    /// The empty line after a chunk.
    ChunkEnd,
    Trailers,
    /// HTTP/2, or no HTTP.
    Free,
    Spoilt,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Line {
    bytes: u64,
    ends_in_return: bool,
    has_colon: bool,
    says_length: bool,
    /// Its first bytes, where they came in several pieces.
    begin: [u8; NAME_BYTES_MAX],
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    /// It is the preface of HTTP/2, as far as it was seen.
    is_preface: bool,
    /// Fields that say how long the body is.
    lengths: usize,
    codings: usize,
    /// The length, where it is plain.
    length: Option<u64>,
}

/// A chunk's size while it is being read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Size {
    value: u64,
    has_digits: bool,
    has_ended: bool,
}

/// What may be passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scanned {
    /// So many bytes, by the letter.
    Passes(usize),
    /// So many; the next one is wrong.
    WrongAt(usize),
}

impl Scanner {
    /// Looks at the next bytes, at most up to the end of a head. What does not pass must be shown again; if it does not pass
    /// then either, once it was said what it is.
    pub fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut at = 0;
        while at < bytes.len() {
            match self.stage {
                Stage::Asking if at > 0 || self.head.body().is_none() => return Scanned::Passes(at),
                Stage::Asking => {
                    self.supposed = self.head.body();
                    self.stage = behind_head(self.supposed.unwrap_or_default());
                }
                Stage::Before if self.supposed.is_some() => return Scanned::Passes(at),
                Stage::Free => return Scanned::Passes(bytes.len()),
                Stage::Spoilt => return Scanned::WrongAt(at),
                Stage::Body(left) => {
                    let left = skip(left, bytes, &mut at);
                    self.stage = if left == 0 { Stage::Before } else { Stage::Body(left) };
                }
                Stage::Chunk(left) => {
                    let left = skip(left, bytes, &mut at);
                    self.stage = if left == 0 { Stage::ChunkEnd } else { Stage::Chunk(left) };
                }
                Stage::Before | Stage::Head | Stage::Size(_) | Stage::ChunkEnd | Stage::Trailers => {
                    if self.pass_text(bytes, &mut at) {
                        continue;
                    }
                    if !self.step(bytes[at]) {
                        self.stage = Stage::Spoilt;
                        return Scanned::WrongAt(at);
                    }
                    at += 1;
                }
            }
        }
        Scanned::Passes(at)
    }

    /// Says what follows the head that was passed on last. Returns false when there is none that it could follow, or when
    /// something else was let pass.
    pub fn follows(&mut self, body: Body) -> bool {
        if self.stage == Stage::Free {
            return true;
        }
        let fits = match self.supposed.take() {
            Some(supposed) => body == Body::Length(supposed),
            None if self.stage == Stage::Asking => {
                self.stage = match body {
                    Body::Length(length) => behind_head(length),
                    Body::Chunked => Stage::Size(Size::default()),
                };
                true
            }
            None => false,
        };
        if !fits {
            self.stage = Stage::Spoilt;
        }
        fits
    }

    /// Whether a head was passed on, and nobody has said what follows.
    pub fn asks(&self) -> bool {
        self.stage == Stage::Asking || self.supposed.is_some()
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.stage == Stage::Head
    }

    /// Passes over what stands in a line of a head or of trailers before its end; whether there was anything.
    fn pass_text(&mut self, bytes: &[u8], at: &mut usize) -> bool {
        if !matches!(self.stage, Stage::Before | Stage::Head | Stage::Trailers) {
            return false;
        }
        let rest = &bytes[*at..];
        let text = &rest[..memchr2(b'\r', b'\n', rest).unwrap_or(rest.len())];
        if text.is_empty() || self.line.ends_in_return {
            return false;
        }
        if self.stage == Stage::Before {
            (self.stage, self.head) = (Stage::Head, Head { is_preface: true, ..Head::default() });
        }
        if self.stage == Stage::Head {
            let preface = PREFACE.get(self.line.bytes as usize..).unwrap_or_default();
            self.head.is_preface = self.head.is_preface && preface.starts_with(text);
            if self.line.says_length {
                // In pieces: not plain.
                self.head.length = None;
            }
            self.note_name(text);
        }
        self.line.bytes += text.len() as u64;
        *at += text.len();
        true
    }

    /// One byte of a line; whether it may stand there.
    fn step(&mut self, byte: u8) -> bool {
        let Line { bytes, ends_in_return, .. } = self.line;
        // CR and LF stand together or not at all.
        if (byte == b'\n') != ends_in_return {
            return false;
        }
        if byte == b'\n' {
            self.line = Line::default();
            return self.end_line(bytes - 1);
        }
        if byte != b'\r' && !self.take(byte) {
            return false;
        }
        (self.line.bytes, self.line.ends_in_return) = (bytes + 1, byte == b'\r');
        true
    }

    /// One byte of a line that is no text.
    fn take(&mut self, byte: u8) -> bool {
        match &mut self.stage {
            Stage::Size(size) => size.take(byte),
            Stage::Before
            | Stage::Head
            | Stage::Asking
            | Stage::Body(_)
            | Stage::Chunk(_)
            | Stage::ChunkEnd
            | Stage::Trailers
            | Stage::Free
            | Stage::Spoilt => false,
        }
    }

    /// Counts the fields that say how long the body is. Hyper goes by one of them and does not show us the others.
    fn note_name(&mut self, text: &[u8]) {
        let Line { bytes, has_colon, says_length, begin, .. } = &mut self.line;
        if *has_colon {
            return;
        }
        let colon = memchr(b':', text);
        let (part, before) = (&text[..colon.unwrap_or(text.len())], *bytes as usize);
        *has_colon = colon.is_some();
        let name = match before {
            0 if *has_colon => part,
            _ => {
                begin.iter_mut().skip(before).zip(part).for_each(|(place, byte)| *place = *byte);
                begin.get(..before + part.len()).unwrap_or_default()
            }
        };
        let Some(colon) = colon else { return };
        *says_length = name.eq_ignore_ascii_case(b"content-length");
        if *says_length {
            self.head.lengths += 1;
            self.head.length = plain_number(&text[colon + 1..]);
        }
        self.head.codings += usize::from(name.eq_ignore_ascii_case(b"transfer-encoding"));
    }

    /// The line has ended, and held so many bytes.
    fn end_line(&mut self, bytes: u64) -> bool {
        let is_empty = bytes == 0;
        self.stage = match self.stage {
            Stage::Head if is_empty && self.head.is_preface => Stage::Free,
            Stage::Head if is_empty && self.head.lengths + self.head.codings > 1 => return false,
            Stage::Head if is_empty => Stage::Asking,
            Stage::Head => {
                self.head.is_preface &= bytes as usize == PREFACE.len();
                Stage::Head
            }
            Stage::Size(Size { has_digits: false, .. }) => return false,
            Stage::Size(Size { value: 0, .. }) => Stage::Trailers,
            Stage::Size(Size { value, .. }) => Stage::Chunk(value),
            Stage::ChunkEnd => Stage::Size(Size::default()),
            Stage::Trailers if is_empty => Stage::Before,
            stage @ (Stage::Before
            | Stage::Asking
            | Stage::Body(_)
            | Stage::Chunk(_)
            | Stage::Trailers
            | Stage::Free
            | Stage::Spoilt) => stage,
        };
        true
    }
}

impl Head {
    /// How long the body seems to be. Where this is not plain, hyper's word is awaited before anything passes.
    fn body(&self) -> Option<u64> {
        match (self.lengths, self.codings) {
            (0, 0) => Some(0),
            (1, 0) => self.length,
            _ => None,
        }
    }
}

impl Size {
    /// Hexadecimal digits; then extensions, which mean nothing to us.
    fn take(&mut self, byte: u8) -> bool {
        if self.has_ended {
            return true;
        }
        let Some(digit) = char::from(byte).to_digit(16) else {
            self.has_ended = true;
            return matches!(byte, b';' | b' ' | b'\t');
        };
        match self.value.checked_mul(16) {
            Some(value) => {
                (self.value, self.has_digits) = (value | u64::from(digit), true);
                true
            }
            None => false,
        }
    }
}

fn behind_head(length: u64) -> Stage {
    if length == 0 { Stage::Before } else { Stage::Body(length) }
}

/// Digits alone, with spaces around them.
fn plain_number(text: &[u8]) -> Option<u64> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let is_plain = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok())?
}

/// Passes over what is left of a body or a chunk; returns what is left then.
fn skip(left: u64, bytes: &[u8], at: &mut usize) -> u64 {
    let taken = left.min((bytes.len() - *at) as u64);
    *at += taken as usize;
    left - taken
}

/// The longest name that is looked for.
const NAME_BYTES_MAX: usize = "transfer-encoding".len();
/// The line with which an HTTP/2 connection begins (RFC 9113, 3.4); an empty one follows.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans in pieces of `piece` bytes. Says at each head's end what follows, in turn; returns the offset of what is
    /// wrong, if anything, and how many heads were seen.
    fn scan(text: &[u8], bodies: &[Body], piece: usize) -> (Option<usize>, usize) {
        let (mut scanner, mut at, mut heads) = (Scanner::default(), 0, 0);
        while at < text.len() {
            match scanner.scan(&text[at..text.len().min(at + piece)]) {
                Scanned::WrongAt(wrong) => return (Some(at + wrong), heads),
                Scanned::Passes(passed) => at += passed,
            }
            if scanner.asks() {
                assert!(scanner.follows(bodies[heads]));
                heads += 1;
            }
        }
        (None, heads)
    }

    #[track_caller]
    fn check(text: &str, bodies: &[Body], expected: (Option<usize>, usize)) {
        for piece in [1, 2, 7, usize::MAX / 2] {
            assert_eq!(scan(text.as_bytes(), bodies, piece), expected, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn what_is_by_the_letter_passes() {
        let none = Body::Length(0);
        check("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &[none], (None, 1));
        check("GET / HTTP/1.1\r\nX: content-length:\r\nContent-Length: 0\r\n\r\n", &[none], (None, 1));
        check("\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[none, none], (None, 2));
        check("POST / HTTP/1.1\r\n\r\na\nb\rcGET / HTTP/1.1\r\n\r\n", &[Body::Length(5), none], (None, 2));
        let chunks = "POST / HTTP/1.1\r\n\r\n3;x=y\r\n\n\n\n\r\n0a \r\n0123456789\r\n0\r\nT: t\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        check(chunks, &[Body::Chunked, none], (None, 2));
    }

    #[test]
    fn what_is_not_is_found() {
        let none = Body::Length(0);
        check("GET / HTTP/1.1\nHost: h\r\n\r\n", &[none], (Some(14), 0));
        check("GET / HTTP/1.1\r\nHost: h\n\r\n", &[none], (Some(23), 0));
        check("GET / HTTP/1.1\r\nHost: h\r\n\n", &[none], (Some(25), 0));
        check("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", &[none], (Some(24), 0));
        check("\nGET / HTTP/1.1\r\n\r\n", &[none], (Some(0), 0));
        check("GET / HTTP/1.1\r\nContent-Length: 0\r\ncontent-length:0\r\n\r\n", &[none], (Some(54), 0));
        check("GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: x\r\n\r\n", &[none], (Some(58), 0));
        let head = "POST / HTTP/1.1\r\n\r\n";
        let at = head.len();
        for (chunks, wrong) in [
            ("3\nabc", 1),
            ("\r\n", 1),
            (";x\r\n", 3),
            ("3\r\nabc\n0\r\n\r\n", 6),
            ("3\r\nabcd\r\n", 6),
            ("3x\r\nabc", 1),
            ("-3\r\nabc", 0),
            ("3;\n\r\nabc", 2),
            ("11111111111111111\r\n", 16),
            ("0\r\nT: t\n\r\n", 7),
        ] {
            check(&format!("{head}{chunks}"), &[Body::Chunked], (Some(at + wrong), 1));
        }
    }

    /// Passes on all that passes; returns how much that is.
    fn pass(scanner: &mut Scanner, text: &[u8]) -> usize {
        let mut at = 0;
        while let Scanned::Passes(passed @ 1..) = scanner.scan(&text[at..]) {
            at += passed;
        }
        at
    }

    #[test]
    fn a_body_of_plain_length_passes_before_anybody_says_so_and_no_second_head() {
        let (first, second) =
            ("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\na\nb\rc", "GET / HTTP/1.1\r\n\r\n");
        let text = [first, second].concat();
        let mut scanner = Scanner::default();
        assert_eq!(pass(&mut scanner, text.as_bytes()), first.len());
        assert!(scanner.asks() && scanner.follows(Body::Length(5)) && !scanner.asks());
        assert_eq!(pass(&mut scanner, second.as_bytes()), second.len());
        assert!(scanner.follows(Body::Length(0)));
    }

    #[test]
    fn who_says_something_else_than_was_supposed_ends_the_connection() {
        for other in [Body::Length(4), Body::Length(0), Body::Chunked] {
            let mut scanner = Scanner::default();
            pass(&mut scanner, b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde");
            assert!(!scanner.follows(other));
            assert_eq!(scanner.scan(b"GET"), Scanned::WrongAt(0));
        }
    }

    #[test]
    fn what_is_not_plain_is_waited_for() {
        for field in [
            "Content-Length: +5",
            "Content-Length: 5, 5",
            "Content-Length:",
            "Content-Length: 5x",
            "Content-Length: 1234567890123456789",
            "Transfer-Encoding: chunked",
        ] {
            let head = format!("POST / HTTP/1.1\r\n{field}\r\n\r\n");
            let mut scanner = Scanner::default();
            assert_eq!(pass(&mut scanner, format!("{head}abcde").as_bytes()), head.len(), "{field}");
            assert!(scanner.asks() && scanner.follows(Body::Length(5)), "{field}");
        }
        // A length in two pieces.
        let mut scanner = Scanner::default();
        pass(&mut scanner, b"POST / HTTP/1.1\r\nContent-Length: 1");
        assert_eq!(pass(&mut scanner, b"5\r\n\r\nabcde"), 5);
        assert!(scanner.follows(Body::Length(15)));
    }

    #[test]
    fn http_2_is_left_alone() {
        check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n", &[], (None, 0));
        check("PRI * HTTP/2.0\r\nX: y\r\n\r\n\n", &[Body::Length(0)], (Some(24), 1));
        check("PRI * HTTP/2.1\r\n\r\n\n", &[Body::Length(0)], (Some(18), 1));
    }

    #[test]
    fn a_head_that_was_not_seen_ends_the_connection() {
        let mut scanner = Scanner::default();
        assert!(!scanner.follows(Body::Length(0)));
        assert_eq!(scanner.scan(b"GET"), Scanned::WrongAt(0));
    }
}

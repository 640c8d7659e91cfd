//! HTTP/1 by the letter, before hyper reads it.
//!
//! hyper takes a bare line feed for the end of a line, as RFC 9112 allows (2.2). A proxy in front may not, and then
//! the two cut a connection into requests at different places: the way in for smuggled requests. So heads and
//! the lines between chunks pass here first. In place of what is not by the letter hyper reads a zero byte, which it
//! refuses with 400 wherever it stands; and then the end.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;

/// A connection whose heads are read by the letter.
pub(super) struct Strict<S> {
    stream: S,
    framing: Framing,
    /// Read, and not passed on yet: what comes after a head, before it is known what it is.
    ahead: BytesMut,
    /// Nothing passes any more.
    is_spoilt: bool,
}

/// Where in its messages a connection is. The service that is called for a head has to say what follows it.
#[derive(Clone)]
pub(super) struct Framing {
    shared: Arc<Mutex<Shared>>,
    activity: Activity,
}

#[derive(Default)]
struct Shared {
    scanner: Scanner,
    waker: Option<Waker>,
}

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
    /// How much of the line at hand was seen, and its last byte.
    line: Line,
    /// Whether this head is the preface of HTTP/2, as far as it is seen.
    is_preface: bool,
    /// Lines of this head that say where the body ends.
    ends: usize,
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
    /// Which of [`ENDS`] it does not begin with.
    is_other: [bool; ENDS.len()],
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
    /// Looks at the next bytes. What does not pass must be shown again, once it was said what it is.
    pub fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut at = 0;
        while at < bytes.len() {
            match self.stage {
                Stage::Asking => return Scanned::Passes(at),
                Stage::Free => return Scanned::Passes(bytes.len()),
                Stage::Spoilt => return Scanned::WrongAt(at),
                Stage::Body(left) | Stage::Chunk(left) => {
                    let taken = left.min((bytes.len() - at) as u64);
                    at += taken as usize;
                    self.advance(left - taken);
                }
                Stage::Before | Stage::Head | Stage::Size(_) | Stage::ChunkEnd | Stage::Trailers => {
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

    /// Says what follows the head that was passed on last. Returns false when there is none that it could follow.
    pub fn follows(&mut self, body: Body) -> bool {
        if self.stage == Stage::Free {
            return true;
        }
        let was_asking = self.stage == Stage::Asking;
        self.stage = match body {
            _ if !was_asking => Stage::Spoilt,
            Body::Length(0) => Stage::Before,
            Body::Length(length) => Stage::Body(length),
            Body::Chunked => Stage::Size(Size::default()),
        };
        was_asking
    }

    /// Whether a head has begun and not ended.
    fn is_in_head(&self) -> bool {
        self.stage == Stage::Head
    }

    fn advance(&mut self, left: u64) {
        self.stage = match self.stage {
            Stage::Body(_) if left == 0 => Stage::Before,
            Stage::Body(_) => Stage::Body(left),
            _ if left == 0 => Stage::ChunkEnd,
            _ => Stage::Chunk(left),
        };
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
        if byte != b'\r' {
            if self.stage == Stage::Before {
                (self.stage, self.is_preface, self.ends) = (Stage::Head, true, 0);
            }
            if !self.take(byte) {
                return false;
            }
        }
        (self.line.bytes, self.line.ends_in_return) = (bytes + 1, byte == b'\r');
        true
    }

    fn take(&mut self, byte: u8) -> bool {
        match &mut self.stage {
            Stage::Size(size) => size.take(byte),
            Stage::ChunkEnd => false,
            Stage::Head => {
                self.is_preface &= PREFACE.get(self.line.bytes as usize) == Some(&byte);
                self.name(byte);
                self.ends <= 1
            }
            _ => true,
        }
    }

    /// One byte of a line of a head. Where the body ends may be said once; hyper believes one of several, and does not
    /// show us the others.
    fn name(&mut self, byte: u8) {
        for (name, is_other) in ENDS.iter().zip(&mut self.line.is_other) {
            let expected = name.get(self.line.bytes as usize);
            *is_other |= expected != Some(&byte.to_ascii_lowercase());
            self.ends += usize::from(!*is_other && byte == b':');
        }
    }

    /// The line has ended, and held so many bytes.
    fn end_line(&mut self, bytes: u64) -> bool {
        let is_empty = bytes == 0;
        self.stage = match self.stage {
            Stage::Head if is_empty && self.is_preface => Stage::Free,
            Stage::Head if is_empty => Stage::Asking,
            Stage::Head => {
                self.is_preface &= bytes as usize == PREFACE.len();
                Stage::Head
            }
            Stage::Size(Size { has_digits: false, .. }) => return false,
            Stage::Size(Size { value: 0, .. }) => Stage::Trailers,
            Stage::Size(Size { value, .. }) => Stage::Chunk(value),
            Stage::ChunkEnd => Stage::Size(Size::default()),
            Stage::Trailers if is_empty => Stage::Before,
            same => same,
        };
        true
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

impl Framing {
    /// At the begin of a connection; `activity` is told when heads begin.
    pub(super) fn new(activity: Activity) -> Self {
        Self { shared: Arc::default(), activity }
    }

    /// Says what follows the head that was read last. Returns false when the head was never seen here: then the
    /// connection cannot go on.
    pub(super) fn follows(&self, body: Body) -> bool {
        let mut shared = self.lock();
        let fits = shared.scanner.follows(body);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
        fits
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Strict<S> {
    /// Reads `stream` by the letter; `framing` is to be told what follows each head.
    pub(super) fn new(stream: S, framing: Framing) -> Self {
        Self { stream, framing, ahead: BytesMut::new(), is_spoilt: false }
    }

    /// Lets what was read last, from `start` on, pass as far as it may.
    fn judge(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>, start: usize) -> Poll<()> {
        let mut shared = self.framing.lock();
        let fresh = &buffer.filled()[start..];
        let passed = match shared.scanner.scan(fresh) {
            Scanned::Passes(passed) => passed,
            Scanned::WrongAt(at) => {
                buffer.set_filled(start + at);
                let (now, later) = SPOILT.split_at(SPOILT.len().min(buffer.remaining()));
                buffer.put_slice(now);
                (self.ahead, self.is_spoilt) = (BytesMut::from(later), true);
                return Poll::Ready(());
            }
        };
        if shared.scanner.is_in_head() {
            self.framing.activity.head();
        }
        if passed < fresh.len() {
            let mut ahead = BytesMut::from(&fresh[passed..]);
            ahead.unsplit(std::mem::take(&mut self.ahead));
            self.ahead = ahead;
            buffer.set_filled(start + passed);
        }
        if passed == 0 && !self.ahead.is_empty() {
            // Nothing may pass, and an empty read would mean the end.
            shared.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        if self.ahead.is_empty() && !self.is_spoilt {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let taken = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..taken]);
            self.ahead.advance(taken);
        }
        if self.is_spoilt || buffer.filled().len() == start {
            return Poll::Ready(Ok(()));
        }
        self.judge(context, buffer, start).map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What hyper is given instead: it looks at a head only when that has an end.
const SPOILT: &[u8] = b"\0\r\n\r\n";
/// Fields that say where a body ends.
const ENDS: [&[u8]; 2] = [b"content-length:", b"transfer-encoding:"];
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
            if scanner.stage == Stage::Asking {
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
        check("\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", &[none, none], (None, 2));
        let twice = "GET / HTTP/1.1\r\nContent-Length: 0\r\nx-Content-Length: 9\r\nContent-Length-x: Content-Length:\r\n\r\n".repeat(2);
        check(&twice, &[none, none], (None, 2));
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
        check("GET / HTTP/1.1\r\nTransfer-Encoding: x\r\ncontent-length:", &[], (Some(52), 0));
        check("GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length:0", &[], (Some(49), 0));
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

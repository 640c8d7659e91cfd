//! HTTP/2, frame by frame (RFC 9113): what breaks the rules ends the request or the connection, and what hides in it is
//! not seen.

mod connection;
mod fields;
mod manners;

use std::fmt::Display;

use super::{BODY, check_nothing_was_seen, daemon};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, RST_STREAM, fields, frame,
};
use crate::support::graph::{PATH, collection, created};

/// What becomes of the first request, and of its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// Nothing; the connection goes on.
    Ignored,
    /// The request is answered so; the connection goes on.
    Answered(u16),
    /// A stream error: the request is reset or answered 400, or the connection ends (RFC 9113, section 5.4: an endpoint
    /// may do that instead).
    Refused,
    /// The same for what comes behind a good request, which may be answered first.
    RefusedBehind,
    /// A connection error.
    Gone,
}

/// What came of it.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    answered: Option<u16>,
    reset: Option<u32>,
    /// The code of a GOAWAY that is an error, or 0 for an end without one.
    gone: Option<u32>,
}

/// Sends each case on a connection of its own, in one piece and byte by byte, and a last request behind it; tells of all
/// that went wrong.
async fn check(cases: impl IntoIterator<Item = (impl Display, Vec<u8>, Then)>) {
    let daemon = daemon().await;
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (what, bytes, then) in cases {
        for pieces in [bytes.len(), 1] {
            let mut frames = Frames::open(&daemon.client()).await;
            let seen = seen(&mut frames, bytes.chunks(pieces), then).await;
            let as_expected = match then {
                Then::Ignored => seen == Seen::default(),
                // A body that nobody reads is reset without an error (section 8.1).
                Then::Answered(status) => {
                    let is_taken = seen.reset.is_none_or(|code| code == 0) && seen.gone.is_none();
                    seen.answered == Some(status) && is_taken
                }
                Then::Refused => seen.answered.is_none_or(|status| status == 400) && seen != Seen::default(),
                Then::RefusedBehind => seen.reset.or(seen.gone).is_some(),
                Then::Gone => seen.gone.is_some() && seen.answered.is_none_or(|status| status >= 400),
            };
            if !as_expected {
                wrong.push(format!("{what}: {seen:?}, not {then:?}"));
                break;
            }
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 0);
    check_nothing_was_seen(&daemon).await;
}

/// What comes of stream 1 and the connection, until a request behind it is answered or the connection ends.
async fn seen<'a>(frames: &mut Frames, pieces: impl Iterator<Item = &'a [u8]>, then: Then) -> Seen {
    let mut seen = Seen::default();
    let behind = frame(HEADERS, END_HEADERS | END_STREAM, LAST, health());
    for piece in pieces {
        if !frames.try_send(piece).await {
            break;
        }
    }
    // If the connection is gone, what is read next says so.
    frames.try_send(behind).await;
    let mut goes_on = false;
    let wanted = |seen: &Seen| match then {
        Then::Ignored | Then::Gone => true,
        Then::Answered(_) | Then::Refused => *seen != Seen::default(),
        Then::RefusedBehind => seen.reset.is_some(),
    };
    while !(goes_on && wanted(&seen)) {
        match frames.next().await {
            Some(frame) if frame.kind == HEADERS && frame.stream == LAST => goes_on = true,
            Some(frame) if frame.kind == HEADERS => seen.answered = Some(frame.status()),
            Some(frame) if frame.kind == RST_STREAM && frame.stream != LAST => {
                seen.reset = Some(frame.code())
            }
            Some(frame) if frame.kind == GOAWAY => seen.gone = Some(frame.code()),
            Some(_) => {}
            None => {
                seen.gone.get_or_insert(0);
                break;
            }
        }
    }
    seen
}

/// The fields of a POST of notifications.
pub(super) fn post() -> Vec<u8> {
    fields([(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", PATH)])
}

/// The fields of a question whose answer shows that the connection goes on.
pub(super) fn health() -> Vec<u8> {
    fields([(":method", "GET"), (":scheme", "https"), (":authority", "h"), (":path", "/healthz")])
}

/// The head of a POST on this stream.
pub(super) fn head(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, post())
}

/// A good body that ends the stream.
pub(super) fn body(stream: u32) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, BODY)
}

/// A genuine body that ends the stream, where no request may be believed.
pub(super) fn hidden(stream: u32) -> Vec<u8> {
    frame(DATA, END_STREAM, stream, collection([created("hidden")]))
}

/// The stream of the last request of a case.
const LAST: u32 = 99;

//! A request of a case, and what came back.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;

use crate::simulate::receiver::{Answer, PATIENT, PROMPT, Unreached};

/// A request.
#[derive(Clone, Debug)]
pub struct Shot {
    /// What it is to Graph.
    pub kind: Kind,
    /// What is sent, in a few words; they hold no secret.
    pub words: String,
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// `Content-Type`; without one there is no such field.
    pub media_type: Option<&'static str>,
    /// Another header field.
    pub header: Option<(&'static str, &'static str)>,
    /// Body.
    pub body: Bytes,
    /// How it goes over the wire.
    pub wire: Wire,
    /// Whom it is for.
    pub place: Place,
}

/// What a request is to Graph.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The question whether a URL wants notifications; the answer has to be this token.
    Handshake(String),
    /// Notifications.
    Notification,
    /// Something that Graph does not send, and strangers do.
    Stranger,
}

/// How a request goes over the wire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wire {
    /// As Graph sends it: with its length, and in one piece.
    Whole,
    /// In chunks, without its length.
    Chunked,
    /// In small pieces with pauses; all within a second.
    Slow,
    /// The body once the receiver has said that it wants it, or has kept silent for a second.
    Expecting,
    /// With `Names-Of-Fields` as most clients write them.
    TitleCase,
}

/// Whom a request is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// The URL that takes notifications.
    Notifications,
    /// The other one, that takes lifecycle events.
    Lifecycle,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// What the request was to Graph.
    pub kind: Kind,
    /// What was sent, in words.
    pub words: String,
    /// The body that was sent.
    pub body: Bytes,
    /// The answer, or why there is none.
    pub answer: Result<Answer, Unreached>,
    /// Whether the connection was still there when the answer had come.
    pub is_line_open: bool,
}

impl Kind {
    /// How long Graph waits for the answer.
    pub fn allowance(&self) -> Duration {
        match self {
            Self::Handshake(_) => PATIENT,
            Self::Notification | Self::Stranger => PROMPT,
        }
    }
}

impl Shot {
    /// The same, as something that Graph does not send.
    #[must_use]
    pub fn strange(self) -> Self {
        Self { kind: Kind::Stranger, ..self }
    }

    /// The same, called differently.
    #[must_use]
    pub fn called(self, words: &str) -> Self {
        Self { words: words.to_owned(), ..self }
    }

    /// The same, over the wire in another way.
    #[must_use]
    pub fn over(self, wire: Wire) -> Self {
        Self { wire, ..self }
    }

    /// The same with another `Content-Type`.
    #[must_use]
    pub fn typed(self, media_type: &'static str) -> Self {
        Self { media_type: Some(media_type), ..self }
    }

    /// What came back for it.
    pub fn reply(&self, answer: Result<Answer, Unreached>, is_line_open: bool) -> Reply {
        Reply {
            kind: self.kind.clone(),
            words: self.words.clone(),
            body: self.body.clone(),
            answer,
            is_line_open,
        }
    }
}

impl Reply {
    /// Whether it answers notifications.
    pub fn is_notification(&self) -> bool {
        self.kind == Kind::Notification
    }
}

//! Spans and what they say, in OpenTelemetry's names.
//!
//! The names for messaging are still in development there: whatever changes, changes here. A span never holds a body, a
//! query, a token or a secret; what strangers can choose is not among its attributes either, since only who is believed
//! has spans.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use hyper::Version;

use super::{
    Moment, Place, TRACESTATE, Trace,
    id::{SpanId, TraceId},
};
use crate::{envelope::Envelope, notification::id::RequestId};

/// Something that was done, from its begin to its end.
#[derive(Debug)]
pub struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) parent_is_elsewhere: bool,
    pub(super) state: Option<Box<str>>,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Since 1970.
    pub(super) start: Duration,
    pub(super) end: Duration,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) is_error: bool,
}

/// `SpanKind` of OTLP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Somebody's request.
    Server = 2,
    /// A message.
    Producer = 4,
}

/// The value of an attribute.
#[derive(Debug)]
pub(super) enum Value {
    Word(&'static str),
    Text(String),
    Number(i64),
}

/// What became of a message, as its span tells it.
#[derive(Clone, Copy)]
pub(crate) enum Fate<'a> {
    /// The broker confirmed it.
    Published,
    /// The spool holds it, for this reason.
    Spooled(&'a dyn fmt::Display),
    /// It is safe nowhere, or not yet, for this reason.
    Failed(&'a dyn fmt::Display),
}

/// The span of a request. Without a status the client has not waited for the answer.
pub(super) fn request(
    trace: &Trace,
    begun: Moment,
    path: &str,
    version: Version,
    request: RequestId,
    status: Option<u16>,
) -> Span {
    let mut attributes = vec![
        ("http.request.method", Value::Word("POST")),
        ("http.route", Value::Text(path.to_owned())),
        ("url.path", Value::Text(path.to_owned())),
        // Graph speaks no other, whoever takes off TLS.
        ("url.scheme", Value::Word("https")),
        ("network.protocol.version", Value::Word(if version == Version::HTTP_2 { "2" } else { "1.1" })),
        ("graphhook.request.id", Value::Text(request.to_string())),
    ];
    attributes.push(match status {
        Some(status) => ("http.response.status_code", Value::Number(status.into())),
        None => ("error.type", Value::Word("client_gone")),
    });
    let (start, end) = begun.until_now();
    Span {
        trace: trace.id,
        id: trace.span,
        parent: trace.caller,
        parent_is_elsewhere: true,
        state: trace.state.clone(),
        name: format!("POST {path}"),
        kind: Kind::Server,
        start,
        end,
        attributes,
        is_error: status.is_none_or(|status| status >= 500),
    }
}

/// The span of a message on its way to the broker.
pub(super) fn message(
    envelope: &Envelope,
    place: Place,
    way: Way,
    exchange: &str,
    begun: Moment,
    fate: Fate<'_>,
) -> Span {
    let properties = &envelope.properties;
    let mut attributes = vec![
        ("messaging.system", Value::Word("rabbitmq")),
        ("messaging.operation.type", Value::Word("send")),
        ("messaging.operation.name", Value::Word("publish")),
        ("messaging.destination.name", Value::Text(exchange.to_owned())),
        ("messaging.rabbitmq.destination.routing_key", Value::Text(envelope.routing_key.as_str().to_owned())),
        ("messaging.message.id", Value::Text(envelope.message_id.as_str().to_owned())),
        ("messaging.message.body.size", Value::Number(envelope.body.len() as i64)),
        ("graphhook.kind", Value::Word(properties.kind.as_str())),
        ("graphhook.from", Value::Word(way.as_str())),
        ("graphhook.outcome", Value::Word(fate.outcome())),
    ];
    match fate {
        Fate::Published => {}
        Fate::Spooled(cause) => attributes.push(("graphhook.cause", Value::Text(cause.to_string()))),
        Fate::Failed(cause) => {
            attributes.push(("graphhook.cause", Value::Text(cause.to_string())));
            attributes.push(("error.type", Value::Word("undelivered")));
        }
    }
    let state = properties.headers.iter().find(|(name, _)| name == TRACESTATE);
    let (start, end) = begun.until_now();
    Span {
        trace: place.trace,
        id: place.span,
        parent: Some(place.parent),
        parent_is_elsewhere: way == Way::Spool,
        state: state.map(|(_, state)| state.as_str().into()),
        name: format!("publish {exchange}"),
        kind: Kind::Producer,
        start,
        end,
        attributes,
        is_error: matches!(fate, Fate::Failed(_)),
    }
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// A request that waits for it.
    Request,
    /// The spool.
    Spool,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Spool => "spool",
        }
    }
}

impl Fate<'_> {
    fn outcome(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Spooled(_) => "spooled",
            Self::Failed(_) => "unavailable",
        }
    }
}

impl Moment {
    /// Begin and end since 1970. Clocks that are set meanwhile make nothing longer or shorter.
    fn until_now(self) -> (Duration, Duration) {
        let start = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (start, start + self.since.elapsed())
    }
}

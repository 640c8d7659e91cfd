//! Traces: to which one a request belongs, what its messages say of it, and, if somebody collects them, its spans.
//!
//! The rules, all of them here:
//!
//! - A request has a trace from the moment at which something in it is believed. What a stranger says of traces reaches
//!   no message, no log and no collector, however often it is said; nor does a stranger make spans.
//! - A believed caller that names a trace ([`context`]) is part of it; else a new one begins.
//! - A trace is sampled if its caller has sampled it, or if [`Sample`] picks it by its id. Consumers follow the flag.
//! - Each message has a span of its own within the request's, and names it in its headers. The spool keeps them, so that
//!   repetitions say the same.
//!
//! [`export`] hands spans to a collector: off the road, and without it nothing here makes any.

pub mod context;
pub mod export;
pub mod id;
mod otlp;
pub mod span;

use std::time::{Instant, SystemTime};

use hyper::{Request, Version};
use tracing::field::display;

use self::{
    context::Context,
    export::Tracer,
    id::{Drawn, SpanId, TraceId},
    span::Span,
};
use crate::envelope::{Envelope, properties::Arrival};

/// How many of the traces that begin here are sampled.
///
/// A trace is picked by the lower 56 bits of its id, as OpenTelemetry has it: whoever else picks by the same ratio picks
/// the same traces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample {
    picked_from: u64,
}

/// The trace of a request.
#[derive(Clone, Debug)]
pub struct Trace {
    id: TraceId,
    caller: Option<SpanId>,
    span: SpanId,
    items: SpanId,
    is_sampled: bool,
    state: Option<Box<str>>,
}

/// Where the span of a message belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    trace: TraceId,
    parent: SpanId,
    span: SpanId,
}

/// What the head of a request says, until somebody is believed.
#[derive(Debug)]
pub struct Heard {
    context: Option<Context>,
    begun: Moment,
    /// Only for spans.
    seen: Option<(Box<str>, Version)>,
}

/// A request with a trace. Its span ends when this is dropped: with a status, or because the client hung up.
#[derive(Debug)]
pub struct Serving {
    trace: Trace,
    tracer: Tracer,
    heard: Heard,
    arrival: Arrival,
    status: Option<u16>,
}

/// When something began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    at: SystemTime,
    since: Instant,
}

impl Sample {
    /// Every trace.
    pub const ALL: Self = Self { picked_from: 0 };

    /// A ratio from 0 to 1; none other.
    pub fn ratio(ratio: f64) -> Option<Self> {
        let bits = |ratio: f64| (ratio * (1_u64 << RANDOM_BITS) as f64) as u64;
        (0.0..=1.0).contains(&ratio).then(|| Self { picked_from: bits(1.0 - ratio) })
    }

    fn picks(self, trace: TraceId) -> bool {
        trace.lower_bits(RANDOM_BITS) >= self.picked_from
    }
}

impl Trace {
    /// The trace of a request that is believed. None only if the system has no random numbers.
    pub fn begin(caller: Option<Context>, sample: Sample) -> Option<Self> {
        let Drawn { trace, span, items } = Drawn::fresh()?;
        let id = caller.as_ref().map_or(trace, Context::trace);
        Some(Self {
            id,
            caller: caller.as_ref().map(Context::span),
            span,
            items,
            is_sampled: caller.as_ref().is_some_and(Context::is_sampled) || sample.picks(id),
            state: caller.and_then(Context::into_state),
        })
    }

    /// Has a message say to which trace it belongs. Of several of one request, each has a number of its own.
    pub fn mark(&self, envelope: &mut Envelope, number: usize) {
        let span = self.items.following(number);
        let headers = &mut envelope.properties.headers;
        headers.push((TRACEPARENT.into(), context::parent(self.id, span, self.is_sampled)));
        let state = self.state.as_deref().filter(|_| number < STATED_MAX);
        headers.extend(state.map(|state| (TRACESTATE.into(), state.to_owned())));
        envelope.trace = self.is_sampled.then_some(Place { trace: self.id, parent: self.span, span });
    }
}

impl Place {
    /// A place below the span that a message names, for one more try to send it; None if nobody collects its trace.
    fn below(envelope: &Envelope) -> Option<Self> {
        let context = Context::of_message(envelope).filter(Context::is_sampled)?;
        Some(Self { trace: context.trace(), parent: context.span(), span: Drawn::fresh()?.span })
    }
}

impl Heard {
    /// Reads what a head says, and keeps nothing else of it.
    pub(crate) fn read<B>(request: &Request<B>, tracer: &Tracer) -> Self {
        Self {
            context: Context::read(request.headers()),
            begun: Moment::now(),
            seen: tracer.is_on().then(|| (request.uri().path().into(), request.version())),
        }
    }

    /// The request is believed: it has a trace from here on.
    pub(crate) fn believed(self, arrival: Arrival, tracer: &Tracer) -> Option<Serving> {
        let Self { context, begun, seen } = self;
        let trace = Trace::begin(context, tracer.sample())?;
        tracing::Span::current().record("trace", display(trace.id));
        let heard = Self { context: None, begun, seen };
        Some(Serving { trace, tracer: tracer.clone(), heard, arrival, status: None })
    }
}

impl Serving {
    /// Its trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The id of its trace.
    pub fn id(&self) -> TraceId {
        self.trace.id
    }

    /// It is answered so.
    pub(crate) fn answered(mut self, status: u16) {
        self.status = Some(status);
    }

    fn span(&self) -> Option<Span> {
        let (path, version) = self.heard.seen.as_ref().filter(|_| self.trace.is_sampled)?;
        Some(span::request(&self.trace, self.heard.begun, path, *version, self.arrival.request, self.status))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(span) = self.span() {
            self.tracer.send(span);
        }
    }
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { at: SystemTime::now(), since: Instant::now() }
    }
}

/// The header of requests and messages that names trace and span.
pub const TRACEPARENT: &str = "traceparent";
/// The header beside it, with what others want to know again.
pub const TRACESTATE: &str = "tracestate";
/// Messages of one request that carry it: with all of them one request could take many times its own memory.
const STATED_MAX: usize = 100;
/// Bits of a trace id that are random in any case (W3C Trace Context, level 2; OpenTelemetry's sampling).
const RANDOM_BITS: u32 = 56;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_picks_its_share() {
        let ids: Vec<TraceId> = (0..2000).map(|_| Drawn::fresh().expect("random numbers").trace).collect();
        let picked = |ratio| {
            let sample = Sample::ratio(ratio).expect("a ratio");
            ids.iter().filter(|id| sample.picks(**id)).count()
        };
        assert_eq!((picked(0.0), picked(1.0)), (0, 2000));
        // Five standard deviations and more.
        assert!((380..=620).contains(&picked(0.25)), "{}", picked(0.25));
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Sample::ratio(wrong), None);
        }
    }

    #[test]
    fn whoever_is_picked_by_less_is_picked_by_more() {
        let [few, many] = [0.1, 0.6].map(|ratio| Sample::ratio(ratio).expect("a ratio"));
        for _ in 0..500 {
            let id = Drawn::fresh().expect("random numbers").trace;
            assert!(!few.picks(id) || many.picks(id), "{id}");
        }
    }
}

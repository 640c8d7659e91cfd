//! One request of the public listener, from its head to its answer.
//!
//! The road is [`Webhook::receive`]: what was said, what we believe, where it goes, who keeps it now. The
//! handshake leaves it before the first step, and touches nothing.

mod body;
mod handshake;
mod reply;
pub mod route;

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT},
};
use tracing::{Instrument, debug, debug_span, warn};

use self::{
    reply::{Refusal, Reply},
    route::Target,
};
use crate::{
    config::{Config, Limits},
    deadline::Deadline,
    delivery::{Delivery, Receipts},
    envelope::{Router, properties::Arrival, quarantined},
    failpoint::{self, Point},
    metrics::{Handshake, Metrics, Outcome, Route},
    notification::Batch,
    telemetry::Sparse,
    verify::{Verified, Verifier},
};

/// Answers the requests of the public listener.
#[derive(Debug)]
pub struct Webhook {
    paths: Vec<String>,
    limits: Limits,
    memory: body::Memory,
    answer_within: std::time::Duration,
    verifier: Verifier,
    router: Router,
    delivery: Arc<Delivery>,
    metrics: Arc<Metrics>,
    unavailable: Sparse,
    refused: Sparse,
}

/// An answer, and whether the connection ends with it.
#[derive(Debug)]
pub struct Answer {
    /// The response.
    pub response: Response<Full<Bytes>>,
    /// The connection takes no further request.
    pub closes: bool,
}

impl Webhook {
    /// Puts the stages of the road together.
    pub fn new(config: &Config, delivery: Arc<Delivery>, metrics: Arc<Metrics>) -> Self {
        Self {
            paths: config.server.paths.clone(),
            limits: config.server.limits,
            memory: body::Memory::new(config.server.limits.bytes_in_flight),
            answer_within: config.server.answer_within,
            verifier: Verifier::new(&config.client_states),
            router: Router::new(config.broker.routing_key.clone(), config.broker.client_state),
            delivery,
            metrics,
            unavailable: Sparse::default(),
            refused: Sparse::default(),
        }
    }

    /// Answers one request. Its deadline begins here, with the last byte of its head.
    pub async fn answer(&self, request: Request<Incoming>) -> Answer {
        let owed = Deadline::after(self.answer_within);
        let begun = Instant::now();
        let arrival = Arrival::at(SystemTime::now());
        let (version, is_head) = (request.version(), request.method() == Method::HEAD);
        let span = debug_span!("request", request = %arrival.request);
        let (route, reply) = self.route(request, owed, arrival).instrument(span).await;
        let mut answer = reply.into_answer(arrival.request, version);
        if is_head {
            // Hyper leaves it in over HTTP/2, where it is a protocol error.
            *answer.response.body_mut() = Full::default();
        }
        self.metrics.request(route, answer.response.status().as_u16(), begun.elapsed());
        answer
    }

    async fn route(&self, request: Request<Incoming>, owed: Deadline, arrival: Arrival) -> (Route, Reply) {
        match route::target(request.method(), request.uri().path(), &self.paths) {
            Target::Health => (Route::Health, Reply::Healthy),
            Target::Nowhere => (Route::Other, Reply::Refusal(Refusal::NotFound)),
            Target::WrongMethod(allowed) => {
                (Route::Other, Reply::Refusal(Refusal::MethodNotAllowed(allowed)))
            }
            Target::Webhook => match handshake::token(request.uri().query()) {
                Ok(Some(token)) => {
                    self.metrics.handshakes.count(Handshake::Echoed);
                    debug!("validation handshake");
                    (Route::Handshake, Reply::Echo(token))
                }
                Err(handshake::BadToken) => {
                    self.metrics.handshakes.count(Handshake::Refused);
                    (Route::Handshake, Reply::Refusal(Refusal::BadToken))
                }
                Ok(None) => (Route::Notifications, self.notifications(request, owed, arrival).await),
            },
        }
    }

    async fn notifications(&self, request: Request<Incoming>, owed: Deadline, arrival: Arrival) -> Reply {
        let (head, mut body) = request.into_parts();
        let received = match media(&head.headers) {
            Ok(()) => self.receive(&mut body, owed, arrival).await,
            Err(refusal) => Err(refusal),
        };
        match received {
            Ok(receipts) => Reply::Accepted(receipts),
            Err(refusal) => {
                if let Refusal::Unavailable(reason) = refusal {
                    match self.unavailable.pass(Instant::now()) {
                        Some(others) => warn!(request = %arrival.request, %reason, others, "answered 503"),
                        None => debug!(%reason, "answered 503"),
                    }
                } else {
                    debug!(reason = %refusal, "request refused");
                }
                let waits_for_us = head.headers.contains_key(EXPECT);
                if matches!(refusal, Refusal::TooLarge | Refusal::Unsupported | Refusal::NoRoom)
                    && !waits_for_us
                {
                    body::drain(&mut body, owed).await;
                }
                Reply::Refusal(refusal)
            }
        }
    }

    /// Takes one POST from Graph to an answer. No 2xx without receipts for every item that is believed.
    async fn receive(
        &self,
        body: &mut Incoming,
        owed: Deadline,
        arrival: Arrival,
    ) -> Result<Receipts, Refusal> {
        let body_owed = owed.or_after(self.limits.body_within);
        let whole = body::read(body, self.limits.body_bytes_max, &self.memory, body_owed).await?; // no more, no later
        let bytes = &whole.bytes;
        let batch = Batch::parse(bytes, self.limits.items_max)?; // what was said
        let verified = self.verifier.verify(batch); // what we believe
        let tally = Tally::of(&verified, &self.metrics);
        let envelopes = self.router.address(&verified, bytes, arrival); // where it goes
        let receipts = self.delivery.deliver(envelopes, owed).await?; // who keeps it now
        self.set_aside(&verified, arrival);
        tally.settle(&receipts);
        failpoint::reached(Point::AnswerBefore);
        Ok(receipts)
    }

    /// Offers refused items to the quarantine, once their request is safe: a repetition would bring them again.
    fn set_aside(&self, verified: &Verified<'_>, arrival: Arrival) {
        for item in verified.refused() {
            let subscription = item.notification.subscription_id.as_deref().unwrap_or_default();
            // A member of any length may stand there; an id that Graph makes is short.
            let subscription = &subscription[..subscription.floor_char_boundary(64)];
            match self.refused.pass(Instant::now()) {
                Some(others) => {
                    warn!(reason = item.reason.as_str(), ?subscription, others, "notification refused")
                }
                None => debug!(reason = item.reason.as_str(), ?subscription, "notification refused"),
            }
            self.delivery.quarantine(|| quarantined(item, arrival));
        }
    }
}

/// Compressed bodies and charsets other than UTF-8 are not read. The media type itself is not checked.
fn media(headers: &HeaderMap) -> Result<(), Refusal> {
    let plain = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let types = headers.get_all(CONTENT_TYPE).iter().map(|value| value.to_str().unwrap_or_default());
    let parameters = types.flat_map(|value| value.split(';').skip(1));
    let mut charsets = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    if plain && charsets.all(|charset| charset.eq_ignore_ascii_case("utf-8")) {
        Ok(())
    } else {
        Err(Refusal::Unsupported)
    }
}

/// The books of one request: what was received has exactly one outcome, whatever happens to the request.
struct Tally<'a> {
    authentic: usize,
    refused: usize,
    /// Published and spooled, once the answer is 202.
    settled: (usize, usize),
    metrics: &'a Metrics,
}

impl<'a> Tally<'a> {
    /// Counts what was received, now that the verdicts are known.
    fn of(verified: &Verified<'_>, metrics: &'a Metrics) -> Self {
        let (authentic, refused) = (verified.authentic(), verified.refused());
        for notification in authentic
            .iter()
            .map(|item| &item.notification)
            .chain(refused.iter().map(|item| &item.notification))
        {
            metrics.received.count(notification.kind);
        }
        for item in refused {
            metrics.refused.count(item.reason);
        }
        Self { authentic: authentic.len(), refused: refused.len(), settled: (0, 0), metrics }
    }

    /// The request is answered 202, and this is what the answer rests on.
    fn settle(mut self, receipts: &Receipts) {
        debug_assert_eq!(receipts.published() + receipts.spooled(), self.authentic);
        self.settled = (receipts.published(), receipts.spooled());
    }
}

impl Drop for Tally<'_> {
    /// A request that failed, or whose client hung up, ends here as well: Graph will repeat its items.
    fn drop(&mut self) {
        let (published, spooled) = self.settled;
        self.metrics.outcomes.count_many(Outcome::Published, published);
        self.metrics.outcomes.count_many(Outcome::Spooled, spooled);
        self.metrics.outcomes.count_many(Outcome::Unavailable, self.authentic - published - spooled);
        self.metrics.outcomes.count_many(Outcome::Refused, self.refused);
    }
}

//! One request of the public listener, from its head to its answer.
//!
//! The road is [`Webhook::receive`]: what was said, what we believe, where it goes, who keeps it now. The
//! handshake leaves it before the first step, and touches nothing.

mod body;
mod form;
pub(crate) mod handshake;
pub(crate) mod media;
mod reply;
pub mod route;
mod rules;
mod tally;
mod waiting;

use std::{
    mem,
    net::IpAddr,
    panic::AssertUnwindSafe,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Full;
use hyper::{Method, Request, Response, body::Incoming, header::EXPECT};
use tracing::{
    Instrument, debug, debug_span,
    field::{Empty, display},
    warn,
};

use self::{
    reply::{Refusal, Reply},
    route::Target,
    rules::{Means, Rules},
    tally::Tally,
    waiting::Waiting,
};
use crate::{
    config::Config,
    deadline::Deadline,
    delivery::{Delivery, Receipts},
    envelope::{properties::Arrival, quarantined},
    failpoint::{self, Point},
    metrics::{Handshake, Metrics, Route},
    notification::Batch,
    sightings::Sightings,
    telemetry::Sparse,
    trace::{Heard, Serving, export::Tracer},
    verify::{
        Refused,
        keys::Keys,
        rich::{Overview, Rich, Turns, Undecided},
    },
};

/// Answers the requests of the public listener.
#[derive(Debug)]
pub struct Webhook {
    rules: RwLock<Arc<Rules>>,
    means: Means,
    memory: body::Memory,
    delivery: Arc<Delivery>,
    sightings: Arc<Sightings>,
    metrics: Arc<Metrics>,
    tracer: Tracer,
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
    /// It accepts something that was believed: whoever sent it knows a secret.
    pub is_genuine: bool,
}

/// Who makes a request, as far as the listener knows.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Where the client is.
    pub address: Option<IpAddr>,
    /// Whether it is heard at all.
    pub standing: Standing,
}

/// Whether a request is heard.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is.
    Welcome,
    /// Its client is not one of `server.sources`.
    Stranger,
    /// Nobody can say where it begins or ends.
    Garbled,
    /// Its connection has too many requests open already.
    Crowding,
}

impl Webhook {
    /// Puts the stages of the road together.
    pub fn new(
        config: &Config,
        delivery: Arc<Delivery>,
        sightings: Arc<Sightings>,
        keys: Keys,
        tracer: Tracer,
        metrics: Arc<Metrics>,
    ) -> Self {
        let means = Means { keys, turns: Turns::of_machine() };
        Self {
            rules: RwLock::new(ready(config, &means, &sightings, &metrics)),
            means,
            memory: body::Memory::default(),
            delivery,
            sightings,
            metrics,
            tracer,
            unavailable: Sparse::default(),
            refused: Sparse::default(),
        }
    }

    /// Judges by this configuration from now on. Requests whose head has arrived go on with the one before.
    pub fn adopt(&self, config: &Config) {
        let rules = ready(config, &self.means, &self.sightings, &self.metrics);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// The time that a request has now.
    pub fn answer_within(&self) -> Duration {
        self.rules().answer_within
    }

    /// What is to be told of resource data, if it is checked.
    pub fn rich(&self) -> Option<Overview> {
        self.rules().rich.as_ref().map(Rich::overview)
    }

    /// Answers one request. Its deadline begins here, with the last byte of its head; so does its one version of
    /// the configuration.
    pub async fn answer(&self, mut request: Request<Incoming>, caller: Caller) -> Answer {
        let rules = self.rules();
        let owed = Deadline::after(rules.answer_within);
        let begun = Instant::now();
        let arrival = Arrival::at(SystemTime::now());
        let (version, is_head) = (request.version(), request.method() == Method::HEAD);
        let span = debug_span!("request", request = %arrival.request, trace = Empty);
        let mut serving = None;
        let (route, reply) = match form::hear(&request, caller.standing) {
            Ok(()) => {
                let routed = self.route(&rules, &mut request, owed, arrival, &mut serving).instrument(span);
                // A panic costs this request; the guards on its way have settled its books and its room.
                let routed = AssertUnwindSafe(routed).catch_unwind().await;
                routed.unwrap_or((Route::Other, Reply::Refusal(Refusal::Failed)))
            }
            Err(refusal) => {
                span.in_scope(|| debug!(reason = %refusal, "request refused"));
                (Route::Other, Reply::Refusal(refusal))
            }
        };
        let mut answer = reply.into_answer(arrival.request, version);
        if is_head {
            // Hyper leaves it in over HTTP/2, where it is a protocol error.
            *answer.response.body_mut() = Full::default();
        }
        let status = answer.response.status().as_u16();
        let trace = serving.as_ref().map(|serving| display(serving.id()));
        debug!(request = %arrival.request, trace, client = caller.address.map(display), status, "answered");
        if let Some(serving) = serving {
            serving.answered(status);
        }
        self.metrics.request(route, status, begun.elapsed());
        answer
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn route(
        &self,
        rules: &Rules,
        request: &mut Request<Incoming>,
        owed: Deadline,
        arrival: Arrival,
        serving: &mut Option<Serving>,
    ) -> (Route, Reply) {
        match route::target(request.method(), request.uri().path(), &rules.paths) {
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
                Ok(None) => {
                    (Route::Notifications, self.notifications(rules, request, owed, arrival, serving).await)
                }
            },
        }
    }

    async fn notifications(
        &self,
        rules: &Rules,
        request: &mut Request<Incoming>,
        owed: Deadline,
        arrival: Arrival,
        serving: &mut Option<Serving>,
    ) -> Reply {
        let (media, waits_for_us) =
            (media::readable(request.headers()), request.headers().contains_key(EXPECT));
        let heard = Heard::read(request, &self.tracer);
        // They can be large, and the body slow.
        drop((mem::take(request.headers_mut()), mem::take(request.uri_mut())));
        let body = request.body_mut();
        let received = match media {
            Ok(()) => self.receive(rules, body, owed, arrival, heard, serving).await,
            Err(media::Unsupported) => Err(Refusal::Unsupported),
        };
        match received {
            Ok(receipts) => Reply::Accepted(receipts),
            Err(refusal) => {
                if matches!(refusal, Refusal::Unavailable(_) | Refusal::Undecided(_)) {
                    let reason = &refusal;
                    match self.unavailable.pass(Instant::now()) {
                        Some(others) => {
                            let trace = serving.as_ref().map(|serving| display(serving.id()));
                            warn!(event = "answered_503", request = %arrival.request, trace, %reason, others, "answered 503");
                        }
                        None => debug!(%reason, "answered 503"),
                    }
                } else {
                    debug!(reason = %refusal, "request refused");
                }
                if matches!(refusal, Refusal::TooLarge | Refusal::Unsupported | Refusal::NoRoom)
                    && !waits_for_us
                {
                    body::drain(body, owed).await;
                }
                Reply::Refusal(refusal)
            }
        }
    }

    /// Takes one POST from Graph to an answer. No 2xx without receipts for every item that is believed.
    async fn receive(
        &self,
        rules: &Rules,
        body: &mut Incoming,
        owed: Deadline,
        arrival: Arrival,
        heard: Heard,
        serving: &mut Option<Serving>,
    ) -> Result<Receipts, Refusal> {
        let begun = Instant::now();
        let whole = body::read(body, &rules.limits, &self.memory, owed).await?; // no more, no later
        let bytes = &whole.bytes;
        let batch = Batch::parse(bytes, rules.limits.items_max)?; // what was said
        let (verified, undecided) = match rules.verify(batch, bytes, arrival.at, owed).await {
            Ok(verified) => (verified, None), // what we believe
            Err(Undecided { verified, reason }) => (verified, Some(reason)),
        };
        let tally = Tally::of(&verified, rules, &self.metrics);
        let waiting = Waiting::of(&verified, begun, &self.metrics.graph);
        if let Some(reason) = undecided {
            waiting.end();
            return Err(reason.into());
        }
        self.sightings.note(&verified, arrival.at);
        if !verified.authentic().is_empty() {
            *serving = heard.believed(arrival, &self.tracer);
        }
        let trace = serving.as_ref().map(Serving::trace); // to whose doings it belongs
        let envelopes = rules.router.address(&verified, bytes, arrival, trace); // where it goes
        let refused = verified.into_refused(); // nothing else is needed any more
        let delivered = self.delivery.deliver(envelopes, owed).await; // who keeps it now
        waiting.end();
        let receipts = delivered?;
        self.set_aside(&refused, arrival);
        tally.settle(&receipts);
        failpoint::reached(Point::AnswerBefore);
        Ok(receipts)
    }

    /// Offers refused items to the quarantine, once their request is safe: a repetition would bring them again.
    fn set_aside(&self, refused: &[Refused<'_>], arrival: Arrival) {
        let now = Instant::now();
        for item in refused {
            let subscription = item.notification.subscription_id.as_deref().unwrap_or_default();
            // A member of any length may stand there; an id that Graph makes is short.
            let subscription = &subscription[..subscription.floor_char_boundary(64)];
            match self.refused.pass(now) {
                Some(others) => {
                    warn!(
                        event = "notification_refused",
                        reason = item.reason.as_str(),
                        ?subscription,
                        others,
                        "notification refused"
                    )
                }
                None => debug!(reason = item.reason.as_str(), ?subscription, "notification refused"),
            }
            self.delivery.quarantine(|| quarantined(item, arrival));
        }
    }
}

/// The rules of this configuration, once everything that they lead to goes by it, too.
fn ready(config: &Config, means: &Means, sightings: &Sightings, metrics: &Arc<Metrics>) -> Arc<Rules> {
    sightings.adopt(&config.client_states);
    means.keys.adopt(config.rich.as_ref().map(|rich| rich.signing_keys.clone()));
    let keys = config.rich.iter().flat_map(|rich| &rich.keys);
    metrics.rich.adopt(keys.map(|key| (key.id.as_str(), key.not_after())));
    Arc::new(Rules::of(config, means, metrics))
}

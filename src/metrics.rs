//! Every metric in one place: name, unit, labels and when it counts.
//!
//! Labels come from closed sets only, never from a request; every series stands there from the start. Handles
//! are kept, so that counting hashes nothing: it walks a short list and adds one.

mod process;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};

use serde::Serialize;

use crate::{notification::lifecycle::Kind, verify::Reason};

/// All metrics of the daemon.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests on the public listener, once each, when the answer is known.
    http_requests: Counters<(Route, u16)>,
    /// Time from the last byte of the head to the answer.
    http_request_duration: Labelled<Route, Histogram>,
    /// Validation handshakes.
    pub handshakes: Counters<Handshake>,
    /// Items whose verdict is known.
    pub received: Counters<Kind>,
    /// Items whose request is answered, by what the answer rested on.
    pub outcomes: Counters<Outcome>,
    /// Refused items by reason.
    pub refused: Counters<Reason>,
    /// Refused items that were offered to the quarantine, by what became of them.
    pub quarantined: Counters<Quarantined>,
    /// Publishes by how they ended.
    pub publishes: Counters<Publish>,
    /// Time from publish to confirm.
    pub confirm_duration: Histogram,
    /// Messages published and not yet confirmed.
    pub publishes_in_flight: Gauge,
    /// Attempts to connect to a broker.
    pub connects: Counters<Connect>,
    /// 1 while topology and confirms stand.
    pub connection_up: Gauge,
    /// 1 while the broker has blocked us.
    pub connection_blocked: Gauge,
    /// Messages in the spool, parked ones among them.
    pub spool_items: Gauge,
    /// Messages in the spool that the broker did not want.
    pub spool_parked: Gauge,
    /// Messages in the spool that wait for somebody to look at them.
    pub spool_set_aside: Gauge,
    /// Bytes of the disk that the spool uses.
    pub spool_bytes: Gauge,
    /// Bytes of the disk that it may use.
    pub spool_max_bytes: Gauge,
    /// When the oldest message was spooled, unix time; 0 without one.
    pub spool_oldest: Gauge,
    /// 1 while the spool takes messages.
    pub spool_writable: Gauge,
    /// Time of a transaction with its fsync.
    pub spool_fsync_duration: Histogram,
    /// Messages that left the spool for the broker, late confirms among them.
    pub spool_drained: Counter,
    /// Files that were set aside because they could not be trusted.
    pub spool_damaged: Counter,
    /// Messages saved from such files.
    pub spool_salvaged: Counter,
    /// Messages that cannot be read any more.
    pub spool_unreadable: Counter,
    /// Open connections of the public listener.
    pub connections: Gauge,
    /// Connections that ended before they could carry a request.
    pub connections_failed: Counters<ConnectionFailure>,
    /// Connections that had to make room for others.
    pub connections_evicted: Counter,
    /// Connections and requests of clients that are not among `server.sources`, refused or not.
    pub strangers: Counter,
    certificate_not_after: Family<[(&'static str, String); 1], Gauge>,
    /// Orders of certificates by how they ended.
    pub acme_orders: Counters<Order>,
    /// Pairs of certificate and key that were found in the files while running.
    pub tls_reloads: Counters<TlsReload>,
    /// Spans that the collector has taken.
    pub traces_exported: Counter,
    /// Spans that it has not: no room in the queue, or not taken after some tries.
    pub traces_dropped: Counter,
    reload_successful: Gauge,
    reload_success_timestamp: Gauge,
    conservation_error: Gauge,
    in_flight: Gauge,
}

/// Where a request went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    /// A validation handshake.
    Handshake,
    /// A POST of notifications.
    Notifications,
    /// `/healthz` of the public listener.
    Health,
    /// Anything else.
    Other,
}

/// How a validation handshake ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handshake {
    /// The token was echoed.
    Echoed,
    /// The token was not one that Graph sends.
    Refused,
}

/// What became of an item. At all times received = published + spooled + refused + unavailable + in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Confirmed by the broker.
    Published,
    /// Fsynced in the spool.
    Spooled,
    /// Not believed.
    Refused,
    /// Answered 503, or the client was gone before the answer: Graph will repeat it.
    Unavailable,
}

/// What became of everything: received = published + spooled + refused + unavailable + in flight.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Books {
    /// Items whose verdict is known.
    pub received: u64,
    /// See [`Outcome`].
    pub published: u64,
    /// See [`Outcome`].
    pub spooled: u64,
    /// See [`Outcome`].
    pub refused: u64,
    /// See [`Outcome`].
    pub unavailable: u64,
    /// Received, and their request not answered yet.
    pub in_flight: u64,
    /// More outcomes than items: must be 0.
    pub conservation_error: u64,
}

/// How a publish ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Publish {
    /// Confirmed in time.
    Ack,
    /// The broker could not take it.
    Nack,
    /// No queue was bound for it.
    Returned,
    /// The channel or connection went away first.
    Closed,
    /// Not confirmed within `broker.confirm_within`.
    Late,
    /// Not tried, because the broker had blocked us.
    Blocked,
}

/// What became of an item offered to the quarantine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quarantined {
    /// Sent to the quarantine exchange.
    Sent,
    /// Only counted: over the rate, no room, or no broker.
    Dropped,
}

/// How an attempt to connect to a broker ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Connect {
    /// Channels, confirms and topology stand.
    Ready,
    /// They do not.
    Failed,
}

/// Why a connection of the public listener carried no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectionFailure {
    /// The TLS handshake failed.
    Tls,
    /// The TLS handshake took too long.
    TlsTimeout,
    /// The PROXY header was absent, garbled, or from nobody that is trusted.
    Proxy,
    /// The client is not one of `server.sources`.
    Source,
    /// The client has too many connections.
    AddressLimit,
}

/// What became of an order of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// It brought a certificate.
    Issued,
    /// It did not; the certificate before goes on being served.
    Failed,
}

/// What became of a new pair of certificate and key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsReload {
    /// New connections are shown it.
    Taken,
    /// It cannot be shown to anybody; the one before stays.
    Refused,
}

/// A label value of a closed set.
pub trait Label: Copy + Eq + 'static {
    /// Label names.
    type Labels: EncodeLabelSet + Clone + std::hash::Hash + Eq + Send + Sync + std::fmt::Debug + 'static;
    /// The whole set.
    fn all() -> Vec<Self>;
    /// This value as labels.
    fn labels(self) -> Self::Labels;
}

macro_rules! label {
    ($type:ident, $name:literal, { $($variant:ident => $text:literal),* $(,)? }) => {
        impl Label for $type {
            type Labels = [(&'static str, &'static str); 1];
            fn all() -> Vec<Self> {
                vec![$(Self::$variant),*]
            }
            fn labels(self) -> Self::Labels {
                [($name, match self { $(Self::$variant => $text),* })]
            }
        }
    };
}

label!(Route, "route", {
    Handshake => "handshake", Notifications => "notifications", Health => "health", Other => "other",
});
label!(Handshake, "result", { Echoed => "echoed", Refused => "refused" });
label!(Outcome, "outcome", {
    Published => "published", Spooled => "spooled", Refused => "refused", Unavailable => "unavailable",
});
label!(Publish, "result", {
    Ack => "ack", Nack => "nack", Returned => "returned", Closed => "closed", Late => "late", Blocked => "blocked",
});
label!(Quarantined, "result", { Sent => "sent", Dropped => "dropped" });
label!(Connect, "result", { Ready => "ready", Failed => "failed" });
label!(Order, "result", { Issued => "issued", Failed => "failed" });
label!(TlsReload, "result", { Taken => "taken", Refused => "refused" });
label!(ConnectionFailure, "reason", {
    Tls => "tls_error", TlsTimeout => "tls_timeout", Proxy => "proxy_header", Source => "source",
    AddressLimit => "address_limit",
});

impl Label for Kind {
    type Labels = [(&'static str, &'static str); 1];
    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
    fn labels(self) -> Self::Labels {
        [("kind", self.as_str())]
    }
}

impl Label for Reason {
    type Labels = [(&'static str, &'static str); 1];
    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
    fn labels(self) -> Self::Labels {
        [("reason", self.as_str())]
    }
}

impl Label for (Route, u16) {
    type Labels = [(&'static str, String); 2];
    fn all() -> Vec<Self> {
        Route::all()
            .into_iter()
            .flat_map(|route| route.statuses().iter().map(move |&status| (route, status)))
            .collect()
    }
    fn labels(self) -> Self::Labels {
        let [(name, route)] = self.0.labels();
        [(name, route.to_owned()), ("status", self.1.to_string())]
    }
}

impl Route {
    /// Every status that the route answers with.
    fn statuses(self) -> &'static [u16] {
        match self {
            Self::Handshake => &[200, 400],
            Self::Notifications => &[202, 400, 408, 413, 415, 503],
            Self::Health => &[200],
            Self::Other => &[400, 403, 404, 405, 503],
        }
    }
}

/// One metric for each value of a label.
#[derive(Debug)]
pub struct Labelled<L, M>(Vec<(L, M)>);

/// One counter for each value of a label.
pub type Counters<L> = Labelled<L, Counter>;

impl<L: Label, M: Clone> Labelled<L, M> {
    fn of<C: MetricConstructor<M>>(family: &Family<L::Labels, M, C>) -> Self {
        Self(L::all().into_iter().map(|label| (label, family.get_or_create_owned(&label.labels()))).collect())
    }

    /// The metric of this value.
    pub fn of_label(&self, label: L) -> &M {
        let found = self.0.iter().find(|(other, _)| *other == label);
        // A value outside its own set would be a mistake of this file; in earnest, count it somewhere.
        debug_assert!(found.is_some(), "a label outside its set");
        found.or(self.0.last()).map(|(_, metric)| metric).expect("a label set is never empty")
    }
}

impl<L: Label> Counters<L> {
    /// Counts one.
    pub fn count(&self, label: L) {
        self.of_label(label).inc();
    }

    /// Counts several.
    pub fn count_many(&self, label: L, many: usize) {
        self.of_label(label).inc_by(many as u64);
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|(_, counter)| counter.get()).sum()
    }

    /// How many there have been.
    pub fn get(&self, label: L) -> u64 {
        self.of_label(label).get()
    }
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(process::Process { started: SystemTime::now() }));
        let r = registry.sub_registry_with_prefix("graphhook");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        r.register("build", "The running build", Info::new(version));
        let metrics = Self {
            http_requests: counters(r, "http_requests", "Requests on the public listener"),
            http_request_duration: {
                let family = Family::new_with_constructor(answer_times as fn() -> Histogram);
                let help = "Time from the last byte of the request head to the answer";
                r.register_with_unit("http_request_duration", help, Unit::Seconds, family.clone());
                Labelled::of(&family)
            },
            handshakes: counters(r, "handshakes", "Validation handshakes of Microsoft Graph"),
            received: counters(r, "notifications_received", "Items whose verdict is known"),
            outcomes: counters(r, "notifications_outcome", "Items by what the answer rested on"),
            refused: counters(r, "notifications_refused", "Refused items by reason"),
            quarantined: counters(r, "notifications_quarantined", "Refused items offered to the quarantine"),
            publishes: counters(r, "amqp_publish", "Publishes to the broker by how they ended"),
            confirm_duration: {
                let histogram = confirm_times();
                let help = "Time from a publish to the broker's confirm";
                r.register_with_unit("amqp_confirm_duration", help, Unit::Seconds, histogram.clone());
                histogram
            },
            publishes_in_flight: gauge(r, "amqp_in_flight", "Messages published and not yet confirmed"),
            connects: counters(r, "amqp_connects", "Attempts to connect to a broker"),
            connection_up: gauge(r, "amqp_connection_up", "1 while topology and confirms stand"),
            connection_blocked: gauge(r, "amqp_connection_blocked", "1 while the broker blocks publishing"),
            spool_items: gauge(r, "spool_items", "Messages in the spool"),
            spool_parked: gauge(
                r,
                "spool_parked_items",
                "Messages in the spool that the broker did not want",
            ),
            spool_set_aside: gauge(
                r,
                "spool_set_aside_items",
                "Messages in the spool that nothing is tried with until somebody looks at them",
            ),
            spool_bytes: bytes(r, "spool", "Disk space that the spool uses"),
            spool_max_bytes: bytes(r, "spool_max", "Disk space that the spool may use"),
            spool_oldest: {
                let gauge = Gauge::default();
                let help = "When the oldest message in the spool arrived there, unix time; 0 without one";
                r.register_with_unit("spool_oldest_item_timestamp", help, Unit::Seconds, gauge.clone());
                gauge
            },
            spool_writable: gauge(r, "spool_writable", "1 while the spool takes messages"),
            spool_fsync_duration: {
                let histogram = confirm_times();
                let help = "Time of a transaction of the spool, its fsync included";
                r.register_with_unit("spool_fsync_duration", help, Unit::Seconds, histogram.clone());
                histogram
            },
            spool_drained: counter(r, "spool_drained", "Messages that left the spool for the broker"),
            spool_damaged: counter(r, "spool_damaged_files", "Spool files that were set aside"),
            spool_salvaged: counter(r, "spool_salvaged", "Messages saved from spool files set aside"),
            spool_unreadable: counter(r, "spool_unreadable", "Messages in the spool that were damaged"),
            connections: gauge(r, "connections", "Open connections of the public listener"),
            connections_failed: counters(r, "connections_failed", "Connections that carried no request"),
            connections_evicted: counter(
                r,
                "connections_evicted",
                "Connections without a request that made room for others",
            ),
            strangers: counter(
                r,
                "sources_unlisted",
                "Connections and requests of clients that server.sources does not list",
            ),
            certificate_not_after: {
                let family = Family::default();
                let help = "End of a certificate's validity, unix time";
                r.register_with_unit(
                    "tls_certificate_not_after_timestamp",
                    help,
                    Unit::Seconds,
                    family.clone(),
                );
                family
            },
            acme_orders: counters(r, "acme_orders", "Orders of certificates by how they ended"),
            tls_reloads: counters(r, "tls_reloads", "New certificates by what became of them"),
            traces_exported: counter(r, "traces_exported", "Spans that the collector has taken"),
            traces_dropped: counter(r, "traces_dropped", "Spans that were not exported"),
            reload_successful: gauge(
                r,
                "config_last_reload_successful",
                "1 unless the last reload of the configuration was refused",
            ),
            reload_success_timestamp: {
                let gauge = Gauge::default();
                let help = "When the configuration in force was read, unix time";
                r.register_with_unit(
                    "config_last_reload_success_timestamp",
                    help,
                    Unit::Seconds,
                    gauge.clone(),
                );
                gauge
            },
            conservation_error: gauge(
                r,
                "conservation_error",
                "Items with an outcome that were never received; must be 0",
            ),
            in_flight: gauge(
                r,
                "notifications_in_flight",
                "Items received whose request is not answered yet",
            ),
            registry,
        };
        Arc::new(metrics)
    }

    /// Counts a request of the public listener.
    pub fn request(&self, route: Route, status: u16, took: Duration) {
        self.http_requests.count((route, status));
        self.http_request_duration.of_label(route).observe(took.as_secs_f64());
    }

    /// Says for each host when its certificate ends, as unix time; the series of hosts of `before` that are not
    /// among them go away.
    pub fn certificates(&self, ends: &BTreeMap<String, i64>, before: &BTreeMap<String, i64>) {
        let labels = |host: &String| [("host", host.clone())];
        for (host, not_after) in ends {
            self.certificate_not_after.get_or_create(&labels(host)).set(*not_after);
        }
        for gone in before.keys().filter(|host| !ends.contains_key(*host)) {
            self.certificate_not_after.remove(&labels(gone));
        }
    }

    /// Notes that the configuration was read, and whether it could be taken.
    pub fn configured(&self, at: SystemTime, is_taken: bool) {
        self.reload_successful.set(i64::from(is_taken));
        if is_taken {
            let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.reload_success_timestamp.set(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        }
    }

    /// The books as they stand.
    pub fn books(&self) -> Books {
        // Outcomes are read first: an item that arrives in between can only look as if still in flight.
        let outcome = |outcome| self.outcomes.of_label(outcome).get();
        let [published, spooled, refused, unavailable] =
            [Outcome::Published, Outcome::Spooled, Outcome::Refused, Outcome::Unavailable].map(outcome);
        let settled = published + spooled + refused + unavailable;
        let received = self.received.sum();
        Books {
            received,
            published,
            spooled,
            refused,
            unavailable,
            in_flight: received.saturating_sub(settled),
            conservation_error: settled.saturating_sub(received),
        }
    }

    /// All metrics as OpenMetrics text, which Prometheus reads.
    pub fn render(&self) -> String {
        let books = self.books();
        self.in_flight.set(books.in_flight as i64);
        self.conservation_error.set(books.conservation_error as i64);
        let mut page = String::with_capacity(16 << 10);
        text::encode(&mut page, &self.registry).expect("a String takes every text");
        page
    }
}

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn counters<L: Label>(registry: &mut Registry, name: &str, help: &str) -> Counters<L> {
    let family = Family::<L::Labels, Counter>::default();
    registry.register(name, help, family.clone());
    Labelled::of(&family)
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn bytes(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
    gauge
}

/// Edges at Graph's limits: 3 s for a first answer, 10 s for a repeated one.
fn answer_times() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 3.0, 5.0, 10.0])
}

fn confirm_times() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

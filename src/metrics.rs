//! Every metric in one place: name, unit, labels and when it counts.
//!
//! Labels come from closed sets only, never from a request; every series stands there from the start. Handles
//! are kept, so that counting hashes nothing: it walks a short list and adds one.

mod blocked;
mod books;
mod client_states;
mod graph;
mod graph_api;
mod labels;
mod process;
mod rich;
mod series;
mod subscriptions;
pub mod throttling;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use prometheus_client::{
    encoding::text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use self::series::{
    answer_times, batch_sizes, bytes, confirm_times, counter, counters, delivery_times, gauge, moment,
    seconds,
};
pub use self::{
    blocked::Blocked,
    books::{Books, Open},
    client_states::{Census, ClientStates},
    graph::Graph,
    graph_api::GraphApi,
    labels::{
        ChannelClose, Connect, ConnectionFailure, GraphAnswer, Handshake, KeyFetch, Label, Order, Outcome,
        Publish, Quarantined, Route, SpoolWrite, StepResult, SubscriptionCall, SubscriptionState, Throttled,
        TlsHandshake, TlsReload, TokenFetch,
    },
    rich::{KeyUse, Rich},
    series::{Counters, Labelled},
    subscriptions::Subscriptions,
};
use crate::{
    envelope::gap::GapReason,
    notification::lifecycle::{Event, Kind},
    verify::Reason,
};

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
    /// Genuine lifecycle items by what they tell.
    pub lifecycle_events: Counters<Event>,
    /// Items in each POST that could be read.
    pub batch_items: Histogram,
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
    /// How many may be at once.
    pub in_flight_max: Gauge,
    /// Time from the receipt of an item to the broker's confirm of its message.
    pub end_to_end: Histogram,
    /// Attempts to connect to a broker.
    pub connects: Counters<Connect>,
    /// 1 while topology and confirms stand.
    pub connection_up: Gauge,
    /// 1 while the broker has blocked us.
    pub connection_blocked: Gauge,
    /// How long that has been so, in all.
    pub blocked: Blocked,
    /// Channels that the broker closed, by its code.
    pub channel_closes: Counters<ChannelClose>,
    /// 1 while exchange, queue and binding were there when they were last looked at.
    pub topology_ok: Gauge,
    /// Messages that were to be spooled, by what became of them.
    pub spool_writes: Counters<SpoolWrite>,
    /// Free bytes on the file system of the spool.
    pub spool_disk_free: Gauge,
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
    /// TLS handshakes of the public listener.
    pub tls_handshakes: Counters<TlsHandshake>,
    /// Our answers as Graph judges them.
    pub graph: Graph,
    /// Our own requests to Graph.
    pub graph_api: GraphApi,
    /// Subscriptions that we manage.
    pub managed: Subscriptions,
    /// What is told for each entry of the table of secrets.
    pub client_states: ClientStates,
    /// Resource data, its tokens and keys.
    pub rich: Rich,
    /// Subscriptions that are not watched any more because there are too many.
    pub subscriptions_dropped: Counter,
    /// 1 while this daemon is the one that manages subscriptions.
    pub lock_held: Gauge,
    /// Gaps that were told, by reason.
    pub gaps: Counters<GapReason>,
    /// Lifecycle items for which there was no room among those that wait to be looked at.
    pub nudges_overflowed: Counter,
    /// Items whose request is not answered yet.
    pub open: Open,
    certificate_not_after: Family<[(&'static str, String); 1], Gauge>,
    /// Orders of certificates by how they ended.
    pub acme_orders: Counters<Order>,
    /// Pairs of certificate and key that were found in the files while running.
    pub tls_reloads: Counters<TlsReload>,
    config_info: Family<[(&'static str, String); 1], Gauge>,
    config_warnings: Gauge,
    /// Spans that the collector has taken.
    pub traces_exported: Counter,
    /// Spans that it has not: no room in the queue, or not taken after some tries.
    pub traces_dropped: Counter,
    reload_successful: Gauge,
    reload_success_timestamp: Gauge,
    /// Lines of the log that nobody took.
    pub log_dropped: Counter,
    /// When systemd's watchdog was last told that every part moves, unix time; 0 without a watchdog.
    pub watchdog_last_ping: Gauge,
    conservation_error: Gauge,
    in_flight: Gauge,
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
            lifecycle_events: counters(r, "lifecycle_events", "Genuine lifecycle items by what they tell"),
            batch_items: {
                let histogram = batch_sizes();
                r.register("batch_items", "Items in a POST", histogram.clone());
                histogram
            },
            refused: counters(r, "notifications_refused", "Refused items by reason"),
            quarantined: counters(r, "notifications_quarantined", "Refused items offered to the quarantine"),
            publishes: counters(r, "amqp_publish", "Publishes to the broker by how they ended"),
            confirm_duration: seconds(
                r,
                "amqp_confirm_duration",
                "Time from a publish to the broker's confirm",
                confirm_times(),
            ),
            publishes_in_flight: gauge(r, "amqp_in_flight", "Messages published and not yet confirmed"),
            in_flight_max: gauge(
                r,
                "amqp_in_flight_max",
                "Messages that may be published and not yet confirmed",
            ),
            end_to_end: seconds(
                r,
                "end_to_end",
                "Time from the receipt of an item to the broker's confirm, through the spool or not",
                delivery_times(),
            ),
            connects: counters(r, "amqp_connects", "Attempts to connect to a broker"),
            connection_up: gauge(r, "amqp_connection_up", "1 while topology and confirms stand"),
            connection_blocked: gauge(r, "amqp_connection_blocked", "1 while the broker blocks publishing"),
            blocked: Blocked::register(r),
            channel_closes: counters(
                r,
                "amqp_channel_closes",
                "Channels that the broker closed, by its code",
            ),
            topology_ok: gauge(
                r,
                "amqp_topology_ok",
                "1 while exchange, queue and binding were there at the last look",
            ),
            spool_writes: counters(
                r,
                "spool_writes",
                "Messages that were to be spooled by what became of them",
            ),
            spool_disk_free: bytes(r, "spool_disk_free", "Free space on the file system of the spool"),
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
            spool_oldest: moment(
                r,
                "spool_oldest_item_timestamp",
                "When the oldest message in the spool arrived there, unix time; 0 without one",
            ),
            spool_writable: gauge(r, "spool_writable", "1 while the spool takes messages"),
            spool_fsync_duration: seconds(
                r,
                "spool_fsync_duration",
                "Time of a transaction of the spool, its fsync included",
                confirm_times(),
            ),
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
            tls_handshakes: counters(r, "tls_handshakes", "TLS handshakes of the public listener"),
            graph: Graph::register(r, Instant::now()),
            graph_api: GraphApi::register(r),
            managed: Subscriptions::register(r),
            client_states: ClientStates::register(r),
            rich: Rich::register(r),
            subscriptions_dropped: counter(
                r,
                "subscriptions_dropped",
                "Subscriptions that are not watched any more because there are too many",
            ),
            lock_held: gauge(
                r,
                "subscriptions_lock_held",
                "1 while this daemon is the one that manages subscriptions",
            ),
            gaps: counters(r, "gaps", "Gaps that consumers were told of, by reason"),
            nudges_overflowed: counter(
                r,
                "lifecycle_overflow",
                "Genuine lifecycle items that were looked at only in the lump, because there were too many",
            ),
            open: Open::default(),
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
            config_info: {
                let family = Family::default();
                r.register(
                    "config_info",
                    "The configuration in force, secrets left out of the hash",
                    family.clone(),
                );
                family
            },
            config_warnings: gauge(
                r,
                "config_warnings",
                "What works in the configuration in force but deserves a look",
            ),
            traces_exported: counter(r, "traces_exported", "Spans that the collector has taken"),
            traces_dropped: counter(r, "traces_dropped", "Spans that were not exported"),
            reload_successful: gauge(
                r,
                "config_last_reload_successful",
                "1 unless the last reload of the configuration was refused",
            ),
            reload_success_timestamp: moment(
                r,
                "config_last_reload_success_timestamp",
                "When the configuration in force was read, unix time",
            ),
            log_dropped: counter(r, "log_dropped", "Lines of the log that nobody took in time"),
            watchdog_last_ping: moment(
                r,
                "watchdog_last_ping_timestamp",
                "When systemd's watchdog last heard from us, unix time; 0 without a watchdog",
            ),
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

    /// Says which configuration is in force instead of the one before, and how many warnings it has.
    pub fn in_force(&self, hash: &str, warnings: usize, before: Option<&str>) {
        let label = |hash: &str| [("hash", hash.to_owned())];
        self.config_info.get_or_create(&label(hash)).set(1);
        if let Some(before) = before.filter(|before| *before != hash) {
            self.config_info.remove(&label(before));
        }
        self.config_warnings.set(i64::try_from(warnings).unwrap_or(i64::MAX));
    }

    /// All metrics as OpenMetrics text, which Prometheus reads.
    pub fn render(&self) -> String {
        let books = self.books();
        self.in_flight.set(books.in_flight as i64);
        self.conservation_error.set(books.conservation_error as i64);
        let now = Instant::now();
        self.graph.show(now);
        self.blocked.tick(now);
        let mut page = String::with_capacity(16 << 10);
        text::encode(&mut page, &self.registry).expect("a String takes every text");
        page
    }
}

/// `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

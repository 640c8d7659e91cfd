//! What a reload may change, and what takes a restart: every key is one or the other.

use super::{Admin, Broker, BrokerTls, Config, Limits, Log, Server, Spool, Tls, resolve::SPOOL_BYTES_BESIDE};

/// A key that cannot change while the daemon runs, and why it is named.
pub(super) type Difference = (&'static str, &'static str);

impl Config {
    /// What `new` wants changed that this, the running one, cannot change.
    ///
    /// Nothing here is taken apart with `..`, so that a new key must be put on one of the two sides: compared, or
    /// named `_live`.
    pub(super) fn fixed_against(&self, new: &Self) -> Vec<Difference> {
        let Self { server, client_states: _live, broker, spool, admin, log } = self;
        let sides = [
            server.fixed_against(&new.server),
            broker.fixed_against(&new.broker),
            spool.fixed_against(&new.spool),
            admin.fixed_against(&new.admin),
            log.fixed_against(&new.log),
        ];
        let differing = sides.into_iter().flatten().filter(|(_, is_same)| !is_same);
        let mut found: Vec<Difference> = differing.map(|(key, _)| (key, RESTART)).collect();
        // The spool takes a body whole or not at all, and its share of memory was settled at the start.
        if new.server.limits.body_bytes_max + SPOOL_BYTES_BESIDE > spool.waiting_bytes {
            found.push(("server.limits.body", "more than server.limits.bytes_in_flight was at the start"));
        }
        found
    }
}

/// Keys that take a restart, and whether they are the same on both sides.
type Compared = Vec<(&'static str, bool)>;

impl Server {
    fn fixed_against(&self, new: &Self) -> Compared {
        let Self { listen, paths: _live, answer_within: _also_live, stop_within, tls, limits } = self;
        let Limits {
            body_bytes_max: _,
            bytes_in_flight: _,
            items_max: _,
            connections_max,
            handshake_within: _,
            header_within: _,
            body_within: _,
        } = limits;
        let is_same_mode = match (tls, &new.tls) {
            // The paths are live.
            (Tls::Files { certificate: _, private_key: _ }, Tls::Files { .. }) | (Tls::Off, Tls::Off) => true,
            (Tls::Files { .. }, Tls::Off) | (Tls::Off, Tls::Files { .. }) => false,
        };
        vec![
            ("server.listen", *listen == new.listen),
            ("server.stop_within", *stop_within == new.stop_within),
            ("server.tls.mode", is_same_mode),
            ("server.limits.connections", *connections_max == new.limits.connections_max),
        ]
    }
}

impl Broker {
    fn fixed_against(&self, new: &Self) -> Compared {
        let Self {
            urls,
            exchange,
            queue,
            queue_type,
            topology,
            routing_key: _live,
            client_state: _also_live,
            confirm_within,
            connect_within,
            quarantine,
            channels,
            in_flight_messages,
            in_flight_bytes,
            tls,
        } = self;
        let BrokerTls { ca, identity } = tls;
        vec![
            ("broker.urls", *urls == new.urls),
            ("broker.exchange", *exchange == new.exchange),
            ("broker.queue", *queue == new.queue),
            ("broker.queue_type", *queue_type == new.queue_type),
            ("broker.declare", *topology == new.topology),
            ("broker.confirm_within", *confirm_within == new.confirm_within),
            ("broker.connect_within", *connect_within == new.connect_within),
            ("broker.quarantine", *quarantine == new.quarantine),
            ("broker.channels", *channels == new.channels),
            ("broker.in_flight_messages", *in_flight_messages == new.in_flight_messages),
            ("broker.in_flight_bytes", *in_flight_bytes == new.in_flight_bytes),
            ("broker.tls.ca_file", *ca == new.tls.ca),
            ("broker.tls.certificate", *identity == new.tls.identity),
        ]
    }
}

impl Spool {
    fn fixed_against(&self, new: &Self) -> Compared {
        // What may wait follows server.limits.bytes_in_flight, and is no key of its own.
        let Self { directory, bytes_max, set_aside_after, waiting_bytes: _ } = self;
        vec![
            ("spool.directory", *directory == new.directory),
            ("spool.max_size", *bytes_max == new.bytes_max),
            ("spool.set_aside_after", *set_aside_after == new.set_aside_after),
        ]
    }
}

impl Admin {
    fn fixed_against(&self, new: &Self) -> Compared {
        let Self { listen } = self;
        vec![("admin.listen", *listen == new.listen)]
    }
}

impl Log {
    fn fixed_against(&self, new: &Self) -> Compared {
        let Self { level: _live, format } = self;
        vec![("log.format", *format == new.format)]
    }
}

const RESTART: &str = "differs from what runs, and takes a restart";

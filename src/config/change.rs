//! What a reload may change, and what takes a restart: every key is one or the other.

use super::{
    Acme, Admin, Broker, BrokerTls, Config, Limits, Log, Server, Spool, Tls, TlsSource,
    resolve::SPOOL_BYTES_BESIDE,
};

/// A key that cannot change while the daemon runs, and why it is named.
pub(super) type Difference = (&'static str, &'static str);

impl Config {
    /// What `new` wants changed that this, the running one, cannot change.
    ///
    /// Nothing here is taken apart with `..`, so that a new key must be put on one of the two sides: compared, or passed
    /// over by `_` because it is live.
    pub(super) fn fixed_against(&self, new: &Self) -> Vec<Difference> {
        let Self { server, client_states: _, broker, spool, admin, log } = self;
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
        let Self {
            listen,
            paths: _,
            public_url: _,
            answer_within: _,
            stop_within,
            client_address: _,
            trusted_proxies: _,
            tls,
            sources: _,
            limits,
        } = self;
        let Limits {
            body_bytes_max: _,
            bytes_in_flight: _,
            items_max: _,
            connections_max: _,
            connections_per_address: _,
            handshakes_max: _,
            handshake_within: _,
            header_within: _,
            body_within: _,
            idle_within: _,
            connection_within: _,
        } = limits;
        let mut compared = vec![
            ("server.listen", *listen == new.listen),
            ("server.stop_within", *stop_within == new.stop_within),
        ];
        compared.extend(tls.fixed_against(&new.tls));
        compared
    }
}

impl Tls {
    fn fixed_against(&self, new: &Self) -> Compared {
        let Self { source, unknown_host: _, client_ca } = self;
        let mut compared = vec![("server.tls.client_ca_file", *client_ca == new.client_ca)];
        match (source, &new.source) {
            // The paths are live.
            (TlsSource::Files(_), TlsSource::Files(_)) | (TlsSource::Off, TlsSource::Off) => {}
            (TlsSource::Acme(acme), TlsSource::Acme(new)) => compared.extend(acme.fixed_against(new)),
            (TlsSource::Files(_) | TlsSource::Acme(_) | TlsSource::Off, _) => {
                compared.push(("server.tls.mode", false));
            }
        }
        compared
    }
}

impl Acme {
    fn fixed_against(&self, new: &Self) -> Compared {
        let Self { domains, contact, directory, cache, ca_file, http_listen } = self;
        vec![
            ("server.tls.domains", *domains == new.domains),
            ("server.tls.contact", *contact == new.contact),
            ("server.tls.directory", *directory == new.directory),
            ("server.tls.cache", *cache == new.cache),
            ("server.tls.ca_file", *ca_file == new.ca_file),
            ("server.tls.http_listen", *http_listen == new.http_listen),
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
            routing_key: _,
            client_state: _,
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
        let Self { level: _, format } = self;
        vec![("log.format", *format == new.format)]
    }
}

const RESTART: &str = "differs from what runs, and takes a restart";

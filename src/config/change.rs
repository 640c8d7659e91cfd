//! What a reload may change and what takes a restart: every key is one or the other.
//!
//! Nothing here is taken apart with `..`, so that a new field must be put somewhere; and a test holds that each key of the
//! file has its line. From these lines come the refusal of a reload, what its log line says, and the table in
//! docs/configuration.md.

use std::collections::BTreeMap;

use super::{
    Acme, Admin, Broker, BrokerIdentity, BrokerTls, ClientState, Collector, Config, Environment, Graph,
    Limits, Log, PairFiles, Rich, RichKey, Server, Sources, Spool, Tls, TlsSource, Traces, Wanted,
    keys::Effect, load::load_text, resolve::SPOOL_BYTES_BESIDE,
};
use crate::verify::{Expectations, keys::KeySource};

/// A key that cannot change while the daemon runs, and why it is named.
pub(super) type Difference = (&'static str, &'static str);

/// A key, when a change of it takes effect, and whether it is the same on both sides.
type Compared = (&'static str, Effect, bool);

impl Config {
    /// What `new` wants changed that this, the running one, cannot change.
    pub(super) fn fixed_against(&self, new: &Self) -> Vec<Difference> {
        let differing = self.against(new).into_iter().filter(|(_, _, is_same)| !is_same);
        let fixed = differing.filter(|(_, effect, _)| *effect == Effect::Restart);
        let mut found: Vec<Difference> = fixed.map(|(key, ..)| (key, RESTART)).collect();
        // The spool takes a body whole or not at all, and its share of memory was settled at the start.
        if new.server.limits.body_bytes_max + SPOOL_BYTES_BESIDE > self.spool.waiting_bytes {
            found.push(("server.limits.body", "more than server.limits.bytes_in_flight was at the start"));
        }
        found
    }

    /// The keys that differ from `new`: values, and contents of files that are read with the configuration.
    pub fn changed_to(&self, new: &Self) -> Vec<&'static str> {
        self.against(new).into_iter().filter(|(_, _, is_same)| !is_same).map(|(key, ..)| key).collect()
    }

    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self { server, client_states, rich, graph, broker, spool, admin, log, traces } = self;
        let sides = [
            server.against(&new.server),
            against(client_states, &new.client_states).to_vec(),
            against_rich(rich.as_ref(), new.rich.as_ref()),
            against_graph(graph.as_ref(), new.graph.as_ref()),
            broker.against(&new.broker),
            spool.against(&new.spool),
            admin.against(&new.admin),
            log.against(&new.log),
            traces.against(&new.traces),
        ];
        sides.into_iter().flatten().collect()
    }
}

/// Every key, and when a change of it takes effect.
pub(super) fn effects() -> BTreeMap<&'static str, Effect> {
    // Some keys are there in one mode only.
    let modes = ["files", "off", "acme"].map(|mode| {
        let text = format!(
            "[server.tls]\nmode = \"{mode}\"\ndomains = [\"a.example\"]\n\
             [rich]\ndeliver = \"sealed\"\napp_ids = [\"{GUID}\"]\ntenants = [\"{GUID}\"]\n\
             [graph]\nsign_in = \"client_secret\"\ntenant = \"{GUID}\"\nclient_id = \"{GUID}\"\nclient_secret = \"a\"\n\
             [traces]\nendpoint = \"https://a.example/v1/traces\"\n\
             [[client_states]]\nname = \"a\"\nsecret = \"a\"\n"
        );
        load_text("effects", &text, &Environment::default()).expect("little, but right").config
    });
    let keys = modes.iter().flat_map(|config| config.against(config));
    keys.map(|(key, effect, _)| (key, effect)).collect()
}

fn live(key: &'static str, is_same: bool) -> Compared {
    (key, Effect::AtOnce, is_same)
}

/// A connection keeps what it began with.
fn fresh(key: &'static str, is_same: bool) -> Compared {
    (key, Effect::NewConnections, is_same)
}

fn fixed(key: &'static str, is_same: bool) -> Compared {
    (key, Effect::Restart, is_same)
}

impl Server {
    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self {
            listen,
            paths,
            public_url,
            answer_within,
            stop_within,
            client_address,
            trusted_proxies,
            tls,
            sources,
            limits,
        } = self;
        let Sources { mode, networks } = sources;
        let mut compared = vec![
            fixed("server.listen", *listen == new.listen),
            live("server.paths", *paths == new.paths),
            live("server.public_url", *public_url == new.public_url),
            live("server.answer_within", *answer_within == new.answer_within),
            fixed("server.stop_within", *stop_within == new.stop_within),
            fresh("server.client_address", *client_address == new.client_address),
            fresh("server.trusted_proxies", *trusted_proxies == new.trusted_proxies),
            fresh("server.sources.mode", *mode == new.sources.mode),
            // The networks of the list and of the file are one by now.
            fresh("server.sources.networks", *networks == new.sources.networks),
            fresh("server.sources.file", *networks == new.sources.networks),
        ];
        compared.extend(limits.against(&new.limits));
        compared.extend(tls.against(&new.tls));
        compared
    }
}

impl Limits {
    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self {
            body_bytes_max,
            bytes_in_flight,
            items_max,
            connections_max,
            connections_per_address,
            handshakes_max,
            handshake_within,
            header_within,
            body_within,
            idle_within,
            connection_within,
        } = self;
        vec![
            live("server.limits.body", *body_bytes_max == new.body_bytes_max),
            live("server.limits.bytes_in_flight", *bytes_in_flight == new.bytes_in_flight),
            live("server.limits.items", *items_max == new.items_max),
            fresh("server.limits.connections", *connections_max == new.connections_max),
            fresh(
                "server.limits.connections_per_address",
                *connections_per_address == new.connections_per_address,
            ),
            fresh("server.limits.handshakes", *handshakes_max == new.handshakes_max),
            fresh("server.limits.handshake_within", *handshake_within == new.handshake_within),
            fresh("server.limits.header_within", *header_within == new.header_within),
            live("server.limits.body_within", *body_within == new.body_within),
            fresh("server.limits.idle_within", *idle_within == new.idle_within),
            fresh("server.limits.connection_within", *connection_within == new.connection_within),
        ]
    }
}

impl Tls {
    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self { source, unknown_host, client_ca } = self;
        let mut compared = vec![
            fresh("server.tls.unknown_host", *unknown_host == new.unknown_host),
            fixed("server.tls.client_ca_file", *client_ca == new.client_ca),
        ];
        let is_same_mode = match (source, &new.source) {
            (TlsSource::Files(files), TlsSource::Files(new)) => {
                compared.extend(against_files(files, new));
                true
            }
            (TlsSource::Acme(acme), TlsSource::Acme(new)) => {
                compared.extend(acme.against(new));
                true
            }
            (TlsSource::Off, TlsSource::Off) => true,
            (TlsSource::Files(_) | TlsSource::Acme(_) | TlsSource::Off, _) => false,
        };
        compared.push(fixed("server.tls.mode", is_same_mode));
        compared
    }
}

fn against_files(files: &[PairFiles], new: &[PairFiles]) -> [Compared; 3] {
    let first = |part: fn(&PairFiles) -> &std::path::Path| files.first().map(part) == new.first().map(part);
    [
        fresh("server.tls.certificate", first(|PairFiles { certificate, private_key: _ }| certificate)),
        fresh("server.tls.private_key", first(|PairFiles { certificate: _, private_key }| private_key)),
        fresh("server.tls.certificates", files.get(1..) == new.get(1..)),
    ]
}

impl Acme {
    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self { domains, contact, directory, cache, ca_file, http_listen } = self;
        vec![
            fixed("server.tls.domains", *domains == new.domains),
            fixed("server.tls.contact", *contact == new.contact),
            fixed("server.tls.directory", *directory == new.directory),
            fixed("server.tls.cache", *cache == new.cache),
            fixed("server.tls.ca_file", *ca_file == new.ca_file),
            fixed("server.tls.http_listen", *http_listen == new.http_listen),
        ]
    }
}

fn against(client_states: &[ClientState], new: &[ClientState]) -> [Compared; 5] {
    let is_same = |same: fn(&ClientState, &ClientState) -> bool| {
        client_states.len() == new.len() && client_states.iter().zip(new).all(|(one, other)| same(one, other))
    };
    [
        live("client_states[].name", is_same(|one, other| one.name == other.name)),
        live("client_states[].secret", is_same(|one, other| one.secret == other.secret)),
        live("client_states[].subscriptions", is_same(|one, other| one.subscriptions == other.subscriptions)),
        live("client_states[].tenants", is_same(|one, other| one.tenants == other.tenants)),
        live("client_states[].silent_after", is_same(|one, other| one.silent_after == other.silent_after)),
    ]
}

/// All of it at once: keys come and go, and checks begin or end, with the next request.
fn against_rich(rich: Option<&Rich>, new: Option<&Rich>) -> Vec<Compared> {
    let (Some(rich), Some(new)) = (rich, new) else {
        return vec![live("rich.deliver", rich.is_none() && new.is_none())];
    };
    let Rich { deliver, expectations, signing_keys, keys } = rich;
    let Expectations { app_ids, tenants, issuer_v1, issuer_v2, publisher, clock_skew } = expectations;
    let KeySource { documents, ca_file, refresh_after } = signing_keys;
    let is_same = |same: fn(&RichKey, &RichKey) -> bool| {
        keys.len() == new.keys.len() && keys.iter().zip(&new.keys).all(|(one, other)| same(one, other))
    };
    let (wanted, from) = (&new.expectations, &new.signing_keys);
    vec![
        live("rich.deliver", *deliver == new.deliver),
        live("rich.app_ids", *app_ids == wanted.app_ids),
        live("rich.tenants", *tenants == wanted.tenants),
        // A cloud is what it stands for.
        live(
            "rich.cloud",
            (issuer_v1, issuer_v2, documents) == (&wanted.issuer_v1, &wanted.issuer_v2, &from.documents),
        ),
        live("rich.issuer_v1", *issuer_v1 == wanted.issuer_v1),
        live("rich.issuer_v2", *issuer_v2 == wanted.issuer_v2),
        live("rich.key_documents", *documents == from.documents),
        live("rich.ca_file", *ca_file == from.ca_file),
        live("rich.refresh_keys_after", *refresh_after == from.refresh_after),
        live("rich.publisher", *publisher == wanted.publisher),
        live("rich.clock_skew", *clock_skew == wanted.clock_skew),
        live("rich.keys[].id", is_same(|one, other| one.id == other.id)),
        live("rich.keys[].private_key", is_same(|one, other| one.private_key == other.private_key)),
        live("rich.keys[].certificate", is_same(|one, other| one.certificate == other.certificate)),
    ]
}

/// How we sign in is one thing: a new way of it begins with the next request to Graph.
fn against_graph(graph: Option<&Graph>, new: Option<&Graph>) -> Vec<Compared> {
    let (Some(graph), Some(new)) = (graph, new) else {
        return vec![live("graph.sign_in", graph.is_none() && new.is_none())];
    };
    let Graph {
        url,
        login_url,
        ca_file,
        tenant,
        client_id,
        sign_in,
        answer_within,
        directory,
        manage,
        look_every,
        renew_at,
        lifetimes,
        subscriptions,
    } = graph;
    let is_same_way = *sign_in == new.sign_in;
    let mut compared: Vec<Compared> = SIGN_IN_KEYS.iter().map(|key| live(key, is_same_way)).collect();
    compared.extend([
        live("graph.tenant", *tenant == new.tenant),
        live("graph.client_id", *client_id == new.client_id),
        // A cloud is what it stands for.
        live("graph.cloud", (url, login_url) == (&new.url, &new.login_url)),
        live("graph.url", *url == new.url),
        live("graph.login_url", *login_url == new.login_url),
        live("graph.ca_file", *ca_file == new.ca_file),
        live("graph.answer_within", *answer_within == new.answer_within),
        fixed("graph.directory", *directory == new.directory),
        live("graph.manage", *manage == new.manage),
        live("graph.look_every", *look_every == new.look_every),
        live("graph.renew_at", *renew_at == new.renew_at),
        live("graph.lifetimes", *lifetimes == new.lifetimes),
    ]);
    compared.extend(against_wanted(subscriptions, &new.subscriptions));
    compared
}

fn against_wanted(wanted: &[Wanted], new: &[Wanted]) -> [Compared; 11] {
    let is_same = |same: fn(&Wanted, &Wanted) -> bool| {
        wanted.len() == new.len() && wanted.iter().zip(new).all(|(one, other)| same(one, other))
    };
    let key = |key, same| live(key, is_same(same));
    [
        key("subscriptions[].name", |one, other| one.name == other.name),
        key("subscriptions[].resource", |one, other| one.resource == other.resource),
        key("subscriptions[].change_types", |one, other| one.change_types == other.change_types),
        key("subscriptions[].notification_url", |one, other| one.notification_url == other.notification_url),
        key("subscriptions[].lifecycle_url", |one, other| one.lifecycle_url == other.lifecycle_url),
        key("subscriptions[].lifetime", |one, other| one.lifetime == other.lifetime),
        key("subscriptions[].client_state", |one, other| one.client_state == other.client_state),
        key("subscriptions[].encryption_key", |one, other| one.encryption == other.encryption),
        key("subscriptions[].app_id", |one, other| one.app_id == other.app_id),
        key("subscriptions[].query_options", |one, other| one.query_options == other.query_options),
        key("subscriptions[].prefer", |one, other| one.prefer == other.prefer),
    ]
}

impl Broker {
    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self {
            urls,
            exchange,
            queue,
            queue_type,
            topology,
            routing_key,
            client_state,
            confirm_within,
            connect_within,
            quarantine,
            channels,
            in_flight_messages,
            in_flight_bytes,
            tls,
        } = self;
        let mut compared = vec![
            fixed("broker.urls", *urls == new.urls),
            fixed("broker.exchange", *exchange == new.exchange),
            fixed("broker.queue", *queue == new.queue),
            fixed("broker.queue_type", *queue_type == new.queue_type),
            fixed("broker.declare", *topology == new.topology),
            live("broker.routing_key", *routing_key == new.routing_key),
            live("broker.client_state", *client_state == new.client_state),
            fixed("broker.confirm_within", *confirm_within == new.confirm_within),
            fixed("broker.connect_within", *connect_within == new.connect_within),
            fixed("broker.quarantine", *quarantine == new.quarantine),
            fixed("broker.channels", *channels == new.channels),
            fixed("broker.in_flight_messages", *in_flight_messages == new.in_flight_messages),
            fixed("broker.in_flight_bytes", *in_flight_bytes == new.in_flight_bytes),
        ];
        compared.extend(tls.against(&new.tls));
        compared
    }
}

impl BrokerTls {
    fn against(&self, new: &Self) -> [Compared; 3] {
        let Self { ca, identity } = self;
        let certificate =
            |BrokerIdentity { certificate, private_key: _ }: &BrokerIdentity| certificate.clone();
        let private_key =
            |BrokerIdentity { certificate: _, private_key }: &BrokerIdentity| private_key.clone();
        let (old, new_ca, new) = (identity.as_ref(), &new.ca, new.identity.as_ref());
        [
            fixed("broker.tls.ca_file", ca == new_ca),
            fixed("broker.tls.certificate", old.map(certificate) == new.map(certificate)),
            fixed("broker.tls.private_key", old.map(private_key) == new.map(private_key)),
        ]
    }
}

impl Spool {
    fn against(&self, new: &Self) -> Vec<Compared> {
        // What may wait follows server.limits.bytes_in_flight, and is no key of its own.
        let Self { directory, bytes_max, set_aside_after, waiting_bytes: _ } = self;
        vec![
            fixed("spool.directory", *directory == new.directory),
            fixed("spool.max_size", *bytes_max == new.bytes_max),
            fixed("spool.set_aside_after", *set_aside_after == new.set_aside_after),
        ]
    }
}

impl Admin {
    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self { listen } = self;
        vec![fixed("admin.listen", *listen == new.listen)]
    }
}

impl Log {
    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self { level, format } = self;
        vec![live("log.level", *level == new.level), fixed("log.format", *format == new.format)]
    }
}

impl Traces {
    fn against(&self, new: &Self) -> Vec<Compared> {
        let Self { sample, collector } = self;
        let mut compared = vec![fixed("traces.sample", *sample == new.sample)];
        match (collector, &new.collector) {
            (Some(Collector { endpoint, ca_file, headers }), Some(new)) => compared.extend([
                fixed("traces.endpoint", *endpoint == new.endpoint),
                fixed("traces.ca_file", *ca_file == new.ca_file),
                fixed("traces.headers", *headers == new.headers),
            ]),
            (one, other) => compared.push(fixed("traces.endpoint", one.is_none() && other.is_none())),
        }
        compared
    }
}

const SIGN_IN_KEYS: [&str; 7] = [
    "graph.sign_in",
    "graph.client_secret",
    "graph.certificate",
    "graph.private_key",
    "graph.scopes",
    "graph.identity",
    "graph.command",
];
const GUID: &str = "00000000-0000-0000-0000-000000000000";
const RESTART: &str = "differs from what runs, and takes a restart";

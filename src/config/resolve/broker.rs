//! How a broker is reached, and what is there.

use std::ops::RangeInclusive;

use super::{
    super::{
        Broker, BrokerIdentity, BrokerTls, BrokerUrl, Content, Environment, Topology,
        layers::Layers,
        problem::{Problem, Problems},
        raw::{Raw, RawBroker, RawBrokerTls},
    },
    NAME_BYTES_MAX, Resolver,
};
use crate::{
    delivery::{FRAME_BYTES, QUARANTINE_SUFFIX},
    envelope::routing::Template,
    secret::Secret,
};

/// The broker at a URL that was named without a configuration, at `origin`; everything else about it is as by default.
///
/// # Errors
///
/// What is wrong with the URL; the words never quote it.
pub fn broker_at(url: Secret, origin: &str) -> Result<Broker, Problems> {
    let url = broker_url(url).map_err(|message| Problems(vec![Problem::at("", origin, message)]))?;
    let (layers, environment) = (Layers(Vec::new()), Environment::default());
    let mut resolver = Resolver {
        layers: &layers,
        environment: &environment,
        problems: Vec::new(),
        warnings: Vec::new(),
        files: Vec::new(),
        holds_secret: false,
    };
    let Raw { broker, .. } = Raw::default();
    // Which queues there are nobody has said.
    Ok(Broker { urls: vec![url], queue: None, ..resolver.broker(broker, 0) })
}

impl Resolver<'_> {
    pub(super) fn broker(&mut self, raw: RawBroker, body_bytes_max: usize) -> Broker {
        let mut urls = Vec::new();
        for (index, url) in raw.urls.into_iter().enumerate() {
            let key = format!("broker.urls.{index}");
            let Some(secret) = self.secret(&key, url) else {
                continue;
            };
            match broker_url(secret) {
                Ok(url) => urls.push(url),
                Err(message) => self.problem(&key, message),
            }
        }
        let is_plain = urls.iter().all(|url| !url.is_encrypted());
        if urls.is_empty() {
            self.problem("broker.urls", "name at least one, such as \"amqp://user:password@host:5672/%2f\"");
        }
        let exchange_bytes_max = NAME_BYTES_MAX - QUARANTINE_SUFFIX.len();
        self.broker_name("broker.exchange", &raw.exchange, 1, exchange_bytes_max);
        self.broker_name("broker.queue", &raw.queue, 0, NAME_BYTES_MAX);
        let routing_key = Template::parse(&raw.routing_key).unwrap_or_else(|error| {
            self.problem("broker.routing_key", error.to_string());
            Template::default()
        });
        let in_flight_bytes = self.size("broker.in_flight_bytes", raw.in_flight_bytes);
        if in_flight_bytes < body_bytes_max {
            self.problem(
                "broker.in_flight_bytes",
                "less than server.limits.body: the largest item never fits",
            );
        }
        Broker {
            urls,
            exchange: raw.exchange,
            queue: Some(raw.queue).filter(|queue| !queue.is_empty()),
            queue_type: raw.queue_type,
            topology: if raw.declare { Topology::Declare } else { Topology::Check },
            routing_key,
            client_state: raw.client_state,
            confirm_within: self.time("broker.confirm_within", raw.confirm_within),
            connect_within: self.time("broker.connect_within", raw.connect_within),
            quarantine: raw.quarantine,
            channels: self.count("broker.channels", raw.channels, CHANNELS_MAX),
            in_flight_messages: self.count(
                "broker.in_flight_messages",
                raw.in_flight_messages,
                IN_FLIGHT_MAX,
            ),
            in_flight_bytes,
            tls: self.broker_tls(&raw.tls, is_plain),
        }
    }

    fn broker_name(&mut self, key: &str, name: &str, bytes_min: usize, bytes_max: usize) {
        if !(bytes_min..=bytes_max).contains(&name.len()) {
            self.problem(key, format!("a name here has {bytes_min} to {bytes_max} bytes"));
        } else if name.starts_with("amq.") {
            self.problem(key, "names that begin with \"amq.\" belong to RabbitMQ");
        }
    }

    fn broker_tls(&mut self, raw: &RawBrokerTls, is_plain: bool) -> BrokerTls {
        if is_plain && *raw != RawBrokerTls::default() {
            self.warning("broker.tls", "has no effect: no URL of broker.urls is amqps://");
        }
        let ca = self.file("broker.tls.ca_file", raw.ca_file.as_deref());
        let certificate = self.file("broker.tls.certificate", raw.certificate.as_deref());
        let private_key = self.file_of("broker.tls.private_key", raw.private_key.as_deref(), Content::Secret);
        if raw.certificate.is_some() != raw.private_key.is_some() {
            self.problem("broker.tls", "certificate and private_key go together");
        }
        let identity = certificate.zip(private_key).map(|(certificate, private_key)| BrokerIdentity {
            certificate: certificate.into_bytes(),
            private_key: Secret::new(private_key),
        });
        BrokerTls { ca: ca.map(String::into_bytes), identity }
    }
}

/// Checks a broker URL. Its words never quote it: there is a password in it.
fn broker_url(secret: Secret) -> Result<BrokerUrl, String> {
    let url = url::Url::parse(secret.expose())
        .map_err(|error| format!("not a URL ({error}); write special characters of a password as %XX"))?;
    let default_port = match url.scheme() {
        "amqp" => 5672,
        "amqps" => 5671,
        _ => return Err("expected amqp:// or amqps://".to_owned()),
    };
    let host = match url.host() {
        Some(url::Host::Domain(host)) if !host.is_empty() => host.to_owned(),
        Some(url::Host::Ipv4(host)) => host.to_string(),
        Some(url::Host::Ipv6(host)) => host.to_string(),
        _ => return Err("the URL names no host".to_owned()),
    };
    // A "/", "?" or "#" in a password cuts the URL short, and what follows would be shown as a virtual host.
    if [url.path(), url.query().unwrap_or_default()].iter().any(|part| part.contains('@'))
        || url.fragment().is_some()
    {
        return Err(
            "write \"/\", \"?\", \"#\" and \"@\" in a user or password as %2f, %3f, %23 and %40".to_owned()
        );
    }
    let vhost = url.path().strip_prefix('/').unwrap_or("%2f");
    if vhost.contains('/') {
        return Err("the virtual host is one path segment: write / within it as %2f".to_owned());
    }
    url.query_pairs().try_for_each(|(name, value)| check_parameter(&name, &value))?;
    let port = url.port().unwrap_or(default_port);
    let shown_host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let shown = format!("{}://{shown_host}:{port}/{vhost}", url.scheme());
    Ok(BrokerUrl { secret, host, port, shown })
}

/// Checks a parameter of a broker URL.
fn check_parameter(name: &str, value: &str) -> Result<(), String> {
    let is_in = |range: &RangeInclusive<u32>| value.parse().is_ok_and(|number| range.contains(&number));
    let bounded = |range: RangeInclusive<u32>, unit: &str| match is_in(&range) {
        true => Ok(()),
        false => Err(format!("{name} must be {} to {}{unit}", range.start(), range.end())),
    };
    match name {
        "heartbeat" => bounded(0..=u16::MAX.into(), " seconds"),
        "channel_max" => bounded(CHANNELS_NEEDED..=u16::MAX.into(), ""),
        // "No limit" (0) is outside, too: a broker without one would have lapin make a buffer for the largest frame there is.
        "frame_max" => bounded(FRAME_BYTES, " bytes; without it 131072 are asked for"),
        "auth_mechanism" if ["plain", "external", "amqplain"].contains(&value) => Ok(()),
        "auth_mechanism" => Err("auth_mechanism is plain, external or amqplain".to_owned()),
        _ => Err("parameters of the URL are heartbeat (seconds), frame_max, channel_max and \
             auth_mechanism (plain, external, amqplain)"
            .to_owned()),
    }
}

/// RabbitMQ advises single digits of channels for a connection.
const CHANNELS_MAX: usize = 16;
/// More than a connection has of them: for publishing, the spool, the quarantine, the lock and declarations.
const CHANNELS_NEEDED: u32 = 32;
/// What is in flight goes out twice when the connection ends, and consumers wait for it behind what is fresh.
const IN_FLIGHT_MAX: usize = 65_536;

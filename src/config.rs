//! The configuration: what is true, after everything that may be written was read and checked.
//!
//! Layers (defaults, then the file, then `GRAPHHOOK_*` variables) are merged by figment into [`raw`], which is
//! checked as a whole and becomes a [`Config`]. All mistakes are found in one run. Nothing outside this module
//! reads files of settings or the environment.

mod change;
mod effective;
mod keys;
mod layers;
mod listeners;
mod load;
mod named;
mod problem;
mod public_url;
mod raw;
mod resolve;
mod schema;
#[cfg(test)]
mod tests;
mod values;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::load::load_text;
pub use self::{
    effective::{Effective, Origins, toml_value},
    keys::{Effect, Key, keys},
    load::{Environment, LoadError, Loaded, Reloaded, Source, admin_listen, dev, load},
    named::{Content, NamedFile},
    problem::{Problem, Problems},
    public_url::PublicUrl,
    raw::{
        ChangeType, ClientAddress, ClientStatePolicy, Cloud, Deliver, LogFormat, LogLevel, QueueType,
        SourcesMode, UnknownHost,
    },
    resolve::broker_at,
    schema::schema,
};
use hyper::{HeaderMap, Uri};

use crate::{
    envelope::routing::Template,
    listener::tls::ClientAuthorities,
    network::Networks,
    notification::id::{SubscriptionId, TenantId},
    secret::Secret,
    trace::Sample,
    verify::{Expectations, certificate::Certificate, decrypt::PrivateKey, keys::KeySource},
};

/// Everything `serve` needs to know, right by construction.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public listener.
    pub server: Server,
    /// The table of secrets; empty only where subscriptions bring their own, made by us.
    pub client_states: Vec<ClientState>,
    /// Resource data, if it is to be checked.
    pub rich: Option<Rich>,
    /// Who signs in to Graph, and which subscriptions are wanted there; if anybody does.
    pub graph: Option<Graph>,
    /// RabbitMQ.
    pub broker: Broker,
    /// The spool.
    pub spool: Spool,
    /// The admin listener.
    pub admin: Admin,
    /// Logging.
    pub log: Log,
    /// Traces.
    pub traces: Traces,
}

/// `[server]`
#[derive(Clone, Debug)]
pub struct Server {
    /// Where to listen; at least one.
    pub listen: Vec<Listen>,
    /// Paths that take notifications, compared exactly.
    pub paths: Vec<String>,
    /// What Graph calls, if it was said.
    pub public_url: Option<PublicUrl>,
    /// Time from the last byte of a request's head to our answer.
    ///
    /// Graph waits 3 s for the first answer and calls an endpoint slow when over 10 % of its answers in ten
    /// minutes take longer ("Receive change notifications through webhooks", April 2026).
    pub answer_within: Duration,
    /// Time from SIGTERM to the end of the process.
    pub stop_within: Duration,
    /// Who tells where a client is.
    pub client_address: ClientAddress,
    /// Who is believed about that; whoever connects by a Unix socket is, too.
    pub trusted_proxies: Networks,
    /// Encryption of the public listener.
    pub tls: Tls,
    /// Who may connect.
    pub sources: Sources,
    /// Bounds.
    pub limits: Limits,
}

/// One of `server.listen`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Listen {
    /// A TCP address.
    Address(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `[server.tls]`
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where certificates come from.
    pub source: TlsSource,
    /// What a client sees that asks for a host we have no certificate of.
    pub unknown_host: UnknownHost,
    /// Who is not certified by one of these is refused.
    pub client_ca: Option<ClientAuthorities>,
}

/// `server.tls.mode`, with what belongs to it.
#[derive(Clone, Debug)]
pub enum TlsSource {
    /// PEM files, read at start and whenever they change; at least one pair, and the first is the default.
    Files(Vec<PairFiles>),
    /// A certificate authority, asked by ACME (RFC 8555).
    Acme(Acme),
    /// None: a proxy in front terminates TLS.
    Off,
}

impl TlsSource {
    /// Where HTTP-01 challenges are answered, if they are.
    pub fn challenges(&self) -> Option<String> {
        match self {
            Self::Acme(acme) => acme.http_listen.map(|address| address.to_string()),
            Self::Files(_) | Self::Off => None,
        }
    }
}

/// Where a certificate and its key lie.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PairFiles {
    /// PEM: the certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// PEM: its key, as PKCS#8, PKCS#1 or SEC1.
    pub private_key: PathBuf,
}

/// `mode = "acme"`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Acme {
    /// A certificate is obtained for each; at least one.
    pub domains: Vec<String>,
    /// Where the authority may write to: `mailto:` and an address.
    pub contact: Option<String>,
    /// URL of the authority's directory.
    pub directory: String,
    /// The directory that keeps account and certificates.
    pub cache: PathBuf,
    /// PEM file: the only authorities to trust for the directory's own TLS, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Where HTTP-01 challenges are answered; without it the public listener answers TLS-ALPN-01.
    pub http_listen: Option<SocketAddr>,
}

/// `[server.sources]`
#[derive(Clone, Debug)]
pub struct Sources {
    /// What becomes of strangers.
    pub mode: SourcesMode,
    /// Who is no stranger.
    pub networks: Networks,
}

/// `[server.limits]`
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request body; over it 413.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are being read or delivered; what finds no room is answered 503.
    pub bytes_in_flight: usize,
    /// Notifications in one POST; over it 413.
    pub items_max: usize,
    /// Connections open at once; a further one takes the place of an idle one.
    pub connections_max: usize,
    /// Connections of one client address that have not carried a genuine notification yet.
    pub connections_per_address: usize,
    /// TLS handshakes going on at once; a further one takes the place of the oldest.
    pub handshakes_max: usize,
    /// Time for the TLS handshake.
    pub handshake_within: Duration,
    /// Time for the head of a request, from its first byte.
    pub header_within: Duration,
    /// Time for the body of a request; over it 408.
    pub body_within: Duration,
    /// A connection without a request is closed after this time.
    pub idle_within: Duration,
    /// A connection is ended, gracefully, at this age.
    pub connection_within: Duration,
}

/// One entry of the table of secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientState {
    /// Stands for the secret in logs, metrics, headers and routing keys.
    pub name: String,
    /// What the item's `clientState` must equal.
    pub secret: Secret,
    /// If any: the only subscriptions this entry admits.
    pub subscriptions: HashSet<SubscriptionId<'static>>,
    /// If any: the only tenants this entry admits.
    pub tenants: HashSet<TenantId<'static>>,
    /// How long one of its subscriptions may be quiet; without it, their own rhythm tells.
    pub silent_after: Option<Duration>,
}

/// `[rich]`
#[derive(Clone, Debug)]
pub struct Rich {
    /// What consumers get.
    pub deliver: Deliver,
    /// What tokens must say.
    pub expectations: Expectations,
    /// Where the keys that they are signed with come from.
    pub signing_keys: KeySource,
    /// Keys for decryption; at least one where resource data is to be opened.
    pub keys: Vec<RichKey>,
}

/// One of `[[rich.keys]]`.
#[derive(Clone, Debug)]
pub struct RichKey {
    /// `encryptionCertificateId`.
    pub id: String,
    /// The key.
    pub private_key: Arc<PrivateKey>,
    /// The certificate that was made for it, if it was named.
    pub certificate: Option<Certificate>,
}

impl RichKey {
    /// End of its certificate's validity, unix time, if it names one.
    pub fn not_after(&self) -> Option<i64> {
        self.certificate.as_ref().map(|certificate| certificate.not_after)
    }
}

/// `[graph]` and `[[subscriptions]]`
#[derive(Clone, Debug)]
pub struct Graph {
    /// Where Graph is, without a path: `https://graph.microsoft.com`. Plain HTTP only on this machine.
    pub url: Uri,
    /// The same of the identity platform: `https://login.microsoftonline.com`.
    pub login_url: Uri,
    /// PEM file: the only authorities to trust for both, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The tenant to sign in to: its id or one of its domains; `organizations` and the like for a user.
    pub tenant: String,
    /// The app; empty where the way of signing in needs none.
    pub client_id: String,
    /// How tokens are obtained.
    pub sign_in: SignIn,
    /// Time for each request.
    pub answer_within: Duration,
    /// Keeps what we know of our subscriptions, with their clientStates, and the refresh token.
    pub directory: PathBuf,
    /// Whether the daemon makes the wanted subscriptions, and keeps them.
    pub manage: bool,
    /// Graph is asked for its list this often.
    pub look_every: Duration,
    /// Percent of a subscription's life after which it is renewed.
    pub renew_at: u8,
    /// Lifetimes to ask for, by type of resource, instead of those that we know.
    pub lifetimes: BTreeMap<String, Duration>,
    /// The subscriptions that should exist.
    pub subscriptions: Vec<Wanted>,
}

/// `graph.sign_in`, with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub enum SignIn {
    /// The app, by its secret.
    ClientSecret(Secret),
    /// The app, by a certificate.
    Certificate {
        /// DER.
        certificate: Vec<u8>,
        /// RSA, PEM: its key.
        private_key: Secret,
    },
    /// A user, who has signed in once with `graphhook subscriptions sign-in`.
    DeviceCode {
        /// What he consents to, beside `offline_access`.
        scopes: Vec<String>,
    },
    /// The identity of the Azure resource that we run on.
    ManagedIdentity {
        /// Who gives tokens here.
        endpoint: Uri,
        /// What an App Service wants as `X-IDENTITY-HEADER`.
        header: Option<Secret>,
        /// Client id of one of several identities.
        identity: Option<String>,
    },
    /// A program that prints a token: path and arguments.
    Command(Vec<String>),
}

/// One of `[[subscriptions]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Stands for it in logs, metrics and commands; and for its clientState, if that is made by us.
    pub name: String,
    /// Path of what is watched, as Graph is told.
    pub resource: String,
    /// At least one, sorted.
    pub change_types: Vec<ChangeType>,
    /// Where notifications go.
    pub notification_url: String,
    /// Where lifecycle notifications go.
    pub lifecycle_url: String,
    /// How long it should live; without it, what the type of resource allows.
    pub lifetime: Option<Duration>,
    /// Name of the entry of the table of secrets to use; without it, a clientState is made.
    pub client_state: Option<String>,
    /// With resource data, for this one of `[[rich.keys]]`.
    pub encryption: Option<Encryption>,
    /// `notificationUrlAppId`.
    pub app_id: Option<String>,
    /// `notificationQueryOptions`.
    pub query_options: Option<String>,
    /// Values of the header `Prefer` when it is created.
    pub prefer: Vec<String>,
}

/// A subscription that somebody asks for at a terminal, in the words of `[[subscriptions]]`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ByHand {
    /// As in [`Wanted`].
    pub name: String,
    /// As in [`Wanted`].
    pub resource: String,
    /// As in [`Wanted`], in any order.
    pub change_types: Vec<ChangeType>,
    /// Without it `server.public_url`.
    pub notification_url: Option<String>,
    /// Without it the same as for notifications.
    pub lifecycle_url: Option<String>,
    /// As in [`Wanted`].
    pub lifetime: Option<Duration>,
    /// As in [`Wanted`].
    pub client_state: Option<String>,
    /// Id of one of `[[rich.keys]]`.
    pub encryption_key: Option<String>,
    /// As in [`Wanted`].
    pub app_id: Option<String>,
    /// As in [`Wanted`].
    pub query_options: Option<String>,
    /// As in [`Wanted`].
    pub prefer: Vec<String>,
}

impl ByHand {
    /// What would be wanted if this stood in the file of this configuration.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn resolve(self, config: &Config) -> Result<Wanted, Problems> {
        resolve::by_hand(self, config)
    }
}

/// What Graph encrypts resource data for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encryption {
    /// `encryptionCertificateId`.
    pub id: String,
    /// `encryptionCertificate`: base64 of the certificate.
    pub certificate: String,
}

/// `[broker]`
#[derive(Clone, Debug)]
pub struct Broker {
    /// Nodes, tried in turn; at least one.
    pub urls: Vec<BrokerUrl>,
    /// A durable topic exchange.
    pub exchange: String,
    /// The queue bound to it by `#`; `None` declares none.
    pub queue: Option<String>,
    /// Type of that queue.
    pub queue_type: QueueType,
    /// Whether the daemon declares the topology, or checks that it is there.
    pub topology: Topology,
    /// How a message's routing key is made.
    pub routing_key: Template,
    /// What becomes of `clientState`.
    pub client_state: ClientStatePolicy,
    /// A confirm later than this is late.
    pub confirm_within: Duration,
    /// Time for each step of connecting: TCP and TLS, then AMQP, then channels and topology.
    pub connect_within: Duration,
    /// Whether refused items go to the quarantine exchange.
    pub quarantine: bool,
    /// Channels that publish.
    pub channels: usize,
    /// Messages published and not yet confirmed, at most.
    pub in_flight_messages: usize,
    /// Their bytes, at most.
    pub in_flight_bytes: usize,
    /// Trust and identity for `amqps://`.
    pub tls: BrokerTls,
}

/// `broker.declare`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Topology {
    /// Exchange, queue and binding are declared at each connect.
    Declare,
    /// They are somebody else's; only their presence is checked.
    Check,
}

/// A URL of `broker.urls`, known to be well formed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BrokerUrl {
    /// The URL with user and password.
    pub secret: Secret,
    /// Host to connect to; an IPv6 address stands without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `scheme://host:port/vhost`: the URL as it may be shown.
    pub shown: String,
}

impl BrokerUrl {
    /// Whether it is `amqps://`.
    pub fn is_encrypted(&self) -> bool {
        self.shown.starts_with("amqps:")
    }

    /// Whether it logs in as the user that every broker has at first. A URL without a user means him.
    pub fn is_guest(&self) -> bool {
        url::Url::parse(self.secret.expose()).is_ok_and(|url| matches!(url.username(), "" | "guest"))
    }

    /// Its parameter `heartbeat`, in seconds.
    pub fn heartbeat(&self) -> Option<u16> {
        let url = url::Url::parse(self.secret.expose()).ok()?;
        url.query_pairs().find_map(|(name, value)| (name == "heartbeat").then(|| value.parse().ok())?)
    }
}

/// `[broker.tls]`, as PEM text.
#[derive(Clone, Debug, Default)]
pub struct BrokerTls {
    /// The only authorities to trust, instead of the system's.
    pub ca: Option<Vec<u8>>,
    /// Our certificate and its key.
    pub identity: Option<BrokerIdentity>,
}

/// The client certificate for the broker, as PEM text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BrokerIdentity {
    /// Certificate chain.
    pub certificate: Vec<u8>,
    /// Its key.
    pub private_key: Secret,
}

/// `[spool]`
#[derive(Clone, Debug)]
pub struct Spool {
    /// Where it is.
    pub directory: PathBuf,
    /// Bytes of the disk that it may use.
    pub bytes_max: u64,
    /// A message that no queue is bound for is set aside after this time.
    pub set_aside_after: Duration,
    /// Bytes that may wait to be written: `server.limits.bytes_in_flight` as it was at the start.
    pub waiting_bytes: usize,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// Address of `/livez`, `/readyz`, `/metrics` and `/status`.
    pub listen: SocketAddr,
}

/// `[log]`
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// The least important events that are written.
    pub level: LogLevel,
    /// How.
    pub format: LogFormat,
}

/// `[traces]`
#[derive(Clone, Debug)]
pub struct Traces {
    /// Which of the traces that begin here are sampled.
    pub sample: Sample,
    /// Who collects spans.
    pub collector: Option<Collector>,
}

/// Who collects spans, by OTLP over HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Collector {
    /// `traces.endpoint`: `http://` or `https://`, with a host.
    pub endpoint: Uri,
    /// PEM file: the only authorities to trust for the collector's TLS, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Sent with each request; their values are never shown.
    pub headers: HeaderMap,
}

/// The annotated configuration file that ships with the program.
pub const EXAMPLE: &str = include_str!("../config.toml");

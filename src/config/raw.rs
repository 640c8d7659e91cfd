//! What a configuration file or an environment variable may say: names, types and defaults, nothing checked yet.
//!
//! `config.toml` at the top of the project documents every key; a test holds it equal to the defaults here.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::masked_urls;
pub(super) use super::values::{RawSecret, SecretReference, Size, Time};

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) server: RawServer,
    pub(super) client_states: Vec<RawClientState>,
    pub(super) rich: RawRich,
    pub(super) graph: RawGraph,
    pub(super) subscriptions: Vec<RawSubscription>,
    pub(super) broker: RawBroker,
    pub(super) spool: RawSpool,
    pub(super) admin: RawAdmin,
    pub(super) log: RawLog,
    pub(super) traces: RawTraces,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawServer {
    pub(super) listen: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) public_url: Option<String>,
    pub(super) answer_within: Time,
    pub(super) stop_within: Time,
    pub(super) client_address: ClientAddress,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) tls: RawTls,
    pub(super) sources: RawSources,
    pub(super) limits: RawLimits,
}

/// `server.client_address`: who tells where a client is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAddress {
    /// The connection itself.
    Connection,
    /// A PROXY protocol header, version 1 or 2, at the begin of every connection.
    ProxyProtocol,
    /// The header `Forwarded` (RFC 7239) of a request.
    Forwarded,
    /// The header `X-Forwarded-For` of a request.
    XForwardedFor,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) mode: TlsMode,
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    pub(super) certificates: Vec<RawPair>,
    pub(super) unknown_host: UnknownHost,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) domains: Vec<String>,
    pub(super) contact: Option<String>,
    pub(super) directory: String,
    pub(super) cache: PathBuf,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) http_listen: Option<String>,
}

/// One `[[server.tls.certificates]]` table.
#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawPair {
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
}

/// `server.tls.mode`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TlsMode {
    Files,
    Acme,
    Off,
}

/// `server.tls.unknown_host`: what a client sees that asks for a host we have no certificate of, or for none.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownHost {
    /// The first certificate.
    Default,
    /// None: the TLS handshake fails.
    Refuse,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSources {
    pub(super) mode: SourcesMode,
    pub(super) networks: Vec<String>,
    pub(super) file: Option<PathBuf>,
}

/// `server.sources.mode`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourcesMode {
    /// Everybody is served.
    Off,
    /// Everybody is served; strangers are counted and logged.
    Log,
    /// Strangers are refused.
    Enforce,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) body: Size,
    pub(super) bytes_in_flight: Size,
    #[schemars(range(min = 1))]
    pub(super) items: usize,
    #[schemars(range(min = 1))]
    pub(super) connections: usize,
    #[schemars(range(min = 1))]
    pub(super) connections_per_address: usize,
    #[schemars(range(min = 1))]
    pub(super) handshakes: usize,
    pub(super) handshake_within: Time,
    pub(super) header_within: Time,
    pub(super) body_within: Time,
    pub(super) idle_within: Time,
    pub(super) connection_within: Time,
}

/// One `[[client_states]]` table. Name and secret are optional here so that their absence is one problem
/// among all the others.
#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawClientState {
    pub(super) name: Option<String>,
    pub(super) secret: Option<RawSecret>,
    pub(super) subscriptions: Vec<String>,
    pub(super) tenants: Vec<String>,
    pub(super) silent_after: Option<Time>,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRich {
    pub(super) deliver: Option<Deliver>,
    pub(super) app_ids: Vec<String>,
    pub(super) tenants: Vec<String>,
    pub(super) cloud: Cloud,
    pub(super) issuer_v1: Option<String>,
    pub(super) issuer_v2: Option<String>,
    pub(super) key_documents: Vec<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) refresh_keys_after: Time,
    pub(super) publisher: String,
    pub(super) clock_skew: Time,
    pub(super) keys: Vec<RawRichKey>,
}

/// One `[[rich.keys]]` table.
#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRichKey {
    pub(super) id: Option<String>,
    pub(super) private_key: Option<RawSecret>,
    pub(super) certificate: Option<PathBuf>,
}

/// `rich.deliver`: what consumers get of resource data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Deliver {
    /// What Graph sent, once its tokens are checked.
    Sealed,
    /// The resource.
    Opened,
}

impl Deliver {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Opened => "opened",
        }
    }
}

/// `rich.cloud`: whose identity platform issues tokens.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cloud {
    /// Worldwide.
    Global,
    /// US Government.
    UsGovernment,
    /// China, operated by 21Vianet.
    China,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawGraph {
    pub(super) sign_in: Option<SignInMethod>,
    pub(super) tenant: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<RawSecret>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<RawSecret>,
    pub(super) scopes: Vec<String>,
    pub(super) identity: Option<String>,
    pub(super) command: Vec<String>,
    pub(super) cloud: GraphCloud,
    pub(super) url: Option<String>,
    pub(super) login_url: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) answer_within: Time,
    pub(super) directory: PathBuf,
    pub(super) manage: bool,
    pub(super) look_every: Time,
    #[schemars(range(min = 10, max = 90))]
    pub(super) renew_at: u8,
    pub(super) lifetimes: BTreeMap<String, Time>,
}

/// `graph.sign_in`: how tokens for Graph are obtained.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SignInMethod {
    ClientSecret,
    Certificate,
    DeviceCode,
    ManagedIdentity,
    Command,
}

/// `graph.cloud`: whose Graph it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GraphCloud {
    Global,
    UsGovernment,
    UsGovernmentDod,
    China,
}

/// One `[[subscriptions]]` table.
#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSubscription {
    pub(super) name: Option<String>,
    pub(super) resource: Option<String>,
    pub(super) change_types: Vec<ChangeType>,
    pub(super) notification_url: Option<String>,
    pub(super) lifecycle_url: Option<String>,
    pub(super) lifetime: Option<Time>,
    pub(super) client_state: Option<String>,
    pub(super) encryption_key: Option<String>,
    pub(super) app_id: Option<String>,
    pub(super) query_options: Option<String>,
    pub(super) prefer: Vec<String>,
}

/// `changeType` of a subscription.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeType {
    /// Something new.
    Created,
    /// Something has changed.
    Updated,
    /// Something is gone.
    Deleted,
}

impl ChangeType {
    /// Graph's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBroker {
    #[serde(serialize_with = "masked_urls")]
    pub(super) urls: Vec<RawSecret>,
    pub(super) exchange: String,
    pub(super) queue: String,
    pub(super) queue_type: QueueType,
    pub(super) declare: bool,
    pub(super) routing_key: String,
    pub(super) client_state: ClientStatePolicy,
    pub(super) confirm_within: Time,
    pub(super) connect_within: Time,
    pub(super) quarantine: bool,
    #[schemars(range(min = 1))]
    pub(super) channels: usize,
    #[schemars(range(min = 1))]
    pub(super) in_flight_messages: usize,
    pub(super) in_flight_bytes: Size,
    pub(super) tls: RawBrokerTls,
}

#[derive(Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBrokerTls {
    pub(super) ca_file: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) private_key: Option<PathBuf>,
}

/// `broker.queue_type`: the value of RabbitMQ's `x-queue-type`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// Replicated by Raft: RabbitMQ's queue for data that matters.
    Quorum,
    /// On one node.
    Classic,
    /// An append-only log that keeps what was read.
    Stream,
}

/// `broker.client_state`: what becomes of the item's `clientState` in the message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientStatePolicy {
    /// The item passes byte for byte.
    Keep,
    /// Its value becomes `null`, so that consumers do not learn the secret.
    Redact,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSpool {
    pub(super) directory: PathBuf,
    pub(super) max_size: Size,
    pub(super) set_aside_after: Time,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAdmin {
    pub(super) listen: String,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) level: LogLevel,
    pub(super) format: LogFormat,
}

/// `log.level`: the least important events that are still written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// It heals by itself, but look at it.
    Warn,
    /// A state changed.
    Info,
    /// Each request.
    Debug,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Journald when systemd has connected standard error to it, else text.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object for each event.
    Json,
    /// Native journald fields.
    Journald,
}

#[derive(Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTraces {
    pub(super) sample: f64,
    pub(super) endpoint: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) headers: BTreeMap<String, RawSecret>,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: vec!["[::]:8443".to_owned()],
            paths: vec!["/graph/notifications".to_owned(), "/graph/lifecycle".to_owned()],
            public_url: None,
            answer_within: Time(Duration::from_millis(2_500)),
            stop_within: Time(Duration::from_secs(20)),
            client_address: ClientAddress::Connection,
            trusted_proxies: Vec::new(),
            tls: RawTls::default(),
            sources: RawSources::default(),
            limits: RawLimits::default(),
        }
    }
}

impl Default for RawTls {
    fn default() -> Self {
        Self {
            mode: TlsMode::Files,
            certificate: "/etc/graphhook/tls/fullchain.pem".into(),
            private_key: "/etc/graphhook/tls/privkey.pem".into(),
            certificates: Vec::new(),
            unknown_host: UnknownHost::Default,
            client_ca_file: None,
            domains: Vec::new(),
            contact: None,
            directory: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
            cache: "/var/lib/graphhook/acme".into(),
            ca_file: None,
            http_listen: None,
        }
    }
}

impl Default for RawSources {
    fn default() -> Self {
        Self { mode: SourcesMode::Off, networks: Vec::new(), file: None }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            body: Size(4 << 20),
            bytes_in_flight: Size(256 << 20),
            items: 10_000,
            connections: 4096,
            connections_per_address: 256,
            handshakes: 512,
            handshake_within: Time(Duration::from_secs(5)),
            header_within: Time(Duration::from_secs(10)),
            body_within: Time(Duration::from_secs(2)),
            idle_within: Time(Duration::from_secs(75)),
            connection_within: Time(Duration::from_secs(60 * 60)),
        }
    }
}

impl Default for RawRich {
    fn default() -> Self {
        Self {
            deliver: None,
            app_ids: Vec::new(),
            tenants: Vec::new(),
            cloud: Cloud::Global,
            issuer_v1: None,
            issuer_v2: None,
            key_documents: Vec::new(),
            ca_file: None,
            refresh_keys_after: Time(Duration::from_secs(12 * 60 * 60)),
            publisher: "0bf30f3b-4a52-48df-9a82-234910c4a086".to_owned(),
            clock_skew: Time(Duration::from_secs(5 * 60)),
            keys: Vec::new(),
        }
    }
}

impl Default for RawGraph {
    fn default() -> Self {
        Self {
            sign_in: None,
            tenant: None,
            client_id: None,
            client_secret: None,
            certificate: None,
            private_key: None,
            scopes: Vec::new(),
            identity: None,
            command: Vec::new(),
            cloud: GraphCloud::Global,
            url: None,
            login_url: None,
            ca_file: None,
            answer_within: Time(Duration::from_secs(30)),
            directory: "/var/lib/graphhook/subscriptions".into(),
            manage: false,
            look_every: Time(Duration::from_secs(5 * 60)),
            renew_at: 60,
            lifetimes: BTreeMap::new(),
        }
    }
}

impl Default for RawBroker {
    fn default() -> Self {
        Self {
            urls: vec![RawSecret::Value("amqp://guest:guest@127.0.0.1:5672/%2f".to_owned())],
            exchange: "graph".to_owned(),
            queue: "graph.notifications".to_owned(),
            queue_type: QueueType::Quorum,
            declare: true,
            routing_key: "{kind}.{resource_type}.{change}".to_owned(),
            client_state: ClientStatePolicy::Keep,
            confirm_within: Time(Duration::from_secs(1)),
            connect_within: Time(Duration::from_secs(10)),
            quarantine: true,
            channels: 2,
            in_flight_messages: 2048,
            in_flight_bytes: Size(64 << 20),
            tls: RawBrokerTls::default(),
        }
    }
}

impl Default for RawSpool {
    fn default() -> Self {
        Self {
            directory: "/var/lib/graphhook/spool".into(),
            max_size: Size(4 << 30),
            set_aside_after: Time(Duration::from_secs(24 * 60 * 60)),
        }
    }
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9464".to_owned() }
    }
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Auto }
    }
}

impl Default for RawTraces {
    fn default() -> Self {
        Self { sample: 1.0, endpoint: None, ca_file: None, headers: BTreeMap::new() }
    }
}

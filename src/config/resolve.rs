//! From [`Raw`] to [`Config`]: every value checked, every secret fetched, every problem noted.

mod broker;
mod edge;
mod graph;
mod rich;
mod traces;

use std::{
    collections::HashSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::broker::broker_at;
pub(super) use self::graph::wanted::by_hand;
use self::{edge::is_mail_address, graph::Defaults};
use super::{
    Acme, Admin, ClientAddress, ClientState, Config, Content, Environment, Limits, Listen, Loaded, Log,
    NamedFile, PairFiles, Server, Sources, SourcesMode, Spool, Tls, TlsSource,
    effective::Effective,
    layers::Layers,
    problem::{Problem, Problems},
    raw::{
        Raw, RawClientState, RawLimits, RawPair, RawSecret, RawServer, RawSources, RawSpool, RawTls,
        SecretReference, Size, Time, TlsMode,
    },
    values::is_masked,
};
use crate::{
    error::Chain,
    listener::tls::ClientAuthorities,
    network::Networks,
    notification::id::{SubscriptionId, TenantId},
    secret::Secret,
};

/// Checks the whole of `raw`. `problems` holds what was already found; a key is blamed once.
pub(super) fn resolve(
    name: &str,
    raw: Raw,
    layers: &Layers,
    environment: &Environment,
    problems: Vec<Problem>,
) -> Result<Loaded, Problems> {
    let effective = Effective::of(&raw, layers);
    let mut resolver = Resolver {
        layers,
        environment,
        problems,
        warnings: Vec::new(),
        files: Vec::new(),
        holds_secret: false,
    };
    let server = resolver.server(raw.server);
    let client_states = resolver.client_states(raw.client_states, raw.graph.sign_in.is_some());
    let rich = resolver.rich(raw.rich);
    let defaults = Defaults { server: &server, client_states: &client_states, rich: rich.as_ref() };
    let graph = resolver.graph(raw.graph, raw.subscriptions, &defaults);
    let broker = resolver.broker(raw.broker, server.limits.body_bytes_max);
    let spool = resolver.spool(raw.spool, server.limits.bytes_in_flight);
    let admin = Admin { listen: resolver.address("admin.listen", &raw.admin.listen) };
    resolver.listeners(&server, admin.listen);
    let content = if resolver.holds_secret { Content::Secret } else { Content::Public };
    resolver.files.insert(0, NamedFile { key: String::new(), path: name.into(), content });
    let log = Log { level: raw.log.level, format: raw.log.format };
    let traces = resolver.traces(raw.traces);
    if !resolver.problems.is_empty() {
        return Err(Problems(resolver.problems));
    }
    let config = Config { server, client_states, rich, graph, broker, spool, admin, log, traces };
    Ok(Loaded {
        config,
        name: name.to_owned(),
        warnings: resolver.warnings,
        effective,
        files: resolver.files,
    })
}

struct Resolver<'a> {
    layers: &'a Layers,
    environment: &'a Environment,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    files: Vec<NamedFile>,
    /// Whether a secret stands in the file itself.
    holds_secret: bool,
}

impl Resolver<'_> {
    fn server(&mut self, raw: RawServer) -> Server {
        let mut listen = Vec::new();
        for (index, address) in raw.listen.iter().enumerate() {
            listen.push(self.listen(&format!("server.listen.{index}"), address));
        }
        if listen.is_empty() {
            self.problem("server.listen", "name at least one address, such as \"[::]:8443\"");
        }
        self.paths(&raw.paths);
        let public_url = self.public_url(raw.public_url.as_deref(), &raw.paths);
        let answer_within = self.time("server.answer_within", raw.answer_within);
        if answer_within >= GRAPH_WAITS {
            self.warning("server.answer_within", "Graph waits 3 s; answers after that count as failures");
        }
        let trusted_proxies = self.networks("server.trusted_proxies", &raw.trusted_proxies);
        let is_told = raw.client_address != ClientAddress::Connection;
        let has_unix = listen.iter().any(|listen| matches!(listen, Listen::Unix(_)));
        if is_told && trusted_proxies.is_empty() && !has_unix {
            self.problem(
                "server.client_address",
                "nobody is trusted to tell it: name server.trusted_proxies",
            );
        }
        let (tls, sources) = (self.tls(raw.tls), self.sources(&raw.sources));
        if let (SourcesMode::Enforce, TlsSource::Acme(Acme { http_listen: None, .. })) =
            (sources.mode, &tls.source)
        {
            self.warning(
                "server.sources.mode",
                "a certificate authority that comes for a challenge is a stranger, too: name its addresses, or set server.tls.http_listen",
            );
        }
        Server {
            listen,
            paths: raw.paths,
            public_url,
            answer_within,
            stop_within: self.time("server.stop_within", raw.stop_within),
            client_address: raw.client_address,
            trusted_proxies,
            tls,
            sources,
            limits: self.limits(&raw.limits),
        }
    }

    fn listen(&mut self, key: &str, text: &str) -> Listen {
        let Some(path) = text.strip_prefix("unix:") else {
            return Listen::Address(self.address(key, text));
        };
        // The kernel's bound, with the zero byte at the end.
        if !path.starts_with('/') || path.len() > 107 {
            self.problem(key, "expected an absolute path of at most 107 bytes after \"unix:\"");
        }
        Listen::Unix(path.into())
    }

    fn networks(&mut self, key: &str, texts: &[String]) -> Networks {
        let mut networks = Networks::default();
        for (index, text) in texts.iter().enumerate() {
            if let Err(error) = networks.add(text) {
                self.problem(&format!("{key}.{index}"), error.to_string());
            }
        }
        networks
    }

    fn sources(&mut self, raw: &RawSources) -> Sources {
        let mut networks = self.networks("server.sources.networks", &raw.networks);
        if let Some((path, text)) =
            raw.file.as_deref().and_then(|path| Some((path, self.file("server.sources.file", Some(path))?)))
            && let Err(line) = networks.add_list(&text)
        {
            let message = format!("{}:{line}: neither an address nor a network", path.display());
            self.problem("server.sources.file", message);
        }
        if raw.mode == SourcesMode::Off && !networks.is_empty() {
            self.warning("server.sources", "addresses are listed, but mode = \"off\" looks at none");
        }
        if raw.mode != SourcesMode::Off && networks.is_empty() {
            self.problem("server.sources", "no network is named: nobody would be let in");
        }
        Sources { mode: raw.mode, networks }
    }

    fn paths(&mut self, paths: &[String]) {
        let mut seen = HashSet::new();
        for (index, path) in paths.iter().enumerate() {
            let key = format!("server.paths.{index}");
            if !path.starts_with('/') || path.contains(['?', '#', ' ', '%']) {
                self.problem(
                    &key,
                    "expected a path such as \"/graph/notifications\", without query or escapes",
                );
            } else if path == crate::webhook::route::HEALTH {
                self.problem(&key, "this path is taken by the health check of the public listener");
            } else if !seen.insert(path) {
                self.problem(&key, "the same path stands here twice");
            }
        }
        if paths.is_empty() {
            self.problem("server.paths", "name at least one path");
        }
    }

    fn tls(&mut self, raw: RawTls) -> Tls {
        self.idle_tls_keys(&raw);
        let unknown_host = raw.unknown_host;
        let client_ca = self.client_ca(&raw);
        let source = match raw.mode {
            TlsMode::Off => {
                self.warning(
                    "server.tls.mode",
                    "the public listener speaks plain HTTP: put a proxy in front",
                );
                TlsSource::Off
            }
            TlsMode::Files => TlsSource::Files(self.pairs(raw)),
            TlsMode::Acme => TlsSource::Acme(self.acme(raw)),
        };
        Tls { source, unknown_host, client_ca }
    }

    fn client_ca(&mut self, raw: &RawTls) -> Option<ClientAuthorities> {
        let key = "server.tls.client_ca_file";
        let text = self.file(key, raw.client_ca_file.as_deref())?;
        match raw.mode {
            TlsMode::Off => self.problem(key, "there is no TLS in which a client could show its certificate"),
            TlsMode::Acme if raw.http_listen.as_deref().is_none_or(str::is_empty) => {
                self.problem(key, "an authority shows none when it comes for a challenge: set http_listen");
            }
            TlsMode::Acme | TlsMode::Files => {}
        }
        let authorities = ClientAuthorities::from_pem(text.as_bytes());
        authorities.map_err(|error| self.problem(key, Chain(&error).to_string())).ok()
    }

    fn pairs(&mut self, raw: RawTls) -> Vec<PairFiles> {
        let mut pairs = vec![PairFiles { certificate: raw.certificate, private_key: raw.private_key }];
        for (index, RawPair { certificate, private_key }) in raw.certificates.into_iter().enumerate() {
            match certificate.zip(private_key) {
                Some((certificate, private_key)) => pairs.push(PairFiles { certificate, private_key }),
                None => {
                    let key = format!("server.tls.certificates.{index}");
                    self.problem(&key, "each entry needs certificate and private_key");
                }
            }
        }
        for (index, PairFiles { certificate, private_key }) in pairs.iter().enumerate() {
            let table = match index.checked_sub(1) {
                None => "server.tls".to_owned(),
                Some(index) => format!("server.tls.certificates.{index}"),
            };
            self.named(&format!("{table}.certificate"), certificate, Content::Public);
            self.named(&format!("{table}.private_key"), private_key, Content::Secret);
        }
        pairs
    }

    fn acme(&mut self, raw: RawTls) -> Acme {
        if raw.domains.is_empty() {
            self.problem("server.tls.domains", "name at least one, such as \"hooks.example.com\"");
        }
        let mut domains: Vec<String> = Vec::new();
        for (index, domain) in raw.domains.iter().enumerate() {
            let key = format!("server.tls.domains.{index}");
            let domain = domain.to_ascii_lowercase();
            if !is_domain(&domain) {
                self.problem(&key, "expected a host name such as \"hooks.example.com\", without wildcard");
            } else if domains.contains(&domain) {
                self.problem(&key, "the same domain stands here twice");
            }
            domains.push(domain);
        }
        if !url::Url::parse(&raw.directory).is_ok_and(|url| url.scheme() == "https" && url.has_host()) {
            self.problem("server.tls.directory", "expected the https:// URL of an ACME directory");
        }
        if !raw.cache.is_absolute() {
            self.problem("server.tls.cache", "expected an absolute path");
        }
        // It is read when it is needed; but that it is not there is better said now.
        drop(self.file("server.tls.ca_file", raw.ca_file.as_deref()));
        let contact = raw.contact.filter(|contact| !contact.is_empty());
        let contact = contact.map(|contact| match contact.contains(':') {
            true => contact,
            false => format!("mailto:{contact}"),
        });
        if contact.as_deref().is_some_and(|contact| !is_mail_address(contact)) {
            self.problem("server.tls.contact", "expected an address such as \"ops@example.com\"");
        }
        let http_listen = raw.http_listen.filter(|address| !address.is_empty());
        Acme {
            domains,
            contact,
            directory: raw.directory,
            cache: raw.cache,
            ca_file: raw.ca_file,
            http_listen: http_listen.map(|address| self.address("server.tls.http_listen", &address)),
        }
    }

    fn limits(&mut self, raw: &RawLimits) -> Limits {
        let body_bytes_max = self.size("server.limits.body", raw.body);
        let bytes_in_flight = self.size("server.limits.bytes_in_flight", raw.bytes_in_flight);
        if bytes_in_flight < body_bytes_max {
            self.problem(
                "server.limits.bytes_in_flight",
                "less than server.limits.body: the largest body never fits",
            );
        }
        Limits {
            body_bytes_max,
            bytes_in_flight,
            items_max: self.count("server.limits.items", raw.items, usize::MAX),
            connections_max: self.count("server.limits.connections", raw.connections, CONNECTIONS_MAX),
            connections_per_address: self.count(
                "server.limits.connections_per_address",
                raw.connections_per_address,
                CONNECTIONS_MAX,
            ),
            handshakes_max: self.count("server.limits.handshakes", raw.handshakes, CONNECTIONS_MAX),
            handshake_within: self.time("server.limits.handshake_within", raw.handshake_within),
            header_within: self.time("server.limits.header_within", raw.header_within),
            body_within: self.time("server.limits.body_within", raw.body_within),
            idle_within: self.time("server.limits.idle_within", raw.idle_within),
            connection_within: self.time("server.limits.connection_within", raw.connection_within),
        }
    }

    fn client_states(&mut self, raw: Vec<RawClientState>, makes_own: bool) -> Vec<ClientState> {
        if raw.is_empty() && !makes_own {
            self.problem(
                "client_states",
                "the table of secrets is empty: every notification would be refused",
            );
        }
        let mut entries: Vec<ClientState> = Vec::new();
        let mut names = HashSet::new();
        for (index, entry) in raw.into_iter().enumerate() {
            let key = format!("client_states.{index}");
            let name = self.name(&key, entry.name.unwrap_or_default(), &mut names);
            let silent_after =
                entry.silent_after.map(|time| self.quiet(&format!("{key}.silent_after"), time));
            let Some(secret) = self.client_state_secret(&format!("{key}.secret"), entry.secret) else {
                continue;
            };
            if let Some(other) = entries.iter().find(|other| other.secret == secret) {
                let message =
                    format!("the same secret as of {:?}: a leak of one is a leak of both", other.name);
                self.warning(&format!("{key}.secret"), message);
            }
            entries.push(ClientState {
                name,
                secret,
                subscriptions: entry.subscriptions.into_iter().map(SubscriptionId::from).collect(),
                tenants: entry.tenants.into_iter().map(TenantId::from).collect(),
                silent_after,
            });
        }
        entries
    }

    fn name(&mut self, entry: &str, name: String, names: &mut HashSet<String>) -> String {
        let key = format!("{entry}.name");
        if name.is_empty() {
            self.problem(&key, "each entry needs a name; it stands for the secret in logs and headers");
        } else if name.len() > 255 || name.chars().any(char::is_control) {
            self.problem(&key, "a name has up to 255 bytes and no control characters");
        } else if !names.insert(name.clone()) {
            self.problem(&key, "another entry has this name");
        }
        name
    }

    fn client_state_secret(&mut self, key: &str, raw: Option<RawSecret>) -> Option<Secret> {
        let Some(raw) = raw else {
            self.problem(key, "missing: a string or one of { file = … }, { env = … }, { credential = … }");
            return None;
        };
        let secret = self.secret(key, raw)?;
        match secret.expose().chars().count() {
            0 => self.problem(key, "the secret is empty"),
            1..16 => self.warning(key, "shorter than 16 characters: easy to guess"),
            // Graph's subscription resource takes 128, its changeNotification resource names 255.
            129..256 => self.warning(key, "longer than 128 characters: Graph may refuse the subscription"),
            256.. => self.problem(key, "longer than 255 characters: Graph cannot have sent it"),
            _ => {}
        }
        Some(secret)
    }

    fn spool(&mut self, raw: RawSpool, waiting_bytes: usize) -> Spool {
        if !raw.directory.is_absolute() {
            self.problem("spool.directory", "expected an absolute path");
        }
        let Size(bytes_max) = raw.max_size;
        if bytes_max < SPOOL_BYTES_MIN {
            self.problem("spool.max_size", "expected at least 1 MiB");
        }
        let set_aside_after = self.time("spool.set_aside_after", raw.set_aside_after);
        // Properties and headers come on top of the bodies.
        let waiting_bytes = waiting_bytes + SPOOL_BYTES_BESIDE;
        Spool { directory: raw.directory, bytes_max, set_aside_after, waiting_bytes }
    }

    fn secret(&mut self, key: &str, raw: RawSecret) -> Option<Secret> {
        match raw {
            // Names are quoted where they lead nowhere.
            RawSecret::Reference(reference) if has_lines(&reference) => {
                self.problem(
                    key,
                    "this looks like the secret itself, where its file, variable or credential is named",
                );
                None
            }
            RawSecret::Value(value) if is_masked(&value) => {
                self.problem(key, "this stands where a secret is not shown: write the secret itself");
                None
            }
            RawSecret::Value(value) => {
                // A URL without a user in it is no secret.
                let is_secret = !key.starts_with("broker.urls.") || value.contains('@');
                self.holds_secret |= is_secret && self.layers.is_in_file(key);
                Some(Secret::new(value))
            }
            RawSecret::Reference(SecretReference::File(path)) => self.secret_file(key, &path),
            RawSecret::Reference(SecretReference::Env(variable)) => {
                let value = self.environment.get(&variable).map(|value| Secret::new(value.to_owned()));
                if value.is_none() {
                    self.problem(key, format!("the environment variable {variable} is not set"));
                }
                value
            }
            RawSecret::Reference(SecretReference::Credential(name)) => {
                let Some(directory) = self.environment.get("CREDENTIALS_DIRECTORY") else {
                    let message = format!("no credentials here: the unit needs LoadCredential={name}:PATH");
                    self.problem(key, message);
                    return None;
                };
                if name.contains('/') || name.is_empty() {
                    self.problem(key, "a credential is named without a path");
                    return None;
                }
                // How that lies there is systemd's affair, and no mode of ours.
                let text = self.read(key, &PathBuf::from(directory).join(name))?;
                Some(secret_of(text))
            }
        }
    }

    fn secret_file(&mut self, key: &str, path: &Path) -> Option<Secret> {
        self.file_of(key, Some(path), Content::Secret).map(secret_of)
    }

    fn file(&mut self, key: &str, path: Option<&Path>) -> Option<String> {
        self.file_of(key, path, Content::Public)
    }

    fn named(&mut self, key: &str, path: &Path, content: Content) {
        self.files.push(NamedFile { key: key.to_owned(), path: path.to_owned(), content });
    }

    fn file_of(&mut self, key: &str, path: Option<&Path>, content: Content) -> Option<String> {
        let path = path?;
        self.named(key, path, content);
        self.read(key, path)
    }

    fn read(&mut self, key: &str, path: &Path) -> Option<String> {
        match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.problem(key, format!("cannot read {}: {error}", path.display()));
                None
            }
        }
    }

    fn address(&mut self, key: &str, text: &str) -> SocketAddr {
        text.parse().unwrap_or_else(|_| {
            self.problem(key, ADDRESS_EXPECTED);
            SocketAddr::from(([0, 0, 0, 0], 0))
        })
    }

    fn time(&mut self, key: &str, Time(time): Time) -> Duration {
        if time.is_zero() || time > TIME_MAX {
            self.problem(key, "expected more than 0 s and at most a day");
        }
        time
    }

    /// Some subscriptions speak a few times a year.
    fn quiet(&mut self, key: &str, Time(time): Time) -> Duration {
        if time.is_zero() || time > QUIET_MAX {
            self.problem(key, "expected more than 0 s and at most 366 days");
        }
        time
    }

    fn size(&mut self, key: &str, Size(size): Size) -> usize {
        match usize::try_from(size) {
            Ok(size @ 1024..=SIZE_MAX) => size,
            _ => {
                self.problem(key, "expected 1 KiB to 1 GiB");
                SIZE_MAX
            }
        }
    }

    fn count(&mut self, key: &str, count: usize, max: usize) -> usize {
        if count == 0 || count > max {
            let bound = if max == usize::MAX { String::new() } else { format!(" and at most {max}") };
            self.problem(key, format!("expected at least 1{bound}"));
        }
        count
    }

    fn problem(&mut self, key: &str, message: impl Into<String>) {
        let akin = |other: &Problem| {
            other.key == key || (other.key.starts_with(key) && other.key[key.len()..].starts_with('.'))
        };
        if !self.problems.iter().any(akin) {
            self.problems.push(Problem::at(key, self.layers.origin(key), message));
        }
    }

    fn warning(&mut self, key: &str, message: impl Into<String>) {
        self.warnings.push(Problem::at(key, self.layers.origin(key), message));
    }
}

/// No name has more than one line, but a key has.
fn has_lines(reference: &SecretReference) -> bool {
    match reference {
        SecretReference::File(path) => path.to_string_lossy().contains('\n'),
        SecretReference::Env(name) | SecretReference::Credential(name) => name.contains('\n'),
    }
}

/// One newline at the end of a file is not part of the secret.
fn secret_of(mut text: String) -> Secret {
    // In its place: a copy would leave text behind that nobody wipes.
    text.truncate(text.strip_suffix('\n').map_or(text.len(), str::len));
    Secret::new(text)
}

/// A name that an authority certifies: labels of letters, digits and hyphens (RFC 1123), at least two of them.
fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}

pub(super) const ADDRESS_EXPECTED: &str =
    "expected an address with a port, such as \"[::]:8443\" or \"127.0.0.1:9464\"";
/// Graph's patience for a first answer.
const GRAPH_WAITS: Duration = Duration::from_secs(3);
/// A day: longer waits are mistakes of unit.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest `silent_after`.
const QUIET_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The largest setting of a size.
const SIZE_MAX: usize = 1 << 30;
/// More connections than a process has file descriptors in any sane unit.
const CONNECTIONS_MAX: usize = 1_000_000;
/// A spool smaller than the log of its own changes would always be full.
const SPOOL_BYTES_MIN: u64 = 1 << 20;
/// Ten thousand items with headers of six kibibytes each.
pub(super) const SPOOL_BYTES_BESIDE: usize = 64 << 20;
/// AMQP 0-9-1, `shortstr`.
const NAME_BYTES_MAX: usize = 255;

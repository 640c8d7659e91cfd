//! Graph: where it is, who signs in, and which subscriptions are wanted.

pub(super) mod wanted;

use std::time::Duration;

use hyper::Uri;
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    super::{
        ClientState, Graph, Rich, Server, SignIn,
        raw::{GraphCloud, RawGraph, RawSubscription, SignInMethod},
    },
    Resolver,
};

/// What the subscriptions are made with where they do not say it.
pub(super) struct Defaults<'a> {
    pub(super) server: &'a Server,
    pub(super) client_states: &'a [ClientState],
    pub(super) rich: Option<&'a Rich>,
}

impl GraphCloud {
    /// Graph and identity platform ("National cloud deployments",
    /// <https://learn.microsoft.com/graph/deployments>; China's login from the identity platform's page on national clouds).
    fn urls(self) -> (&'static str, &'static str) {
        match self {
            Self::Global => ("https://graph.microsoft.com", "https://login.microsoftonline.com"),
            Self::UsGovernment => ("https://graph.microsoft.us", "https://login.microsoftonline.us"),
            Self::UsGovernmentDod => ("https://dod-graph.microsoft.us", "https://login.microsoftonline.us"),
            Self::China => {
                ("https://microsoftgraph.chinacloudapi.cn", "https://login.partner.microsoftonline.cn")
            }
        }
    }
}

impl Resolver<'_> {
    /// Nobody signs in unless `sign_in` says how: without that, everything else is a mistake.
    pub(super) fn graph(
        &mut self,
        raw: RawGraph,
        subscriptions: Vec<RawSubscription>,
        defaults: &Defaults<'_>,
    ) -> Option<Graph> {
        let Some(method) = raw.sign_in else {
            if raw != RawGraph::default() || !subscriptions.is_empty() {
                self.problem("graph.sign_in", "missing: without it nobody can ask Graph for subscriptions");
            }
            return None;
        };
        let (url, login_url) = raw.cloud.urls();
        let url = self.base("graph.url", raw.url.as_deref().unwrap_or(url));
        let login_url = self.base("graph.login_url", raw.login_url.as_deref().unwrap_or(login_url));
        let authorities = self.file("graph.ca_file", raw.ca_file.as_deref());
        if authorities.is_some_and(|pem| crate::client::roots(pem.as_bytes()).is_err()) {
            self.problem("graph.ca_file", "no certificate in PEM");
        }
        if !raw.directory.is_absolute() {
            self.problem("graph.directory", "expected an absolute path");
        }
        if !(10..=90).contains(&raw.renew_at) {
            self.problem("graph.renew_at", "expected 10 to 90 percent");
        }
        let (tenant, client_id) = self.app(method, &raw);
        let (ca_file, directory, manage, renew_at) =
            (raw.ca_file.clone(), raw.directory.clone(), raw.manage, raw.renew_at);
        let answer_within = self.time("graph.answer_within", raw.answer_within);
        let look_every = self.time("graph.look_every", raw.look_every);
        if look_every < LOOK_EVERY_MIN {
            self.problem("graph.look_every", "at least 10 s: Graph counts the lists it is asked for");
        }
        let lifetimes = self.lifetimes(&raw.lifetimes);
        let sign_in = self.sign_in(method, raw);
        let subscriptions = self.wanted(subscriptions, defaults);
        if manage && subscriptions.is_empty() {
            self.warning(
                "graph.manage",
                "no [[subscriptions]] are wanted: those made before will be deleted",
            );
        }
        Some(Graph {
            url: url?,
            login_url: login_url?,
            ca_file,
            tenant,
            client_id,
            sign_in: sign_in?,
            answer_within,
            directory,
            manage,
            look_every,
            renew_at,
            lifetimes,
            subscriptions,
        })
    }

    /// A URL with nothing behind the host. Tokens go there: in clear only within this machine.
    fn base(&mut self, key: &str, text: &str) -> Option<Uri> {
        let url = url::Url::parse(text).ok().filter(|url| {
            let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            let is_anonymous = url.username().is_empty() && url.password().is_none();
            let is_here = match url.host() {
                Some(url::Host::Ipv4(address)) => address.is_loopback(),
                Some(url::Host::Ipv6(address)) => address.is_loopback(),
                Some(url::Host::Domain(name)) => name == "localhost",
                None => false,
            };
            let is_safe = url.scheme() == "https" || url.scheme() == "http" && is_here;
            is_bare && is_anonymous && is_safe && url.has_host()
        });
        let uri = url.and_then(|url| url.as_str().trim_end_matches('/').parse().ok());
        if uri.is_none() {
            self.problem(
                key,
                "expected an https:// URL without a path (http:// only for this machine itself)",
            );
        }
        uri
    }

    fn app(&mut self, method: SignInMethod, raw: &RawGraph) -> (String, String) {
        let needs_app = match method {
            SignInMethod::ClientSecret | SignInMethod::Certificate | SignInMethod::DeviceCode => true,
            SignInMethod::ManagedIdentity | SignInMethod::Command => false,
        };
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let (tenant, client_id) = (text(&raw.tenant), text(&raw.client_id));
        let is_name = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
                && name.len() <= 253
        };
        if needs_app && tenant.is_empty() {
            self.problem("graph.tenant", "missing: the tenant's id or one of its domains");
        } else if !is_name(&tenant) {
            self.problem("graph.tenant", "expected an id or a domain");
        }
        let is_app = matches!(method, SignInMethod::ClientSecret | SignInMethod::Certificate);
        if is_app && ["common", "organizations", "consumers"].contains(&tenant.as_str()) {
            self.problem("graph.tenant", "an app signs in to one tenant: name it");
        }
        if needs_app && client_id.is_empty() {
            self.problem("graph.client_id", "missing: the app's id");
        } else if !client_id.is_empty() {
            return (tenant, self.guid("graph.client_id", &client_id));
        }
        (tenant, client_id)
    }

    fn sign_in(&mut self, method: SignInMethod, raw: RawGraph) -> Option<SignIn> {
        self.idle_graph_keys(method, &raw);
        match method {
            SignInMethod::ClientSecret => {
                let Some(secret) = raw.client_secret else {
                    self.problem("graph.client_secret", SECRET_MISSING);
                    return None;
                };
                self.secret("graph.client_secret", secret).map(SignIn::ClientSecret)
            }
            SignInMethod::Certificate => {
                let Some(key) = raw.private_key else {
                    self.problem("graph.private_key", SECRET_MISSING);
                    return None;
                };
                let private_key = self.secret("graph.private_key", key);
                let Some(path) = raw.certificate else {
                    self.problem("graph.certificate", "missing: the PEM file that was uploaded to the app");
                    return None;
                };
                let pem = self.file("graph.certificate", Some(&path))?;
                let Ok(certificate) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
                    self.problem("graph.certificate", format!("{}: no certificate in PEM", path.display()));
                    return None;
                };
                Some(SignIn::Certificate { certificate: certificate.to_vec(), private_key: private_key? })
            }
            SignInMethod::DeviceCode => {
                if raw.scopes.is_empty() {
                    self.problem("graph.scopes", "name at least one, such as \"Presence.Read.All\"");
                }
                Some(SignIn::DeviceCode { scopes: raw.scopes })
            }
            SignInMethod::ManagedIdentity => self.managed_identity(raw.identity),
            SignInMethod::Command => {
                if raw.command.first().is_none_or(|program| !program.starts_with('/')) {
                    self.problem(
                        "graph.command",
                        "expected the absolute path of a program, and its arguments",
                    );
                }
                Some(SignIn::Command(raw.command))
            }
        }
    }

    /// An App Service says where its endpoint is; everywhere else it has the address that all virtual machines know
    /// ("How to use managed identities to acquire an access token",
    /// <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>; "Use managed
    /// identities for App Service", <https://learn.microsoft.com/azure/app-service/overview-managed-identity>).
    fn managed_identity(&mut self, identity: Option<String>) -> Option<SignIn> {
        let service = self.environment.get("IDENTITY_ENDPOINT");
        let header = self
            .environment
            .get("IDENTITY_HEADER")
            .map(|header| crate::secret::Secret::new(header.to_owned()));
        let Ok(endpoint) = service.unwrap_or(VIRTUAL_MACHINE).parse() else {
            self.problem("graph.sign_in", "the environment variable IDENTITY_ENDPOINT is no URL");
            return None;
        };
        Some(SignIn::ManagedIdentity { endpoint, header, identity })
    }

    /// What belongs to another way of signing in is not silently without effect.
    fn idle_graph_keys(&mut self, method: SignInMethod, raw: &RawGraph) {
        let keys = [
            ("graph.client_secret", SignInMethod::ClientSecret, raw.client_secret.is_some()),
            ("graph.certificate", SignInMethod::Certificate, raw.certificate.is_some()),
            ("graph.private_key", SignInMethod::Certificate, raw.private_key.is_some()),
            ("graph.scopes", SignInMethod::DeviceCode, !raw.scopes.is_empty()),
            ("graph.identity", SignInMethod::ManagedIdentity, raw.identity.is_some()),
            ("graph.command", SignInMethod::Command, !raw.command.is_empty()),
        ];
        for (key, of, is_there) in keys {
            if is_there && of != method {
                self.warning(key, "has no effect with this graph.sign_in");
            }
        }
    }
}

const SECRET_MISSING: &str = "missing: one of { file = … }, { env = … }, { credential = … }, or a string";
const VIRTUAL_MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const LOOK_EVERY_MIN: Duration = Duration::from_secs(10);

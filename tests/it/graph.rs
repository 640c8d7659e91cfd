//! Our side of Graph's subscription API and of its sign-in, against a stand-in that keeps the service's rules.

mod faults;
mod operations;
mod secrets;
mod sign_in;
mod tokens;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use graphhook::config::{self, SignIn};
use graphhook::graph::Graph;
use graphhook::graph::subscription::NewSubscription;
use graphhook::metrics::Metrics;
use graphhook::notification::id::SubscriptionId;
use graphhook::secret::Secret;
use graphhook::simulate::api::{Call, Operation, Options};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tempfile::TempDir;

use crate::support::api::Stand;
use crate::support::certs::Authority;
use crate::support::issuer::{APP, TENANT};
use crate::support::site::{Content, Site, answer};

/// A stand-in, a receiver that echoes handshakes, and what asks.
struct Desk {
    stand: Stand,
    receiver: Site,
    directory: TempDir,
    metrics: Arc<Metrics>,
}

/// Answers handshakes as it must.
struct Echo;

impl Content for Echo {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let token = url::form_urlencoded::parse(query).find(|(name, _)| name == "validationToken");
        let mut answer = answer(200, token.map(|(_, token)| token.into_owned()).unwrap_or_default());
        answer.headers_mut().insert("content-type", "text/plain".parse().expect("a media type"));
        answer
    }
}

impl Desk {
    async fn open() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let stand = Stand::with(change).await;
        let directory = tempfile::tempdir().expect("a directory");
        let files = Authority::generate().write_into(directory.path());
        let receiver = Site::open(Some(&files), |_| Arc::new(Echo)).await;
        Self { stand, receiver, directory, metrics: Metrics::new() }
    }

    fn ca_file(&self) -> PathBuf {
        self.stand.files.path().join("api-ca.pem")
    }

    /// Where refresh tokens are kept.
    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn settings(&self, sign_in: SignIn) -> config::Graph {
        let origin: hyper::Uri = self.stand.api.origin().parse().expect("a URL");
        config::Graph {
            url: origin.clone(),
            login_url: origin,
            ca_file: Some(self.ca_file()),
            tenant: TENANT.to_owned(),
            client_id: APP.to_owned(),
            sign_in,
            answer_within: Duration::from_secs(15),
            directory: self.state(),
            manage: false,
            look_every: Duration::from_secs(300),
            renew_at: 60,
            lifetimes: BTreeMap::new(),
            subscriptions: Vec::new(),
        }
    }

    async fn graph_by(&self, settings: &config::Graph) -> Graph {
        Graph::new(settings, Arc::clone(&self.metrics)).await.expect("the settings are right")
    }

    /// Asks as the app, by its secret.
    async fn graph(&self) -> Graph {
        self.graph_by(&self.settings(by_secret())).await
    }

    /// A subscription to somebody's messages.
    fn new_of(&self, user: &str) -> NewSubscription {
        let url = format!("{}/graph", self.receiver.origin);
        NewSubscription {
            resource: format!("/users/{user}/messages"),
            change_type: "created,updated".to_owned(),
            notification_url: url.clone(),
            lifecycle_notification_url: url,
            expiration_date_time: self.in_minutes(90),
            client_state: Secret::new(STATE.to_owned()),
            include_resource_data: None,
            encryption_certificate: None,
            encryption_certificate_id: None,
            notification_url_app_id: None,
            notification_query_options: None,
            prefer: Vec::new(),
        }
    }

    fn in_minutes(&self, minutes: u64) -> SystemTime {
        self.stand.api.now() + Duration::from_secs(minutes * 60)
    }

    /// The calls of one sort that came.
    fn calls(&self, operation: Operation) -> Vec<Call> {
        self.stand.api.journal().into_iter().filter(|call| call.operation == operation).collect()
    }

    /// The value of a series.
    #[track_caller]
    fn metric(&self, series: &str) -> i64 {
        let page = self.metrics.render();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series}")).parse().expect("a whole number")
    }
}

fn by_secret() -> SignIn {
    SignIn::ClientSecret(Secret::new(CLIENT_SECRET.to_owned()))
}

fn nothing_known() -> HashSet<SubscriptionId<'static>> {
    HashSet::new()
}

const CLIENT_SECRET: &str = "cl1ent-secret-of-the-tests";
const STATE: &str = "cl1entState-of-the-tests";

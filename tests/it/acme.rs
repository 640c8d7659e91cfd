//! Certificates that the daemon obtains itself, from a real ACME server.

mod check;
mod failures;
mod first;
mod kept;
mod renewal;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::daemon::{Configuration, Daemon};
use crate::support::eventually::{eventually, eventually_within};
use crate::support::front::{Front, Weather};
use crate::support::graph::{PATH, collection, created};
use crate::support::https::{Client, request};
use crate::support::pebble::{Pebble, Wanted};
use crate::support::ports;

const DOMAIN: &str = "hooks.example.com";
const OTHER: &str = "other.example.com";

/// How a scene begins.
struct Plan {
    domains: Vec<&'static str>,
    seconds: u64,
    bad_nonces: u32,
    weather: Weather,
    http: Http,
}

/// HTTP-01.
#[derive(Clone, Copy, PartialEq)]
enum Http {
    /// Not used.
    Off,
    /// The authority and the daemon mean the same port.
    On,
    /// They do not.
    Astray,
}

impl Default for Plan {
    fn default() -> Self {
        let domains = vec![DOMAIN];
        Self { domains, seconds: YEAR, bad_nonces: 0, weather: Weather::Fair, http: Http::Off }
    }
}

/// An authority, what stands in front of it, and a daemon without broker.
struct Scene {
    pebble: Pebble,
    front: Front,
    daemon: Daemon,
    cache: TempDir,
    http: SocketAddr,
}

impl Scene {
    async fn start(plan: Plan) -> Self {
        Self::with(plan, |configuration| configuration).await
    }

    async fn with(plan: Plan, change: impl FnOnce(Configuration) -> Configuration) -> Self {
        let scene = Self::spawn(plan, change).await;
        scene.daemon.listening().await;
        scene
    }

    async fn spawn(plan: Plan, change: impl FnOnce(Configuration) -> Configuration) -> Self {
        let [tls_port, http_port, nobody] = ports::free();
        let Plan { domains, seconds, bad_nonces, weather, http } = plan;
        let looks_at = if http == Http::Astray { nobody } else { http_port };
        let pebble = Pebble::start(Wanted { tls_port, http_port: looks_at, seconds, bad_nonces }).await;
        let front = Front::of(&pebble).await;
        front.set(weather);
        let cache = tempfile::tempdir().expect("a temporary directory can be made");
        let quoted = |value: &dyn AsRef<Path>| format!("{:?}", value.as_ref());
        let mut configuration = Daemon::configure()
            .without_broker()
            .set("server", "listen", &format!("[\"127.0.0.1:{tls_port}\"]"))
            .set("server.tls", "mode", "\"acme\"")
            .set("server.tls", "domains", &format!("{domains:?}"))
            .set("server.tls", "contact", "\"ops@example.com\"")
            .set("server.tls", "directory", &format!("{:?}", front.directory()))
            .set("server.tls", "cache", &quoted(&cache.path().join("acme")))
            .set("server.tls", "ca_file", &quoted(&pebble.ca()));
        if http != Http::Off {
            configuration =
                configuration.set("server.tls", "http_listen", &format!("\"127.0.0.1:{http_port}\""));
        }
        let daemon = Daemon::spawn(change(configuration));
        Self { pebble, front, daemon, cache, http: (Ipv4Addr::LOCALHOST, http_port).into() }
    }

    /// The certificate that is shown to a client that asks for this host and believes the authority.
    async fn shown(&self, host: &str) -> io::Result<CertificateDer<'static>> {
        let root = self.pebble.root().await;
        let stream = self.connect(&root, host).await?;
        let chain = stream.get_ref().1.peer_certificates().expect("the server has shown itself");
        Ok(chain[0].clone().into_owned())
    }

    /// Waits until there is a good certificate for this host.
    #[track_caller]
    fn eventually_shown(&self, host: &str) -> impl Future<Output = CertificateDer<'static>> {
        eventually_within(BOUND, format!("a certificate of {host}"), async move || {
            self.shown(host).await.ok()
        })
    }

    /// Waits until there is another one.
    #[track_caller]
    fn eventually_shown_after(
        &self,
        old: &CertificateDer<'static>,
    ) -> impl Future<Output = CertificateDer<'static>> {
        let look = async move || self.shown(DOMAIN).await.ok().filter(|shown| shown != old);
        eventually_within(BOUND, "a new certificate", look)
    }

    async fn connect(&self, root: &Path, host: &str) -> io::Result<TlsStream<TcpStream>> {
        let client = Client::new(self.daemon.public(), root).http1();
        let stream = TcpStream::connect(self.daemon.public()).await?;
        let name = ServerName::try_from(host.to_owned()).expect("it is a name");
        TlsConnector::from(client.tls()).connect(name, stream).await
    }

    /// As an authority connects that wants to see a challenge.
    async fn connect_for_a_challenge(&self) -> io::Result<TlsStream<TcpStream>> {
        let client = Client::new(self.daemon.public(), &self.pebble.root().await);
        let mut config = client.tls().as_ref().clone();
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let stream = TcpStream::connect(self.daemon.public()).await?;
        let name = ServerName::try_from(DOMAIN).expect("it is a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Waits until key and certificate lie in the cache: they are served a little earlier.
    #[track_caller]
    fn eventually_saved(&self) -> impl Future<Output = ()> {
        let file = format!("{DOMAIN}.pem");
        eventually_within(BOUND, "a certificate in the cache", async move || {
            let good = self.standings().await[0]["state"] == "good";
            (good && self.files().iter().any(|path| path.ends_with(&file))).then_some(())
        })
    }

    /// What the daemon says of its domains.
    async fn standings(&self) -> Vec<Value> {
        let (status, text) = self.daemon.get_admin("/status").await;
        assert_eq!(status, 200);
        let status: Value = serde_json::from_str(&text).expect("the status is JSON");
        status["acme"].as_array().expect("the daemon obtains certificates").clone()
    }

    /// Waits until the last error of the first domain contains this; returns what is said of the domain.
    #[track_caller]
    fn eventually_fails(&self, words: &str) -> impl Future<Output = Value> {
        eventually_within(BOUND, format!("{words:?} as the last error"), async move || {
            let standing = self.standings().await.remove(0);
            standing["last_error"].as_str().is_some_and(|error| error.contains(words)).then_some(standing)
        })
    }

    /// The files of the cache, by name.
    fn files(&self) -> Vec<PathBuf> {
        let authorities: Vec<_> =
            self.cache.path().join("acme").read_dir().expect("there is a cache").collect();
        assert_eq!(authorities.len(), 1, "{authorities:?}");
        let authority = authorities[0].as_ref().expect("it can be read").path();
        let files = authority.read_dir().expect("it is a directory");
        let mut files: Vec<_> = files.map(|file| file.expect("it can be read").path()).collect();
        files.sort();
        files
    }

    fn file(&self, name: &str) -> PathBuf {
        let files = self.files();
        let found = files.iter().find(|path| path.ends_with(name));
        found.unwrap_or_else(|| panic!("no {name} in {files:?}")).clone()
    }

    async fn counts(&self) -> (f64, f64) {
        let metrics = self.daemon.metrics().await;
        let count = |result: &str| {
            let name = format!("graphhook_acme_orders_total{{result=\"{result}\"}}");
            metrics.find(&name).expect("it is there from the start")
        };
        (count("issued"), count("failed"))
    }
}

impl Drop for Scene {
    #[expect(clippy::print_stderr, reason = "the harness shows it with a test that has failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the daemon said\n{}\nthe authority said\n{}", self.daemon.log(), self.pebble.log());
        }
    }
}

/// One connection that is kept, and on which notifications are posted all the time; ends when dropped.
struct Posting {
    accepted: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

impl Posting {
    async fn start(scene: &Scene) -> Self {
        let root = scene.pebble.root().await;
        let stream = scene.connect(&root, DOMAIN).await.expect("there is a certificate");
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
        let accepted = Arc::<AtomicU64>::default();
        let (counted, mut tasks) = (Arc::clone(&accepted), JoinSet::new());
        tasks.spawn(async { drop(driver.await) });
        tasks.spawn(async move {
            for number in 0.. {
                let body = Bytes::from(collection([created(&format!("m{number}"))]));
                let mut request = request(hyper::Method::POST, PATH, &[], body).map(Full::new);
                request.headers_mut().insert(HOST, DOMAIN.parse().expect("a header value"));
                let answer = sender.send_request(request).await.expect("the connection stays");
                assert_eq!(answer.status(), 202);
                // An empty body leaves nothing to read.
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { accepted, tasks }
    }

    /// Waits until one more is accepted; panics if the connection has ended.
    async fn goes_on(&mut self) {
        let before = self.accepted();
        eventually("another notification accepted", async || {
            assert!(self.tasks.try_join_next().is_none(), "posting has ended");
            (self.accepted() > before).then_some(())
        })
        .await;
    }

    fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

const YEAR: u64 = 365 * 24 * 60 * 60;
/// Half of it is before the renewal.
const SHORT: u64 = 20;
const BOUND: Duration = Duration::from_secs(90);

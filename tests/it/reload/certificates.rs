//! Certificates that change under the daemon, as the tools that renew them do it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{SUCCESSFUL, reload, reload_well, status};
use crate::support::certs::{Authority, Pair};
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually;
use crate::support::graph::{created, post};
use crate::support::https::Client;

const TAKEN: &str = r#"graphhook_tls_reloads_total{result="taken"}"#;
const REFUSED: &str = r#"graphhook_tls_reloads_total{result="refused"}"#;
const REFUSAL: &str = "the new certificate cannot be served";

/// A daemon whose certificate and key lie in a directory behind a symbolic link.
struct Scene {
    authority: Authority,
    daemon: Daemon,
    directory: TempDir,
    ca: PathBuf,
}

impl Scene {
    async fn begin() -> (Self, Pair) {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Authority::generate();
        let ca = directory.path().join("ca.pem");
        fs::write(&ca, authority.pem()).expect("written");
        let first = authority.server();
        write_version(directory.path(), "first", &first);
        let live = |file: &str| format!("\"{}\"", directory.path().join("live").join(file).display());
        let daemon = Daemon::configure()
            .set("server.tls", "certificate", &live("cert.pem"))
            .set("server.tls", "private_key", &live("key.pem"))
            .connected()
            .await;
        (Self { authority, daemon, directory, ca }, first)
    }

    fn live(&self, file: &str) -> PathBuf {
        self.directory.path().join("live").join(file)
    }

    fn client(&self) -> Client {
        Client::new(self.daemon.public(), &self.ca)
    }

    /// Waits, ten seconds at most, until new connections are shown this pair.
    async fn eventually_shows(&self, pair: &Pair) {
        let wanted = pair.der();
        eventually("the new certificate", async || (shown(&self.client()).await == wanted).then_some(()))
            .await;
    }

    async fn eventually_refuses(&self, more_than: f64) {
        self.daemon.eventually_metric(REFUSED, |refused| refused > more_than).await;
    }
}

/// Puts a pair into a directory of its own, and the link on it in one step.
fn write_version(directory: &Path, name: &str, pair: &Pair) {
    let version = directory.join(name);
    fs::create_dir(&version).expect("a new name");
    pair.write(&version.join("cert.pem"), &version.join("key.pem"));
    let link = directory.join("live.new");
    symlink(name, &link).expect("a new link");
    fs::rename(link, directory.join("live")).expect("the link can be replaced");
}

/// Writes beside the file and renames.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("written");
    fs::rename(beside, path).expect("renamed");
}

/// The certificate that a new connection is shown; the handshake proves that the daemon has its key.
async fn shown(client: &Client) -> Vec<u8> {
    let stream = client.connect().await.expect("every handshake succeeds");
    stream.get_ref().1.peer_certificates().expect("a server has one")[0].to_vec()
}

/// Connects without end, and panics when a handshake fails.
struct Visitors {
    stop: watch::Sender<bool>,
    tasks: JoinSet<BTreeSet<Vec<u8>>>,
}

impl Visitors {
    fn start(scene: &Scene) -> Self {
        let (stop, _) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for client in [scene.client(), scene.client().tls12()] {
            let stopped = stop.subscribe();
            tasks.spawn(async move {
                let mut seen = BTreeSet::new();
                while !*stopped.borrow() {
                    seen.insert(shown(&client).await);
                }
                seen
            });
        }
        Self { stop, tasks }
    }

    /// The certificates they saw.
    async fn stop(self) -> BTreeSet<Vec<u8>> {
        self.stop.send_replace(true);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// T1: each way in which a pair is replaced. Handshakes succeed all the while, with one of the pairs that were whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_taken_without_a_signal() {
    let (scene, first) = Scene::begin().await;
    let visitors = Visitors::start(&scene);
    let kept = scene.client();
    assert_eq!(post(&kept, [created("before")]).await.status, 202);
    let (certificate, key) = (scene.live("cert.pem"), scene.live("key.pem"));

    let in_place = scene.authority.server();
    in_place.write(&certificate, &key);
    scene.eventually_shows(&in_place).await;

    let renamed = scene.authority.server();
    replace(&certificate, &renamed.certificate);
    replace(&key, &renamed.key);
    scene.eventually_shows(&renamed).await;

    let linked = scene.authority.server();
    write_version(scene.directory.path(), "second", &linked);
    scene.eventually_shows(&linked).await;

    // The key comes long before its certificate, and is complained of.
    let key_first = scene.authority.server();
    let refused = scene.daemon.metrics().await.get(REFUSED);
    fs::write(&key, &key_first.key).expect("written");
    scene.eventually_refuses(refused).await;
    assert_eq!(shown(&scene.client()).await, linked.der());
    fs::write(&certificate, &key_first.certificate).expect("written");
    scene.eventually_shows(&key_first).await;

    // Half of a certificate, for long.
    let half = scene.authority.server();
    let refused = scene.daemon.metrics().await.get(REFUSED);
    fs::write(&certificate, &half.certificate[..half.certificate.len() / 2]).expect("written");
    fs::write(&key, &half.key).expect("written");
    scene.eventually_refuses(refused).await;
    assert_eq!(shown(&scene.client()).await, key_first.der());
    fs::write(&certificate, &half.certificate).expect("written");
    scene.eventually_shows(&half).await;

    let whole = [&first, &in_place, &renamed, &linked, &key_first, &half].map(Pair::der);
    assert_eq!(visitors.stop().await, BTreeSet::from(whole));
    assert_eq!(post(&kept, [created("after")]).await.status, 202);
    assert_eq!(kept.opened(), 1, "a kept connection was dropped");
    assert_eq!(scene.daemon.metrics().await.get(TAKEN), 5.0);
    assert_eq!(status(&scene.daemon).await["certificates"][0]["refused"], serde_json::Value::Null);
}

/// T1: the metric follows the certificate, and forgets hosts that are gone.
#[tokio::test]
async fn the_end_of_the_new_certificate_is_shown() {
    let (scene, _) = Scene::begin().await;
    let series =
        |host: &str| format!("graphhook_tls_certificate_not_after_timestamp_seconds{{host=\"{host}\"}}");
    let before = scene.daemon.metrics().await;
    assert!(before.find(&series("127.0.0.1")).is_some());
    let pair = scene.authority.server_for(&["localhost", "hooks.example.com"]);
    pair.write(&scene.live("cert.pem"), &scene.live("key.pem"));
    reload_well(&scene.daemon).await;
    assert_eq!(shown(&scene.client()).await, pair.der(), "a reload takes it at once");
    let after = scene.daemon.metrics().await;
    let ends = |host: &str| after.find(&series(host));
    assert_eq!((ends("127.0.0.1"), ends("::1")), (None, None));
    assert_eq!(ends("hooks.example.com"), ends("localhost"));
    assert!(ends("localhost").expect("a series") < before.get(&series("localhost")));
    assert_eq!(status(&scene.daemon).await["certificates"][0]["hosts"][1], "hooks.example.com");
}

/// T1: sessions that began under the old certificate are resumed under the new one.
#[tokio::test]
async fn sessions_are_resumed_across_a_new_certificate() {
    let (scene, _) = Scene::begin().await;
    for client in [scene.client().http1(), scene.client().http1().tls12()] {
        let memory = client.tls();
        let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        for resumed in [false, true] {
            let mut raw = client.raw_with(memory.clone()).await;
            raw.send(request).await;
            raw.read_past("ok\n").await;
            assert_eq!(raw.is_resumed(), resumed);
        }
        scene.authority.server().write(&scene.live("cert.pem"), &scene.live("key.pem"));
        reload_well(&scene.daemon).await;
        let mut raw = client.raw_with(memory).await;
        raw.send(request).await;
        raw.read_past("ok\n").await;
        assert!(raw.is_resumed());
    }
}

/// T2: pairs that would not do. The old one stays, each is complained of once, and the next good one is taken.
#[tokio::test]
async fn a_bad_certificate_is_refused_and_the_old_one_stays() {
    let (scene, first) = Scene::begin().await;
    let good = scene.authority.server();
    let mixed = Pair { certificate: scene.authority.server().certificate, ..good.clone() };
    let shuffled = format!("{}{}", good.certificate, mixed.certificate);
    let bad = [
        (Pair { certificate: "no certificate".to_owned(), ..good.clone() }, "holds no certificate"),
        (Pair { key: "no key".to_owned(), ..good.clone() }, "holds no private key"),
        (scene.authority.server_between((2020, 1, 1), (2021, 1, 1)), "has expired"),
        (scene.authority.server_between((2040, 1, 1), (2041, 1, 1)), "not valid yet"),
        (mixed, "cannot be used together"),
        (Pair { certificate: shuffled, ..good.clone() }, "not in order"),
    ];
    for (index, (pair, words)) in bad.iter().enumerate() {
        pair.write(&scene.live("cert.pem"), &scene.live("key.pem"));
        scene.eventually_refuses(index as f64).await;
        eventually("the refusal in the status", async || {
            let refused = status(&scene.daemon).await["certificates"][0]["refused"].clone();
            refused.as_str().is_some_and(|refused| refused.contains(words)).then_some(())
        })
        .await;
        assert_eq!(shown(&scene.client()).await, first.der(), "{words}");
        // A look may fall between the two files, once.
        let complaints = scene.daemon.log().matches(REFUSAL).count();
        assert!((index + 1..=2 * (index + 1)).contains(&complaints), "{}", scene.daemon.log());
        // A signal does not make it better.
        let last = reload(&scene.daemon).await;
        assert!(last["message"].as_str().is_some_and(|message| message.contains(words)), "{last}");
        assert_eq!(scene.daemon.metrics().await.get(SUCCESSFUL), 0.0);
        assert_eq!(shown(&scene.client()).await, first.der(), "{words}");
    }
    good.write(&scene.live("cert.pem"), &scene.live("key.pem"));
    scene.eventually_shows(&good).await;
    assert_eq!(status(&scene.daemon).await["certificates"][0]["refused"], serde_json::Value::Null);
    reload_well(&scene.daemon).await;
}

/// A certificate that has expired while it was served does not keep other changes out.
#[tokio::test]
async fn an_expired_certificate_is_served_until_a_better_one_comes() {
    let (scene, _) = Scene::begin().await;
    let expired = scene.authority.server_between((2020, 1, 1), (2021, 1, 1));
    scene.daemon.kill();
    expired.write(&scene.live("cert.pem"), &scene.live("key.pem"));
    let mut scene = scene;
    scene.daemon.restart().await;
    scene.daemon.eventually_logs("Graph does not deliver to this certificate").await;
    reload_well(&scene.daemon).await;
    let good = scene.authority.server();
    good.write(&scene.live("cert.pem"), &scene.live("key.pem"));
    eventually("the new certificate", async || {
        let stream = scene.client().connect().await.ok()?;
        let shown = stream.get_ref().1.peer_certificates()?.first()?.to_vec();
        (shown == good.der()).then_some(())
    })
    .await;
}

//! Several pairs of certificate and key, each with a life of its own.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{SUCCESSFUL, reload, reload_well, status};
use crate::support::certs::{Authority, Pair};
use crate::support::daemon::{Configuration, Daemon};
use crate::support::eventually::eventually;
use crate::support::https::Client;
use crate::support::visitor::Visitor;

const TAKEN: &str = r#"graphhook_tls_reloads_total{result="taken"}"#;
const REFUSED: &str = r#"graphhook_tls_reloads_total{result="refused"}"#;
const ENDS: &str = "graphhook_tls_certificate_not_after_timestamp_seconds";

/// Files for any number of pairs, and a daemon that serves some.
struct Scene {
    authority: Authority,
    directory: TempDir,
    daemon: Daemon,
}

impl Scene {
    /// Serves the pair `a`, then `b`, each for `<name>.example`.
    async fn begin() -> Self {
        let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::generate());
        for name in ["a", "b"] {
            write(directory.path(), name, &authority.server_for(&[&host(name)]));
        }
        let configuration = serving(Daemon::configure(), directory.path(), &["a", "b"]);
        let daemon = configuration.without_broker().start().await;
        Self { authority, directory, daemon }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A new pair for the host of this name, not written yet.
    fn pair(&self, name: &str) -> Pair {
        self.authority.server_for(&[&host(name)])
    }

    fn serve(&mut self, names: &[&str]) {
        let directory = self.directory.path().to_owned();
        self.daemon.reconfigure(|configuration| serving(configuration, &directory, names));
    }

    async fn shown(&self, name: &str) -> Vec<u8> {
        let visitor = Visitor::new(self.daemon.public()).of(&host(name));
        visitor.visit().await.expect("a handshake").certificate
    }

    async fn eventually_shows(&self, name: &str, pair: &Pair) {
        let wanted = pair.der();
        eventually("the new certificate", async || (self.shown(name).await == wanted).then_some(())).await;
    }

    async fn certificates(&self) -> Value {
        status(&self.daemon).await["certificates"].clone()
    }
}

fn host(name: &str) -> String {
    format!("{name}.example")
}

fn file(directory: &Path, name: &str, kind: &str) -> PathBuf {
    directory.join(format!("{name}-{kind}.pem"))
}

fn write(directory: &Path, name: &str, pair: &Pair) {
    pair.write(&file(directory, name, "cert"), &file(directory, name, "key"));
}

fn serving(configuration: Configuration, directory: &Path, names: &[&str]) -> Configuration {
    let quoted = |name: &str, kind| format!("\"{}\"", file(directory, name, kind).display());
    let entry = |name: &&str| {
        format!("{{ certificate = {}, private_key = {} }}", quoted(name, "cert"), quoted(name, "key"))
    };
    let further: Vec<String> = names[1..].iter().map(entry).collect();
    configuration
        .set("server.tls", "certificate", &quoted(names[0], "cert"))
        .set("server.tls", "private_key", &quoted(names[0], "key"))
        .set("server.tls", "certificates", &format!("[{}]", further.join(", ")))
}

/// T1: a pair that is not the default is watched as well, and the others do not notice.
#[tokio::test]
async fn each_pair_is_renewed_by_itself() {
    let scene = Scene::begin().await;
    let first = scene.shown("a").await;
    let renewed = scene.pair("b");
    write(scene.path(), "b", &renewed);
    scene.eventually_shows("b", &renewed).await;
    assert_eq!(scene.shown("a").await, first);
    assert_eq!(scene.daemon.metrics().await.get(TAKEN), 1.0);
    let other = scene.pair("a");
    write(scene.path(), "a", &other);
    scene.eventually_shows("a", &other).await;
    scene.eventually_shows("b", &renewed).await;
}

/// T2: a bad pair is named by its file, and keeps nobody else from being renewed.
#[tokio::test]
async fn a_bad_pair_is_named_and_hinders_no_other() {
    let scene = Scene::begin().await;
    let old = scene.shown("b").await;
    let bad = Pair { key: scene.pair("b").key, ..scene.pair("b") };
    write(scene.path(), "b", &bad);
    scene.daemon.eventually_metric(REFUSED, |refused| refused == 1.0).await;
    eventually("the refusal in the status", async || {
        let refused = scene.certificates().await[1]["refused"].clone();
        refused.as_str().is_some_and(|why| why.contains("cannot be used together")).then_some(())
    })
    .await;
    let bad_file = file(scene.path(), "b", "cert").display().to_string();
    assert_eq!(scene.certificates().await[1]["file"], bad_file);
    assert_eq!(scene.certificates().await[0]["refused"], Value::Null);
    let log = scene.daemon.log();
    let said = log.lines().find(|line| line.contains("the new certificate cannot be served"));
    assert!(said.is_some_and(|line| line.contains(&bad_file)), "{log}");

    let renewed = scene.pair("a");
    write(scene.path(), "a", &renewed);
    scene.eventually_shows("a", &renewed).await;
    assert_eq!(scene.shown("b").await, old);
    // A reload is all or nothing.
    let last = reload(&scene.daemon).await;
    let message = last["message"].as_str().expect("words");
    assert!(message.contains("server.tls.certificates.0.certificate"), "{message}");
    assert_eq!(scene.daemon.metrics().await.get(SUCCESSFUL), 0.0);
}

/// Pairs come and go with a reload, and those that stay are not judged again.
#[tokio::test]
async fn a_reload_adds_pairs_and_takes_them_away() {
    let mut scene = Scene::begin().await;
    let (first, second) = (scene.shown("a").await, scene.shown("b").await);
    let third = scene.pair("c");
    fs::write(file(scene.path(), "c", "cert"), &third.certificate).expect("written");
    scene.serve(&["a", "b", "c"]);
    let last = reload(&scene.daemon).await;
    let message = last["message"].as_str().expect("words");
    assert!(message.contains("server.tls.certificates.1.private_key"), "{message}");
    assert_eq!(scene.shown("c").await, first, "half of a change was taken");

    write(scene.path(), "c", &third);
    reload_well(&scene.daemon).await;
    scene.eventually_shows("c", &third).await;
    assert_eq!(scene.daemon.metrics().await.get(TAKEN), 1.0, "two of the three were there before");

    // The default goes, another one takes its place.
    scene.serve(&["b", "c"]);
    reload_well(&scene.daemon).await;
    assert_eq!(scene.shown("a").await, second);
    assert_eq!(scene.daemon.metrics().await.get(TAKEN), 1.0);
    let hosts: Vec<String> = scene.daemon.metrics().await.of(ENDS).map(|(name, _)| name.to_owned()).collect();
    assert_eq!(hosts, [format!("{ENDS}{{host=\"b.example\"}}"), format!("{ENDS}{{host=\"c.example\"}}")]);
    assert_eq!(scene.certificates().await.as_array().map(Vec::len), Some(2));
    // What is watched has moved along.
    let renewed = scene.pair("c");
    write(scene.path(), "c", &renewed);
    scene.eventually_shows("c", &renewed).await;
}

/// Of two certificates for one host the metric tells of the one that is served.
#[tokio::test]
async fn the_metric_tells_of_the_certificate_that_is_served() {
    let mut scene = Scene::begin().await;
    let series = format!("{ENDS}{{host=\"localhost\"}}");
    write(scene.path(), "long", &scene.authority.server());
    write(scene.path(), "short", &scene.authority.server_for(&["localhost"]));
    scene.serve(&["a", "long", "short"]);
    reload_well(&scene.daemon).await;
    let long = scene.daemon.metrics().await.get(&series);
    scene.serve(&["a", "short", "long"]);
    reload_well(&scene.daemon).await;
    let short = scene.daemon.metrics().await.get(&series);
    assert!(short < long);
    scene.serve(&["a", "long"]);
    reload_well(&scene.daemon).await;
    assert_eq!(scene.daemon.metrics().await.get(&series), long);
}

/// T2: a chain whose names fit, but whose signatures do not.
#[tokio::test]
async fn a_chain_is_judged_as_clients_judge_it() {
    let scene = Scene::begin().await;
    let (ours, namesake) = (scene.authority.intermediate(), scene.authority.intermediate());
    let good = ours.server();
    let (leaf, _) = good.certificate.split_at(good.certificate.find("-----END").expect("PEM") + 26);
    let bad = Pair { certificate: format!("{leaf}{}", namesake.pem()), ..good.clone() };
    write(scene.path(), "a", &bad);
    let last = reload(&scene.daemon).await;
    let message = last["message"].as_str().expect("words");
    assert!(message.contains("clients cannot trust the chain"), "{message}");
    let nameless = scene.authority.server_for(&[]);
    write(scene.path(), "a", &nameless);
    let last = reload(&scene.daemon).await;
    assert!(last["message"].as_str().is_some_and(|message| message.contains("names no host")), "{last}");

    write(scene.path(), "a", &good);
    reload_well(&scene.daemon).await;
    // A client that knows the root only comes to it by what the server sends along.
    let ca = scene.path().join("ca.pem");
    fs::write(&ca, scene.authority.pem()).expect("written");
    Client::new(scene.daemon.public(), &ca).connect().await.expect("a chain up to the root");
}

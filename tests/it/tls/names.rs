//! T5: the name that a client asks for chooses the certificate.

use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;

use super::{REFUSED, further};
use crate::reload::reload_well;
use crate::support::certs::{Authority, Pair};
use crate::support::daemon::{Configuration, Daemon};
use crate::support::visitor::Visitor;

struct Scene {
    default: Pair,
    exact: Pair,
    wildcard: Pair,
    _directory: TempDir,
    configuration: Configuration,
}

impl Scene {
    fn new() -> Self {
        let (directory, authority) = (tempfile::tempdir().expect("a directory"), Authority::generate());
        let default = authority.server_for(&["default.example.net"]);
        let wildcard = authority.server_for(&["*.example.com", "exact.example.org"]);
        let exact = authority.server_for(&["exact.example.com", "Exact.Example.ORG"]);
        let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        default.write(&certificate, &key);
        let pairs = further(directory.path(), &[("wildcard", &wildcard), ("exact", &exact)]);
        let quoted = |path: &std::path::Path| format!("\"{}\"", path.display());
        let configuration = Daemon::configure()
            .set("server.tls", "certificate", &quoted(&certificate))
            .set("server.tls", "private_key", &quoted(&key))
            .set("server.tls", "certificates", &pairs)
            .without_broker();
        Self { default, exact, wildcard, _directory: directory, configuration }
    }
}

#[tokio::test]
async fn a_client_sees_the_certificate_of_the_host_it_asks_for() {
    let scene = Scene::new();
    let daemon = scene.configuration.start().await;
    for version in [&TLS12, &TLS13] {
        let visitor = Visitor::new(daemon.public()).speaking(version);
        for (name, pair) in [
            ("default.example.net", &scene.default),
            ("exact.example.com", &scene.exact),
            ("EXACT.example.com", &scene.exact),
            ("other.example.com", &scene.wildcard),
            // Two have it: the first in the file is served.
            ("exact.example.org", &scene.wildcard),
            // A wildcard is for one label.
            ("a.other.example.com", &scene.default),
            ("example.com", &scene.default),
            ("unknown.example", &scene.default),
        ] {
            let visit = visitor.of(name).visit().await.expect("a handshake");
            assert_eq!(visit.certificate, pair.der(), "{name}");
        }
        let nameless = visitor.of_none().visit().await.expect("a handshake");
        assert_eq!(nameless.certificate, scene.default.der());
    }
}

#[tokio::test]
async fn who_asks_for_an_unknown_host_can_be_refused() {
    let scene = Scene::new();
    let mut daemon = scene.configuration.start().await;
    let visitor = Visitor::new(daemon.public());
    let (unknown, none) = (visitor.of("unknown.example"), visitor.of_none());
    let memory = std::sync::Arc::new(unknown.tls());
    assert!(unknown.visit_with(&memory).await.is_ok());

    daemon.reconfigure(|configuration| configuration.set("server.tls", "unknown_host", "\"refuse\""));
    reload_well(&daemon).await;
    let before = daemon.metrics().await.get(REFUSED);
    assert!(unknown.visit().await.is_err());
    assert!(none.visit().await.is_err());
    assert!(unknown.visit_with(&memory).await.is_err(), "a session opens no closed door");
    daemon.eventually_metric(REFUSED, |refused| refused == before + 3.0).await;
    for name in ["default.example.net", "exact.example.com", "other.example.com"] {
        assert!(visitor.of(name).visit().await.is_ok(), "{name}");
    }

    daemon.reconfigure(|configuration| configuration.set("server.tls", "unknown_host", "\"default\""));
    reload_well(&daemon).await;
    assert!(unknown.visit().await.is_ok());
}

//! Client certificates: for a proxy in front that has one.

use std::fs;
use std::sync::Arc;

use rustls::version::{TLS12, TLS13};

use super::REFUSED;
use crate::support::certs::Authority;
use crate::support::daemon::{Daemon, run};
use crate::support::visitor::Visitor;

#[tokio::test]
async fn who_has_no_certificate_of_the_right_authority_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (ours, theirs) = (Authority::generate(), Authority::generate());
    let file = directory.path().join("proxies.pem");
    // Two authorities, one of them below another: both count.
    let below = Authority::generate().intermediate();
    fs::write(&file, format!("{}{}", ours.pem(), below.pem())).expect("written");
    let daemon = Daemon::configure()
        .set("server.tls", "client_ca_file", &format!("\"{}\"", file.display()))
        .without_broker()
        .start()
        .await;
    for version in [&TLS12, &TLS13] {
        let stranger = Visitor::new(daemon.public()).speaking(version);
        let before = daemon.metrics().await.get(REFUSED);
        assert!(stranger.visit().await.is_err(), "no certificate");
        assert!(stranger.certified(&theirs.client("proxy")).visit().await.is_err(), "a stranger's");
        assert!(stranger.certified(&ours.server()).visit().await.is_err(), "a server's");
        daemon.eventually_metric(REFUSED, |refused| refused == before + 3.0).await;

        for authority in [&ours, &below] {
            let proxy = stranger.certified(&authority.client("proxy"));
            let memory = Arc::new(proxy.tls());
            assert!(!proxy.visit_with(&memory).await.expect("a visit").is_resumed);
            assert!(proxy.visit_with(&memory).await.expect("a visit").is_resumed);
        }
        assert_eq!(daemon.metrics().await.get(REFUSED), before + 3.0);
    }
}

#[tokio::test]
async fn a_file_without_authorities_is_refused_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    let file = directory.path().join("proxies.pem");
    let path = Daemon::configure()
        .set("server.tls", "client_ca_file", &format!("\"{}\"", file.display()))
        .write_into(directory.path(), &files);
    let path = path.to_str().expect("UTF-8");
    let key = fs::read_to_string(&files.client_key).expect("a key");
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for wrong in [Some("hunter2"), Some(key.as_str()), Some(garbage), None] {
        match wrong {
            Some(text) => fs::write(&file, text).expect("written"),
            None => fs::remove_file(&file).expect("it was there"),
        }
        for command in [&["serve", "--config", path][..], &["check", "--offline", "--config", path]] {
            let output = run(command, &[]).await;
            let said = format!("{output:?}");
            assert_eq!(output.status.code(), Some(78), "{said}");
            assert!(said.contains("server.tls.client_ca_file") && !said.contains("hunter2"), "{said}");
        }
    }
}

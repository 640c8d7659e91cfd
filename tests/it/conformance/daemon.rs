//! The whole list against graphhook itself.

use std::fs;
use std::net::SocketAddr;

use graphhook::simulate::issuer::Issuer;
use graphhook::simulate::template::{OTHER_TENANT, TENANT};

use super::{conformance, said, try_receiver};
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::support::graph::PATH;
use crate::support::rich::Recipient;

fn url(daemon: &Daemon, path: &str) -> String {
    format!("https://localhost:{}{path}", daemon.public().port())
}

#[tokio::test]
async fn the_daemon_passes_strictly() {
    let daemon = Daemon::configure().start().await;
    daemon.eventually_metric(CONNECTION_UP, |value| value == 1.0).await;
    let ca = daemon.ca().to_str().expect("UTF-8");
    let second = url(&daemon, "/graph/lifecycle");
    let run = conformance(&url(&daemon, PATH), &["--ca", ca, "--strict", "--lifecycle-url", &second]).await;
    run.check_green();
    // Both URLs are there, and so nothing comes to one that is for the other.
    assert_eq!(run.that("skipped").into_iter().collect::<Vec<_>>(), ["lifecycle/beside-notifications"]);
    let why = &run.case("lifecycle/beside-notifications")["observed"];
    assert_eq!(why, "lifecycle events have a URL of their own");
    assert!(run.that("passed").len() >= 60);
    assert_eq!(run.report["tls"], "TLS 1.3");
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.get("graphhook_conservation_error"), 0.0);
    assert!(metrics.get(r#"graphhook_notifications_refused_total{reason="mismatch"}"#) > 0.0);
}

/// It knows the issuer, and so it opens what is good and refuses what is not; the answers show nothing of it.
#[tokio::test]
async fn the_daemon_passes_with_resource_data_that_it_checks() {
    let directory = tempfile::tempdir().expect("a directory");
    let issuer = Issuer::kept(directory.path()).await.expect("an issuer");
    let serving = issuer.serve(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a free port");
    let ca_file = directory.path().join("ca.pem");
    fs::write(&ca_file, serving.authority()).expect("written");
    let recipient = Recipient::generate("mine");
    let (table, _) = recipient.table_with_certificate(directory.path());
    let daemon = Daemon::configure()
        .set("rich", "deliver", "\"opened\"")
        .set("rich", "app_ids", "[\"925bff9f-f6e2-4a69-b858-f71ea2b9b6d0\"]")
        .set("rich", "tenants", &format!("[{TENANT:?}, {OTHER_TENANT:?}]"))
        .set("rich", "key_documents", &format!("{:?}", serving.key_documents()))
        .set("rich", "ca_file", &format!("{ca_file:?}"))
        .append(&table)
        .start()
        .await;
    daemon.eventually_metric(CONNECTION_UP, |value| value == 1.0).await;
    let ca = daemon.ca().to_str().expect("UTF-8");
    let certificate = directory.path().join("mine.cert.pem");
    let run = conformance(
        &url(&daemon, PATH),
        &[
            "--ca",
            ca,
            "--strict",
            "--only",
            "rich",
            "--only",
            "lifecycle",
            "--issuer",
            directory.path().to_str().expect("UTF-8"),
            "--certificate",
            certificate.to_str().expect("UTF-8"),
        ],
    )
    .await;
    run.check_green();
    let metrics = daemon.metrics().await;
    assert!(
        metrics.get(r#"graphhook_validation_tokens_total{result="valid"}"#) > 0.0,
        "no token was believed"
    );
    assert!(metrics.get(r#"graphhook_validation_tokens_total{result="signature"}"#) > 0.0);
    let opened = metrics.get(r#"graphhook_decryption_key_uses_total{key="mine"}"#);
    assert!(opened > 0.0, "nothing was opened");
}

#[tokio::test]
async fn whoever_is_not_believed_is_one_error() {
    let daemon = Daemon::configure().without_broker().start().await;
    let output = try_receiver(&url(&daemon, PATH), &[]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("no TLS") && text.contains("--ca FILE") && text.lines().count() == 1, "{text}");
}

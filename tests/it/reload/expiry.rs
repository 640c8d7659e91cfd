//! T3: a certificate that ends while it is served.

use std::fs;
use std::time::Duration;

use super::{reload_well, status};
use crate::support::certs::Authority;
use crate::support::daemon::{Daemon, rfc3339};
use crate::support::eventually::eventually_within;
use crate::support::graph::{created, post};
use crate::support::https::Client;

const ENDS: &str = r#"graphhook_tls_certificate_not_after_timestamp_seconds{host="localhost"}"#;
const REFUSED: &str = r#"graphhook_tls_reloads_total{result="refused"}"#;
const LIFE: Duration = Duration::from_secs(5);
const BOUND: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_outlived_certificate_is_complained_of_and_serving_goes_on() {
    let daemon = Daemon::configure().connected().await;
    let (authority, files) = (Authority::generate(), daemon.certificates());
    fs::write(&files.ca, authority.pem()).expect("written");
    authority.server_of_life(LIFE).write(&files.certificate, &files.key);
    reload_well(&daemon).await;
    let ends = daemon.metrics().await.get(ENDS);
    let kept = Client::new(daemon.public(), daemon.ca());
    let returning = Client::new(daemon.public(), daemon.ca()).http1();
    let memory = returning.tls();
    assert_eq!(post(&kept, [created("before")]).await.status, 202);
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut raw = returning.raw_with(memory.clone()).await;
    raw.send(request).await;
    raw.read_past("ok\n").await;

    let complaint = "the certificate has expired";
    eventually_within(BOUND, "a complaint", async || daemon.log().contains(complaint).then_some(())).await;
    let error = Client::new(daemon.public(), daemon.ca()).connect().await.expect_err("no client trusts it");
    assert!(error.to_string().contains("expired"), "it is shown all the same: {error}");
    assert_eq!(post(&kept, [created("after")]).await.status, 202);
    assert_eq!(kept.opened(), 1, "a kept connection was dropped");
    let mut raw = returning.raw_with(memory).await;
    raw.send(request).await;
    raw.read_past("ok\n").await;
    assert!(raw.is_resumed());
    assert_eq!(daemon.metrics().await.get(ENDS), ends);
    assert_eq!(status(&daemon).await["certificates"][0]["not_after"], rfc3339(ends));
    reload_well(&daemon).await;
    // Two looks later, which is when a bad pair is refused, there is no second word of it.
    fs::write(&files.key, "no key").expect("written");
    daemon.eventually_metric(REFUSED, |refused| refused == 1.0).await;
    assert_eq!(daemon.log().matches(complaint).count(), 1);

    authority.server().write(&files.certificate, &files.key);
    reload_well(&daemon).await;
    Client::new(daemon.public(), daemon.ca()).connect().await.expect("a certificate that is valid");
}

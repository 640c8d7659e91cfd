//! The public URL, called as Graph does.

use std::fs;

use super::{check, line};
use crate::support::certs::Authority;
use crate::support::daemon::Daemon;
use crate::support::ports;

#[tokio::test]
async fn the_public_url_is_called_as_graph_does() {
    let [port] = ports::free();
    let url = format!("https://localhost:{port}/graph/notifications");
    let mut daemon = Daemon::configure()
        .set("server", "listen", &format!("[\"127.0.0.1:{port}\"]"))
        .set("server", "public_url", &format!("{url:?}"))
        .start()
        .await;
    let ca = daemon.ca().display().to_string();
    let trusting = ["--ca", ca.as_str()];
    let (said, code) = check(daemon.directory(), &trusting).await;
    assert_eq!(code, Some(0), "{said}");
    let found = line(&said, "ok", "public_url", &format!("{url}: at "));
    assert!(found.contains("TLS 1.3, token echoed"), "{said}");
    assert!(!said.contains("another certificate"), "{said}");
    line(&said, "ok", "clock", &format!("agrees with that of {url}"));

    let (said, code) = check(daemon.directory(), &[]).await;
    assert_eq!(code, Some(1), "{said}");
    let found = line(&said, "failed", "public_url", "UnknownIssuer");
    assert!(found.ends_with("name it with --ca FILE"), "{said}");

    let nowhere = url.replace("/graph/notifications", "/elsewhere");
    daemon.reconfigure(|configuration| configuration.set("server", "public_url", &format!("{nowhere:?}")));
    let (said, code) = check(daemon.directory(), &trusting).await;
    assert_eq!(code, Some(1), "{said}");
    line(&said, "warning", "configuration", "its path is none of server.paths");
    line(&said, "failed", "public_url", "the answer is 404; let its path be one of server.paths");

    daemon.kill();
    let (said, code) = check(daemon.directory(), &trusting).await;
    assert_eq!(code, Some(1), "{said}");
    let found = line(&said, "failed", "public_url", "cannot connect");
    assert!(found.contains("it takes a running daemon"), "{said}");
    line(&said, "ok", "clock", "not compared");
}

/// Somebody with another certificate answers for us.
#[tokio::test]
async fn a_certificate_that_is_not_ours_is_noticed() {
    let [port] = ports::free();
    let url = format!("https://localhost:{port}/graph/notifications");
    let other = Daemon::configure()
        .without_broker()
        .set("server", "listen", &format!("[\"127.0.0.1:{port}\"]"))
        .start()
        .await;
    let place = tempfile::tempdir().expect("a directory");
    let authority = Authority::generate();
    let files = authority.write_into(place.path());
    authority.server_for(&["hooks.example.com"]).write(&files.certificate, &files.key);
    Daemon::configure().set("server", "public_url", &format!("{url:?}")).write_into(place.path(), &files);
    let ca = other.ca().display().to_string();
    let (said, code) = check(place.path(), &["--ca", &ca]).await;
    assert_eq!(code, Some(0), "{said}");
    line(&said, "warning", "public_url", "another certificate than the files hold");
    line(&said, "warning", "tls", "no certificate is for localhost, the host of server.public_url");
    line(&said, "ok", "public_url", "token echoed");
    fs::remove_file(&files.ca).expect("removed");
    let (said, code) = check(place.path(), &["--ca", files.ca.to_str().expect("UTF-8")]).await;
    assert_eq!(code, Some(1), "{said}");
    line(&said, "failed", "public_url", "no authorities to trust");
}

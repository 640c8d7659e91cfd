//! Keys for resource data, and those that its tokens are signed with.

use std::path::Path;

use super::{check, line};
use crate::support::certs::Authority;
use crate::support::daemon::{Configuration, Daemon, run};
use crate::support::issuer::{Issuer, Manner, V1_CONFIGURATION, V2_CONFIGURATION};
use crate::support::rich::Recipient;

fn write(directory: &Path, configuration: Configuration) {
    configuration.write_into(directory, &Authority::generate().write_into(directory));
}

#[tokio::test]
async fn every_key_and_every_document_is_tried() {
    let (issuer, directory) = (Issuer::open().await, tempfile::tempdir().expect("a directory"));
    let at = directory.path();
    let made = run(
        &["rich", "keygen", "--id", "new", "--days", "20", "--directory", at.to_str().expect("UTF-8")],
        &[],
    )
    .await;
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    let [key, certificate] = [at.join("new.key.pem"), at.join("new.cert.pem")];
    let table = format!(
        "[[rich.keys]]\nid = \"new\"\nprivate_key = {{ file = {key:?} }}\ncertificate = {certificate:?}\n"
    );
    let old = Recipient::generate("old");
    let configuration = issuer.trusted(Daemon::configure(), "opened");
    write(at, configuration.append(&table).append(&old.table(at)));
    let (said, code) = check(at, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    line(&said, "ok", "rich", "new: 2048 bits, opens what is sealed for it; its certificate ends at 20");
    line(&said, "warning", "rich", "new: its certificate ends in 19 days; make another one");
    line(&said, "ok", "rich", "old: 2048 bits, opens what is sealed for it; its certificate is not named");
    line(
        &said,
        "ok",
        "rich",
        "tokens for 1 app id and 2 tenants; what they vouch for is delivered decrypted",
    );
    // A key and its certificate are files as any other.
    line(&said, "warning", "files", "rich.keys.1.private_key: ");
    assert!(!said.contains("rich.keys.0.private_key: "), "only its owner can read what keygen wrote: {said}");
    for path in [V1_CONFIGURATION, V2_CONFIGURATION] {
        let url = issuer.url(path);
        line(&said, "ok", "rich", &format!("{url}: 1 key for tokens"));
        line(&said, "ok", "clock", &format!("agrees with that of {url}"));
    }
    assert!(!said.contains("PRIVATE KEY"), "{said}");
    let asked = issuer.asked().len();
    let (said, code) = check(at, &["--offline"]).await;
    assert_eq!((code, issuer.asked().len()), (Some(0), asked), "{said}");
    assert!(!said.contains("for tokens\n"), "{said}");
}

#[tokio::test]
async fn documents_that_bring_no_keys_say_why() {
    let (issuer, directory) = (Issuer::open().await, tempfile::tempdir().expect("a directory"));
    let at = directory.path();
    write(at, issuer.trusted(Daemon::configure(), "sealed"));
    issuer.behaves(Manner::Answers(404, "nothing here".to_owned()));
    let (said, code) = check(at, &[]).await;
    assert_eq!(code, Some(1), "serve would start, and try for ever: {said}");
    line(
        &said,
        "failed",
        "rich",
        "127.0.0.1 answers 404 Not Found; look at rich.cloud and rich.key_documents",
    );
    issuer.behaves(Manner::Publishes(r#"{"keys":[]}"#.to_owned()));
    let (said, _) = check(at, &[]).await;
    line(&said, "failed", "rich", "the key set has no RSA key of 2048 bits or more; look at");
    issuer.behaves(Manner::Serves);
    let strangers = Authority::generate();
    std::fs::write(at.join("strangers.pem"), strangers.pem()).expect("written");
    let stranger = format!("{:?}", at.join("strangers.pem"));
    write(at, issuer.trusted(Daemon::configure(), "sealed").set("rich", "ca_file", &stranger));
    let (said, _) = check(at, &[]).await;
    line(&said, "failed", "rich", "invalid peer certificate");
    line(&said, "failed", "rich", "name its own authority in rich.ca_file");
}

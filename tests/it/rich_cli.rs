//! Keys and certificates for resource data, made and shown by commands.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use graphhook::verify::decrypt::PrivateKey;
use serde_json::{Value, json};

use super::rich::started;
use crate::support::certs::Authority;
use crate::support::daemon::{Daemon, run};
use crate::support::issuer::{Issuer, TENANT};
use crate::support::process;
use crate::support::rich::{Recipient, opened, post, rich};

#[track_caller]
fn check(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("PRIVATE"), "{said}");
    said
}

async fn keygen(directory: &Path, more: &[&str]) -> Output {
    let directory = directory.to_str().expect("UTF-8");
    run(&[&["rich", "keygen", "--directory", directory], more].concat(), &[]).await
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// What openssl says of a certificate or a key.
async fn openssl(arguments: &[&str]) -> String {
    let output = process::output(Command::new("openssl").args(arguments), Duration::from_secs(20)).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn a_new_key_is_configured_as_it_is_told_and_opens_what_graph_seals_for_it() {
    let (issuer, directory) = (Issuer::open().await, tempfile::tempdir().expect("a directory"));
    let said = check(&keygen(directory.path(), &["--id", "2026-11"]).await, 0);
    assert_eq!(names(directory.path()), ["2026-11.cert.pem", "2026-11.key.pem"]);
    let [key, certificate] = ["key", "cert"].map(|kind| directory.path().join(format!("2026-11.{kind}.pem")));
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(&certificate)), (0o600, 0o644));

    let table = said.find("[[rich.keys]]").expect("a table");
    let table = said[table..].split("\n\n").next().expect("a table has an end");
    let configuration = issuer.trusted(Daemon::configure(), "opened").append(&format!("{table}\n"));
    let (daemon, queue, _) = started(configuration).await;
    let recipient = Recipient::read("2026-11", &fs::read_to_string(&key).expect("a key"));
    let content = recipient.seal(r#"{"id":"1"}"#);
    let item = rich("n-1", TENANT, &content);
    assert_eq!(
        post(&daemon.client(), std::slice::from_ref(&item), &json!([issuer.token(TENANT)])).await.status,
        202
    );
    let message = queue.take(1).await.remove(0);
    assert_eq!(String::from_utf8_lossy(&message.body), opened(&item, &content, r#"{"id":"1"}"#));
}

#[tokio::test]
async fn what_is_told_of_a_key_is_what_openssl_finds() {
    let directory = tempfile::tempdir().expect("a directory");
    let said =
        check(&keygen(directory.path(), &["--id", "a", "--bits", "3072", "--days", "30", "--json"]).await, 0);
    let made: Value = serde_json::from_str(&said).expect("JSON");
    let text = |name: &str| made[name].as_str().expect(name).to_owned();
    let (key, certificate) = (text("private_key"), text("certificate"));
    assert_eq!((text("id").as_str(), &made["bits"]), ("a", &json!(3072)));

    let public = openssl(&["x509", "-in", &certificate, "-noout", "-pubkey"]).await;
    assert_eq!(openssl(&["pkey", "-in", &key, "-pubout"]).await, public);
    assert_eq!(PrivateKey::from_pem(&fs::read_to_string(&key).expect("a key")).expect("a key").bits(), 3072);
    let pem = fs::read_to_string(&key).expect("a key");
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8");

    let fingerprint = openssl(&["x509", "-in", &certificate, "-noout", "-fingerprint", "-sha1"]).await;
    let fingerprint = fingerprint.trim().rsplit('=').next().expect("a value").replace(':', "");
    assert_eq!(text("thumbprint"), fingerprint);
    let lines = fs::read_to_string(&certificate).expect("a certificate");
    let base64: String = lines.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(text("encryption_certificate"), base64);
    let dates = openssl(&["x509", "-in", &certificate, "-noout", "-dates", "-dateopt", "iso_8601"]).await;
    for (name, member) in [("notBefore", "not_before"), ("notAfter", "not_after")] {
        let date = format!("{name}={}", text(member).replace('T', " "));
        assert!(dates.contains(&date), "{date} is not in {dates}");
    }
    let verified = openssl(&["verify", "-CAfile", &certificate, &certificate]).await;
    assert!(verified.contains("OK"), "{verified}");
}

#[tokio::test]
async fn nothing_is_overwritten_and_nothing_left_half() {
    let directory = tempfile::tempdir().expect("a directory");
    let said = check(&keygen(directory.path(), &[]).await, 0);
    let made = names(directory.path());
    let today = made[0].strip_suffix(".cert.pem").expect("a certificate");
    assert!(said.contains(&format!("\"encryptionCertificateId\": \"{today}\"")), "{said}");
    assert!(today.len() == 10 && today.starts_with("20"), "{today} is a date");
    let read =
        || made.iter().map(|name| fs::read(directory.path().join(name)).expect("read")).collect::<Vec<_>>();
    let before = read();
    let said = check(&keygen(directory.path(), &["--id", today]).await, 1);
    assert!(said.contains("is there already: choose another --id"), "{said}");
    assert_eq!((read(), names(directory.path())), (before, made.clone()));
    // One of the two is enough.
    fs::remove_file(directory.path().join(&made[1])).expect("removed");
    check(&keygen(directory.path(), &["--id", today]).await, 1);
    assert_eq!(names(directory.path()), made[..1]);
    let said = check(&keygen(&directory.path().join("nowhere"), &[]).await, 1);
    assert!(said.contains("cannot write into"), "{said}");
    for wrong in [["--id", "../a"], ["--id", ""], ["--bits", "1024"], ["--days", "0"], ["--days", "4000"]] {
        check(&keygen(directory.path(), &wrong).await, 2);
    }
    assert_eq!(names(directory.path()), made[..1]);
}

#[tokio::test]
async fn a_certificate_of_the_configuration_is_printed_for_subscriptions() {
    let (issuer, directory) = (Issuer::open().await, tempfile::tempdir().expect("a directory"));
    let at = directory.path();
    let mut tables = String::new();
    let mut made = Vec::new();
    for id in ["first", "second"] {
        let said = check(&keygen(at, &["--id", id, "--json"]).await, 0);
        let one: Value = serde_json::from_str(&said).expect("JSON");
        let (key, certificate) = (&one["private_key"], &one["certificate"]);
        tables += &format!(
            "[[rich.keys]]\nid = \"{id}\"\nprivate_key = {{ file = {key} }}\ncertificate = {certificate}\n"
        );
        made.push(one["encryption_certificate"].as_str().expect("base64").to_owned());
    }
    tables += &Recipient::generate("bare").table(at);
    let configuration = issuer.trusted(Daemon::configure(), "sealed").append(&tables);
    let path = configuration.write_into(at, &Authority::generate().write_into(at));
    let path = path.to_str().expect("UTF-8");
    let certificate =
        async |more: &[&str]| run(&[&["rich", "certificate", "--config", path], more].concat(), &[]).await;
    assert_eq!(check(&certificate(&["first"]).await, 0), format!("{}\n", made[0]));
    assert_eq!(check(&certificate(&[]).await, 0), format!("{}\n", made[1]), "the last one that there is");
    let members: Value =
        serde_json::from_str(&check(&certificate(&["first", "--json"]).await, 0)).expect("JSON");
    assert_eq!(members, json!({ "encryptionCertificate": made[0], "encryptionCertificateId": "first" }));
    assert!(check(&certificate(&["bare"]).await, 1).contains("names no certificate"));
    assert!(check(&certificate(&["third"]).await, 1).contains("no key of rich.keys has the id \"third\""));
}

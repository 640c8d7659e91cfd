//! Resource data: a daemon that is told once of the simulated issuer opens what is sealed for it, and believes no other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{Desk, everything, said};
use crate::support::daemon::{Configuration, Daemon, run};
use crate::support::eventually::eventually;
use crate::support::issuer::{APP, OTHER_TENANT, TENANT};
use crate::support::process;

/// `graphhook simulate issuer`, as a process, with its files.
struct Issuer {
    child: Child,
    files: TempDir,
    ready: Value,
}

impl Issuer {
    async fn open() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let (child, ready) = started(files.path(), "127.0.0.1:0").await;
        Self { child, files, ready }
    }

    fn directory(&self) -> &str {
        self.files.path().to_str().expect("UTF-8")
    }

    fn ca(&self) -> PathBuf {
        self.files.path().join("issuer-ca.pem")
    }

    /// A configuration that opens what is sealed for a new certificate, and its file.
    async fn trusted(&self) -> (Configuration, String) {
        let keygen = run(&["rich", "keygen", "--directory", self.directory(), "--id", "mine"], &[]).await;
        assert_eq!(keygen.status.code(), Some(0), "{}", everything(&keygen));
        let key = self.files.path().join("mine.key.pem");
        let configuration = Daemon::configure()
            .set("rich", "deliver", "\"opened\"")
            .set("rich", "app_ids", &format!("[{APP:?}]"))
            .set("rich", "tenants", &format!("[{TENANT:?}, {OTHER_TENANT:?}]"))
            .set("rich", "key_documents", &self.ready["key_documents"].to_string())
            .set("rich", "ca_file", &format!("{:?}", self.ready["ca_file"].as_str().expect("a path")))
            .append(&format!("[[rich.keys]]\nid = \"mine\"\nprivate_key = {{ file = {key:?} }}\n"));
        (configuration, self.files.path().join("mine.cert.pem").display().to_string())
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn started(directory: &Path, listen: &str) -> (Child, Value) {
    let out = directory.join("out");
    let child = Command::new(env!("CARGO_BIN_EXE_graphhook"))
        .args(["simulate", "issuer", "--json", "--listen", listen, "--directory"])
        .arg(directory)
        .stdout(fs::File::create(&out).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let read = async || serde_json::from_str(&fs::read_to_string(&out).ok()?).ok();
    (child, eventually("a line", read).await)
}

async fn desk(configuration: Configuration) -> Desk {
    let desk = Desk::of(configuration).await;
    desk.daemon.eventually_metric("graphhook_signing_keys", |keys| keys > 0.0).await;
    desk
}

#[tokio::test]
async fn a_daemon_that_was_told_of_the_issuer_opens_what_is_sealed_for_it() {
    let issuer = Issuer::open().await;
    let (configuration, certificate) = issuer.trusted().await;
    let desk = desk(configuration).await;
    let content = issuer.files.path().join("content.json");
    let text = r#"{"id":"1","big":638059995676961317,"text":"Grüße \u00e9"}"#;
    fs::write(&content, text).expect("written");
    let sealed = ["--issuer", issuer.directory(), "--certificate", &certificate];
    let own = ["--content", content.to_str().expect("UTF-8")];
    let tenants = ["--tenant", TENANT, "--tenant", OTHER_TENANT, "--items", "4"];
    desk.passes("rich", &[&sealed[..], &own, &tenants].concat()).await;
    for message in desk.queue.take(4).await {
        assert_eq!(message.header("graphhook-resource-data"), "decrypted");
        let body = String::from_utf8(message.body.to_vec()).expect("text");
        assert!(body.contains(&format!(r#""decryptedContent":{text}"#)), "{body}");
    }
    // Its own contents tell of what the item tells.
    for (resource, version) in [("message", "1"), ("chatMessage", "2"), ("presence", "2")] {
        let more = ["--resource", resource, "--token-version", version];
        desk.passes("rich", &[&sealed[..], &more].concat()).await;
        let item = desk.queue.take(1).await[0].json();
        assert!(item["decryptedContent"]["id"].is_string(), "{item}");
        if resource != "presence" {
            assert_eq!(item["decryptedContent"]["id"], item["resourceData"]["id"]);
        }
    }
    assert_eq!(desk.quarantine.count().await, 0);
}

#[tokio::test]
async fn what_is_wrong_with_tokens_costs_the_item_and_is_answered_2xx() {
    let issuer = Issuer::open().await;
    let (configuration, certificate) = issuer.trusted().await;
    let desk = desk(configuration).await;
    let sealed = ["--issuer", issuer.directory(), "--certificate", &certificate];
    for (kind, reason) in [
        ("null", "missing_token"),
        ("none", "missing_token"),
        ("expired", "bad_token"),
        ("not-yet-valid", "bad_token"),
        ("wrong-audience", "bad_token"),
        ("wrong-issuer", "bad_token"),
        ("wrong-publisher", "bad_token"),
        ("other-tenant", "bad_token"),
        ("bad-signature", "bad_token"),
        ("unsigned", "bad_token"),
        ("malformed", "bad_token"),
        ("unknown-key", "bad_token"),
    ] {
        let told = desk.passes("rich", &[&sealed[..], &["--tokens", kind]].concat()).await;
        assert!(told.starts_with("202  "), "{kind}: {told}");
        let refused = desk.quarantine.take(1).await;
        assert_eq!(refused[0].header("graphhook-reason"), reason, "{kind}");
    }
    // Nobody has the key, and nobody knows this one.
    for (more, reason) in [(&["--certificate-id", "mine"][..], "undecryptable"), (&[], "unknown_key")] {
        desk.passes("rich", &[&["--issuer", issuer.directory()], more].concat()).await;
        let refused = desk.quarantine.take(1).await;
        assert_eq!(refused[0].header("graphhook-reason"), reason);
    }
    // An issuer that it was not told of.
    desk.passes("rich", &["--certificate", &certificate]).await;
    assert_eq!(desk.quarantine.take(1).await[0].header("graphhook-reason"), "bad_token");
    assert_eq!(desk.queue.count().await, 0);
}

#[tokio::test]
async fn an_issuer_is_the_same_when_it_comes_again() {
    let mut issuer = Issuer::open().await;
    let documents = issuer.ready["key_documents"].clone();
    let origin = documents[0].as_str().and_then(|url| url.split_once("/common")).expect("a URL").0.to_owned();
    let fetched = async |path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--cacert"]).arg(issuer.ca()).arg(format!("{origin}{path}"));
        let output = process::output(&mut curl, Duration::from_secs(20)).await;
        assert!(output.status.success(), "{}", everything(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let configuration: Value =
        serde_json::from_str(&fetched("/common/v2.0/.well-known/openid-configuration").await).expect("JSON");
    assert_eq!(configuration["jwks_uri"], format!("{origin}/common/discovery/v2.0/keys"));
    let keys = fetched("/any-tenant/discovery/keys").await;
    assert!(keys.contains("\"kty\":\"RSA\"") && fetched("/nothing").await.is_empty());
    for (name, mode) in [
        ("issuer-signing-key.pem", 0o600),
        ("issuer-tls-key.pem", 0o600),
        ("issuer-tls-certificate.pem", 0o644),
        ("issuer-ca.pem", 0o644),
    ] {
        let file = fs::metadata(issuer.files.path().join(name)).expect(name);
        assert_eq!(file.permissions().mode() & 0o777, mode, "{name}");
    }

    process::signal(issuer.child.id(), "TERM");
    let status = process::exit_within(&mut issuer.child, Duration::from_secs(20)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let listen = origin.strip_prefix("https://").expect("a URL");
    let (child, ready) = started(issuer.files.path(), listen).await;
    issuer.child = child;
    assert_eq!(ready["key_documents"], documents);
    let fetched_again = {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--cacert"]).arg(issuer.ca()).arg(format!("{origin}/common/discovery/keys"));
        process::output(&mut curl, Duration::from_secs(20)).await
    };
    assert_eq!(String::from_utf8(fetched_again.stdout).expect("text"), keys);
}

#[tokio::test]
async fn a_throwaway_issuer_says_where_its_keys_are_and_whom_to_believe() {
    let desk = Desk::open().await;
    let file = desk.daemon.directory().join("issuer.pem");
    let output = desk.simulate("rich", &["--certificate-out", file.to_str().expect("UTF-8")]).await;
    assert_eq!(output.status.code(), Some(0));
    let told = said(&output);
    assert!(told.ends_with("1 POST: all delivered\n"), "{told}");
    let noted = String::from_utf8(output.stderr).expect("text");
    assert!(noted.contains("tokens are signed with keys from https://127.0.0.1:"), "{noted}");
    assert!(noted.contains("encrypted for a key that nobody has"), "{noted}");
    assert!(fs::read_to_string(file).expect("written").starts_with("-----BEGIN CERTIFICATE-----"));
    let item = desk.queue.take(1).await[0].json();
    assert!(item["encryptedContent"]["data"].is_string(), "{item}");
}

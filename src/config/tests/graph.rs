//! `[graph]` and `[[subscriptions]]`: what is right, and each thing that can be wrong with it.

use std::{fs, time::Duration};

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;

use super::{LEAST, load, problems};
use crate::config::{ChangeType, Graph, Loaded, SignIn};

const ID: &str = "925bff9f-f6e2-4a69-b858-f71ea2b9b6d0";

/// The app signs in by its secret; `more` in `[graph]`, `tables` behind it.
fn graph(more: &str, tables: &str) -> String {
    let app = format!("tenant = \"contoso.example\"\nclient_id = \"{ID}\"");
    format!(
        "{LEAST}[server]\npublic_url = \"https://hooks.example/graph/notifications\"\n\
         [graph]\nsign_in = \"client_secret\"\nclient_secret = \"hunter2 hunter2\"\n{app}\n{more}\n{tables}"
    )
}

fn wanted(more: &str) -> String {
    format!(
        "[[subscriptions]]\nname = \"sales\"\nresource = \"/users\"\nchange_types = [\"updated\"]\n{more}\n"
    )
}

#[track_caller]
fn right(text: &str) -> Loaded {
    load(text, &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

#[track_caller]
fn signed_in(text: &str) -> Graph {
    right(text).config.graph.expect("somebody signs in")
}

#[track_caller]
fn check(text: &str, key: &str, words: &str) {
    let found = problems(text, &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with(&format!("{key} (")) && found[0].contains(words),
        "{key}, {words}: {found:?}"
    );
}

/// Replaces a line of a right configuration.
#[track_caller]
fn with(line: &str, other: &str) -> String {
    let text = graph("", "");
    assert!(text.contains(line), "{line}");
    text.replace(line, other)
}

#[test]
fn what_is_not_said_follows_from_what_is() {
    let found = signed_in(&graph("manage = true", &wanted("")));
    assert_eq!(found.url, "https://graph.microsoft.com");
    assert_eq!(found.login_url, "https://login.microsoftonline.com");
    assert_eq!((found.tenant.as_str(), found.client_id.as_str()), ("contoso.example", ID));
    assert!(
        found.manage
            && matches!(&found.sign_in, SignIn::ClientSecret(secret) if secret.expose() == "hunter2 hunter2")
    );
    let [sales] = found.subscriptions.as_slice() else { panic!("one is wanted") };
    assert_eq!(sales.notification_url, "https://hooks.example/graph/notifications");
    assert_eq!(sales.lifecycle_url, sales.notification_url);
    assert_eq!((sales.lifetime, &sales.client_state, &sales.encryption), (None, &None, &None));

    let more = "change_types = [\"deleted\", \"created\", \"deleted\"]\nclient_state = \"mail\"\nlifetime = \"2days\"\n\
         notification_url = \"https://a.example/x?y=z\"\nprefer = [\"includesecuritywebhooks\"]";
    let table = wanted("").replace("change_types = [\"updated\"]", more);
    let [sales] = signed_in(&graph("", &table)).subscriptions.try_into().expect("one is wanted");
    assert_eq!(sales.change_types, [ChangeType::Created, ChangeType::Deleted]);
    assert_eq!(sales.lifecycle_url, "https://a.example/x?y=z");
    assert_eq!(sales.lifetime, Some(Duration::from_secs(2 * 24 * 60 * 60)));
    assert_eq!(sales.client_state.as_deref(), Some("mail"));
}

#[test]
fn each_cloud_has_its_own_hosts() {
    for (cloud, url, login) in [
        ("global", "https://graph.microsoft.com", "https://login.microsoftonline.com"),
        ("us_government", "https://graph.microsoft.us", "https://login.microsoftonline.us"),
        ("us_government_dod", "https://dod-graph.microsoft.us", "https://login.microsoftonline.us"),
        ("china", "https://microsoftgraph.chinacloudapi.cn", "https://login.partner.microsoftonline.cn"),
    ] {
        let found = signed_in(&graph(&format!("cloud = \"{cloud}\""), ""));
        assert_eq!(
            (found.url.to_string(), found.login_url.to_string()),
            (format!("{url}/"), format!("{login}/"))
        );
        let own = signed_in(&graph(&format!("cloud = \"{cloud}\"\nurl = \"http://127.0.0.1:8080\""), ""));
        assert_eq!((own.url.port_u16(), own.login_url), (Some(8080), found.login_url));
    }
    for url in [
        "http://graph.example",
        "https://",
        "graph.example",
        "https://graph.example/v1.0",
        "https://u:p@graph.example",
        "https://graph.example?a",
        "http://127.0.0.1.example",
    ] {
        check(
            &graph(&format!("url = \"{url}\""), ""),
            "graph.url",
            "expected an https:// URL without a path",
        );
        check(&graph(&format!("login_url = \"{url}\""), ""), "graph.login_url", "without a path");
    }
}

#[test]
fn every_way_to_sign_in_has_what_it_needs() {
    let directory = tempfile::tempdir().expect("a directory");
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key");
    let path = directory.path().join("app.cert.pem");
    fs::write(&path, CertificateParams::default().self_signed(&key).expect("a certificate").pem())
        .expect("written");
    let method = |name: &str, more: &str| {
        with(
            "sign_in = \"client_secret\"\nclient_secret = \"hunter2 hunter2\"",
            &format!("sign_in = \"{name}\"\n{more}"),
        )
    };
    let private_key = format!("private_key = {}", json!(key.serialize_pem()));
    let found = signed_in(&method("certificate", &format!("certificate = {path:?}\n{private_key}")));
    assert!(
        matches!(found.sign_in, SignIn::Certificate { certificate, .. } if certificate.starts_with(&[0x30]))
    );
    let found = signed_in(&method("device_code", "scopes = [\"Presence.Read.All\"]"));
    assert_eq!(found.sign_in, SignIn::DeviceCode { scopes: vec!["Presence.Read.All".to_owned()] });
    let found = signed_in(&method("command", "command = [\"/bin/token\", \"graph\"]"));
    assert_eq!(found.sign_in, SignIn::Command(vec!["/bin/token".to_owned(), "graph".to_owned()]));
    let found = signed_in(&method("managed_identity", ""));
    let SignIn::ManagedIdentity { endpoint, header: None, identity: None } = found.sign_in else {
        panic!("{:?}", found.sign_in)
    };
    assert_eq!(endpoint.host(), Some("169.254.169.254"));
    let variables = [("IDENTITY_ENDPOINT", "http://127.0.0.1:41/msi/token"), ("IDENTITY_HEADER", "hunter2")];
    let found =
        load(&method("managed_identity", ""), &variables).expect("right").config.graph.expect("signed in");
    let SignIn::ManagedIdentity { endpoint, header: Some(_), .. } = found.sign_in else {
        panic!("{:?}", found.sign_in)
    };
    assert_eq!(endpoint.port_u16(), Some(41));

    check(&method("client_secret", ""), "graph.client_secret", "missing: one of");
    check(&method("certificate", &private_key), "graph.certificate", "missing: the PEM file");
    check(&method("certificate", &format!("certificate = {path:?}")), "graph.private_key", "missing: one of");
    let wrong = format!("certificate = \"/dev/null\"\n{private_key}");
    check(&method("certificate", &wrong), "graph.certificate", "no certificate in PEM");
    check(&method("device_code", ""), "graph.scopes", "name at least one");
    check(&method("command", "command = [\"token\"]"), "graph.command", "expected the absolute path");
    check(&method("managed", ""), "graph.sign_in", "expected one of client_secret, certificate");
    let idle = right(&graph("scopes = [\"a\"]", "")).warnings;
    assert!(idle.len() == 1 && idle[0].key == "graph.scopes", "{idle:?}");
}

#[test]
fn single_problems() {
    check(&format!("{LEAST}[graph]\nmanage = true\n"), "graph.sign_in", "missing: without it nobody");
    check(&format!("{LEAST}{}", wanted("")), "graph.sign_in", "missing: without it nobody");
    check(&with("tenant = \"contoso.example\"", ""), "graph.tenant", "missing");
    check(&with("contoso.example", "common"), "graph.tenant", "an app signs in to one tenant");
    check(&with("contoso.example", "a/b"), "graph.tenant", "expected an id or a domain");
    check(&with(&format!("client_id = \"{ID}\""), ""), "graph.client_id", "missing");
    check(&with(ID, "app"), "graph.client_id", "expected an id such as");
    for (line, key, words) in [
        ("directory = \"x\"", "graph.directory", "absolute path"),
        ("renew_at = 95", "graph.renew_at", "10 to 90 percent"),
        ("look_every = \"1s\"", "graph.look_every", "at least 10 s"),
        ("answer_within = \"0s\"", "graph.answer_within", "more than 0 s"),
        ("ca_file = \"/nonexistent\"", "graph.ca_file", "cannot read /nonexistent"),
        ("lifetimes = { message = \"1m\" }", "graph.lifetimes.message", "45 minutes to 60 days"),
    ] {
        check(&graph(line, ""), key, words);
    }
    let one = |table: &str, key: &str, words: &str| check(&graph("", table), key, words);
    for (line, other, key, words) in [
        ("name = \"sales\"", "", "name", "each entry needs a name"),
        ("name = \"sales\"", "name = \"mail\"", "name", "an entry of client_states has this name"),
        ("\"/users\"", "\"\"", "resource", "expected a path"),
        ("\"/users\"", "\"https://graph.microsoft.com/users\"", "resource", "without the host"),
        ("[\"updated\"]", "[]", "change_types", "name at least one of"),
        ("[\"updated\"]", "[\"changed\"]", "change_types.0", "expected one of created, updated, deleted"),
    ] {
        one(&wanted("").replace(line, other), &format!("subscriptions.0.{key}"), words);
    }
    for (line, key, words) in [
        ("client_state = \"x\"", "client_state", "no entry of client_states is named \"x\""),
        ("encryption_key = \"x\"", "encryption_key", "no entry of rich.keys has the id \"x\""),
        ("notification_url = \"http://a.example\"", "notification_url", "expected an https:// URL"),
        ("lifecycle_url = \"a\"", "lifecycle_url", "expected an https:// URL"),
        ("lifetime = \"10m\"", "lifetime", "45 minutes to 60 days"),
        ("app_id = \"a\"", "app_id", "expected an id such as"),
        ("prefer = [\"a\\nb\"]", "prefer", "expected values of a header"),
    ] {
        one(&wanted(line), &format!("subscriptions.0.{key}"), words);
    }
    let twice = wanted("") + &wanted("").replace("sales", "other");
    one(&twice, "subscriptions.1.resource", "\"sales\" wants the same");
    let nowhere = graph("", &wanted("")).replace("public_url", "paths = [\"/a\"]\n#");
    check(&nowhere, "subscriptions.0.notification_url", "missing, and so is server.public_url");
}

#[test]
fn a_table_of_secrets_of_our_own_making_may_be_empty() {
    let text = graph("", "").replace(LEAST, "");
    assert!(right(&text).config.client_states.is_empty());
    check("[server]\n", "client_states", "the table of secrets is empty");
}

#[test]
fn no_secret_of_a_sign_in_is_shown() {
    let loaded = right(&graph("", ""));
    let shown = format!("{:?} {:?}", loaded.config, loaded.effective);
    assert!(!shown.contains("hunter2"), "{shown}");
}

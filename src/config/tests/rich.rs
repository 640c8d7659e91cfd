//! `[rich]`: what is right, and each thing that can be wrong with it.

use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::json;

use super::{LEAST, load, problems};
use crate::config::{Content, Deliver, Loaded};

const APP: &str = "925BFF9F-f6e2-4a69-b858-f71ea2b9b6d0";
const TENANT: &str = "8afd02d6-ebdd-4270-a515-c749898ea5c5";

fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).expect("a key")
}

fn certificate(key: &KeyPair) -> String {
    CertificateParams::default().self_signed(key).expect("a certificate").pem()
}

/// What is needed at least, and `more` in `[rich]`.
fn rich(deliver: &str, more: &str) -> String {
    format!(
        "{LEAST}[rich]\ndeliver = \"{deliver}\"\napp_ids = [\"{APP}\"]\ntenants = [\"{TENANT}\"]\n{more}\n"
    )
}

fn table(id: &str, private_key: &str, more: &str) -> String {
    format!("[[rich.keys]]\nid = \"{id}\"\nprivate_key = {private_key}\n{more}\n")
}

fn inline(pem: &str) -> String {
    json!(pem).to_string()
}

#[track_caller]
fn right(text: &str) -> Loaded {
    load(text, &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// There is one problem, with this key and these words.
#[track_caller]
fn check(text: &str, key: &str, words: &str) {
    let found = problems(text, &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(
        found[0].starts_with(&format!("{key} (")) && found[0].contains(words),
        "{key}, {words}: {found:?}"
    );
}

#[test]
fn a_good_configuration_is_taken_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    let [first, second, third] = [rsa(), rsa(), rsa()];
    fs::write(at("first.key.pem"), first.serialize_pem()).expect("written");
    fs::write(at("first.cert.pem"), certificate(&first)).expect("written");
    let certified = format!("certificate = {:?}", at("first.cert.pem"));
    let text = rich("opened", "cloud = \"us_government\"\nclock_skew = \"1m\"\nrefresh_keys_after = \"1h\"")
        + &table("first", &format!("{{ file = {:?} }}", at("first.key.pem")), &certified)
        + &table("second", &inline(&second.serialize_pem()), "")
        + &table("third", "{ env = \"GRAPHHOOK_THIRD_KEY\" }", "");
    let pem = third.serialize_pem();
    let loaded = load(&text, &[("GRAPHHOOK_THIRD_KEY", &pem)]).expect("right");
    let found = loaded.config.rich.expect("it is checked");
    assert_eq!(found.deliver, Deliver::Opened);
    let expected = &found.expectations;
    assert!(expected.app_ids.contains(&APP.to_lowercase()), "ids are compared in lower case");
    assert!(expected.tenants.contains(TENANT));
    assert_eq!(expected.issuer_v2, "https://login.microsoftonline.us/{tenant}/v2.0");
    assert_eq!((expected.clock_skew.as_secs(), found.signing_keys.refresh_after.as_secs()), (60, 3600));
    let documents: Vec<_> = found.signing_keys.documents.iter().map(ToString::to_string).collect();
    let host = "https://login.microsoftonline.us/common";
    let place = ".well-known/openid-configuration";
    assert_eq!(documents, [format!("{host}/v2.0/{place}"), format!("{host}/{place}")]);
    let ids: Vec<_> = found.keys.iter().map(|key| (key.id.as_str(), key.certificate.is_some())).collect();
    assert_eq!(ids, [("first", true), ("second", false), ("third", false)]);

    let files: Vec<_> = loaded.files.iter().map(|file| (file.key.as_str(), file.content)).collect();
    let key = ("rich.keys.0.private_key", Content::Secret);
    assert!(
        files.contains(&key) && files.contains(&("rich.keys.0.certificate", Content::Public)),
        "{files:?}"
    );
    assert!(files.contains(&("", Content::Secret)), "the second key stands in it");
    assert_eq!(loaded.warnings, []);
}

#[test]
fn each_cloud_has_its_own_issuers() {
    for (cloud, v1, v2) in [
        ("global", "https://sts.windows.net/{tenant}/", "https://login.microsoftonline.com/{tenant}/v2.0"),
        (
            "us_government",
            "https://sts.windows.net/{tenant}/",
            "https://login.microsoftonline.us/{tenant}/v2.0",
        ),
        (
            "china",
            "https://sts.chinacloudapi.cn/{tenant}/",
            "https://login.partner.microsoftonline.cn/{tenant}/v2.0",
        ),
    ] {
        let of = |more: &str| right(&rich("sealed", more)).config.rich.expect("it is checked").expectations;
        let given = of(&format!("cloud = \"{cloud}\""));
        assert_eq!((given.issuer_v1.as_str(), given.issuer_v2.as_str()), (v1, v2));
        let given = of(&format!("cloud = \"{cloud}\"\nissuer_v1 = \"https://x/{{tenant}}\""));
        assert_eq!((given.issuer_v1.as_str(), given.issuer_v2.as_str()), ("https://x/{tenant}", v2));
    }
}

#[test]
fn without_deliver_nothing_is_checked_and_nothing_else_may_stand_there() {
    assert!(right(LEAST).config.rich.is_none());
    assert!(right(&format!("{LEAST}[rich]\n")).config.rich.is_none());
    for more in [&format!("tenants = [\"{TENANT}\"]"), "clock_skew = \"1m\"", "[[rich.keys]]\nid = \"a\""] {
        check(&format!("{LEAST}[rich]\n{more}\n"), "rich.deliver", "without it nothing is checked");
    }
    check(&format!("{LEAST}[rich]\ndeliver = \"open\"\n"), "rich.deliver", "expected one of sealed, opened");
}

#[test]
fn single_problems() {
    for key in ["app_ids", "tenants"] {
        let with = |value: &str| {
            let right = format!("{key} = [\"{}\"]", if key == "tenants" { TENANT } else { APP });
            rich("sealed", "").replace(&right, &format!("{key} = {value}"))
        };
        check(&with("[]"), &format!("rich.{key}"), "no token would be believed");
        for wrong in [
            "contoso.onmicrosoft.com",
            "",
            "8afd02d6ebdd4270a515c749898ea5c5",
            "{8afd02d6-ebdd-4270-a515-c749898ea5c5}",
            "urn:uuid:8afd02d6-ebdd-4270-a515-c749898ea5c5",
        ] {
            check(
                &with(&format!("[\"{TENANT}\", \"{wrong}\"]")),
                &format!("rich.{key}.1"),
                "expected an id such as",
            );
        }
    }
    let one = |line: &str, key: &str, words: &str| check(&rich("sealed", line), key, words);
    one("publisher = \"graph\"", "rich.publisher", "expected an id such as");
    one("cloud = \"germany\"", "rich.cloud", "expected one of global, us_government, china");
    for form in ["https://sts.windows.net/", "http://sts.windows.net/{tenant}/", "https://{tenant}/{tenant}"]
    {
        one(&format!("issuer_v1 = \"{form}\""), "rich.issuer_v1", "with {tenant} in it");
        one(&format!("issuer_v2 = \"{form}\""), "rich.issuer_v2", "with {tenant} in it");
    }
    for url in ["http://h/keys", "h/keys", "https://", "https://u:p@h/keys", "file:///keys", ""] {
        let line = format!("key_documents = [\"https://h/keys\", \"{url}\"]");
        one(&line, "rich.key_documents.1", "expected the https:// URL");
    }
    one("ca_file = \"/nonexistent\"", "rich.ca_file", "cannot read /nonexistent");
    one("clock_skew = \"2h\"", "rich.clock_skew", "at most 1 hour");
    one("refresh_keys_after = \"0s\"", "rich.refresh_keys_after", "more than 0 s");
    check(&rich("opened", ""), "rich.keys", "graphhook rich keygen");
}

#[test]
fn each_key_has_an_id_of_its_own_and_is_one_that_graph_could_use() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).expect("written");
        path
    };
    let (ours, other) = (rsa(), rsa());
    let pem = inline(&ours.serialize_pem());
    let with = |table: &str| rich("opened", "") + table;
    let good = table("a", &pem, "");
    right(&with(&good));
    check(&with(&(good.clone() + &good)), "rich.keys.1.id", "another key has this id");
    for id in [String::new(), "x".repeat(129), "a\\nb".to_owned()] {
        check(&with(&table(&id, &pem, "")), "rich.keys.0.id", "1 to 128 characters");
    }
    right(&with(&table(&"é".repeat(128), &pem, "")));
    check(&with(&format!("[[rich.keys]]\nprivate_key = {pem}\n")), "rich.keys.0.id", "1 to 128 characters");
    check(&with("[[rich.keys]]\nid = \"a\"\n"), "rich.keys.0.private_key", "missing: one of");

    let private_key = |value: &str| with(&table("a", value, ""));
    let curve = KeyPair::generate().expect("a key").serialize_pem();
    for (value, words) in [
        ("\"/etc/graphhook/rich/a.key.pem\"", "no private key in PEM"),
        (&inline(&certificate(&ours)), "no private key in PEM"),
        (&inline(&curve), "no RSA key of 2048 to 8192 bits"),
        ("{ file = \"/nonexistent\" }", "cannot read /nonexistent"),
        ("{ env = \"NO_SUCH\" }", "NO_SUCH is not set"),
        ("{ credential = \"rich-a\" }", "LoadCredential=rich-a"),
    ] {
        check(&private_key(value), "rich.keys.0.private_key", words);
    }

    let certified = |path: &Path| with(&table("a", &pem, &format!("certificate = {path:?}")));
    right(&certified(&write("right", &certificate(&ours))));
    for (name, text, words) in [
        ("other", certificate(&other), "the certificate of another key"),
        ("key", ours.serialize_pem(), "no certificate in PEM"),
        (
            "broken",
            "-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n".to_owned(),
            "can be read",
        ),
    ] {
        check(&certified(&write(name, &text)), "rich.keys.0.certificate", words);
    }
    check(&certified(Path::new("/nonexistent")), "rich.keys.0.certificate", "cannot read /nonexistent");
}

/// Everything changes while the daemon runs, and each key is named by what differs.
#[test]
fn all_of_it_is_live() {
    let directory = tempfile::tempdir().expect("a directory");
    let (key, path) = (rsa(), directory.path().join("certificate"));
    fs::write(&path, certificate(&key)).expect("written");
    let ours = table("a", &inline(&key.serialize_pem()), "");
    let running = right(&rich("sealed", &ours)).config;
    let [changed_id, certified] = [ours.replace("\"a\"", "\"b\""), format!("{ours}certificate = {path:?}\n")];
    let new_key = table("a", &inline(&rsa().serialize_pem()), "");
    for (text, keys) in [
        (rich("sealed", &ours), &[][..]),
        (rich("opened", &ours), &["rich.deliver"]),
        (rich("sealed", &ours).replace(TENANT, APP), &["rich.tenants"]),
        (rich("sealed", &format!("clock_skew = \"1m\"\n{ours}")), &["rich.clock_skew"]),
        (
            rich("sealed", &format!("key_documents = [\"https://h/k\"]\n{ours}")),
            &["rich.cloud", "rich.key_documents"],
        ),
        (rich("sealed", &changed_id), &["rich.keys[].id"]),
        (rich("sealed", &new_key), &["rich.keys[].private_key"]),
        (rich("sealed", &certified), &["rich.keys[].certificate"]),
        (rich("sealed", ""), &["rich.keys[].id", "rich.keys[].private_key", "rich.keys[].certificate"]),
        (LEAST.to_owned(), &["rich.deliver"]),
    ] {
        let new = right(&text).config;
        assert_eq!(running.changed_to(&new), keys, "{text}");
        assert_eq!(running.fixed_against(&new), [], "{text}");
    }
}

#[test]
fn nothing_prints_a_key() {
    let pem = rsa().serialize_pem();
    let secret = pem.lines().nth(5).expect("a line of the key");
    let loaded = right(&rich("opened", &table("a", &inline(&pem), "")));
    assert!(!format!("{loaded:?}").contains(secret));
    let broken = pem.replace("BEGIN PRIVATE", "BEGIN PUBLIC");
    for wrong in [
        table("a", &inline(&broken), ""),
        table("a", &format!("[{}]", inline(&pem)), ""),
        table("a", &format!("{{ pem = {} }}", inline(&pem)), ""),
        table("a", &format!("{{ env = {} }}", inline(&pem)), ""),
        table("a", &format!("{{ file = {} }}", inline(&pem)), ""),
        table("a", &format!("{{ credential = {} }}", inline(&pem)), ""),
        format!("[[rich.keys]]\nid = {}\n", inline(&pem)),
    ] {
        let said = problems(&rich("opened", &wrong), &[]).join("\n");
        assert!(!said.contains(secret), "{said}");
    }
}

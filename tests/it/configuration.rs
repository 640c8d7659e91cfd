//! `graphhook config`: what the configuration is, could be, and does when it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::reload::reload_well;
use crate::support::daemon::{Daemon, SECRET, run};
use crate::support::process;

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A file in a directory of its own.
fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.toml");
    fs::write(&path, text).expect("written");
    (directory, path)
}

async fn print(path: &Path, more: &[&str], environment: &[(&str, &str)]) -> String {
    let path = path.to_str().expect("UTF-8");
    said(&run(&[&["config", "print", "--config", path], more].concat(), environment).await, 0)
}

const TEXT: &str = "\
[server]
answer_within = \"1500ms\"

[broker]
urls = [\"amqps://user:hunter2@rabbit.example.com/%2f?heartbeat=5\"]

[[client_states]]
name = \"mail\"
secret = \"hunter2 hunter2 hunter2\"

[[client_states]]
name = \"files\"
secret = { env = \"MAIL_SECRET\" }
tenants = [\"t\"]
";

#[tokio::test]
async fn every_value_is_shown_with_its_origin_and_no_secret() {
    let (_directory, path) = written(TEXT);
    let environment =
        [("MAIL_SECRET", "hunter2 from the environment"), ("GRAPHHOOK_SERVER__LIMITS__BODY", "64 KiB")];
    let shown = print(&path, &["--origin"], &environment).await;
    let name = path.display().to_string();
    for (setting, origin) in [
        ("answer_within = \"1500ms\"", format!("{name}:2")),
        ("stop_within = \"20s\"", "default".to_owned()),
        ("body = \"64KiB\"", "GRAPHHOOK_SERVER__LIMITS__BODY".to_owned()),
        ("urls = [\"amqps://[secret]@rabbit.example.com/%2f?heartbeat=5\"]", format!("{name}:5")),
        ("secret = \"[secret]\"", format!("{name}:9")),
        ("secret = { env = \"MAIL_SECRET\" }", format!("{name}:13")),
        ("tenants = [\"t\"]", format!("{name}:14")),
    ] {
        let line = shown.lines().find(|line| line.starts_with(setting));
        let line = line.unwrap_or_else(|| panic!("no {setting} in\n{shown}"));
        assert!(line.ends_with(&format!("  # {origin}")), "{line} is not of {origin}");
    }
    assert!(shown.contains("# contact is not set\n"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");

    let json = print(&path, &["--json", "--origin"], &environment).await;
    assert!(!json.contains("hunter2"), "{json}");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["values"]["server"]["limits"]["body"], "64KiB");
    assert_eq!(json["values"]["client_states"][1]["secret"], json!({ "env": "MAIL_SECRET" }));
    assert_eq!(json["origins"]["server.answer_within"], format!("{name}:2"));
    assert!(shown.starts_with(&format!("# From {name}; hash {}\n", json["hash"].as_str().expect("a hash"))));
}

#[tokio::test]
async fn what_is_printed_is_a_configuration_again_but_for_its_secrets() {
    let (_directory, path) =
        written(&TEXT.replace("\"hunter2 hunter2 hunter2\"", "{ env = \"MAIL_SECRET\" }"));
    let environment = [
        ("MAIL_SECRET", "hunter2 from the environment"),
        ("GRAPHHOOK_BROKER__URLS", "[{ env = \"URL\" }]"),
        ("URL", "amqp://h/"),
        (
            "GRAPHHOOK_TRACES__HEADERS",
            "{ x-plain = { env = \"MAIL_SECRET\" }, \"x.dotted\" = { env = \"MAIL_SECRET\" }, \"x!#$\" = { env = \"MAIL_SECRET\" } }",
        ),
    ];
    let shown = print(&path, &["--origin"], &environment).await;
    for key in ["x-plain", "\"x.dotted\"", "\"x!#$\""] {
        assert!(shown.contains(&format!("{key} = {{ env = \"MAIL_SECRET\" }}")), "no {key} in\n{shown}");
    }
    let (_second_directory, second) = written(&shown);
    let (one, other) = (print(&path, &[], &environment).await, print(&second, &[], &environment).await);
    let rest = |text: &str| text.split_once('\n').expect("lines").1.to_owned();
    assert_eq!(rest(&one), rest(&other));
    let hash =
        |text: &str| text.lines().next().and_then(|line| Some(line.split_once("; hash ")?.1.to_owned()));
    assert_eq!(hash(&one), hash(&other));

    // A mask is no secret.
    let (_third_directory, with_secrets) = written(TEXT);
    let environment = &environment[..1];
    let (_fourth_directory, third) = written(&print(&with_secrets, &[], environment).await);
    let refused = run(&["config", "print", "--config", third.to_str().expect("UTF-8")], environment).await;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(78), "{words}");
    for key in ["client_states.0.secret", "broker.urls.0"] {
        assert!(words.contains(key) && words.contains("write the secret itself"), "{words}");
    }
}

#[tokio::test]
async fn the_hash_follows_the_configuration_and_not_its_secrets() {
    let mut daemon = Daemon::configure().start().await;
    let hash = async |daemon: &Daemon| {
        let (_, status) = daemon.get_admin("/status").await;
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let hash = status["config"]["hash"].as_str().expect("a hash").to_owned();
        let metrics = daemon.metrics().await;
        assert_eq!(metrics.get(&format!("graphhook_config_info{{hash=\"{hash}\"}}")), 1.0);
        assert_eq!(metrics.sum("graphhook_config_info"), 1.0);
        hash
    };
    let first = hash(&daemon).await;
    let path = daemon.directory().join("config.toml");
    assert!(print(&path, &[], &[]).await.contains(&format!("; hash {first}")));
    assert!(daemon.log().contains(&format!("\"config\":\"{first}\"")), "{}", daemon.log());
    assert_eq!(daemon.metrics().await.get("graphhook_config_warnings"), 0.0);

    daemon.reconfigure(|configuration| {
        configuration.set("server", "answer_within", "\"3s\"").set("server.limits", "items", "7")
    });
    reload_well(&daemon).await;
    let second = hash(&daemon).await;
    assert_ne!(second, first);
    let log = daemon.log();
    let line = log.lines().rfind(|line| line.contains("configuration reloaded")).expect("a line");
    assert!(line.contains(&second) && line.contains("server.answer_within server.limits.items\""), "{line}");
    assert_eq!(daemon.metrics().await.get("graphhook_config_warnings"), 1.0);
    let (_, status) = daemon.get_admin("/status").await;
    assert!(status.contains("Graph waits 3 s") && !status.contains(SECRET), "{status}");

    daemon.reconfigure(|configuration| configuration.client_state("test", "another secret of the same name"));
    reload_well(&daemon).await;
    assert_eq!(hash(&daemon).await, second, "a secret is not part of it");
}

#[tokio::test]
async fn the_example_and_the_keys_are_those_that_ship() {
    assert_eq!(said(&run(&["config", "example"], &[]).await, 0), include_str!("../../config.toml"));
    let table = said(&run(&["config", "keys"], &[]).await, 0);
    for (key, effect) in [
        ("server.listen", "restart"),
        ("server.limits.idle_within", "new connections"),
        ("client_states[].secret", "at once"),
    ] {
        let line = table.lines().find(|line| line.starts_with(&format!("{key} "))).expect(key);
        assert!(line.contains(effect), "{line}");
    }
    let keys = said(&run(&["config", "keys", "--json"], &[]).await, 0);
    let keys: Vec<Value> = serde_json::from_str(&keys).expect("JSON");
    assert_eq!(keys.len() + 1, table.lines().count());
    let key = keys.iter().find(|key| key["key"] == "spool.max_size").expect("a key");
    assert_eq!((&key["default"], &key["effect"]), (&json!("4GiB"), &json!("restart")));
    assert_eq!(key["variable"], "GRAPHHOOK_SPOOL__MAX_SIZE");
}

/// Judges each text by the schema, with a validator that is not ours; the words of each refusal.
async fn refusals(texts: &[&str]) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let schema = directory.path().join("schema.json");
    fs::write(&schema, run(&["config", "schema"], &[]).await.stdout).expect("written");
    let instances: Vec<Value> = texts.iter().map(|text| toml::from_str(text).expect("TOML")).collect();
    let file = directory.path().join("instances.json");
    fs::write(&file, serde_json::to_vec(&instances).expect("JSON")).expect("written");
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", VALIDATE]).args([&schema, &file]);
    let output = process::output(&mut python, Duration::from_secs(30)).await;
    serde_json::from_str(&said(&output, 0)).expect("JSON")
}

const VALIDATE: &str = "
import json, sys
from jsonschema import Draft202012Validator as Validator
schema, instances = (json.load(open(path)) for path in sys.argv[1:])
assert schema['$schema'] == 'https://json-schema.org/draft/2020-12/schema', schema['$schema']
Validator.check_schema(schema)
print(json.dumps(['; '.join(e.message for e in Validator(schema).iter_errors(i)) for i in instances]))
";

#[tokio::test]
async fn the_schema_knows_right_from_wrong() {
    let right = [
        include_str!("../../config.toml"),
        TEXT,
        "[[client_states]]\nname = \"a\"\nsecret = { credential = \"c\" }\n[server.tls]\nmode = \"acme\"\ncontact = \"\"\n",
        "[server]\nanswer_within = \"2s 500ms\"\n[spool]\nmax_size = \"1.5 GB\"\n",
        "[[server.tls.certificates]]\ncertificate = \"/a\"\nprivate_key = \"/b\"\n",
    ];
    assert_eq!(refusals(&right).await, [""; 5]);
    let wrong = [
        "[server]\nlistn = []\n",
        "[server]\nlisten = \"[::]:8443\"\n",
        "[server]\nanswer_within = 2500\n",
        "[server]\nanswer_within = \"2500\"\n",
        "[server.limits]\nitems = 0\n",
        "[server.limits]\nbody = \"large\"\n",
        "[server.tls]\nmode = \"file\"\n",
        "[broker]\nqueue_type = \"mirrored\"\n",
        "[broker]\ndeclare = \"yes\"\n",
        "[[client_states]]\nname = \"a\"\n",
        "[[server.tls.certificates]]\ncertificate = \"/a\"\n",
        "[[client_states]]\nname = \"a\"\nsecret = { value = \"x\" }\n",
        "[brocker]\n",
    ];
    for (text, refusal) in wrong.iter().zip(refusals(&wrong).await) {
        assert!(!refusal.is_empty(), "accepted:\n{text}");
    }
}

#[tokio::test]
async fn the_schema_says_what_each_key_means() {
    let schema: Value = serde_json::from_str(&said(&run(&["config", "schema"], &[]).await, 0)).expect("JSON");
    let server = &schema["properties"]["server"]["properties"];
    assert_eq!(server["answer_within"]["default"], "2500ms");
    assert!(
        server["answer_within"]["description"]
            .as_str()
            .is_some_and(|words| words.contains("Graph waits 3 s"))
    );
    assert_eq!(server["limits"]["properties"]["items"]["default"], 10_000);
    assert_eq!(schema["properties"]["client_states"]["items"]["required"], json!(["name", "secret"]));
}

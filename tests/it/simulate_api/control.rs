//! What tests tell it over HTTP, and the command.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::{SUBSCRIPTIONS, both};
use crate::support::api::inbox;
use crate::support::daemon::run;
use crate::support::eventually::eventually;
use crate::support::process;

#[tokio::test]
async fn everything_can_be_told_over_http() {
    let (stand, receiver) = both().await;
    let token = stand.token().await;
    let mut body = inbox(&stand.api, &receiver.url("/n"), "a secret of the test");
    body["lifecycleNotificationUrl"] = json!(receiver.url("/l"));
    let id = stand.call(&token, Method::POST, SUBSCRIPTIONS, &body).await.json()["id"].clone();
    receiver.posts();

    let told = async |method, path: &str, body: Value| {
        let reply = stand.control(method, path, &body).await;
        (reply.status, reply.json())
    };
    let (status, said) = told(Method::POST, "notify", json!({ "count": 3 })).await;
    assert_eq!((status, &said["sent"][0]["status"], receiver.items().len()), (200, &json!(202), 3));
    let (_, said) = told(Method::POST, "lifecycle", json!({ "subscription": id, "event": "missed" })).await;
    assert_eq!((&said["sent"][0]["kind"], receiver.items().len()), (&json!("lifecycle"), 1));

    let (_, said) = told(Method::PATCH, "settings", json!({ "pageSize": 1, "quota": 7 })).await;
    assert_eq!((&said["pageSize"], &said["quota"]), (&json!(1), &json!(7)));
    let (_, said) =
        told(Method::POST, "faults", json!([{ "operation": "list", "status": 429, "retryAfter": 9 }])).await;
    assert_eq!(said["faults"][0]["times"], 1);
    let reply = stand.call(&token, Method::GET, SUBSCRIPTIONS, &Value::Null).await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("9")));
    told(Method::POST, "faults", json!({ "operation": "list", "cut": "before", "times": 9 })).await;
    told(Method::DELETE, "faults", Value::Null).await;
    assert_eq!(stand.call(&token, Method::GET, SUBSCRIPTIONS, &Value::Null).await.status, 200);

    let (_, all) = told(Method::GET, "", Value::Null).await;
    assert_eq!((&all["subscriptions"][0]["id"], &all["settings"]["quota"]), (&id, &json!(7)));
    let (_, journal) = told(Method::GET, "journal", Value::Null).await;
    let operations: Vec<_> =
        journal["calls"].as_array().expect("an array").iter().map(|call| &call["operation"]).collect();
    assert_eq!(operations, ["token", "create", "list", "list"]);
    let kinds: Vec<_> =
        journal["sent"].as_array().expect("an array").iter().map(|sent| &sent["kind"]).collect();
    assert_eq!(kinds, ["handshake", "handshake", "notification", "lifecycle"]);
    assert!(![all, journal].iter().any(|said| said.to_string().contains("a secret of the test")));
    told(Method::DELETE, "journal", Value::Null).await;
    assert!(stand.api.journal().is_empty());

    let before = stand.api.now();
    told(Method::POST, "clock", json!({ "advance": "30min" })).await;
    assert!(stand.api.now() >= before + Duration::from_secs(1_800));
    assert_eq!(told(Method::POST, "lose", json!({ "subscription": id })).await.0, 200);
    assert!(stand.api.subscriptions().is_empty());
    let begin = [("client_id", "a"), ("scope", "Mail.Read")];
    let code = stand.login("devicecode", &begin).await.json()["user_code"].clone();
    assert_eq!(told(Method::POST, "device", json!({ "userCode": code })).await.0, 200);

    for (method, path, body, expected) in [
        (Method::POST, "lose", json!({ "subscription": id }), 404),
        (Method::POST, "notify", json!({ "subscription": id }), 404),
        (Method::POST, "lifecycle", json!({ "event": "expired" }), 400),
        (Method::POST, "faults", json!({ "operation": "create" }), 400),
        (Method::PATCH, "settings", json!({ "quotas": 1 }), 400),
        (Method::POST, "clock", json!({ "advance": "soon" }), 400),
        (Method::POST, "device", json!({ "userCode": "XXX" }), 404),
        (Method::GET, "nothing", Value::Null, 404),
    ] {
        let (status, said) = told(method.clone(), path, body).await;
        assert_eq!(status, expected, "{method} {path}");
        assert!(said["error"].as_str().is_some_and(|words| !words.is_empty()));
    }
}

#[tokio::test]
async fn the_command_serves_until_it_is_told_to_stop() {
    let directory = tempfile::tempdir().expect("a directory");
    let (ca, out) = (directory.path().join("ca.pem"), directory.path().join("out"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_graphhook"))
        .args(["simulate", "api", "--listen", "127.0.0.1:0", "--insecure", "--json", "--certificate-out"])
        .arg(&ca)
        .stdout(fs::File::create(&out).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let ready: Value =
        eventually("a line", async || serde_json::from_str(&fs::read_to_string(&out).ok()?).ok()).await;
    assert_eq!(ready["certificate"], ca.to_str().expect("UTF-8"));
    let graph = ready["graph"].as_str().expect("a URL");
    let mut curl = Command::new("curl");
    curl.args(["-s", "--cacert"]).arg(&ca).arg(format!("{graph}/v1.0/subscriptions"));
    let output = process::output(&mut curl, Duration::from_secs(20)).await;
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("InvalidAuthenticationToken"), "{said}");
    process::signal(child.id(), "TERM");
    let status = process::exit_within(&mut child, Duration::from_secs(20)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn the_command_refuses_what_cannot_be() {
    for (arguments, code, words) in [
        (&["--plain", "--listen", "0.0.0.0:0"][..], 2, "loopback addresses only"),
        (&["--identity-listen", "0.0.0.0:0"], 2, "loopback addresses only"),
        (&["--certificate", "a.pem"], 2, "--private-key"),
        (&["--ca", "a.pem", "--insecure"], 2, "cannot be used with"),
        (&["--page-size", "0"], 2, "--page-size"),
        (&["--notify-every", "1ms"], 2, "at least 100ms"),
        (&["--listen", "127.0.0.1:0", "--ca", "/dev/null"], 1, "cannot use the authorities in /dev/null"),
        (&["--listen", "127.0.0.1:0", "--client-secret-file", "/nowhere"], 1, "cannot read /nowhere"),
        (&["--listen", "127.0.0.1:0", "--client-certificate", "/dev/null"], 1, "client's certificate"),
        (
            &["--listen", "127.0.0.1:0", "--certificate", "/nowhere", "--private-key", "/nowhere"],
            1,
            "no certificate",
        ),
    ] {
        let output = run(&[&["simulate", "api"], arguments].concat(), &[]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

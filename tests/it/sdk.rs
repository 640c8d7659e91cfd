//! What others make subscriptions with, against the stand-in, for a real daemon with a real broker: what works there
//! is Graph's manner and not only ours. `tests/run` installs the libraries (`tests/sdk/requirements.txt`).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use graphhook::simulate::api::Operation;
use serde_json::{Value, json};

use crate::support::api::Stand;
use crate::support::broker::Node;
use crate::support::daemon::{CLIENT_STATE, Daemon, SECRET};
use crate::support::issuer::{APP, TENANT};
use crate::support::process;
use crate::support::queue::Amqp;

/// Runs a script through a subscription's life; checks what it saw, what came of it, and that it called in this order.
async fn live(script: &str, operations: &[Operation]) {
    let stand = Stand::open().await;
    let daemon = Daemon::configure().start().await;
    stand.api.believe(daemon.ca()).expect("an authority");
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let queue = amqp.queue(daemon.queue());

    let ca = stand.files.path().join("api-ca.pem");
    let told = json!({
        "graph": stand.api.origin(), "tenant": TENANT, "app": APP, "secret": "any",
        "notificationUrl": format!("https://localhost:{}/graph/notifications", daemon.public().port()),
        "clientState": SECRET,
    });
    let python = file("target/tools/sdk/bin/python");
    assert!(python.exists(), "{} is missing: tests/run --install makes it", python.display());
    let mut command = Command::new(python);
    // Nothing of ours, least of all a proxy.
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", stand.files.path());
    command.env("REQUESTS_CA_BUNDLE", &ca).env("SSL_CERT_FILE", &ca);
    command.arg(file("tests/sdk").join(script)).arg(told.to_string());
    let output = process::output(&mut command, BOUND).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {errors}");
    let seen: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");

    let expected = json!({
        "id": seen["id"], "listed": [seen["id"]], "prolonged": true, "sent": 202, "deleted": true, "left": [],
    });
    assert_eq!(seen, expected, "{errors}");
    let [message] = &queue.take(1).await[..] else { panic!("one message") };
    assert_eq!(message.routing_key, "notification.message.created");
    assert_eq!(message.header("graph-subscription-id"), seen["id"].as_str().expect("an id"));
    assert_eq!(message.header("graphhook-client-state"), CLIENT_STATE);
    let calls: Vec<_> = stand.api.journal().iter().map(|call| call.operation).collect();
    assert_eq!(calls, operations);
}

#[tokio::test]
async fn python_o365_lives_with_the_stand_in() {
    use Operation::{Create, Delete, Get, List, Token, Update};
    live("o365.py", &[Token, Create, List, Update, Get, Delete, List]).await;
}

#[tokio::test]
async fn microsofts_own_sdk_lives_with_the_stand_in() {
    use Operation::{Create, Delete, Get, List, Reauthorize, Token, Update};
    live("msgraph_sdk.py", &[Token, Create, List, Update, Reauthorize, Get, Delete, List]).await;
}

/// A file of the project.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Microsoft's has thousands of modules, and none of them is compiled when it is installed.
const BOUND: Duration = Duration::from_secs(300);

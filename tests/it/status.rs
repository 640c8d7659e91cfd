//! `graphhook status`: the one screen, asked of a real daemon.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{Daemon, run};
use crate::support::eventually::eventually;
use crate::support::graph::{changed, created, post};
use crate::support::issuer::{Issuer, Key, Manner, TENANT, claims_v2};
use crate::support::ports;
use crate::support::process;
use crate::support::rich::{self, Recipient, rich};

const BOUND: Duration = Duration::from_secs(20);

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

async fn status(daemon: &Daemon, more: &[&str]) -> Output {
    let admin = daemon.admin().to_string();
    run(&[&["status", "--admin", &admin], more].concat(), &[]).await
}

#[tokio::test]
async fn one_screen_tells_how_the_daemon_is() {
    let daemon = Daemon::configure().set("broker", "confirm_within", "\"5s\"").connected().await;
    let reply = post(&daemon.client(), [created("a"), changed("b", "created", "forged")]).await;
    assert_eq!(reply.status, 202);
    let screen = said(&status(&daemon, &[]).await, 0);
    let (public, admin) = (daemon.public(), daemon.admin());
    for words in [
        concat!("graphhook      ", env!("CARGO_PKG_VERSION"), ", up "),
        "\n               ready\n",
        &format!("listening      {public}; admin {admin}\n"),
        "broker         up for ",
        ", amqp://127.0.0.1:",
        "spool          ready: empty; ",
        "received       2 = 1 published + 0 spooled + 1 refused\n",
        "certificates   localhost",
        "last reload    none since the start\n",
        ", no warnings\n",
    ] {
        assert!(screen.contains(words), "no {words:?} in\n{screen}");
    }
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");
    assert!(!screen.contains('\x1b') && !screen.contains("guest"), "{screen}");

    let json: Value = serde_json::from_str(&said(&status(&daemon, &["--json"]).await, 0)).expect("JSON");
    assert_eq!(json["readiness"], "ready");
    assert_eq!(json["admin_listener"], admin.to_string());
    assert!(json["broker"]["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{json}");
    assert_eq!(json["broker"]["last_error"], Value::Null);
    assert!(json["certificates"][0]["not_after"].as_str().is_some_and(|end| end.ends_with('Z')), "{json}");
    assert_eq!(json["notifications"]["received"], 2);
    assert_eq!(json["rich"], Value::Null);
}

#[tokio::test]
async fn resource_data_has_a_part_of_its_own() {
    let (issuer, files) = (Issuer::open().await, tempfile::tempdir().expect("a directory"));
    let at = files.path();
    let keygen = ["rich", "keygen", "--id", "new", "--json", "--directory", at.to_str().expect("UTF-8")];
    let made: Value = serde_json::from_str(&said(&run(&keygen, &[]).await, 0)).expect("JSON");
    let (key, certificate) = (&made["private_key"], &made["certificate"]);
    let table = format!(
        "[[rich.keys]]\nid = \"new\"\nprivate_key = {{ file = {key} }}\ncertificate = {certificate}\n"
    );
    let old = Recipient::generate("old");
    let configuration = issuer.trusted(Daemon::configure(), "opened").append(&table).append(&old.table(at));
    let (daemon, queue, _) = super::rich::started(configuration).await;
    let read = async |daemon: &Daemon| -> Value {
        serde_json::from_str(&said(&status(daemon, &["--json"]).await, 0)).expect("JSON")
    };
    let before = read(&daemon).await["rich"].clone();
    assert_eq!((&before["deliver"], &before["signing_keys"]["known"]), (&json!("opened"), &json!(1)));
    assert_eq!(
        before["decryption_keys"],
        json!([
            { "id": "new", "not_after": made["not_after"], "last_used_at": null },
            { "id": "old", "not_after": null, "last_used_at": null },
        ])
    );
    let end = r#"graphhook_decryption_certificate_not_after_timestamp_seconds{key="new"}"#;
    let ends = daemon.metrics().await;
    assert_eq!(crate::support::daemon::rfc3339(ends.get(end)), made["not_after"].as_str().expect("a time"));
    assert_eq!(ends.find(&end.replace("new", "old")), None, "nobody knows its end");

    let client = daemon.client();
    let item = rich("a", TENANT, &old.seal("{}"));
    assert_eq!(rich::post(&client, &[item], &json!([issuer.token(TENANT)])).await.status, 202);
    queue.take(1).await;
    let screen = said(&status(&daemon, &[]).await, 0);
    for words in
        ["resource data  opened; 1 signing key, fetched ", "key new: not used since", "key old: last used "]
    {
        assert!(screen.contains(words), "no {words:?} in\n{screen}");
    }
    let after = read(&daemon).await["rich"].clone();
    assert!(after["decryption_keys"][1]["last_used_at"].is_string(), "{after}");
    assert_eq!(
        (&after["signing_keys"]["failing"], &before["signing_keys"]["failing"]),
        (&json!(false), &json!(false))
    );

    // A token with a key that is not known is a reason to look, and there is nothing to be had.
    issuer.behaves(Manner::Answers(500, String::new()));
    let stranger = Key::generate("stranger");
    let token = stranger.sign(&stranger.header(), &claims_v2(TENANT));
    let item = rich("b", TENANT, &old.seal("{}"));
    assert_eq!(rich::post(&client, &[item], &json!([token])).await.status, 503);
    let failing = read(&daemon).await["rich"]["signing_keys"].clone();
    assert_eq!((&failing["failing"], &failing["known"]), (&json!(true), &json!(1)));
    let screen = said(&status(&daemon, &[]).await, 0);
    assert!(screen.contains("others cannot be fetched"), "{screen}");

    let text = fs::read_to_string(daemon.directory().join("config.toml")).expect("read");
    let without = text.replace(&format!("certificate = {certificate}\n"), "").replace("\"old\"", "\"older\"");
    fs::write(daemon.directory().join("config.toml"), without).expect("written");
    daemon.signal("HUP");
    daemon.eventually_logs("configuration reloaded").await;
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.find(end), None, "it names no certificate any more");
    let last = |id: &str| format!("graphhook_decryption_key_last_use_timestamp_seconds{{key=\"{id}\"}}");
    assert_eq!((metrics.find(&last("old")), metrics.find(&last("older"))), (None, Some(0.0)));
}

#[tokio::test]
async fn a_broker_that_went_away_is_told_with_its_last_error() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let url = Node::shared().url_by(cut.port());
    let daemon = Daemon::configure().broker(url).connected().await;
    cut.refuse();
    cut.cut();
    let screen = eventually("a broker that is down", async || {
        let screen = said(&status(&daemon, &[]).await, 0);
        (screen.contains("broker         down for") && screen.contains("last error")).then_some(screen)
    })
    .await;
    assert!(screen.contains("ready, into the spool: no broker"), "{screen}");
    assert!(!screen.contains("guest"), "{screen}");
}

#[tokio::test]
async fn a_daemon_that_keeps_no_promise_ends_with_1() {
    let daemon = Daemon::configure().without_broker().without_spool().start().await;
    let screen = said(&status(&daemon, &[]).await, 1);
    assert!(screen.contains("NOT READY: no broker, and no spool"), "{screen}");
    let json: Value = serde_json::from_str(&said(&status(&daemon, &["--json"]).await, 1)).expect("JSON");
    assert_eq!(json["ready"], false);
}

#[tokio::test]
async fn nobody_there_ends_with_1_and_wrong_usage_with_2() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.toml");
    // The secrets need not be readable for whoever asks.
    let text = "[admin]\nlisten = \"127.0.0.1:1\"\n[[client_states]]\nname = \"a\"\nsecret = { file = \"/nonexistent\" }\n";
    fs::write(&path, text).expect("written");
    let path = path.to_str().expect("UTF-8");
    let absent = said(&run(&["status", "--config", path], &[]).await, 1);
    assert!(absent.contains("no daemon answers at 127.0.0.1:1") && absent.contains("systemctl"), "{absent}");
    let variable = [("GRAPHHOOK_ADMIN__LISTEN", "127.0.0.1:2")];
    let absent = said(&run(&["status", "--config", path], &variable).await, 1);
    assert!(absent.contains("127.0.0.1:2"), "{absent}");
    let unreadable = said(&run(&["status", "--config", "/nonexistent"], &[]).await, 78);
    assert!(unreadable.contains("--admin"), "{unreadable}");
    said(&run(&["status", "--admin", "nowhere"], &[]).await, 2);
    said(&run(&["status", "--watch", "1ms", "--admin", "127.0.0.1:1"], &[]).await, 2);
    let socket = said(&run(&["status", "--admin", "unix:/nonexistent"], &[]).await, 1);
    assert!(socket.contains("no daemon answers at unix:/nonexistent"), "{socket}");
    let daemon = Daemon::configure().start().await;
    let public = daemon.public().to_string();
    let stranger = said(&run(&["status", "--admin", &public], &[]).await, 1);
    assert!(stranger.contains("no admin listener"), "{stranger}");
}

#[tokio::test]
async fn a_watch_outlives_the_daemon() {
    let [port] = ports::free();
    let admin = format!("127.0.0.1:{port}");
    let mut daemon = Daemon::configure().set("admin", "listen", &format!("\"{admin}\"")).start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("out");
    let mut watch = Watch(
        Command::new(env!("CARGO_BIN_EXE_graphhook"))
            .args(["status", "--admin", &admin, "--watch", "100ms"])
            .stdout(File::create(&file).expect("a file"))
            .spawn()
            .expect("the program starts"),
    );
    let seen = async |words: &str, times: usize| {
        let shown = eventually(format!("{words:?}, {times} times"), async || {
            let shown = fs::read_to_string(&file).expect("text");
            (shown.matches(words).count() >= times).then_some(shown)
        });
        shown.await
    };
    seen("last reload", 2).await;
    daemon.kill();
    seen("not there at", 2).await;
    daemon.restart().await;
    let before = seen("last reload", 2).await.matches("last reload").count();
    let shown = seen("last reload", before + 2).await;
    assert!(!shown.contains('\x1b'), "this is no terminal: {shown}");
    process::signal(watch.0.id(), "INT");
    let status = process::exit_within(&mut watch.0, BOUND).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn a_terminal_has_its_screen_back_after_the_watch() {
    let daemon = Daemon::configure().start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let (file, pid) = (directory.path().join("out"), directory.path().join("pid"));
    let program = env!("CARGO_BIN_EXE_graphhook");
    let (admin, pid_file) = (daemon.admin(), pid.display());
    let line = format!("echo $$ >{pid_file}; exec {program} status --admin {admin} --watch 100ms");
    // `script` gives the program a terminal.
    let mut script = Watch(
        Command::new("script")
            .args(["-qefc", &line])
            .arg(&file)
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("script starts"),
    );
    let read = |path: &Path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    eventually("two looks", async || {
        let shown = read(&file).ok()?;
        (shown.matches("last reload").count() >= 2).then_some(())
    })
    .await;
    process::signal(read(&pid).expect("a pid").trim().parse().expect("a number"), "INT");
    assert!(process::exit_within(&mut script.0, BOUND).await.is_some());
    let shown = read(&file).expect("all of it");
    let place = |code: &str| shown.find(code).unwrap_or_else(|| panic!("no {code:?} in {shown:?}"));
    assert!(place("\x1b[?1049h") < place("\x1b[H") && place("\x1b[H") < place("\x1b[?1049l"), "{shown:?}");
    assert!(shown.contains("\x1b[32mready"), "{shown:?}");
}

/// A program that does not outlive its test.
struct Watch(Child);

impl Drop for Watch {
    fn drop(&mut self) {
        // Fails only when it has ended by itself, which is as good.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

//! The commands, their output and their exit codes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::broker::Node;
use crate::support::certs::Authority;
use crate::support::daemon::{Daemon, run};
use crate::support::eventually::eventually;
use crate::support::process;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[track_caller]
fn check(output: &Output, code: i32) -> String {
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

#[tokio::test]
async fn the_rehearsal_comes_out_right() {
    let output = run(&["dev", "--simulate"], &[]).await;
    check(&output, 0);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let ids: Vec<&str> = lines.iter().filter_map(|line| line["message_id"].as_str()).collect();
    assert_eq!(ids, ["one-1", "batch-1", "batch-2", "batch-3", "batch-4", "genuine-1", "life-1"]);
    assert_eq!(lines[0]["body"]["id"], "one-1");
    let said = text(&output.stderr);
    for words in ["handshake", "refused one: missing", "refused one: mismatch", "everything came out right"] {
        assert!(said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn dev_takes_what_its_curl_line_sends() {
    let program = env!("CARGO_BIN_EXE_graphhook");
    let directory = tempfile::tempdir().expect("a directory");
    let (out, err) = (directory.path().join("out"), directory.path().join("err"));
    let file = |path: &Path| fs::File::create(path).expect("a file");
    let mut child = Command::new(program)
        .args(["dev", "--listen", "127.0.0.1:0"])
        .stdout(file(&out))
        .stderr(file(&err))
        .spawn()
        .expect("the program starts");
    let curl = eventually("a curl line", async || {
        let said = fs::read_to_string(&err).ok()?;
        said.lines().find(|line| line.starts_with("curl ")).map(str::to_owned)
    })
    .await;
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{curl} -s -o /dev/null -w '%{{http_code}}'")]);
    let output = process::output(&mut shell, Duration::from_secs(20)).await;
    assert_eq!(text(&output.stdout), "202", "{curl}");
    eventually("a line", async || fs::read_to_string(&out).ok().filter(|said| said.contains("try-1"))).await;
    process::signal(child.id(), "INT");
    let status = process::exit_within(&mut child, Duration::from_secs(20)).await;
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn check_reports_on_everything() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    let path = Daemon::configure().write_into(directory.path(), &files);
    let path = path.to_str().expect("UTF-8");
    let said = check(&run(&["check", "--config", path], &[]).await, 0);
    for words in ["ok       configuration", "ok       tls", "ok       broker"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!said.contains("guest"), "{said}");

    let output = run(&["check", "--offline", "--json", "--config", path], &[]).await;
    check(&output, 0);
    let report: serde_json::Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    assert!(findings.iter().all(|finding| finding["check"] != "broker"), "offline is offline");

    let said =
        check(&run(&["check", "--offline", "--config", path], &[("GRAPHHOOK_SERVER__LISTN", "x")]).await, 78);
    assert!(
        said.contains("server.listn (GRAPHHOOK_SERVER__LISTN): unknown key; did you mean listen?"),
        "{said}"
    );
}

#[tokio::test]
async fn check_says_when_the_broker_does_not_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    let url = Node::shared().url().replace("guest:guest@", "guest:hunter2@");
    let path = Daemon::configure().broker(url).write_into(directory.path(), &files);
    let said = check(&run(&["check", "--config", path.to_str().expect("UTF-8")], &[]).await, 1);
    assert!(said.contains("failed   broker") && said.contains("ACCESS_REFUSED"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn certificates_are_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::generate();
    let files = authority.write_into(directory.path());
    let path = Daemon::configure().write_into(directory.path(), &files);
    let path = path.to_str().expect("UTF-8");
    let offline = ["check", "--offline", "--config", path];
    let serve = ["serve", "--config", path];

    authority.server_between((2020, 1, 1), (2021, 1, 1)).write(&files.certificate, &files.key);
    let said = check(&run(&offline, &[]).await, 1);
    assert!(said.contains("failed   tls") && said.contains("has expired"), "{said}");

    let good = authority.server();
    fs::write(&files.certificate, &good.certificate).expect("written");
    let said = check(&run(&offline, &[]).await, 78);
    assert!(said.contains("cannot be used together"), "{said}");
    let said = check(&run(&serve, &[]).await, 78);
    assert!(said.contains("cannot be used together"), "{said}");

    fs::write(&files.key, "hunter2").expect("written");
    let said = check(&run(&offline, &[]).await, 78);
    assert!(said.contains("holds no private key") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn every_certificate_is_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::generate().intermediate();
    let files = authority.write_into(directory.path());
    let (certificate, key) = (directory.path().join("other.pem"), directory.path().join("other-key.pem"));
    let other =
        format!("[{{ certificate = \"{}\", private_key = \"{}\" }}]", certificate.display(), key.display());
    let configuration = Daemon::configure().set("server.tls", "certificates", &other);
    let path = configuration.write_into(directory.path(), &files);
    let path = path.to_str().expect("UTF-8");
    let offline = ["check", "--offline", "--config", path];

    authority.server_for(&["other.example", "LOCALHOST"]).write(&certificate, &key);
    let said = check(&run(&offline, &[]).await, 0);
    assert_eq!(said.matches("certificate and key match").count(), 2, "{said}");
    assert!(
        said.contains("warning  tls") && said.contains("an earlier one is served for localhost"),
        "{said}"
    );

    let mut torn = authority.server();
    torn.certificate += Authority::generate().pem();
    torn.write(&files.certificate, &files.key);
    let said = check(&run(&offline, &[]).await, 1);
    assert!(
        said.contains("clients cannot trust the chain") && said.contains("put the certificate first"),
        "{said}"
    );

    fs::write(&certificate, "hunter2").expect("written");
    let said = check(&run(&offline, &[]).await, 78);
    assert_eq!(said.matches("failed   tls").count(), 2, "{said}");
    assert!(said.contains("other.pem holds no certificate") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_refused_configuration_ends_with_78() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("config.toml");
    fs::write(&path, "[server]\nlisten = [\"nowhere\"]\n[brocker]\n").expect("written");
    let said = check(&run(&["serve", "--config", path.to_str().expect("UTF-8")], &[]).await, 78);
    for words in ["server.listen.0", "brocker", "client_states"] {
        assert!(said.contains(words), "{said}");
    }
    let said = check(&run(&["serve", "--config", "/nonexistent/config.toml"], &[]).await, 78);
    assert!(said.contains("cannot read /nonexistent/config.toml"), "{said}");
}

#[tokio::test]
async fn a_taken_address_ends_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let daemon = Daemon::configure().set("server", "listen", &format!("[\"{address}\"]")).spawn();
    assert_eq!(daemon.wait_exit().await.code(), Some(1));
    assert!(daemon.log().contains(&format!("cannot listen on {address}")), "{}", daemon.log());
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_help_with_0() {
    check(&run(&[], &[]).await, 2);
    check(&run(&["srve"], &[]).await, 2);
    check(&run(&["dev", "--listen", "nowhere"], &[]).await, 2);
    for command in ["serve", "dev", "check", "spool", "quarantine"] {
        let said = check(&run(&[command, "--help"], &[]).await, 0);
        assert!(said.contains("Example"), "{command}: {said}");
    }
    check(&run(&["--version"], &[]).await, 0);
}

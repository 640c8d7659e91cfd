//! What needs no network.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{check, line};
use crate::support::certs::Authority;
use crate::support::daemon::{Daemon, run};
use crate::support::ports;

const OFFLINE: &[&str] = &["--offline"];

#[tokio::test]
async fn files_that_others_can_read_or_change_are_told_of() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    Daemon::configure().write_into(directory.path(), &files);
    let mode = |mode| {
        let paths = [&files.certificate, &files.key, &directory.path().join("config.toml")];
        for path in paths {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
        }
    };
    mode(0o640);
    let (said, code) = check(directory.path(), OFFLINE).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning  files"), "{said}");
    line(&said, "ok", "files", "3 can be read by user");
    mode(0o644);
    let (said, code) = check(directory.path(), OFFLINE).await;
    assert_eq!(code, Some(0), "{said}");
    let key = line(&said, "warning", "files", "server.tls.private_key: ");
    assert!(
        key.contains("everybody can read it (mode 644); chmod 640 ") && key.ends_with("key.pem"),
        "{said}"
    );
    line(&said, "warning", "files", "config.toml: everybody can read it");
    assert!(!said.contains("server.tls.certificate: "), "{said}");
    mode(0o666);
    let (said, _) = check(directory.path(), OFFLINE).await;
    line(&said, "warning", "files", "server.tls.certificate: ");
}

#[tokio::test]
async fn a_daemon_that_runs_may_have_its_addresses_and_nobody_else() {
    let [public, admin] = ports::free();
    let daemon = Daemon::configure()
        .without_broker()
        .set("server", "listen", &format!("[\"127.0.0.1:{public}\"]"))
        .set("admin", "listen", &format!("\"127.0.0.1:{admin}\""))
        .start()
        .await;
    let (said, code) = check(daemon.directory(), OFFLINE).await;
    assert_eq!(code, Some(0), "{said}");
    line(
        &said,
        "ok",
        "listen",
        &format!("public 127.0.0.1:{public}, admin 127.0.0.1:{admin} (graphhook runs)"),
    );
    line(&said, "ok", "spool", "is in use by graphhook");
    // Another daemon, with another spool.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let text = fs::read_to_string(daemon.directory().join("config.toml")).expect("read");
    let (mine, other) = (daemon.spool(), elsewhere.path().join("spool"));
    let text = text.replace(&mine.display().to_string(), &other.display().to_string());
    fs::write(elsewhere.path().join("config.toml"), text).expect("written");
    let (said, code) = check(elsewhere.path(), OFFLINE).await;
    assert_eq!(code, Some(0), "{said}");
    line(
        &said,
        "warning",
        "listen",
        &format!("public: 127.0.0.1:{public} is in use; right if graphhook.socket"),
    );
    line(&said, "warning", "listen", &format!("admin: 127.0.0.1:{admin} is in use"));
}

#[tokio::test]
async fn the_report_is_lines_or_one_object_and_has_no_colours_in_a_pipe() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    let configuration = Daemon::configure().client_state("few", "aaaaaaaaaaaaaaaaaaaa");
    configuration.write_into(directory.path(), &files);
    let (said, code) = check(directory.path(), OFFLINE).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
    line(&said, "warning", "client_states", "few: few different characters");
    line(&said, "ok", "routing", "a change is sent as notification.message.created");
    line(&said, "ok", "tls", "TLS 1.2 and 1.3, HTTP/1.1 and 2; no client certificates");
    assert!(!said.contains("aaaaaaaa") && !said.contains("broker"), "{said}");

    let file = directory.path().join("config.toml");
    let file = file.to_str().expect("UTF-8");
    let output = run(&["check", "--offline", "--json", "--config", file], &[]).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), said.lines().count(), "as many as lines");
    for finding in findings {
        let (verdict, advice) = (finding["verdict"].as_str().expect("a verdict"), &finding["advice"]);
        assert!(["ok", "warning", "failed"].contains(&verdict), "{finding}");
        assert!(finding["check"].is_string() && finding["message"].is_string(), "{finding}");
        assert_eq!(verdict == "ok", advice.is_null(), "{finding}");
    }
    let output = run(&["check", "--offline", "--ca", file, "--config", file], &[]).await;
    assert_eq!(output.status.code(), Some(2), "--ca is for the network");
}

#[tokio::test]
async fn a_file_is_named_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    Daemon::configure().write_into(directory.path(), &files);
    fs::remove_file(&files.key).expect("removed");
    let (said, code) = check(directory.path(), OFFLINE).await;
    assert_eq!(code, Some(78), "{said}");
    let failed = line(&said, "failed", "tls", "cannot read");
    assert_eq!(failed.matches(".pem").count(), 1, "{failed}");
    let path = directory.path().join("config.toml");
    let output = run(&["serve", "--config", path.to_str().expect("UTF-8")], &[]).await;
    let said =
        String::from_utf8(output.stdout).expect("text") + &String::from_utf8(output.stderr).expect("text");
    let ended = said.lines().find(|line| line.contains("cannot go on")).expect("it says why");
    assert_eq!(ended.matches(".pem").count(), 1, "{ended}");
}

#[tokio::test]
async fn a_spool_in_memory_is_told_of() {
    let memory = tempfile::tempdir_in("/dev/shm").expect("Linux has memory there");
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    let spool = memory.path().join("spool");
    Daemon::configure()
        .spool(&spool)
        .set("spool", "max_size", "\"1EiB\"")
        .write_into(directory.path(), &files);
    let (said, code) = check(directory.path(), OFFLINE).await;
    assert_eq!(code, Some(0), "{said}");
    line(&said, "warning", "spool", "is in memory: what waits there is gone when the machine restarts");
    line(&said, "warning", "spool", "left, less than spool.max_size; make room");
    line(&said, "ok", "spool", "can be made");
    assert!(!spool.exists(), "a check makes nothing");
}

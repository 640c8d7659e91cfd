//! What is for somebody who sits before a terminal: script(1) makes one.

use std::process::Command;
use std::time::Duration;

use crate::support::certs::Authority;
use crate::support::daemon::Daemon;
use crate::support::process;

/// What appears on the terminal; `before` is for the shell, such as a variable.
async fn on_a_terminal(directory: &std::path::Path, before: &str, arguments: &str) -> String {
    let (program, file) = (env!("CARGO_BIN_EXE_graphhook"), directory.join("config.toml"));
    let line = format!("{before} {program} check --config {} {arguments}", file.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
    let output = process::output(&mut script, Duration::from_secs(60)).await;
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn verdicts_have_colours_unless_nobody_wants_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    Daemon::configure().without_broker().write_into(directory.path(), &files);
    let said = on_a_terminal(directory.path(), "", "--offline").await;
    assert!(said.contains("\u{1b}[32mok      \u{1b}[0m configuration"), "{said:?}");
    for before in ["NO_COLOR=1", "TERM=dumb"] {
        let said = on_a_terminal(directory.path(), before, "--offline").await;
        assert!(said.contains("ok       configuration") && !said.contains('\u{1b}'), "{before}: {said:?}");
    }
}

#[tokio::test]
async fn who_waits_is_told_so() {
    // It takes connections and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    Daemon::configure()
        .broker(format!("amqp://guest:guest@127.0.0.1:{port}/%2f"))
        .set("broker", "connect_within", "\"3s\"")
        .write_into(directory.path(), &files);
    let said = on_a_terminal(directory.path(), "", "").await;
    let (waiting, failed) = (said.find("waiting for answers"), said.find("connecting took too long"));
    assert!(waiting.is_some() && waiting < failed, "{said:?}");
    assert!(said.contains("does a firewall swallow the packets"), "{said:?}");
}

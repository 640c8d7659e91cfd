//! What the program tells of itself: manual pages, completions, the build.

use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::daemon::run;
use crate::support::process;

#[track_caller]
fn said(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test]
async fn every_command_has_a_page_that_renders() {
    let directory = tempfile::tempdir().expect("a directory");
    let pages = directory.path().join("man1");
    said(&run(&["man", pages.to_str().expect("UTF-8")], &[]).await, 0);
    let mut seen = 0;
    for page in fs::read_dir(&pages).expect("a directory") {
        let path = page.expect("a page").path();
        let mut man = Command::new("man");
        man.args(["--warnings", "-l"]).arg(&path).env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80");
        let output = process::output(&mut man, Duration::from_secs(20)).await;
        let text = said(&output, 0);
        assert!(output.stderr.is_empty(), "{path:?}: {}", String::from_utf8_lossy(&output.stderr));
        for heading in ["NAME", "SYNOPSIS", "EXAMPLES", "graphhook"] {
            assert!(text.contains(heading), "{path:?} has no {heading}");
        }
        seen += 1;
    }
    assert!(seen > 15, "only {seen} pages");
    let main = said(&run(&["man"], &[]).await, 0);
    assert_eq!(main, fs::read_to_string(pages.join("graphhook.1")).expect("the main page"));
    let taken = run(&["man", "/dev/null/pages"], &[]).await;
    assert!(said(&taken, 1).is_empty());
}

#[tokio::test]
async fn shells_are_told_of_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = said(&run(&["completions", shell], &[]).await, 0);
        for word in ["quarantine", "completions", "offline"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    said(&run(&["completions", "cmd"], &[]).await, 2);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("graphhook.bash");
    fs::write(&file, run(&["completions", "bash"], &[]).await.stdout).expect("written");
    let try_it = format!(
        "source {} && COMP_WORDS=(graphhook spool ver) COMP_CWORD=2 && _graphhook graphhook ver spool && echo ${{COMPREPLY[@]}}",
        file.display()
    );
    let mut bash = Command::new("bash");
    bash.args(["-euc", &try_it]);
    assert_eq!(said(&process::output(&mut bash, Duration::from_secs(20)).await, 0), "verify\n");
}

#[tokio::test]
async fn the_build_is_told() {
    let short = said(&run(&["version"], &[]).await, 0);
    assert_eq!(short, concat!("graphhook ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(said(&run(&["--version"], &[]).await, 0), short);
    let build: serde_json::Value =
        serde_json::from_str(&said(&run(&["version", "--json"], &[]).await, 0)).expect("JSON");
    let verbose = said(&run(&["version", "--verbose"], &[]).await, 0);
    for key in ["version", "target", "rustls", "aws_lc_rs", "sqlite"] {
        let value = build[key].as_str().expect(key);
        assert!(value.contains(['.', '-']) && verbose.contains(value), "{key} is {value}");
    }
    assert_eq!(build["spool_format"], 1);
    // Whatever is tested has them.
    assert_eq!(build["features"], serde_json::json!(["fail-points"]));
}

//! What cannot be is refused, with a word on what can.

use std::fs;

use super::everything;
use crate::support::daemon::run;

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let rubbish = directory.path().join("rubbish");
    fs::write(&rubbish, [0xff, 0xfe]).expect("written");
    let rubbish = rubbish.to_str().expect("UTF-8");
    let url = "https://127.0.0.1:1/";
    for (arguments, code, words) in [
        (&["notify", url][..], 2, "--client-state file:PATH"),
        (&["batch", url], 2, "--no-client-state"),
        (&["notify"], 2, "<URL>"),
        (&["notify", "http://example.com/"], 2, "Graph takes https:// alone"),
        (&["notify", url, "--client-state", "hunter2"], 2, "expected file:PATH"),
        (&["notify", url, "--client-state", "text:a", "--no-client-state"], 2, "cannot be used with"),
        (&["notify", url, "--client-state", "env:NOTHING"], 2, "NOTHING is not set"),
        (&["notify", url, "--client-state", "text:"], 2, "the secret is empty"),
        (&["notify", url, "--no-client-state", "--resource", "help"], 2, "known are message, event,"),
        (&["batch", url, "--no-client-state", "--resources", "message,x"], 2, "known are message, event,"),
        (&["notify", url, "--no-client-state", "--resource", "lifecycle"], 2, "graphhook simulate lifecycle"),
        (&["batch", url, "--no-client-state", "--resources", "lifecycle,event"], 2, "no lifecycle events"),
        (&["rich", url, "--no-client-state", "--resource", "lifecycle"], 2, "no lifecycle events"),
        (&["forge", url, "--resource", "lifecycle"], 2, "no lifecycle events"),
        (&["notify", url, "--no-client-state", "--items", "0"], 2, "--items"),
        (&["notify", url, "--no-client-state", "--size", "much"], 2, "expected a size"),
        (&["notify", url, "--no-client-state", "--size", "1GiB"], 2, "16 MiB at most"),
        (&["notify", url, "--no-client-state", "--size", "16MiB", "--items", "9"], 2, "64 MiB at most"),
        (&["notify", url, "--no-client-state", "--id", "a", "--no-id"], 2, "cannot be used with"),
        (&["notify", url, "--body", rubbish, "--items", "2"], 2, "cannot be used with"),
        (&["notify", url, "--body", "/nowhere"], 2, "cannot read /nowhere"),
        (&["notify", url, "--no-client-state", "--template", rubbish], 2, "is no text"),
        (&["rich", url, "--no-client-state", "--tokens", "good"], 2, "[possible values: valid, null, none,"),
        (&["rich", url, "--no-client-state", "--certificate", "/dev/null"], 1, "no certificate in PEM"),
        (
            &["rich", url, "--no-client-state", "--issuer", "/dev/null/a"],
            1,
            "/dev/null/a/issuer-signing-key.pem",
        ),
        (&["rich", url, "--no-client-state", "--token-version", "3"], 2, "[possible values: 1, 2]"),
        (&["issuer"], 2, "--directory"),
        (&["issuer", "--directory", "/dev/null/a"], 1, "cannot use the signing key /dev/null/a"),
        (&["storm", url, "--no-client-state", "--connections", "0"], 2, "--connections"),
        (&["handshake", url, "--within", "soon"], 2, "--within"),
        (&["handshake", url, "--ca", "/nowhere"], 2, "cannot use the authorities in /nowhere"),
    ] {
        let output = run(&[&["simulate"], arguments].concat(), &[]).await;
        let told = everything(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(words) && !told.contains("hunter2'"), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?}: {told}");
    }
}

#[tokio::test]
async fn printing_sends_nothing() {
    for verb in ["notify", "batch", "lifecycle", "rich", "forge"] {
        let arguments =
            ["simulate", verb, "https://127.0.0.1:1/", "--client-state", "text:the-secret", "--print"];
        let output = run(&arguments, &[]).await;
        let told = String::from_utf8(output.stdout).expect("text");
        assert_eq!(output.status.code(), Some(0), "{verb}: {told}");
        assert!(told.lines().count() > 0 && told.contains("the-secret"), "{verb}: {told}");
        for line in told.lines() {
            let body: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(body["value"].as_array().is_some_and(|items| !items.is_empty()), "{verb}: {line}");
        }
    }
}

#[tokio::test]
async fn a_size_that_no_item_can_have_is_told_of() {
    let arguments = ["simulate", "notify", "https://127.0.0.1:1/", "--no-client-state", "--print", "--size"];
    for (size, is_told) in [("10", true), ("4KiB", false)] {
        let output = run(&[&arguments[..], &[size]].concat(), &[]).await;
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.contains("--size makes nothing shorter: an item has "), is_told, "{said}");
    }
}

//! What can be said to the command, what cannot, and the scenarios that are shipped.

use std::path::Path;

use graphhook::simulate::run::Scenario;

use super::{Manner, Play, Receiver, number};
use crate::support::daemon::run;

#[track_caller]
fn refused(arguments: &[&str], code: i32, words: &str) -> impl Future<Output = ()> {
    let arguments: Vec<String> =
        [&["simulate", "run"], arguments].concat().iter().map(ToString::to_string).collect();
    let words = words.to_owned();
    async move {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments, &[]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(&words), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    write("good.toml", "rate = 1\ncount = 1\n");
    write("bad.toml", "rate = 1\ncount = 1\n[faults]\nforget = 1\n");
    write("own.toml", "rate = 1\ncount = 1\n[notifications.resources]\n\"item.json\" = 1\n");
    write("item.json", "{\"subscriptionId\":\"{{subscription_id}}\"}");
    let (good, bad, own) = (path("good.toml"), path("bad.toml"), path("own.toml"));
    let url = "http://127.0.0.1:1/hook";
    refused(&[], 2, "SCENARIO").await;
    refused(&[&good], 2, "URL").await;
    refused(&[&good, url], 2, "--no-client-state").await;
    refused(&[&good, "http://example.com", "--no-client-state"], 2, "on this machine").await;
    refused(&[&path("no.toml"), url, "--no-client-state"], 1, "cannot read").await;
    refused(&[&bad, url, "--no-client-state"], 2, "bad.toml:4): unknown field `forget`").await;
    refused(&[&good, url, "--no-client-state", "--exchange", "e"], 2, "at which broker?").await;
    let broker = "text:amqp://guest:guest@127.0.0.1:1";
    refused(&[&own, url, "--no-client-state", "--broker", broker], 2, "not known again").await;
    refused(&[&good, url, "--no-client-state", "--broker", broker], 1, "").await;
    refused(&["--example", url], 2, "--example").await;
}

#[tokio::test]
async fn the_example_can_be_played() {
    let output = run(&["simulate", "run", "--example"], &[]).await;
    assert_eq!(output.status.code(), Some(0));
    let example = String::from_utf8(output.stdout).expect("text");
    let receiver = Receiver::open(Manner::Status(200)).await;
    let shorter = example.replace("duration = \"30s\"", "duration = \"100ms\"");
    assert_ne!(shorter, example);
    let report = Play::new(&shorter).with(&[&receiver.url()]).output().await;
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).expect("JSON");
    assert_eq!(number(&report, "/notifications/delivered"), 20);
}

#[tokio::test]
async fn people_get_a_report_in_words() {
    let receiver = Receiver::open(Manner::Status(202)).await;
    let mut play = Play::new("rate = \"flat_out\"\ncount = 30\n").with(&[&receiver.url()]);
    play.arguments.retain(|argument| argument != "--json");
    let said = String::from_utf8(play.output().await.stdout).expect("text");
    for words in [
        "notifications  30 planned, 30 sent, 30 delivered; ",
        "requests       30: 30 × 202\n",
        "latency        p50 ",
        "graph          good for 0 s, slow for 0 s (0 times)",
        "passed         30 of 30 notifications were delivered\n",
        "note           30 items carried the clientState and 0 did not: a 2xx does not say whom",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn the_scenarios_that_are_shipped_can_be_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios");
    let mut names = Vec::new();
    for file in std::fs::read_dir(directory).expect("a directory") {
        let path = file.expect("a file").path();
        Scenario::load(&path).unwrap_or_else(|error| panic!("{error}"));
        names.push(path.file_stem().expect("a name").to_str().expect("UTF-8").to_owned());
    }
    names.sort();
    assert_eq!(names, ["forgers", "outage", "steady", "storm"]);
}

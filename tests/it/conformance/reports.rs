//! One run, and its forms: for people, for programs, for CI.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::Value;

use super::receiver::{Fault, receiver};
use super::{conformance, said, try_receiver};
use crate::support::daemon::{SECRET, run};
use crate::support::eventually::eventually;
use crate::support::process;
use crate::support::site::{Content, Site, answer};
use crate::support::started::Started;

#[tokio::test]
async fn the_table_tells_what_is_wrong_in_full() {
    let (_site, url) = receiver(Fault::Forbids).await;
    let only = ["--only", "client-state/wrong", "--only", "post/message", "--only", "transport/tls-1.2"];
    let output = try_receiver(&format!("{url}?code=hunter2"), &only).await;
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], format!("{url}: no TLS"), "{text}");
    assert!(lines[2].starts_with("case ") && lines[2].ends_with("Graph"), "{text}");
    assert!(lines[3].starts_with("post/message") && lines[3].contains("must   passed   200, "), "{text}");
    assert!(lines[4].starts_with("client-state/wrong") && lines[4].contains("failed   status 403"), "{text}");
    assert!(lines[5].starts_with("transport/tls-1.2") && lines[5].contains("skipped  the URL has no TLS"));
    assert_eq!(lines[7], "client-state/wrong (must): another text");
    assert_eq!(lines[8], "  sent      clientState: wrong");
    assert_eq!(lines[9], "  expected  2xx within 3 s");
    assert_eq!(lines[10], "  observed  status 403 Forbidden");
    assert_eq!(lines[11], "  Graph     not delivered: Graph sends it again for up to 4 h");
    assert!(lines[12].starts_with("  see       ") && lines[12].contains("https://learn.microsoft.com/"));
    assert!(
        lines[14].starts_with("3 cases in ")
            && lines[14].ends_with("s: 1 passed, 1 skipped, 1 failed (1 must, 0 should)"),
        "{text}"
    );
    assert!(lines[15].starts_with("1 item carried the clientState, 1 did not: "), "{text}");
    assert_eq!(lines.len(), 16, "{text}");
    assert!(!text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn whatever_a_receiver_says_the_reports_stay_whole() {
    let (_site, url) = receiver(Fault::Rants).await;
    let directory = tempfile::tempdir().expect("a directory");
    let [junit, report] = ["junit.xml", "report.json"].map(|name| directory.path().join(name));
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let files = ["--junit", &path(&junit), "--report", &path(&report), "--only", "handshake"];
    let output = try_receiver(&url, &files).await;
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("[secret]") && !text.contains(['\0', '\u{1b}']), "{text}");

    let xml = fs::read_to_string(&junit).expect("written");
    assert!(xml.contains("[secret]") && !xml.contains(SECRET));
    let script = "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
cases = list(root.iter('testcase'))
failures = list(root.iter('failure'))
suites = list(root.iter('testsuite'))
assert root.tag == 'testsuites' and len(suites) == 1 and suites[0].get('name') == 'handshake', root
assert int(root.get('tests')) == len(cases) == int(suites[0].get('tests')) > 20
assert int(root.get('failures')) == len(failures) == int(suites[0].get('failures')) > 5
assert all(failure.get('type') == 'must' and 'expected: ' in failure.text for failure in failures)
assert all(case.get('classname') == 'conformance.handshake' and float(case.get('time')) >= 0 for case in cases)
";
    let mut python = Command::new("python3");
    let output = process::output(python.args(["-c", script]).arg(&junit), Duration::from_secs(20)).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let report: Value = serde_json::from_slice(&fs::read(&report).expect("written")).expect("JSON");
    assert!(report.to_string().contains("[secret]") && !report.to_string().contains(SECRET));
}

#[tokio::test]
async fn the_report_has_a_fixed_shape() {
    let (_site, url) = receiver(Fault::None).await;
    let run = conformance(&url, &["--only", "handshake/today", "--only", "post/two-items"]).await;
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        keys(&run.report),
        [
            "began",
            "cases",
            "format",
            "interrupted",
            "items",
            "notes",
            "program",
            "summary",
            "tls",
            "took_ms",
            "url"
        ]
    );
    assert_eq!(run.report["format"], 1);
    assert_eq!(run.report["url"], url);
    let summary = serde_json::json!({ "passed": 2, "failed_must": 0, "failed_should": 0, "skipped": 0 });
    assert_eq!(run.report["summary"], summary);
    let items = serde_json::json!({ "with_client_state": 2, "without_client_state": 0 });
    assert_eq!((&run.report["items"], &run.report["interrupted"]), (&items, &Value::Bool(false)));
    let note = run.report["notes"][0].as_str().expect("a note");
    assert!(note.ends_with("with a wrong --client-state all of this passes, too"), "{note}");
    let case = run.case("post/two-items");
    assert_eq!(
        keys(case),
        [
            "about", "expected", "graph", "group", "level", "name", "observed", "result", "sent", "source",
            "took_ms"
        ]
    );
    assert_eq!(
        (&case["group"], &case["level"], &case["result"]),
        (&"post".into(), &"must".into(), &"passed".into())
    );
    assert_eq!((&case["sent"], &case["graph"]), (&"2 items".into(), &"delivered".into()));
    assert_eq!(keys(&case["source"]), ["title", "url"]);
}

/// Answers once, and then no more.
#[derive(Default)]
struct Tired(AtomicUsize);

impl Content for Tired {
    async fn answer(&self, _: Request<Incoming>) -> Response<Full<Bytes>> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0 => answer(202, ""),
            _ => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn an_interrupted_run_tells_what_it_has() {
    let tired = Arc::new(Tired::default());
    let site = Site::open(None, |_| Arc::clone(&tired)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let junit = directory.path().join("junit.xml");
    let arguments =
        ["simulate", "conformance", &site.origin, "--no-client-state", "--json", "--only", "post"];
    let file = ["--junit", junit.to_str().expect("UTF-8")];
    let mut playing = Started::new(&[&arguments[..], &file].concat(), &[]);
    let asked = async || (tired.0.load(Ordering::Relaxed) > 1).then_some(());
    eventually("a second request", asked).await;
    playing.signal("INT");
    assert_eq!(playing.exit().await, Some(1), "{}", playing.err());
    let report: Value = serde_json::from_str(&playing.out()).expect("JSON");
    assert_eq!(report["interrupted"], true, "{report:#}");
    let cases = report["cases"].as_array().expect("cases");
    let last = cases.last().expect("a case");
    assert_eq!((&cases[0]["result"], &last["result"]), (&"passed".into(), &"skipped".into()));
    assert_eq!(last["observed"], "interrupted");
    assert!(fs::read_to_string(&junit).expect("written").contains("<skipped message=\"interrupted\"/>"));
}

#[tokio::test]
async fn a_genuine_item_that_is_refused_is_asked_about_once() {
    let (_site, url) = receiver(Fault::Forbids).await;
    let whom = ["simulate", "conformance", &url, "--client-state", "text:not-the-one"];
    let only = ["--only", "post/message", "--only", "client-state"];
    let output = run(&[&whom[..], &only].concat(), &[]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let question = "already the genuine item is refused with 403: is the clientState right?";
    assert_eq!(text.matches(question).count(), 1, "{text}");
    let output = try_receiver(&url, &only).await;
    assert!(!said(&output).contains("already the genuine item"), "{}", said(&output));
}

#[tokio::test]
async fn what_makes_no_sense_is_wrong_usage() {
    let url = "https://localhost:1/";
    for (arguments, words) in [
        (&["simulate", "conformance"][..], "URL"),
        (&["simulate", "conformance", url], "which clientState do items present?"),
        (
            &["simulate", "conformance", url, "--no-client-state", "--only", "nothing"],
            "no case has such a name",
        ),
        (
            &["simulate", "conformance", url, "--no-client-state", "--only", "post", "--skip", "post"],
            "no case is left",
        ),
        (&["simulate", "conformance", "ftp://a", "--no-client-state"], "expected an https:// URL"),
        (&["simulate", "conformance", url, "--client-state", "hunter2"], "expected file:PATH"),
    ] {
        let output = run(arguments, &[]).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_one_error() {
    let output = try_receiver("http://127.0.0.1:1/hook", &[]).await;
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("graphhook: cannot reach http://127.0.0.1:1/hook: no connection"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");

    let output = try_receiver("http://127.0.0.1:1/hook", &["--junit", "/nowhere/report.xml"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("cannot write /nowhere/report.xml"));
}

#[tokio::test]
async fn without_a_client_state_the_cases_about_it_are_left_out() {
    let (_site, url) = receiver(Fault::None).await;
    let arguments =
        ["simulate", "conformance", &url, "--no-client-state", "--only", "client-state", "--json"];
    let output = run(&arguments, &[]).await;
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["summary"]["skipped"], 8);
    assert_eq!(output.status.code(), Some(0));
}

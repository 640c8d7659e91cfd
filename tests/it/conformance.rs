//! The list of cases: green on the daemon, green on a good receiver of somebody else's, and red where one is wrong.

mod daemon;
mod manual;
mod receiver;
mod reports;
mod wrong;

use std::collections::BTreeSet;
use std::process::Output;

use serde_json::Value;

use crate::support::daemon::{SECRET, run};

/// What a run printed.
struct Run {
    code: Option<i32>,
    report: Value,
    said: String,
}

/// Tries a receiver, with the secret of the tests; the report as JSON.
async fn conformance(url: &str, arguments: &[&str]) -> Run {
    let output = try_receiver(url, &[&["--json"], arguments].concat()).await;
    let said = said(&output);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    Run { code: output.status.code(), report, said }
}

async fn try_receiver(url: &str, arguments: &[&str]) -> Output {
    let always = ["simulate", "conformance", url, "--client-state", "env:CLIENT_STATE"];
    run(&[&always, arguments].concat(), &[("CLIENT_STATE", SECRET)]).await
}

fn said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).expect("text");
    assert!(!said.contains(SECRET), "the secret is told");
    said
}

impl Run {
    /// Names of the cases that came out so.
    fn that(&self, result: &str) -> BTreeSet<&str> {
        let cases = self.report["cases"].as_array().expect("cases");
        let came_out = cases.iter().filter(|case| case["result"] == result);
        came_out.map(|case| case["name"].as_str().expect("a name")).collect()
    }

    fn case(&self, name: &str) -> &Value {
        let cases = self.report["cases"].as_array().expect("cases");
        cases.iter().find(|case| case["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    }

    #[track_caller]
    fn check_failed(&self, names: &[&str]) {
        let expected: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(self.that("failed"), expected, "{}", self.said);
    }

    #[track_caller]
    fn check_green(&self) {
        self.check_failed(&[]);
        assert_eq!(self.code, Some(0), "{}", self.said);
    }
}

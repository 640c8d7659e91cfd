//! The rules, the dashboard and the runbooks that are shipped: with each other, and with a real daemon.

mod dashboard;
mod metrics;
mod rules;
mod runbooks;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::process;

/// An alert of `alerts.yml`.
struct Alert {
    name: &'static str,
    severity: &'static str,
    /// Name of its page, without directory and ending.
    page: &'static str,
    /// Whether it says what people have to know.
    is_explained: bool,
}

/// All alerts.
fn alerts() -> Vec<Alert> {
    let mut blocks = RULES.split("\n      - alert: ");
    blocks.next();
    let alerts: Vec<_> = blocks.map(Alert::read).collect();
    assert!(alerts.len() > 20, "{} alerts", alerts.len());
    alerts
}

impl Alert {
    fn read(block: &'static str) -> Self {
        let name = block.lines().next().expect("a name stands there");
        let of = |key: &str| {
            let (_, rest) = block.split_once(key).unwrap_or_else(|| panic!("{name} has no {key}"));
            rest.lines().next().unwrap_or_default()
        };
        let page = of("runbook_url: ").strip_prefix(PAGES).and_then(|page| page.strip_suffix(".md"));
        Self {
            name,
            severity: of("severity: ").trim_end_matches('}'),
            page: page.unwrap_or_else(|| panic!("{name} has its page somewhere else")),
            is_explained: !of("summary: ").is_empty() && !of("description: ").is_empty(),
        }
    }
}

/// A file of the project.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

async fn promtool(arguments: &[&str]) -> Output {
    process::output(Command::new("promtool").args(arguments), TOOL_BOUND).await
}

/// What a tool said, when it ends with 0; panics else.
#[track_caller]
fn content(output: Output) -> String {
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

const RULES: &str = include_str!("../../monitoring/alerts.yml");
const RULES_TEST: &str = include_str!("../../monitoring/alerts-test.yml");
const DASHBOARD: &str = include_str!("../../monitoring/grafana-dashboard.json");
/// Where the package puts the runbooks.
const PAGES: &str = "file:///usr/share/doc/graphhook/docs/runbooks/";
const TOOL_BOUND: Duration = Duration::from_secs(120);

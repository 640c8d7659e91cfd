//! What rules and dashboard ask for is what a daemon has, from its first moment on.

use super::{DASHBOARD, RULES};
use crate::support::daemon::{Daemon, Metrics};
use crate::support::issuer::Issuer;
use crate::support::rich::Recipient;

#[tokio::test]
async fn every_series_that_rules_and_dashboard_ask_for_is_there_from_the_start() {
    // With a key for decryption, which has series of its own.
    let (issuer, files) = (Issuer::open().await, tempfile::tempdir().expect("a directory"));
    let (keys, _) = Recipient::generate("2026-11").table_with_certificate(files.path());
    let daemon = issuer.trusted(Daemon::configure(), "opened").append(&keys).connected().await;
    let metrics = daemon.metrics().await;
    // In JSON, quotes inside of strings are escaped.
    let wanted = selectors(RULES).into_iter().chain(selectors(&DASHBOARD.replace("\\\"", "\"")));
    let mut seen = 0;
    for Selector { metric, labels } in wanted {
        assert!(metrics.of(&metric).next().is_some(), "there is no {metric}");
        for (label, value) in labels {
            let pair = format!("{label}=\"{value}\"");
            assert!(has(&metrics, &metric, &pair), "there is no {metric} with {pair}");
        }
        seen += 1;
    }
    assert!(seen > 60, "{seen} selectors");
}

/// A metric, and values of its labels that must be among its series.
struct Selector {
    metric: String,
    labels: Vec<(String, String)>,
}

/// All selectors in a text.
fn selectors(text: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for prefix in ["graphhook_", "process_"] {
        for (at, _) in text.match_indices(prefix) {
            if text[..at].ends_with(is_name) {
                continue;
            }
            let rest = &text[at..];
            let (metric, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
            let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let labels = inner.map_or(Vec::new(), |(inner, _)| inner.split(", ").flat_map(values).collect());
            found.push(Selector { metric: metric.to_owned(), labels });
        }
    }
    found
}

/// The values that a matcher names: `=` has one, `=~` has alternatives; those of targets are Prometheus' own.
fn values(matcher: &str) -> Vec<(String, String)> {
    let Some((label, value)) = matcher.split_once('=') else { return Vec::new() };
    let value = value.trim_start_matches('~').trim_matches('"');
    if label.ends_with('!') || matches!(label, "job" | "instance") {
        return Vec::new();
    }
    value.split('|').map(|value| (label.to_owned(), value.to_owned())).collect()
}

fn has(metrics: &Metrics, metric: &str, pair: &str) -> bool {
    metrics.of(metric).any(|(name, _)| name.contains(pair))
}

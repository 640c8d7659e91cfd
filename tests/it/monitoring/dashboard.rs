//! The dashboard, by Grafana's schema and by Prometheus.

use std::process::Command;

use serde_json::{Value, json};

use super::{DASHBOARD, TOOL_BOUND, content, file, promtool};
use crate::support::daemon::Daemon;
use crate::support::graph::{created, post};
use crate::support::process;
use crate::support::prometheus::Prometheus;

#[tokio::test]
async fn grafana_knows_every_key_and_value_of_the_dashboard() {
    let python = file("target/tools/grafana-schema/bin/python");
    assert!(python.exists(), "{} is not there; tests/run --install brings it", python.display());
    let mut command = Command::new(python);
    command.arg(file("tests/monitoring/schema.py")).arg(file("monitoring/grafana-dashboard.json"));
    let said = content(process::output(&mut command, TOOL_BOUND).await);
    assert!(said.ends_with(" 0 problems\n"), "{said}");
}

#[test]
fn panels_have_titles_and_places_of_their_own() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("an array");
    let mut taken = Vec::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(!title.is_empty() && panel["id"].is_u64(), "{panel}");
        assert!(taken.iter().all(|(_, _, id)| *id != panel["id"]), "{title}: its id is another's");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a number"));
        assert!(x + w <= 24, "{title} is too far to the right");
        let over = taken.iter().any(|((x2, y2, w2, h2), _, _): &((u64, u64, u64, u64), &str, Value)| {
            x < x2 + w2 && *x2 < x + w && y < y2 + h2 && *y2 < y + h
        });
        assert!(!over, "{title} lies over another panel");
        taken.push(((x, y, w, h), title, panel["id"].clone()));
    }
    let rows = panels.iter().filter(|panel| panel["type"] == "row").filter_map(|row| row["title"].as_str());
    let wanted = [
        "Promise",
        "Traffic",
        "Verdicts",
        "Resource data",
        "Broker",
        "Spool",
        "TLS and connections",
        "Subscriptions",
        "Process",
    ];
    assert_eq!(rows.collect::<Vec<_>>(), wanted);
}

#[tokio::test]
async fn every_expression_of_the_dashboard_is_promql() {
    let recorded = expressions().into_iter().enumerate();
    let rules: Vec<_> =
        recorded.map(|(at, expr)| json!({ "record": format!("dashboard:{at}"), "expr": expr })).collect();
    let count = rules.len();
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("dashboard.yml");
    // JSON is YAML as well.
    std::fs::write(&path, json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string())
        .expect("the directory can be written");
    let said = content(promtool(&["check", "rules", path.to_str().expect("the path is UTF-8")]).await);
    assert!(said.contains(&format!("{count} rules found")), "{said}");
}

#[tokio::test]
async fn prometheus_answers_every_expression_of_the_dashboard() {
    let daemon = Daemon::configure().connected().await;
    let prometheus = Prometheus::scraping(daemon.admin(), super::RULES).await;
    prometheus.eventually_evaluated().await;
    assert_eq!(post(&daemon.client(), [created("seen")]).await.status, 202);
    for expression in expressions() {
        if let Err(why) = prometheus.query(&expression).await {
            panic!("{expression}: {why}");
        }
    }
    let one = r#"min(clamp_max(graphhook_amqp_connection_up{job=~".+", instance=~".+"} + graphhook_spool_writable{job=~".+", instance=~".+"}, 1))"#;
    assert!(expressions().iter().any(|expression| expression == one), "the first panel is another one");
    assert_eq!(prometheus.query(one).await.expect("it can be answered")[0]["value"][1], "1");
}

/// All expressions, with all instances and a usual time in place of the variables.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("an array");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let annotations = dashboard["annotations"]["list"].as_array().into_iter().flatten();
    let found = targets.chain(annotations).map(|target| target["expr"].as_str().expect("an expression"));
    let filled = found.map(|expression| {
        let filled =
            VARIABLES.iter().fold(expression.to_owned(), |text, (name, value)| text.replace(name, value));
        assert!(!filled.contains('$'), "{expression} has a variable that is not known");
        filled
    });
    let filled: Vec<_> = filled.collect();
    assert!(filled.len() > 50, "{} expressions", filled.len());
    filled
}

const VARIABLES: [(&str, &str); 4] =
    [("$__rate_interval", "5m"), ("$__range", "6h"), ("$job", ".+"), ("$instance", ".+")];

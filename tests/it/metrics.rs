//! `docs/metrics.md` names every metric, with its type and labels, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::daemon::Daemon;

/// Type and labels of a metric.
type Shape = (String, BTreeSet<String>);

#[tokio::test]
async fn the_page_names_what_a_fresh_daemon_shows_and_nothing_else() {
    let daemon = Daemon::configure().start().await;
    let (status, page) = daemon.get_admin("/metrics").await;
    assert_eq!(status, 200);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let told = told(&fs::read_to_string(path).expect("docs/metrics.md"));
    let shown = shown(&page);
    assert!(shown.len() > 60, "{shown:#?}");
    for (name, shape) in &shown {
        assert_eq!(told.get(name), Some(shape), "docs/metrics.md on {name}");
    }
    for name in told.keys() {
        assert!(shown.contains_key(name), "docs/metrics.md names {name}, which nobody shows");
    }
}

/// Rows of tables that begin with the name of a metric.
fn told(text: &str) -> BTreeMap<String, Shape> {
    let mut told = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 7, "five cells in {row}");
        let name = cells[1].trim_matches('`').to_owned();
        assert!(cells[4].len() > 3, "no meaning in {row}");
        let labels = cells[3].split(',').map(|label| label.trim().trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        let before = told.insert(name, (cells[2].to_owned(), labels));
        assert!(before.is_none(), "named twice: {row}");
    }
    told
}

/// Metrics as Prometheus names them, from OpenMetrics text.
fn shown(page: &str) -> BTreeMap<String, Shape> {
    let mut shown = BTreeMap::new();
    let mut current = (String::new(), String::new());
    for line in page.lines() {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').expect("a name and a type");
            let (name, kind) = match kind {
                "counter" => (format!("{name}_total"), kind),
                "info" => (format!("{name}_info"), "gauge"),
                _ => (name.to_owned(), kind),
            };
            shown.insert(name.clone(), (kind.to_owned(), BTreeSet::new()));
            current = (name, kind.to_owned());
        } else if !line.starts_with('#') {
            let of_current = line.starts_with(&current.0) || current.0.is_empty();
            assert!(of_current, "{line} does not belong to {}", current.0);
            let (_, labels): &mut Shape = shown.get_mut(&current.0).expect("it has a type");
            labels.extend(labels_of(line).filter(|label| current.1 != "histogram" || label != "le"));
        }
    }
    shown
}

/// Names of the labels of a series; our label values hold neither commas nor equals signs.
fn labels_of(line: &str) -> impl Iterator<Item = String> {
    let inner =
        line.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}')).map_or("", |(inner, _)| inner);
    let names = inner.split(',').filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
    names.collect::<Vec<_>>().into_iter()
}

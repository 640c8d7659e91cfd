//! `docs/metrics.md` names every metric, with its type and labels, and no other; and some that nobody else looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Daemon};
use crate::support::graph::{created, post};
use crate::support::issuer::Issuer;
use crate::support::rich::Recipient;
use crate::support::scripted::{Action, Scripted};

/// Type and labels of a metric.
type Shape = (String, BTreeSet<String>);

#[tokio::test]
async fn the_page_names_what_a_fresh_daemon_shows_and_nothing_else() {
    // With keys for decryption: each has series of its own.
    let (issuer, files) = (Issuer::open().await, tempfile::tempdir().expect("a directory"));
    let (keys, _) = Recipient::generate("2026-11").table_with_certificate(files.path());
    // And with a subscription that is wanted.
    let wanted = "[[subscriptions]]\nname = \"mail\"\nresource = \"/users\"\nchange_types = [\"updated\"]\n\
                  notification_url = \"https://localhost/\"\n[graph]\nsign_in = \"command\"\ncommand = [\"/bin/true\"]";
    let configuration = issuer.trusted(Daemon::configure(), "opened").append(&keys).append(wanted);
    let daemon = configuration.start().await;
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

#[tokio::test]
async fn the_way_through_the_spool_is_in_the_numbers() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let daemon = Daemon::configure().broker(Node::shared().url_by(cut.port())).start().await;
    assert_eq!(post(&daemon.client(), [created("a"), created("b")]).await.status, 202);
    daemon.eventually_metric("graphhook_spool_disk_free_bytes", |bytes| bytes > 0.0).await;
    let metrics = daemon.metrics().await;
    for (name, value) in [
        (r#"graphhook_spool_writes_total{result="written"}"#, 2.0),
        (r#"graphhook_spool_writes_total{result="full"}"#, 0.0),
        (r#"graphhook_tls_handshakes_total{result="ok",version="1.3"}"#, 1.0),
        ("graphhook_amqp_topology_ok", 0.0),
        ("graphhook_amqp_in_flight_max", 2048.0),
        ("graphhook_end_to_end_seconds_count", 0.0),
    ] {
        assert_eq!(metrics.get(name), value, "{name}");
    }
    cut.heal();
    daemon.eventually_metric("graphhook_amqp_topology_ok", |is| is == 1.0).await;
    let all = daemon.eventually_metric("graphhook_end_to_end_seconds_count", |count| count == 2.0);
    all.await;
    assert!(daemon.metrics().await.get("graphhook_end_to_end_seconds_sum") > 0.0);
}

#[tokio::test]
async fn without_a_spool_what_it_was_asked_for_is_counted_all_the_same() {
    let daemon = Daemon::configure().without_broker().without_spool().start().await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 503);
    assert_eq!(daemon.metrics().await.get(r#"graphhook_spool_writes_total{result="broken"}"#), 1.0);
}

#[tokio::test]
async fn handshakes_that_fail_are_told_from_those_that_hold() {
    let daemon = Daemon::configure().start().await;
    let mut plain = tokio::net::TcpStream::connect(daemon.public()).await.expect("it listens");
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    let failed = r#"graphhook_tls_handshakes_total{result="failed",version="none"}"#;
    daemon.eventually_metric(failed, |count| count == 1.0).await;
    assert_eq!(daemon.metrics().await.sum("graphhook_tls_handshakes_total"), 1.0);
}

#[tokio::test]
async fn what_the_broker_lacks_and_closes_is_told_by_its_code() {
    let daemon = Daemon::configure().set("broker", "declare", "false").start().await;
    let not_found = r#"graphhook_amqp_channel_closes_total{code="404"}"#;
    daemon.eventually_metric(not_found, |count| count >= 1.0).await;
    assert_eq!(daemon.metrics().await.get("graphhook_amqp_topology_ok"), 0.0);

    let broker = Scripted::start().await;
    let daemon = Daemon::configure().broker(broker.url()).connected().await;
    assert_eq!(daemon.metrics().await.get("graphhook_amqp_topology_ok"), 1.0);
    broker.always(&[Action::CloseChannel(406)]);
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    let refused = r#"graphhook_amqp_channel_closes_total{code="406"}"#;
    daemon.eventually_metric(refused, |count| count >= 1.0).await;
    assert_eq!(daemon.metrics().await.get("graphhook_amqp_topology_ok"), 1.0, "it is still there");
}

#[tokio::test]
async fn time_under_a_block_adds_up_while_it_lasts_and_stops_with_it() {
    let broker = Scripted::start().await;
    let daemon = Daemon::configure().broker(broker.url()).connected().await;
    let blocked = "graphhook_amqp_blocked_seconds_total";
    assert_eq!(daemon.metrics().await.get(blocked), 0.0);
    broker.block();
    let first = daemon.eventually_metric(blocked, |seconds| seconds > 0.0).await;
    daemon.eventually_metric(blocked, |seconds| seconds > first).await;
    broker.unblock();
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    let last = daemon.metrics().await.get(blocked);
    assert_eq!(daemon.metrics().await.get(blocked), last);
}

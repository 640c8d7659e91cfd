//! Brokers.

use tempfile::TempDir;

use super::{check, line};
use crate::support::broker::Node;
use crate::support::certs::Authority;
use crate::support::daemon::{Configuration, Daemon};
use crate::support::queue::unique;

/// A directory with a configuration.
fn written(configuration: &Configuration) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    configuration.write_into(directory.path(), &files);
    directory
}

/// Users with these rights to configure, write and read; and the URLs by which they come. One call, for each takes
/// seconds.
async fn users<const N: usize>(rights: [[&str; 3]; N]) -> [String; N] {
    let node = Node::shared();
    let users = rights.map(|rights| (unique("user"), rights));
    let orders = users.each_ref().map(|(name, [configure, write, read])| {
        format!(
            r#"rabbit_auth_backend_internal:add_user(<<"{name}">>, <<"hunter2">>, <<"test">>),
            rabbit_auth_backend_internal:set_permissions(
                <<"{name}">>, <<"/">>, <<"{configure}">>, <<"{write}">>, <<"{read}">>, <<"test">>)"#
        )
    });
    node.ctl(&["eval", &format!("{}.", orders.join(", "))]).await;
    users.map(|(name, _)| node.url().replace("guest:guest@", &format!("{name}:hunter2@")))
}

#[tokio::test]
async fn rights_are_told_of_when_they_are_too_wide_or_too_narrow() {
    let exchange = unique("exchange");
    // As docs/check.md has them.
    let (ours, read) = (format!("^{exchange}([.].*)?$"), format!("^{exchange}([.]refused)?$"));
    let only_queues = format!("^{exchange}[.](queue|refused)$");
    let [wide, right, narrow] =
        users([[".*", ".*", ".*"], [&ours, &ours, &read], [&ours, &only_queues, &read]]).await;
    let configuration =
        |url: String| Daemon::configure().exchange(&exchange).queue(format!("{exchange}.queue")).broker(url);
    let place = written(&configuration(wide));
    let (said, code) = check(place.path(), &[]).await;
    assert_eq!(code, Some(0), "{said}");
    line(
        &said,
        "warning",
        "broker",
        "may declare any queue of the virtual host; narrow the configure permission",
    );
    line(&said, "ok", "broker", "login, confirms, topology declared, may publish");

    let place = written(&configuration(right));
    let (said, code) = check(place.path(), &[]).await;
    assert_eq!(code, Some(0), "{said}");
    line(&said, "ok", "broker", "may publish");
    assert!(!said.contains("may declare any queue"), "{said}");

    let place = written(&configuration(narrow));
    let (said, code) = check(place.path(), &[]).await;
    assert_eq!(code, Some(1), "{said}");
    let failed = line(&said, "failed", "broker", "publishing to the exchange failed");
    assert!(
        failed.contains("ACCESS_REFUSED") && failed.contains("give the user the write permission"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
    let left = Node::shared().ctl(&["list_queues", "name", "messages"]).await;
    assert!(left.contains(&format!("{exchange}.queue\t0")), "a check leaves no message: {left}");
    assert!(!left.contains("graphhook-check"), "and no queue: {left}");
}

#[tokio::test]
async fn with_declare_off_nothing_is_made() {
    let configuration = Daemon::configure().set("broker", "declare", "false");
    let place = written(&configuration);
    let (said, code) = check(place.path(), &[]).await;
    assert_eq!(code, Some(1), "{said}");
    let failed = line(&said, "failed", "broker", "NOT_FOUND");
    assert!(failed.ends_with("have it declared, or set broker.declare = true"), "{said}");

    let exchange = unique("exchange");
    let made = Daemon::configure().exchange(&exchange).queue(&exchange);
    let made_place = written(&made);
    assert_eq!(check(made_place.path(), &[]).await.1, Some(0));
    let place = written(&made.clone().set("broker", "declare", "false"));
    let (said, code) = check(place.path(), &[]).await;
    assert_eq!(code, Some(0), "{said}");
    line(&said, "ok", "broker", "topology is there");
    let [least] = users([["^$", &format!("^{exchange}([.]refused)?$"), "^$"]]).await;
    let place = written(&made.clone().broker(least).set("broker", "declare", "false"));
    let (said, code) = check(place.path(), &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning  broker"), "{said}");
    let place = written(&made.queue("").set("broker", "declare", "false"));
    let (said, _) = check(place.path(), &[]).await;
    line(&said, "warning", "broker", "whether any queue is bound cannot be asked");
}

#[tokio::test]
async fn several_brokers_are_told_of_in_their_order() {
    let node = Node::shared();
    let urls = [
        "amqp://guest:guest@nowhere.invalid:5672/%2f".to_owned(),
        "amqp://guest:guest@127.0.0.1:1/%2f".to_owned(),
        format!("{}?heartbeat=0", node.url()),
        node.url_tls(),
    ];
    let configuration = urls.iter().fold(Daemon::configure(), |configuration, url| configuration.broker(url));
    let configuration = configuration.set("broker.tls", "ca_file", &format!("{:?}", node.ca()));
    let (said, code) = check(written(&configuration).path(), &[]).await;
    assert_eq!(code, Some(1), "{said}");
    let lines = [
        line(&said, "failed", "broker", "nowhere.invalid has no address"),
        line(&said, "failed", "broker", "Connection refused"),
        line(&said, "warning", "broker", "heartbeat=0"),
        line(&said, "ok", "broker", "amqps://"),
    ];
    let places = lines.map(|line| said.find(line).expect("it is there"));
    assert!(places.is_sorted(), "{said}");
    assert!(lines[1].ends_with("is the broker running there?"), "{said}");
}

#[tokio::test]
async fn a_broker_that_blocks_publishers_is_not_waited_for_long() {
    let node = Node::faulty().await;
    node.alarm(true).await;
    let configuration = Daemon::configure().broker(node.url()).set("broker", "connect_within", "\"2s\"");
    let (said, code) = check(written(&configuration).path(), &[]).await;
    assert_eq!(code, Some(1), "{said}");
    let failed = line(&said, "failed", "broker", "publishing to the exchange took too long");
    assert!(failed.contains("does an alarm of the broker block publishers?"), "{said}");
}

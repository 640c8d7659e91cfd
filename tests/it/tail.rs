//! Messages looked at from beside, while a daemon publishes them.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use graphhook::config::broker_at;
use graphhook::delivery::tap::{Place, Tap};
use graphhook::secret::Secret;
use lapin::ExchangeKind;
use serde_json::Value;

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{Daemon, SECRET, run};
use crate::support::eventually::{eventually_equals, seen_within};
use crate::support::graph::{changed, created, post};
use crate::support::process;
use crate::support::queue::{Amqp, Queue, unique};
use crate::support::started::Started;

fn config(daemon: &Daemon) -> String {
    daemon.directory().join("config.toml").display().to_string()
}

/// `tail` beside a daemon, already looking.
async fn tail(daemon: &Daemon, arguments: &[&str]) -> Started {
    let config = config(daemon);
    let started = Started::new(&[&["tail", "--config", &config], arguments].concat(), &[]);
    started.eventually_says("looking at", 1).await;
    started
}

async fn queue(daemon: &Daemon) -> Queue {
    Amqp::connect(&Node::shared().url()).await.queue(daemon.queue())
}

fn ids(lines: &[String]) -> Vec<String> {
    let id = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        line["message_id"].as_str().expect("an id").to_owned()
    };
    lines.iter().map(id).collect()
}

#[track_caller]
fn check(output: &Output, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&[&*output.stdout, &*output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains("guest:") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn what_passes_is_seen_and_nothing_is_taken() {
    let daemon = Daemon::configure().connected().await;
    let mut everything = tail(&daemon, &["--json"]).await;
    let keys = ["--json", "--key", "notification.message.created", "--key", "*.*.updated"];
    let mut some = tail(&daemon, &keys).await;
    let items = [created("m1"), changed("m2", "deleted", SECRET), changed("m3", "updated", SECRET)];
    assert_eq!(post(&daemon.client(), &items).await.status, 202);
    assert_eq!(ids(&everything.eventually_prints(3).await), ["m1", "m2", "m3"]);
    assert_eq!(ids(&some.eventually_prints(2).await), ["m1", "m3"]);

    let line: Value = serde_json::from_str(everything.out().lines().next().expect("a line")).expect("JSON");
    let delivered = queue(&daemon).await.take(3).await;
    let first = &delivered[0];
    assert_eq!(line["body"].as_str().expect("text").as_bytes(), &*first.body);
    assert_eq!(line["body"], items[0]);
    assert_eq!(line["routing_key"], first.routing_key);
    assert_eq!(line["exchange"], daemon.exchange());
    assert_eq!((&line["type"], &line["timestamp"]), (&"notification".into(), &first.timestamp.into()));
    for (name, value) in &first.headers {
        assert_eq!(&line["headers"][name], value, "{name}");
    }

    let queues = || Node::shared().ctl(&["list_queues", "name"]);
    let own = format!("{}.tail.", daemon.exchange());
    assert!(queues().await.contains(&own));
    for (tail, many) in [(&mut everything, "3 messages\n"), (&mut some, "2 messages\n")] {
        tail.signal("INT");
        assert_eq!(tail.exit().await, Some(0), "{}", tail.err());
        assert!(tail.err().ends_with(many), "{}", tail.err());
    }
    let exchanges = Node::shared().ctl(&["list_exchanges", "name"]).await;
    assert!(!queues().await.contains(&own) && !exchanges.contains(&format!("{}.missed", daemon.exchange())));
}

#[tokio::test]
async fn a_line_for_people_says_what_matters_and_no_secret() {
    let daemon = Daemon::configure().connected().await;
    let mut tail = tail(&daemon, &["--body", "--count", "1"]).await;
    assert_eq!(post(&daemon.client(), [created("m1"), created("m2")]).await.status, 202);
    assert_eq!(tail.exit().await, Some(0));
    let (out, err) = (tail.out(), tail.err());
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    let words: Vec<_> = lines[0].split_whitespace().collect();
    assert_eq!(words[1..4], ["notification.message.created", "m1", "00000001-0000-4000-8000-000000000001"]);
    assert!(lines[1].contains(r#""clientState":"[secret]""#), "{out}");
    assert!(!out.contains(SECRET) && !out.contains('\x1b') && err.ends_with("\n1 message\n"), "{out}{err}");
}

#[tokio::test]
async fn what_is_refused_is_seen_beside_it() {
    let daemon = Daemon::configure().connected().await;
    let mut tail = tail(&daemon, &["--refused", "--json", "--redact", "--count", "1"]).await;
    let items = [created("m1"), changed("forged", "created", "hunter2")];
    assert_eq!(post(&daemon.client(), items).await.status, 202);
    assert_eq!(tail.exit().await, Some(0));
    let line: Value = serde_json::from_str(&tail.out()).expect("one line");
    assert_eq!((&line["message_id"], &line["routing_key"]), (&"forged".into(), &"refused.mismatch".into()));
    assert!(line["body"].as_str().is_some_and(|body| body.contains("[secret]")), "{line}");
}

#[tokio::test]
async fn a_queue_is_looked_into_and_keeps_everything() {
    let daemon = Daemon::configure().connected().await;
    assert_eq!(post(&daemon.client(), ["m1", "m2", "m3"].map(created)).await.status, 202);
    let (queue, config) = (queue(&daemon).await, config(&daemon));
    eventually_equals("the queue", 3, async || queue.count().await).await;
    let look = ["tail", "--config", &config, "--queue", daemon.queue(), "--json"];
    for (more, expected) in [(&[][..], &["m1", "m2", "m3"][..]), (&["--count", "2"], &["m1", "m2"])] {
        let output = run(&[&look, more].concat(), &[]).await;
        check(&output, 0, &["looking at 3 messages in queue"]);
        let lines: Vec<_> =
            String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect();
        assert_eq!(ids(&lines), expected);
        eventually_equals("the queue", 3, async || queue.count().await).await;
    }
    let delivered = queue.take(3).await;
    // A quorum queue puts at its end what comes back.
    let mut ids: Vec<_> = delivered.iter().map(|message| &*message.message_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["m1", "m2", "m3"]);
    assert!(delivered.iter().all(|message| message.redelivered));
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_told() {
    let daemon = Daemon::configure().connected().await;
    let cut = Cut::to_port(Node::shared().port()).await;
    let url = Node::shared().url_by(cut.port());
    let arguments = ["tail", "--broker", "env:URL", "--exchange", daemon.exchange(), "--json"];
    let mut tail = Started::new(&arguments, &[("URL", &url)]);
    tail.eventually_says("looking at", 1).await;
    assert_eq!(post(&daemon.client(), [created("m1")]).await.status, 202);
    tail.eventually_prints(1).await;
    cut.cut();
    tail.eventually_says("trying again", 1).await;
    tail.eventually_says("looking at", 2).await;
    assert_eq!(post(&daemon.client(), [created("m2")]).await.status, 202);
    assert_eq!(ids(&tail.eventually_prints(2).await), ["m1", "m2"]);
    tail.signal("TERM");
    assert_eq!(tail.exit().await, Some(0));
    assert!(
        tail.err().contains("there may have been more") && !tail.err().contains("guest"),
        "{}",
        tail.err()
    );
}

/// With a queue of its own bound, the broker would confirm what nobody keeps.
#[tokio::test]
async fn nothing_counts_as_delivered_because_somebody_looks() {
    let daemon = Daemon::configure().connected().await;
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let mut tail = tail(&daemon, &[]).await;
    amqp.delete_queue(daemon.queue()).await;
    assert_eq!(tail.exit().await, Some(1));
    assert!(tail.err().contains("broker.queue is not there"), "{}", tail.err());
    let output = run(&["tail", "--config", &config(&daemon)], &[]).await;
    check(&output, 1, &["broker.queue is not there", daemon.queue()]);
    assert_eq!(post(&daemon.client(), [created("m1")]).await.status, 202);
    daemon.eventually_metric("graphhook_spool_items", |spooled| spooled == 1.0).await;
}

#[tokio::test]
async fn where_nobody_names_a_queue_the_danger_is_told() {
    let daemon = Daemon::configure().connected().await;
    let url = Node::shared().url();
    for (arguments, is_told) in [(vec![], true), (vec!["--refused"], false)] {
        let tail = ["tail", "--broker", "env:URL", "--exchange", daemon.exchange(), "--for", "1ms"];
        let output = run(&[&tail[..], &arguments].concat(), &[("URL", &url)]).await;
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(told.contains("no other queue is bound for counts as delivered"), is_told, "{told}");
    }
}

/// An exchange that was deleted and made anew knows nothing of our queue.
#[tokio::test]
async fn an_exchange_that_was_made_anew_is_looked_at_again() {
    let (amqp, exchange) = (Amqp::connect(&Node::shared().url()).await, unique("exchange"));
    amqp.declare_exchange(&exchange, ExchangeKind::Topic).await;
    let url = Node::shared().url();
    let tail = Started::new(&["tail", "--broker", "env:URL", "--exchange", &exchange], &[("URL", &url)]);
    tail.eventually_says("looking at", 1).await;
    amqp.delete_exchange(&exchange).await;
    amqp.declare_exchange(&exchange, ExchangeKind::Topic).await;
    let passing = async {
        loop {
            amqp.publish(&exchange, "key", b"{}").await;
        }
    };
    tokio::select! {
        _ = tail.eventually_prints(1) => {}
        () = passing => {}
    }
}

#[tokio::test]
async fn whoever_is_too_slow_is_told_that_he_has_missed_something() {
    let (amqp, exchange) = (Amqp::connect(&Node::shared().url()).await, unique("exchange"));
    amqp.declare_exchange(&exchange, ExchangeKind::Topic).await;
    let broker = broker_at(Secret::new(Node::shared().url()), "test").expect("a URL");
    let place = Place::Exchange { name: exchange.clone(), keys: vec!["#".to_owned()] };
    let mut tap = Tap::bounded(&broker, &place, 3).await.expect("a tap");
    assert!(!tap.has_missed().await.expect("an answer"));
    // Sixteen are on the way to us, and three wait.
    for number in 0..26 {
        assert!(amqp.publish(&exchange, "key", number.to_string().as_bytes()).await);
    }
    assert!(tap.has_missed().await.expect("an answer"));
    assert!(!tap.has_missed().await.expect("an answer"), "it is told once");
    for number in 0..16 {
        let seen = tap.next().await.expect("a message").expect("a message");
        assert_eq!(seen.body, number.to_string());
        assert_eq!((&*seen.routing_key, &seen.exchange, seen.message_id), ("key", &exchange, None));
    }
    for number in 23..26 {
        assert_eq!(tap.next().await.expect("a message").expect("a message").body, number.to_string());
    }
    tap.close().await.expect("a polite end");
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_named() {
    let daemon = Daemon::configure().connected().await;
    let (config, url) = (config(&daemon), Node::shared().url());
    let config = ["--config", &config];
    for (arguments, code, words) in [
        (vec!["--exchange", "nobody.s"], 1, vec!["broker.exchange", "nobody.s", "NOT_FOUND"]),
        (vec!["--queue", "nobody.s"], 1, vec!["no queue", "nobody.s"]),
        (vec!["--for", "1ms"], 0, vec!["0 messages"]),
        (vec!["--queue", "a", "--refused"], 2, vec!["cannot be used with"]),
    ] {
        check(&run(&[&["tail"], &config[..], &arguments].concat(), &[]).await, code, &words);
    }
    for (source, code, words) in [
        ("env:URL", 1, "broker.exchange"),
        ("env:OTHER", 2, "OTHER is not set"),
        ("env:HTTP", 2, "expected amqp:// or amqps://"),
        ("env:NOBODY", 1, "connecting failed"),
        ("amqp://guest:hunter2@localhost", 2, "expected file:PATH"),
    ] {
        let environment = [
            ("URL", &*url),
            ("HTTP", "http://user:hunter2@localhost/"),
            ("NOBODY", "amqp://user:hunter2@127.0.0.1:1/%2f"),
        ];
        let output = run(&["tail", "--broker", source, "--exchange", "nobody.s"], &environment).await;
        check(&output, code, &[words]);
    }
    check(&run(&["tail", "--help"], &[]).await, 0, &["Example", "redelivered", "delivery-limit"]);
}

/// What appears on a terminal that script(1) makes.
async fn on_a_terminal(before: &str, config: &Path, queue: &str) -> String {
    let (program, config) = (env!("CARGO_BIN_EXE_graphhook"), config.display());
    let line = format!("{before} {program} tail --config {config} --queue {queue}");
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
    let output = process::output(&mut script, Duration::from_secs(60)).await;
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test]
async fn a_terminal_has_colours_unless_nobody_wants_them() {
    let daemon = Daemon::configure().connected().await;
    assert_eq!(post(&daemon.client(), [created("m1")]).await.status, 202);
    let queue = queue(&daemon).await;
    eventually_equals("the queue", 1, async || queue.count().await).await;
    let config = daemon.directory().join("config.toml");
    let said = on_a_terminal("", &config, daemon.queue()).await;
    assert!(said.contains("\x1b[32mnotification.message.created"), "{said:?}");
    let said = on_a_terminal("NO_COLOR=1", &config, daemon.queue()).await;
    assert!(said.contains("notification.message.created") && !said.contains('\x1b'), "{said:?}");
}

#[tokio::test]
async fn who_reads_no_more_ends_it() {
    let daemon = Daemon::configure().connected().await;
    let line = format!(
        "{} tail --config {} --json 2>/dev/null | head -n 1 >/dev/null",
        env!("CARGO_BIN_EXE_graphhook"),
        config(&daemon)
    );
    let mut pipe = Command::new("sh").args(["-c", &line]).spawn().expect("sh can be started");
    let client = daemon.client();
    let ended = seen_within(Duration::from_secs(30), async || {
        post(&client, [created("m1")]).await;
        pipe.try_wait().expect("it is our child")
    });
    assert!(ended.await.is_some_and(|status| status.success()));
}

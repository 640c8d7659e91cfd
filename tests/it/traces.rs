//! Traces: what messages say of them, who is believed about them, and what a collector gets.

mod export;

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Configuration, Daemon};
use crate::support::graph::{PATH, changed, collection, created, post};
use crate::support::https::{Client, Reply, request};
use crate::support::queue::{Amqp, Delivered, Queue};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A `traceparent` of the caller.
fn caller(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

async fn started(configuration: Configuration) -> (Daemon, Queue) {
    let daemon = configuration.connected().await;
    let queue = queue_of(&daemon).await;
    (daemon, queue)
}

async fn queue_of(daemon: &Daemon) -> Queue {
    Amqp::connect(&Node::shared().url()).await.queue(daemon.queue())
}

/// POSTs items with these headers besides.
async fn post_with(client: &Client, headers: &[(&str, &str)], items: &[String]) -> Reply {
    let headers = [&[("content-type", "application/json")], headers].concat();
    client.send(request(hyper::Method::POST, PATH, &headers, collection(items))).await
}

/// The parts of a message's `traceparent`: trace, span and flags.
#[track_caller]
fn parent(message: &Delivered) -> (String, String, String) {
    let parts: Vec<&str> = message.header("traceparent").split('-').collect();
    let [version, trace, span, flags] = *parts else { panic!("{parts:?} is no traceparent") };
    let is_number = |text: &str| text.bytes().all(|byte| b"0123456789abcdef".contains(&byte));
    assert_eq!((version, trace.len(), span.len(), flags.len()), ("00", 32, 16, 2));
    assert!([trace, span, flags].into_iter().all(is_number), "{parts:?}");
    (trace.to_owned(), span.to_owned(), flags.to_owned())
}

#[tokio::test]
async fn each_request_has_a_trace_and_each_message_a_span() {
    let (daemon, queue) = started(Daemon::configure()).await;
    assert_eq!(post(&daemon.client(), [created("a"), created("b")]).await.status, 202);
    assert_eq!(post(&daemon.client(), [created("c")]).await.status, 202);
    let messages = queue.take(3).await;
    let [a, b, c] = [0, 1, 2].map(|index| parent(&messages[index]));
    assert_eq!(a.0, b.0, "one request, one trace");
    assert_ne!(a.1, b.1, "two messages, two spans");
    assert_ne!(a.0, c.0, "two requests, two traces");
    // By default every trace is sampled: consumers follow the flag, and would collect none otherwise.
    assert_eq!([&a.2, &b.2, &c.2], ["01"; 3]);
    assert!(!messages[0].headers.contains_key("tracestate"));
}

#[tokio::test]
async fn a_callers_trace_goes_on() {
    let (daemon, queue) = started(Daemon::configure().set("traces", "sample", "0")).await;
    for (flags, expected) in [("01", "01"), ("00", "00"), ("03", "01"), ("fe", "00")] {
        for client in [daemon.client().http1(), daemon.client().http2()] {
            let headers =
                [("traceparent", &*caller(flags)), ("tracestate", "a=1, b@c=2"), ("tracestate", "d=3")];
            assert_eq!(post_with(&client, &headers, &[created("a")]).await.status, 202);
            let message = queue.take(1).await.remove(0);
            let (trace, span, flags) = parent(&message);
            assert_eq!((trace.as_str(), flags.as_str()), (TRACE, expected));
            assert_ne!(span, SPAN, "the message's span is ours");
            assert_eq!(message.header("tracestate"), "a=1,b@c=2,d=3");
        }
    }
}

#[tokio::test]
async fn what_is_no_trace_context_begins_a_new_trace() {
    let (daemon, queue) = started(Daemon::configure()).await;
    let good = caller("01");
    let odd: [&[(&str, &str)]; 7] = [
        &[("traceparent", &good.to_uppercase())],
        &[("traceparent", &good), ("traceparent", &good)],
        &[("traceparent", &format!("{good}-x"))],
        &[("traceparent", &good.replace(SPAN, "0000000000000000"))],
        &[("traceparent", &good.replacen("00", "ff", 1))],
        &[("traceparent", &"0".repeat(20_000))],
        &[("traceparent", "")],
    ];
    for headers in odd {
        let headers = [headers, &[("tracestate", "a=1")]].concat();
        assert_eq!(post_with(&daemon.client(), &headers, &[created("a")]).await.status, 202, "{headers:?}");
        let message = queue.take(1).await.remove(0);
        assert_ne!(parent(&message).0, TRACE, "{headers:?}");
        assert!(!message.headers.contains_key("tracestate"), "{headers:?}");
    }
    let bad_state = [("traceparent", good.as_str()), ("tracestate", "a=1,B=2")];
    assert_eq!(post_with(&daemon.client(), &bad_state, &[created("a")]).await.status, 202);
    let message = queue.take(1).await.remove(0);
    assert_eq!(parent(&message).0, TRACE, "a bad tracestate costs itself alone");
    assert!(!message.headers.contains_key("tracestate"));
}

#[tokio::test]
async fn what_strangers_say_of_traces_goes_nowhere() {
    let (daemon, queue) = started(Daemon::configure().set("log", "level", "\"debug\"")).await;
    let quarantine = Amqp::connect(&Node::shared().url()).await.queue(&daemon.quarantine());
    let parent = caller("01");
    let headers = [("traceparent", &*parent), ("tracestate", "stranger=was-here")];
    let forged = changed("forged", "created", "a guess");
    assert_eq!(post_with(&daemon.client(), &headers, &[forged]).await.status, 202);
    let message = quarantine.take(1).await.remove(0);
    assert!(!message.headers.keys().any(|name| name.starts_with("trace")), "{message:?}");
    for (path, body) in [(PATH, "{"), ("/elsewhere", "{}")] {
        let reply = daemon.client().send(request(hyper::Method::POST, path, &headers, body)).await;
        assert!([400, 404].contains(&reply.status));
    }
    daemon.eventually_logs(r#""status":404"#).await;
    for word in [TRACE, SPAN, "stranger"] {
        assert!(!daemon.log().contains(word), "{word} is in the log");
    }
    assert_eq!(queue.count().await, 0);
}

#[tokio::test]
async fn the_log_names_the_trace_of_a_request() {
    let (daemon, queue) = started(Daemon::configure().set("log", "level", "\"debug\"")).await;
    post_with(&daemon.client(), &[("traceparent", &*caller("01"))], &[created("a")]).await;
    let message = queue.take(1).await.remove(0);
    let trace = format!(r#""trace":"{TRACE}""#);
    let request = message.header("graphhook-request-id").to_owned();
    daemon.eventually_logs(r#""message":"answered""#).await;
    let log = daemon.log();
    let line = log.lines().find(|line| line.contains(r#""message":"answered""#)).expect("it is there");
    assert!(line.contains(&trace) && line.contains(&request), "{line}");
}

#[tokio::test]
async fn the_trace_outlives_the_spool() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let mut daemon = configuration.start().await;
    let headers = [("traceparent", &*caller("01")), ("tracestate", "a=1")];
    assert_eq!(post_with(&daemon.client(), &headers, &[created("a")]).await.status, 202);
    daemon.signal("TERM");
    daemon.wait_exit().await;
    daemon.restart().await;
    cut.heal();
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    let message = queue_of(&daemon).await.take(1).await.remove(0);
    assert_eq!((parent(&message).0.as_str(), message.header("tracestate")), (TRACE, "a=1"));
}

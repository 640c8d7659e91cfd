//! Spans at a collector.

use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};

use super::{SPAN, TRACE, caller, parent, post_with, queue_of, started};
use crate::support::broker::Node;
use crate::support::certs::Authority;
use crate::support::collector::{Collector, Manner, Span};
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Configuration, Daemon, SECRET};
use crate::support::graph::{PATH, changed, created, post};

const DROPPED: &str = "graphhook_traces_dropped_total";
const EXPORTED: &str = "graphhook_traces_exported_total";

fn collected(collector: &Collector) -> Configuration {
    Daemon::configure().set("traces", "endpoint", &collector.endpoint())
}

#[track_caller]
fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.whole.kind() == kind).collect()
}

fn status(span: &Span) -> StatusCode {
    span.whole.status.as_ref().map_or(StatusCode::Unset, |status| status.code())
}

#[tokio::test]
async fn a_request_and_its_messages_are_spans() {
    let collector = Collector::start().await;
    let (daemon, queue) = started(collected(&collector)).await;
    let headers = [("traceparent", &*caller("01")), ("tracestate", "a=1")];
    let items = [created("one"), created("two"), changed("forged", "created", "a guess")];
    assert_eq!(post_with(&daemon.client().http2(), &headers, &items).await.status, 202);
    let messages = queue.take(2).await;
    let spans = collector.eventually_has(TRACE, 3).await;
    assert_eq!(spans.len(), 3, "{spans:?}");

    let [server] = *of_kind(&spans, SpanKind::Server) else { panic!("{spans:?}") };
    assert_eq!((server.parent.as_str(), server.whole.name.as_str()), (SPAN, "POST /graph/notifications"));
    assert_eq!((server.whole.trace_state.as_str(), status(server)), ("a=1", StatusCode::Unset));
    // Sampled, and the parent is known to be elsewhere.
    assert_eq!(server.whole.flags, 0x301);
    for (name, value) in [
        ("http.request.method", "POST"),
        ("http.route", PATH),
        ("url.path", PATH),
        ("url.scheme", "https"),
        ("network.protocol.version", "2"),
        ("http.response.status_code", "202"),
        ("graphhook.request.id", messages[0].header("graphhook-request-id")),
        ("resource.service.name", "graphhook"),
        ("resource.service.version", env!("CARGO_PKG_VERSION")),
    ] {
        assert_eq!(server.attribute(name), value, "{name}");
    }
    assert!(!server.attribute("resource.host.name").is_empty());

    for message in &messages {
        let (_, id, _) = parent(message);
        let producers = of_kind(&spans, SpanKind::Producer);
        let span = producers.into_iter().find(|span| span.id == id).expect("the message names its span");
        assert_eq!((span.parent.as_str(), span.whole.flags), (server.id.as_str(), 0x101));
        assert_eq!(span.whole.name, format!("publish {}", daemon.exchange()));
        for (name, value) in [
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "send"),
            ("messaging.operation.name", "publish"),
            ("messaging.destination.name", daemon.exchange()),
            ("messaging.rabbitmq.destination.routing_key", &message.routing_key),
            ("messaging.message.id", &message.message_id),
            ("messaging.message.body.size", &message.body.len().to_string()),
            ("graphhook.from", "request"),
            ("graphhook.outcome", "published"),
        ] {
            assert_eq!(span.attribute(name), value, "{name}");
        }
        let (from, until) = (server.whole.start_time_unix_nano, server.whole.end_time_unix_nano);
        assert!(
            from <= span.whole.start_time_unix_nano && span.whole.end_time_unix_nano <= until,
            "{spans:?}"
        );
    }
    let whole = format!("{spans:?}");
    assert!(!whole.contains(SECRET) && !whole.contains("forged") && !whole.contains("a guess"), "{whole}");
    daemon.eventually_metric(EXPORTED, |exported| exported == 3.0).await;
    assert_eq!(daemon.metrics().await.get(DROPPED), 0.0);
}

#[tokio::test]
async fn what_the_spool_sends_is_in_the_trace() {
    let collector = Collector::start().await;
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let daemon = collected(&collector).broker(Node::shared().url_by(cut.port())).start().await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    cut.heal();
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    let message = queue_of(&daemon).await.take(1).await.remove(0);
    let (trace, id, _) = parent(&message);
    let spans = collector.eventually_has(&trace, 3).await;
    let find = |from: &str| {
        let from = spans.iter().find(|span| span.attribute("graphhook.from") == from);
        from.unwrap_or_else(|| panic!("{spans:?}"))
    };
    let (first, again) = (find("request"), find("spool"));
    assert_eq!((&first.id, first.attribute("graphhook.outcome")), (&id, "spooled"));
    assert_eq!(first.attribute("graphhook.cause"), "no connection to the broker");
    assert_eq!((&again.parent, again.attribute("graphhook.outcome")), (&id, "published"));
    assert_ne!(again.id, id);
    assert_eq!((status(first), status(again)), (StatusCode::Unset, StatusCode::Unset), "all went well");
    let [server] = *of_kind(&spans, SpanKind::Server) else { panic!("{spans:?}") };
    assert_eq!((server.parent.as_str(), &first.parent), ("", &server.id));
}

#[tokio::test]
async fn what_is_answered_503_is_an_error() {
    let collector = Collector::start().await;
    let daemon = collected(&collector).without_broker().without_spool().start().await;
    let reply = post_with(&daemon.client(), &[("traceparent", &*caller("01"))], &[created("a")]).await;
    assert_eq!(reply.status, 503);
    let spans = collector.eventually_has(TRACE, 2).await;
    assert!(spans.iter().all(|span| status(span) == StatusCode::Error), "{spans:?}");
    let outcomes: Vec<&str> = spans.iter().map(|span| span.attribute("graphhook.outcome")).collect();
    assert!(outcomes.contains(&"unavailable"), "{outcomes:?}");
    // At this level the log names the trace where something went wrong.
    daemon.eventually_logs("answered 503").await;
    assert!(daemon.log().contains(TRACE));
}

#[tokio::test]
async fn strangers_make_no_spans_and_who_is_not_picked_makes_none() {
    let collector = Collector::start().await;
    let (daemon, queue) = started(collected(&collector).set("traces", "sample", "0.0")).await;
    let headers = [("traceparent", &*caller("01"))];
    let forged = changed("forged", "created", "a guess");
    assert_eq!(post_with(&daemon.client(), &headers, &[forged]).await.status, 202);
    assert_eq!(daemon.client().post(PATH, &headers, "{").await.status, 400);
    // One that nobody has sampled, and one that its caller has.
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    let other = caller("01").replace(TRACE, "000000000000000000000000000000ff");
    assert_eq!(post_with(&daemon.client(), &[("traceparent", &other)], &[created("b")]).await.status, 202);
    assert_eq!(queue.take(2).await.iter().map(|message| parent(message).2).collect::<Vec<_>>(), ["00", "01"]);
    collector.eventually_has("000000000000000000000000000000ff", 2).await;
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn a_collector_that_hangs_delays_nobody() {
    let collector = Collector::start().await;
    collector.behaves(Manner::Hangs);
    let (daemon, queue) = started(collected(&collector)).await;
    // More than wait in the queue and in a batch.
    let (client, items) = (daemon.client(), (0..500).map(|number| created(&format!("m{number}"))));
    for _ in 0..12 {
        assert_eq!(post(&client, items.clone()).await.status, 202);
        assert_eq!(queue.take(500).await.len(), 500);
    }
    let dropped = daemon.eventually_metric(DROPPED, |dropped| dropped > 0.0).await;
    assert!((1.0..=6012.0 - 4096.0).contains(&dropped), "{dropped}");
    daemon.eventually_logs("spans are not exported").await;
    collector.behaves(Manner::Takes);
    daemon.eventually_logs("spans are exported again").await;
    let all = 6012.0;
    daemon.eventually_metric(EXPORTED, |exported| exported == all - dropped).await;
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let collector = Collector::start().await;
    collector.behaves(Manner::Answers(503));
    let (daemon, _queue) = started(collected(&collector)).await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    daemon.eventually_logs("the collector answers 503").await;
    collector.behaves(Manner::Takes);
    daemon.eventually_metric(EXPORTED, |exported| exported == 2.0).await;
    assert!(collector.requests() >= 2);

    collector.behaves(Manner::Answers(400));
    let asked = collector.requests();
    assert_eq!(post(&daemon.client(), [created("b")]).await.status, 202);
    daemon.eventually_metric(DROPPED, |dropped| dropped == 2.0).await;
    assert_eq!(collector.requests(), asked + 1);

    collector.behaves(Manner::Rejects(1));
    assert_eq!(post(&daemon.client(), [created("c")]).await.status, 202);
    daemon.eventually_metric(DROPPED, |dropped| dropped == 3.0).await;
    assert_eq!(daemon.metrics().await.get(EXPORTED), 3.0);
}

#[tokio::test]
async fn the_last_spans_are_exported_before_the_end() {
    let collector = Collector::start().await;
    let (daemon, _queue) = started(collected(&collector)).await;
    assert_eq!(
        post_with(&daemon.client(), &[("traceparent", &*caller("01"))], &[created("a")]).await.status,
        202
    );
    // Long before a batch is full or old.
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert_eq!(collector.spans().len(), 2, "{:?}", collector.spans());
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_keep_the_daemon() {
    let collector = Collector::start().await;
    collector.behaves(Manner::Hangs);
    let (daemon, _queue) = started(collected(&collector)).await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    assert!(daemon.log().contains("the collector was too slow"), "{}", daemon.log());
}

#[tokio::test]
async fn a_collector_is_spoken_to_over_tls_with_secret_headers() {
    let directory = tempfile::tempdir().expect("a directory");
    let files = Authority::generate().write_into(directory.path());
    let collector = Collector::start_tls(&files).await;
    let secret = directory.path().join("token");
    std::fs::write(&secret, "Bearer hunter2\n").expect("written");
    let headers = format!("{{ Authorization = {{ file = {secret:?} }}, X-Scope = \"graph\" }}");
    let configuration =
        collected(&collector).set("traces", "headers", &headers).set("log", "level", "\"debug\"");
    let trusting = configuration.clone().set("traces", "ca_file", &format!("{:?}", files.ca));
    let (daemon, _queue) = started(trusting).await;
    assert_eq!(post(&daemon.client(), [created("a")]).await.status, 202);
    daemon.eventually_metric(EXPORTED, |exported| exported == 2.0).await;
    let sent = collector.headers();
    assert_eq!(
        [&sent["authorization"], &sent["x-scope"], &sent["content-type"]],
        ["Bearer hunter2", "graph", "application/json"]
    );
    assert_eq!(sent.get_all("host").iter().count(), 1);
    assert!(!daemon.log().contains("hunter2"));

    let (daemon, _queue) = started(configuration).await;
    assert_eq!(post(&daemon.client(), [created("b")]).await.status, 202);
    daemon.eventually_logs("spans are not exported").await;
    assert_eq!(collector.requests(), 1, "the system's authorities do not know ours");
    assert!(!daemon.log().contains("hunter2"));
}

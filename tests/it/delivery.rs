//! The way to the broker: topology, connecting, and every reason for which a message goes to the spool, or is
//! answered 503 without one.

use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};

use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::{CONNECTION_UP, Daemon, SECRET};
use crate::support::graph::{changed, created, post};
use crate::support::https::Reply;
use crate::support::queue::{Amqp, unique};

async fn amqp() -> Amqp {
    Amqp::connect(&Node::shared().url()).await
}

fn arguments<const N: usize>(pairs: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in pairs {
        table.insert(name.into(), value);
    }
    table
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn publishes(result: &str) -> String {
    format!(r#"graphhook_amqp_publish_total{{result="{result}"}}"#)
}

#[track_caller]
fn check_unavailable(reply: &Reply) {
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("10"));
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    assert_eq!(reply.header("connection"), None, "503 is no reason to close");
}

/// A message that the broker did not confirm was accepted all the same.
async fn check_spooled(daemon: &Daemon, reply: &Reply, spooled: f64) {
    assert_eq!(reply.status, 202);
    let outcome = r#"graphhook_notifications_outcome_total{outcome="spooled"}"#;
    assert_eq!(daemon.metrics().await.get(outcome), spooled);
}

#[tokio::test]
async fn the_topology_is_declared() {
    let daemon = Daemon::configure().connected().await;
    let amqp = amqp().await;
    assert!(amqp.exchange_is(daemon.exchange(), ExchangeKind::Topic).await);
    assert!(amqp.queue_has(daemon.queue(), arguments([("x-queue-type", text("quorum"))])).await);
    let refused = format!("{}.refused", daemon.exchange());
    assert!(amqp.exchange_is(&refused, ExchangeKind::Topic).await);
    let bounds = [
        ("x-max-length", AMQPValue::LongInt(10_000)),
        ("x-overflow", text("drop-head")),
        ("x-queue-type", text("classic")),
    ];
    assert!(amqp.queue_has(&refused, arguments(bounds)).await);
}

#[tokio::test]
async fn classic_queues_and_streams_take_messages() {
    for queue_type in ["classic", "stream"] {
        let configuration = Daemon::configure().set("broker", "queue_type", &format!("\"{queue_type}\""));
        let daemon = configuration.connected().await;
        assert_eq!(post(&daemon.client(), [created(queue_type)]).await.status, 202);
        let expected = arguments([("x-queue-type", text(queue_type))]);
        assert!(amqp().await.queue_has(daemon.queue(), expected).await, "{queue_type}");
    }
}

#[tokio::test]
async fn a_topology_of_others_is_checked_and_never_made() {
    let configuration = Daemon::configure().set("broker", "declare", "false");
    let daemon = configuration.start().await;
    daemon.eventually_logs("broker not connected").await;
    check_spooled(&daemon, &post(&daemon.client(), [created("early")]).await, 1.0).await;
    let amqp = amqp().await;
    assert!(!amqp.exchange_exists(daemon.exchange()).await);

    amqp.declare_exchange(daemon.exchange(), ExchangeKind::Topic).await;
    let queue = amqp.declare_queue(daemon.queue(), FieldTable::default()).await;
    amqp.bind(daemon.queue(), daemon.exchange(), "notification.#").await;
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    assert_eq!(post(&daemon.client(), [created("now")]).await.status, 202);
    queue.eventually_holds(&["early", "now"]).await;
    assert!(!amqp.exchange_exists(&format!("{}.refused", daemon.exchange())).await);
}

#[tokio::test]
async fn a_queue_of_another_shape_is_named_in_the_log() {
    let queue = unique("other");
    amqp().await.declare_queue(&queue, FieldTable::default()).await;
    let daemon = Daemon::configure().queue(&queue).without_spool().start().await;
    daemon.eventually_logs("PRECONDITION_FAILED").await;
    assert!(daemon.log().contains(&queue));
    check_unavailable(&post(&daemon.client(), [created("x")]).await);
    assert_eq!(daemon.get_admin("/readyz").await.0, 503);
}

#[tokio::test]
async fn the_daemon_starts_while_the_broker_is_away() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.refuse();
    let daemon = Daemon::configure().broker(Node::shared().url_by(cut.port())).start().await;
    daemon.eventually_logs("broker not connected").await;
    assert!(cut.seen().refused > 0);
    let (status, page) = daemon.get_admin("/readyz").await;
    assert_eq!((status, page.as_str()), (200, "ready, into the spool: no broker\n"));
    check_spooled(&daemon, &post(&daemon.client(), [created("early")]).await, 1.0).await;
    cut.heal();
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    assert_eq!(daemon.get_admin("/readyz").await.0, 200);
    assert_eq!(post(&daemon.client(), [created("later")]).await.status, 202);
    amqp().await.queue(daemon.queue()).eventually_holds(&["early", "later"]).await;
    daemon.eventually_metric("graphhook_spool_items", |items| items == 0.0).await;
}

#[tokio::test]
async fn with_neither_broker_nor_spool_nothing_is_accepted() {
    let daemon = Daemon::configure().without_broker().without_spool().start().await;
    daemon.eventually_logs("no spool").await;
    let (status, page) = daemon.get_admin("/readyz").await;
    assert_eq!((status, page.as_str()), (503, "no broker, and no spool\n"));
    assert_eq!(daemon.get_admin("/livez").await.0, 200);
    check_unavailable(&post(&daemon.client(), [created("x")]).await);
}

#[tokio::test]
async fn without_a_spool_the_broker_is_enough() {
    let daemon = Daemon::configure().without_spool().connected().await;
    assert_eq!(daemon.get_admin("/readyz").await.0, 200);
    assert_eq!(post(&daemon.client(), [created("x")]).await.status, 202);
    amqp().await.queue(daemon.queue()).eventually_holds(&["x"]).await;
}

#[tokio::test]
async fn a_refused_item_is_answered_202_while_the_broker_is_away() {
    let daemon = Daemon::configure().without_broker().without_spool().start().await;
    assert_eq!(post(&daemon.client(), [changed("f", "created", "guess")]).await.status, 202);
    check_unavailable(&post(&daemon.client(), [changed("f", "created", "guess"), created("g")]).await);
    let metrics = daemon.metrics().await;
    let outcome = |outcome: &str| {
        metrics.get(&format!(r#"graphhook_notifications_outcome_total{{outcome="{outcome}"}}"#))
    };
    assert_eq!((outcome("published"), outcome("refused"), outcome("unavailable")), (0.0, 2.0, 1.0));
}

#[tokio::test]
async fn a_silent_broker_does_not_keep_the_next_one_waiting() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.swallow();
    let daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .broker(Node::shared().url())
        .set("broker", "connect_within", "\"300ms\"")
        .connected()
        .await;
    assert!(cut.seen().swallowed > 0);
    assert!(daemon.log().contains("took too long"), "{}", daemon.log());
    assert_eq!(post(&daemon.client(), [created("x")]).await.status, 202);
}

#[tokio::test]
async fn connections_given_up_leave_nothing_behind() {
    let cut = Cut::to_port(Node::shared().port()).await;
    cut.swallow();
    let daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("broker", "connect_within", "\"50ms\"")
        .start()
        .await;
    let failed = r#"graphhook_amqp_connects_total{result="failed"}"#;
    daemon.eventually_metric(failed, |failed| failed >= 2.0).await;
    let threads = daemon.metrics().await.get("process_threads");
    daemon.eventually_metric(failed, |failed| failed >= 7.0).await;
    // Each would leave one at least; the runtime's own for files come and go.
    daemon.eventually_metric("process_threads", |now| now <= threads + 2.0).await;
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure().broker(Node::shared().url_by(cut.port())).start().await;
    for round in 0..3 {
        daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
        assert_eq!(post(&daemon.client(), [created(&format!("r-{round}"))]).await.status, 202);
        cut.cut();
        let ready = r#"graphhook_amqp_connects_total{result="ready"}"#;
        daemon.eventually_metric(ready, |ready| ready >= f64::from(round + 2)).await;
    }
    amqp().await.queue(daemon.queue()).eventually_holds(&["r-0", "r-1", "r-2"]).await;
}

#[tokio::test]
async fn a_late_confirm_takes_the_message_out_of_the_spool() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("broker", "confirm_within", "\"100ms\"")
        .connected()
        .await;
    cut.stall_answers();
    let reply = post(&daemon.client(), [created("l-1"), changed("f", "x", "guess"), created("l-2")]).await;
    check_spooled(&daemon, &reply, 2.0).await;
    daemon.eventually_metric("graphhook_spool_items", |items| items == 2.0).await;
    cut.heal();
    daemon.eventually_metric("graphhook_spool_items", |items| items == 0.0).await;
    assert_eq!(daemon.metrics().await.get(&publishes("late")), 2.0);
    let queue = amqp().await.queue(daemon.queue());
    queue.eventually_holds(&["l-1", "l-2"]).await;
    assert_eq!(queue.drain().await.len(), 2, "nothing was published twice");
}

#[tokio::test]
async fn without_a_spool_confirms_that_do_not_come_are_answered_503_for_the_whole_request() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("server", "answer_within", "\"500ms\"")
        .set("broker", "confirm_within", "\"100ms\"")
        .without_spool()
        .connected()
        .await;
    cut.stall_answers();
    check_unavailable(
        &post(&daemon.client(), [created("s-1"), changed("f", "x", "guess"), created("s-2")]).await,
    );
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.get("graphhook_amqp_in_flight"), 2.0);
    assert_eq!(metrics.get(r#"graphhook_notifications_outcome_total{outcome="unavailable"}"#), 2.0);
    assert_eq!(metrics.get(r#"graphhook_notifications_outcome_total{outcome="refused"}"#), 1.0);
    cut.heal();
    daemon.eventually_metric(&publishes("late"), |late| late == 2.0).await;
    daemon.eventually_metric("graphhook_amqp_in_flight", |open| open == 0.0).await;
    assert_eq!(post(&daemon.client(), [created("s-3")]).await.status, 202);
    amqp().await.queue(daemon.queue()).eventually_holds(&["s-1", "s-2", "s-3"]).await;
}

#[tokio::test]
async fn what_is_in_flight_has_a_bound() {
    let cut = Cut::to_port(Node::shared().port()).await;
    let daemon = Daemon::configure()
        .broker(Node::shared().url_by(cut.port()))
        .set("server", "answer_within", "\"500ms\"")
        .set("broker", "in_flight_messages", "10")
        .without_spool()
        .connected()
        .await;
    cut.stall_answers();
    let items: Vec<String> = (0..25).map(|number| created(&format!("b-{number}"))).collect();
    check_unavailable(&post(&daemon.client(), &items).await);
    check_unavailable(&post(&daemon.client(), &items).await);
    assert_eq!(daemon.metrics().await.get("graphhook_amqp_in_flight"), 10.0);
    cut.heal();
    daemon.eventually_metric("graphhook_amqp_in_flight", |open| open == 0.0).await;
    assert_eq!(post(&daemon.client(), &items).await.status, 202);
}

/// An exchange and a queue of somebody else's, bound by `key`, and a daemon that only checks them.
async fn with_others_topology(name: &str, key: &str) -> (Daemon, Amqp) {
    let amqp = amqp().await;
    let (exchange, queue) = (unique(name), unique(name));
    amqp.declare_exchange(&exchange, ExchangeKind::Topic).await;
    amqp.declare_queue(&queue, FieldTable::default()).await;
    amqp.bind(&queue, &exchange, key).await;
    let configuration =
        Daemon::configure().exchange(&exchange).queue(&queue).set("broker", "declare", "false");
    let daemon = configuration.set("broker", "channels", "1").connected().await;
    (daemon, amqp)
}

#[tokio::test]
async fn without_a_binding_messages_wait_in_the_spool() {
    let (daemon, amqp) = with_others_topology("unbound", "#").await;
    amqp.unbind(daemon.queue(), daemon.exchange(), "#").await;
    let reply = post(&daemon.client(), [created("u-1"), created("u-2")]).await;
    check_spooled(&daemon, &reply, 2.0).await;
    daemon.eventually_metric("graphhook_spool_parked_items", |parked| parked == 2.0).await;
    daemon.eventually_metric(&publishes("returned"), |returned| returned >= 4.0).await;
    amqp.bind(daemon.queue(), daemon.exchange(), "#").await;
    assert_eq!(post(&daemon.client(), [created("u-3")]).await.status, 202);
    let queue = amqp.queue(daemon.queue());
    queue.eventually_holds(&["u-1", "u-2", "u-3"]).await;
    daemon.eventually_metric("graphhook_spool_items", |items| items == 0.0).await;
    assert_eq!(queue.drain().await.len(), 3);
    assert!(!daemon.log().contains(SECRET), "a returned body was logged");
}

#[tokio::test]
async fn a_deleted_queue_is_declared_again() {
    let daemon = Daemon::configure().connected().await;
    amqp().await.delete_queue(daemon.queue()).await;
    check_spooled(&daemon, &post(&daemon.client(), [created("d-1")]).await, 1.0).await;
    amqp().await.queue(daemon.queue()).eventually_holds(&["d-1"]).await;
}

#[tokio::test]
async fn a_deleted_queue_of_others_takes_the_broker_for_away() {
    let (daemon, amqp) = with_others_topology("deleted", "#").await;
    assert_eq!(daemon.get_admin("/readyz").await.0, 200);
    amqp.delete_queue(daemon.queue()).await;
    assert_eq!(post(&daemon.client(), [created("d")]).await.status, 202);
    daemon.eventually_metric(CONNECTION_UP, |up| up == 0.0).await;
    assert_eq!(daemon.metrics().await.get("graphhook_spool_items"), 1.0);
    assert!(daemon.log().contains("the topology is gone"), "{}", daemon.log());
}

#[tokio::test]
async fn returned_messages_are_told_from_their_neighbours() {
    let (daemon, amqp) = with_others_topology("partly", "*.*.created").await;

    // Some hundreds in flight at once, every third of them without a way, each POST of one kind.
    let client = daemon.client().http2();
    let requests = (0..300).map(|number| {
        let change = if number % 3 == 0 { "deleted" } else { "created" };
        let client = &client;
        async move {
            let items = (0..5).map(|item| changed(&format!("{change}-{number}-{item}"), change, SECRET));
            (change, number, post(client, items).await.status)
        }
    });
    let answers = futures_util::future::join_all(requests).await;
    let mut accepted = Vec::new();
    for (change, number, status) in answers {
        assert_eq!(status, 202, "{change}-{number}");
        if change == "created" {
            accepted.extend((0..5).map(|item| format!("{change}-{number}-{item}")));
        }
    }
    assert_eq!(accepted.len(), 1000);
    amqp.queue(daemon.queue()).eventually_holds(&accepted).await;
    let outcome = |outcome| format!(r#"graphhook_notifications_outcome_total{{outcome="{outcome}"}}"#);
    let metrics = daemon.metrics().await;
    assert_eq!(metrics.get(&outcome("published")) + metrics.get(&outcome("spooled")), 1500.0);
    daemon.eventually_metric("graphhook_spool_parked_items", |parked| parked == 500.0).await;
    daemon.eventually_metric("graphhook_spool_items", |items| items == 500.0).await;
}

#[tokio::test]
async fn an_exchange_deleted_in_flight_is_made_again() {
    let daemon = Daemon::configure().connected().await;
    let amqp = amqp().await;
    amqp.delete_exchange(daemon.exchange()).await;
    check_spooled(&daemon, &post(&daemon.client(), [created("e-1")]).await, 1.0).await;
    let ready = r#"graphhook_amqp_connects_total{result="ready"}"#;
    daemon.eventually_metric(ready, |ready| ready >= 2.0).await;
    assert!(daemon.metrics().await.get(&publishes("closed")) >= 1.0);
    daemon.eventually_metric(CONNECTION_UP, |up| up == 1.0).await;
    assert_eq!(post(&daemon.client(), [created("e-2")]).await.status, 202);
    amqp.queue(daemon.queue()).eventually_holds(&["e-1", "e-2"]).await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_is_believed() {
    let amqp = amqp().await;
    let (exchange, queue) = (unique("full"), unique("full"));
    amqp.declare_exchange(&exchange, ExchangeKind::Topic).await;
    let full = amqp.declare_full(&queue, &exchange).await;
    let configuration = Daemon::configure().exchange(&exchange).queue(&queue);
    let daemon = configuration.set("broker", "declare", "false").connected().await;
    check_spooled(&daemon, &post(&daemon.client(), [created("nacked")]).await, 1.0).await;
    daemon.eventually_metric(&publishes("nack"), |nacked| nacked >= 2.0).await;
    full.purge().await;
    full.eventually_holds(&["nacked"]).await;
    daemon.eventually_metric("graphhook_spool_items", |items| items == 0.0).await;
}

#[tokio::test]
async fn amqps_trusts_the_authority_it_is_given() {
    let node = Node::shared();
    let ca = format!("{:?}", node.ca().display().to_string());
    let files = node.certificates();
    let path = |path: &std::path::Path| format!("{:?}", path.display().to_string());
    let daemon = Daemon::configure()
        .broker(node.url_tls())
        .set("broker.tls", "ca_file", &ca)
        .set("broker.tls", "certificate", &path(&files.client_certificate))
        .set("broker.tls", "private_key", &path(&files.client_key))
        .connected()
        .await;
    assert_eq!(post(&daemon.client(), [created("tls")]).await.status, 202);
    amqp().await.queue(daemon.queue()).eventually_holds(&["tls"]).await;

    let stranger = Daemon::configure();
    let other = tempfile::tempdir().expect("a directory");
    let files = crate::support::certs::Authority::generate().write_into(other.path());
    let stranger =
        stranger.broker(node.url_tls()).set("broker.tls", "ca_file", &path(&files.ca)).without_spool();
    let stranger = stranger.start().await;
    stranger.eventually_logs("broker not connected").await;
    assert!(stranger.log().contains("certificate"), "{}", stranger.log());
    check_unavailable(&post(&stranger.client(), [created("x")]).await);
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let url = Node::shared().url().replace("guest:guest@", "guest:hunter2@");
    let daemon = Daemon::configure().broker(url).start().await;
    daemon.eventually_logs("ACCESS_REFUSED").await;
    assert!(!daemon.log().contains("hunter2"), "{}", daemon.log());
}

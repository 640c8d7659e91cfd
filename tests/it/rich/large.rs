//! Large resources: they come out whole, and hold up nobody.

use std::thread::available_parallelism;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::{Desk, check_accepted, opened, rich};
use crate::support::daemon::Configuration;
use crate::support::eventually::eventually_within;
use crate::support::graph::{PATH, created, post as post_plain};
use crate::support::issuer::TENANT;
use crate::support::rich::post;

const COUNT: &str = "graphhook_decryption_duration_seconds_count";

/// Time and room for much more than Graph sends.
fn roomy(configuration: Configuration) -> Configuration {
    configuration
        .set("server", "answer_within", r#""60s""#)
        .set("server.limits", "body_within", r#""60s""#)
        .set("server.limits", "body", r#""64MiB""#)
        .set("broker", "confirm_within", r#""30s""#)
        .set("broker", "in_flight_bytes", r#""256MiB""#)
}

/// A resource of so many MiB, as Graph's mails with long bodies are.
fn resource(id: &str, mebibytes: usize) -> String {
    let line = "Grüße aus dem Norden, mit \\u00e4 und \\n. ";
    format!(r#"{{"id":"{id}","body":"{}"}}"#, line.repeat((mebibytes << 20) / line.len()))
}

#[tokio::test]
async fn a_large_resource_comes_out_whole() {
    let desk = Desk::opens(roomy).await;
    let text = resource("1", 3);
    let content = desk.recipient.seal(&text);
    let items = ["a", "b", "c"].map(|id| rich(id, TENANT, &content));
    check_accepted(&desk.post(&items, &json!([desk.issuer.token(TENANT)])).await);
    for (message, item) in desk.queue.take(3).await.iter().zip(&items) {
        assert!(message.body == opened(item, &content, &text), "{} is not whole", message.message_id);
    }
    desk.check_books(3, 0, 0).await;
}

/// More POSTs with large items than there are processors; handshakes, health and plain items are answered while these are
/// being opened. That they still are is seen by the count of what has been opened, and of what has been answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_resources_hold_up_nobody() {
    const ITEMS: usize = 5;
    let desk = Desk::opens(roomy).await;
    let content = desk.recipient.seal(resource("1", 3));
    // One more than the daemon has threads for requests.
    let posts = available_parallelism().map_or(1, usize::from) + 1;
    let items = |post: usize| {
        (0..ITEMS).map(|item| rich(&format!("{post}-{item}"), TENANT, &content)).collect::<Vec<_>>()
    };
    let bodies: Vec<_> = (0..posts).map(items).collect();
    let tokens = json!([desk.issuer.token(TENANT)]);
    let clients: Vec<_> = bodies.iter().map(|_| desk.daemon.client()).collect();
    let all = posts * ITEMS;
    let large = join_all(clients.iter().zip(&bodies).map(|(client, items)| post(client, items, &tokens)));
    let small = async {
        // Sixty megabytes take their time on a busy machine.
        let begun = async || (desk.daemon.metrics().await.get(COUNT) >= 1.0).then_some(());
        eventually_within(Duration::from_secs(60), "a resource that is opened", begun).await;
        // With handshakes of their own.
        let client = desk.daemon.client();
        assert_eq!(client.post(&format!("{PATH}?validationToken=now"), &[], "").await.text(), "now");
        assert_eq!(client.get("/healthz").await.status, 200);
        check_accepted(&post_plain(&client, [created("plain")]).await);
        let tiny = [rich("tiny", TENANT, &desk.recipient.seal("{}"))];
        check_accepted(&post(&client, &tiny, &tokens).await);
        desk.daemon.metrics().await
    };
    let (replies, meanwhile) = tokio::join!(large, small);
    replies.iter().for_each(check_accepted);
    let answered = meanwhile.get(r#"graphhook_http_requests_total{route="notifications",status="202"}"#);
    let open = meanwhile.get(COUNT);
    assert_eq!(answered, 2.0, "a large one was answered first; {open} of {all} were opened");
    assert!(open < all as f64, "all were opened first");
    desk.check_books(all + 2, 0, 0).await;
    let came = desk.queue.take(all + 2).await;
    assert!(
        came.iter().all(|message| message.message_id == "plain"
            || message.header("graphhook-resource-data") == "decrypted")
    );
}

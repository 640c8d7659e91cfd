//! Rich notifications: who vouches for them, what is in them, and what becomes of those nobody vouches for.

use serde_json::json;

use crate::support::broker::Node;
use crate::support::daemon::{Configuration, Daemon};
use crate::support::issuer::{Issuer, OTHER_TENANT, TENANT};
use crate::support::queue::{Amqp, Queue};
use crate::support::rich::{Recipient, opened, post, rich};

/// A daemon that is connected, and has its keys; its queue and its quarantine.
pub(crate) async fn started(configuration: Configuration) -> (Daemon, Queue, Queue) {
    let daemon = configuration.connected().await;
    daemon.eventually_metric("graphhook_signing_keys", |keys| keys > 0.0).await;
    let url = Node::shared().url();
    let queue = Amqp::connect(&url).await.queue(daemon.queue());
    let quarantine = Amqp::connect(&url).await.queue(&daemon.quarantine());
    (daemon, queue, quarantine)
}

#[tokio::test]
async fn what_is_opened_stands_in_place_of_what_was_sealed() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    let files = tempfile::tempdir().expect("a directory");
    let configuration = issuer.trusted(Daemon::configure(), "opened").append(&recipient.table(files.path()));
    let (daemon, queue, _) = started(configuration).await;
    let resource = r#"{"id":"1","big":638059995676961317,"text":"Grüße \u00e9\ud83d\ude80"}"#;
    let content = recipient.seal(resource);
    let item = rich("n-1", TENANT, &content);
    let tokens = json!([issuer.token(TENANT)]);
    assert_eq!(post(&daemon.client(), std::slice::from_ref(&item), &tokens).await.status, 202);
    let message = queue.take(1).await.remove(0);
    assert_eq!(String::from_utf8_lossy(&message.body), opened(&item, &content, resource));
    assert_eq!(message.header("graphhook-resource-data"), "decrypted");
    assert_eq!(message.message_id, "n-1");
}

#[tokio::test]
async fn what_is_sealed_passes_as_it_is_once_it_is_vouched_for() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    let (daemon, queue, quarantine) = started(issuer.trusted(Daemon::configure(), "sealed")).await;
    let content = recipient.seal("{}");
    let [ours, theirs] = [rich("a", TENANT, &content), rich("b", OTHER_TENANT, &content)];
    let tokens = json!([issuer.token_v1(TENANT)]);
    assert_eq!(post(&daemon.client(), &[ours.clone(), theirs.clone()], &tokens).await.status, 202);
    let message = queue.take(1).await.remove(0);
    assert_eq!(message.body, ours.as_bytes());
    assert_eq!(message.header("graphhook-resource-data"), "encrypted");
    let refused = quarantine.take(1).await.remove(0);
    assert_eq!(refused.body, theirs.as_bytes());
    assert_eq!(refused.header("graphhook-reason"), "bad_token");
}

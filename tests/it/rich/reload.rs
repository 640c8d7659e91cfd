//! `[rich]` that changes while connections stand.

use serde_json::json;

use super::{Desk, check_accepted, check_unavailable, opened, rich};
use crate::reload::reload_well;
use crate::support::daemon::Daemon;
use crate::support::issuer::{Issuer, Manner, TENANT};
use crate::support::rich::{Recipient, post};

/// Off, sealed, opened, and off again: each request has the rules of its time, on one connection.
#[tokio::test]
async fn it_is_turned_on_and_off_without_a_dropped_connection() {
    let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
    let files = tempfile::tempdir().expect("a directory");
    let off = Daemon::configure();
    let sealed = issuer.trusted(off.clone(), "sealed");
    let open = issuer.trusted(off.clone(), "opened").append(&recipient.table(files.path()));
    let mut daemon = off.clone().connected().await;
    let amqp = super::Amqp::connect(&super::Node::shared().url()).await;
    let (queue, quarantine) = (amqp.queue(daemon.queue()), amqp.queue(&daemon.quarantine()));
    let client = daemon.client();
    let content = recipient.seal(r#"{"id":"1"}"#);
    let (good, none) = (json!([issuer.token(TENANT)]), json!(null));
    let item = rich("n-1", TENANT, &content);
    let after = opened(&item, &content, r#"{"id":"1"}"#);
    for (configuration, passes, is_checked) in
        [(off.clone(), &item, false), (sealed, &item, true), (open, &after, true), (off, &item, false)]
    {
        daemon.reconfigure(|_| configuration);
        reload_well(&daemon).await;
        if is_checked {
            daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 1.0).await;
        }
        for tokens in [&good, &none] {
            check_accepted(&post(&client, std::slice::from_ref(&item), tokens).await);
            if is_checked && tokens.is_null() {
                let refused = quarantine.take(1).await.remove(0);
                assert_eq!(
                    (&refused.body[..], refused.header("graphhook-reason")),
                    (item.as_bytes(), "missing_token")
                );
            } else {
                assert_eq!(String::from_utf8_lossy(&queue.take(1).await[0].body), *passes);
            }
        }
    }
    assert_eq!(client.opened(), 1, "the connection was dropped");
    daemon.eventually_logs("resource_data_unchecked").await;
    assert_eq!(daemon.metrics().await.get("graphhook_signing_keys"), 0.0);
    assert_eq!(daemon.metrics().await.find(r#"graphhook_decryption_key_uses_total{key="2026-11"}"#), None);
}

/// Another identity platform from now on: its keys count, and those of the one before no more.
#[tokio::test]
async fn another_source_of_keys_takes_the_place_of_the_first() {
    let mut desk = Desk::checks(|configuration| configuration).await;
    let (other, client) = (Issuer::open().await, desk.daemon.client());
    let [ours, theirs] = [desk.issuer.token(TENANT), other.token(TENANT)];
    let item = [desk.item("n-1")];
    check_accepted(&post(&client, &item, &json!([ours])).await);
    // One that cannot be had yet: what was known counts no more, and nothing is refused for that.
    other.behaves(Manner::Answers(500, String::new()));
    desk.daemon.reconfigure(|configuration| other.trusted(configuration, "sealed"));
    reload_well(&desk.daemon).await;
    desk.daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 0.0).await;
    check_unavailable(&post(&client, &item, &json!([ours])).await);
    check_unavailable(&post(&client, &item, &json!([theirs])).await);
    other.behaves(Manner::Serves);
    desk.daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 1.0).await;
    check_accepted(&post(&client, &item, &json!([theirs])).await);
    check_accepted(&post(&client, &item, &json!([ours])).await);
    assert_eq!(desk.quarantine.take(1).await[0].header("graphhook-reason"), "bad_token");
    assert_eq!(client.opened(), 1);
    desk.check_books(2, 1, 2).await;
}

/// A source that hangs does not keep the next one from being asked.
#[tokio::test]
async fn a_source_that_hangs_is_left_at_once() {
    let (hanging, well) = (Issuer::open().await, Issuer::open().await);
    hanging.behaves(Manner::Hangs);
    let mut daemon = hanging.trusted(Daemon::configure(), "sealed").connected().await;
    daemon.reconfigure(|configuration| well.trusted(configuration, "sealed"));
    reload_well(&daemon).await;
    daemon.eventually_metric("graphhook_signing_keys", |keys| keys == 1.0).await;
    // It has not been given up: it was left.
    let given_up = r#"graphhook_signing_key_fetches_total{result="unanswered"}"#;
    assert_eq!(daemon.metrics().await.get(given_up), 0.0);
    let item = [rich("n-1", TENANT, &Recipient::generate("2026-11").seal("{}"))];
    check_accepted(&post(&daemon.client(), &item, &json!([well.token(TENANT)])).await);
}

//! What live subscriptions are sent: here by the stand-in's own hand, and to a real daemon with a real broker.

use std::time::Duration;

use graphhook::simulate::api::{Lifecycle, NotifyError, SentKind};
use hyper::Method;
use serde_json::{Value, json};

use super::{SUBSCRIPTIONS, both, both_with};
use crate::support::api::{Stand, ahead, inbox};
use crate::support::broker::Node;
use crate::support::daemon::{Daemon, SECRET};
use crate::support::eventually::eventually;
use crate::support::issuer::{APP, TENANT};
use crate::support::queue::Amqp;
use crate::support::rich::Recipient;

/// Makes it; returns its id.
async fn make(stand: &Stand, body: &Value) -> String {
    let token = stand.token().await;
    let reply = stand.call(&token, Method::POST, SUBSCRIPTIONS, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn items_have_the_forms_of_their_services() {
    let (stand, receiver) = both().await;
    for (resource, changes, members) in [
        ("/me/messages", "created,deleted", vec!["@odata.etag", "@odata.id", "@odata.type", "id"]),
        ("/me/drive/root", "updated", vec!["@odata.type"]),
        (
            "/users",
            "updated",
            vec!["@odata.id", "@odata.type", "eventTime", "id", "organizationId", "sequenceNumber"],
        ),
        ("/communications/callRecords", "created", vec!["@odata.id", "@odata.type", "id"]),
    ] {
        let mut body = inbox(&stand.api, &receiver.url("/n"), "state");
        body["resource"] = json!(resource);
        body["changeType"] = json!(changes);
        let id = make(&stand, &body).await;
        receiver.posts();
        let sent = stand.api.notify(&id, 2).await.expect("sent");
        assert_eq!((sent.kind, sent.status, sent.path.as_str()), (SentKind::Notification, Some(202), "/n"));
        let items = receiver.items();
        assert_eq!(items.len(), 2);
        for (item, change) in items.iter().zip(changes.split(',').cycle()) {
            assert_eq!((&item["subscriptionId"], &item["clientState"]), (&json!(id), &json!("state")));
            assert_eq!((&item["changeType"], &item["tenantId"]), (&json!(change), &json!(TENANT)));
            assert_eq!(item["subscriptionExpirationDateTime"], body["expirationDateTime"]);
            let data = item["resourceData"].as_object().expect("an object");
            let mut names: Vec<_> = data.keys().map(String::as_str).collect();
            names.sort();
            assert_eq!(names, members, "{resource}");
        }
        assert_ne!(items[0]["id"], items[1]["id"]);
    }
    assert_eq!(stand.api.notify("nobody", 1).await.err(), Some(NotifyError::Unknown));
    let id = &stand.api.subscriptions()[0].id;
    assert_eq!(stand.api.notify(id, 0).await.err(), Some(NotifyError::Many));
    assert_eq!(stand.api.lifecycle(id, Lifecycle::Missed).await.err(), Some(NotifyError::NoLifecycleUrl));
}

#[tokio::test]
async fn lifecycle_events_come_on_demand() {
    let (stand, receiver) = both().await;
    let mut body = inbox(&stand.api, &receiver.url("/n"), "state");
    body["lifecycleNotificationUrl"] = json!(receiver.url("/l"));
    let id = make(&stand, &body).await;
    receiver.posts();
    for (event, name, is_left) in [
        (Lifecycle::Missed, "missed", true),
        (Lifecycle::ReauthorizationRequired, "reauthorizationRequired", true),
        (Lifecycle::SubscriptionRemoved, "subscriptionRemoved", false),
    ] {
        let sent = stand.api.lifecycle(&id, event).await.expect("sent");
        assert_eq!((sent.kind, sent.status, sent.path.as_str()), (SentKind::Lifecycle, Some(202), "/l"));
        let items = receiver.items();
        assert_eq!(items.len(), 1);
        assert_eq!((&items[0]["lifecycleEvent"], &items[0]["subscriptionId"]), (&json!(name), &json!(id)));
        assert_eq!(
            (&items[0]["clientState"], &items[0]["organizationId"]),
            (&json!("state"), &json!(TENANT))
        );
        assert_eq!(stand.api.subscriptions().len(), usize::from(is_left));
    }
    assert_eq!(stand.api.lifecycle(&id, Lifecycle::Missed).await.err(), Some(NotifyError::Unknown));
}

#[tokio::test]
async fn the_first_notification_can_overtake_the_201() {
    let (stand, receiver) = both_with(|options| options.settings.overtakes = true).await;
    let id = make(&stand, &inbox(&stand.api, &receiver.url("/n"), "state")).await;
    let posts = receiver.posts();
    assert_eq!(posts.len(), 2, "a handshake and a notification, when the 201 has come");
    assert!(posts[0].0.contains("validationToken=") && posts[1].2.contains(&id));
}

#[tokio::test]
async fn notifications_can_come_by_themselves() {
    let (stand, receiver) =
        both_with(|options| options.notify_every = Some(Duration::from_millis(100))).await;
    let id = make(&stand, &inbox(&stand.api, &receiver.url("/n"), "state")).await;
    let mut items = Vec::new();
    eventually("three notifications", async || {
        items.extend(receiver.items());
        (items.len() >= 3).then_some(())
    })
    .await;
    assert!(items.iter().all(|item| item["subscriptionId"] == json!(id)));
}

#[tokio::test]
async fn a_daemon_takes_what_it_is_sent() {
    let stand = Stand::open().await;
    let daemon = Daemon::configure().start().await;
    stand.api.believe(daemon.ca()).expect("an authority");
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let queue = amqp.queue(daemon.queue());
    let base = format!("https://localhost:{}/graph", daemon.public().port());
    let mut body = inbox(&stand.api, &format!("{base}/notifications"), SECRET);
    body["lifecycleNotificationUrl"] = json!(format!("{base}/lifecycle"));
    let id = make(&stand, &body).await;
    assert_eq!(stand.api.notify(&id, 2).await.expect("sent").status, Some(202));
    assert_eq!(stand.api.lifecycle(&id, Lifecycle::Missed).await.expect("sent").status, Some(202));
    let mut keys: Vec<_> = queue.take(4).await.into_iter().map(|message| message.routing_key).collect();
    keys.sort_unstable();
    let change = "notification.message.created";
    assert_eq!(keys, ["gap.message.missed", "lifecycle.subscription.missed", change, change]);
}

#[tokio::test]
async fn a_daemon_opens_what_is_sealed_for_it() {
    let stand = Stand::open().await;
    let files = tempfile::tempdir().expect("a directory");
    let recipient = Recipient::generate("ours");
    let key = rcgen::KeyPair::from_pem(&recipient.pem).expect("a key");
    let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
    let origin = format!("https://localhost:{}", stand.api.address().port());
    let daemon = Daemon::configure()
        .set("rich", "deliver", "\"opened\"")
        .set("rich", "app_ids", &format!("[{APP:?}]"))
        .set("rich", "tenants", &format!("[{TENANT:?}]"))
        .set("rich", "key_documents", &format!("[\"{origin}/common/v2.0/.well-known/openid-configuration\"]"))
        .set("rich", "ca_file", &format!("{:?}", stand.files.path().join("api-ca.pem")))
        .append(&recipient.table(files.path()))
        .start()
        .await;
    stand.api.believe(daemon.ca()).expect("an authority");
    let amqp = Amqp::connect(&Node::shared().url()).await;
    let queue = amqp.queue(daemon.queue());
    let url = format!("https://localhost:{}/graph/notifications", daemon.public().port());
    let mut body = inbox(&stand.api, &url, SECRET);
    body["resource"] = json!("/chats/getAllMessages");
    body["lifecycleNotificationUrl"] = json!(url);
    body["expirationDateTime"] = json!(ahead(&stand.api, 4_000));
    body["includeResourceData"] = json!(true);
    body["encryptionCertificate"] =
        json!(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, certificate.der()));
    body["encryptionCertificateId"] = json!("ours");
    let id = make(&stand, &body).await;
    assert_eq!(stand.api.notify(&id, 1).await.expect("sent").status, Some(202));
    let [message] = &queue.take(1).await[..] else { panic!("one message") };
    let item: Value = serde_json::from_slice(&message.body).expect("JSON");
    assert_eq!((&item["decryptedContent"]["simulated"], &item["subscriptionId"]), (&json!(true), &json!(id)));
    assert_eq!(message.headers.get("graphhook-resource-data").map(String::as_str), Some("decrypted"));
}

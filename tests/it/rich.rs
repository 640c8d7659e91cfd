//! Rich notifications: who vouches for them, what is in them, and what becomes of those nobody vouches for.

mod answers;
mod content;
mod keys;
mod large;
mod reload;
mod rotation;
mod secrets;
mod tokens;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::broker::Node;
use crate::support::daemon::{Configuration, Daemon};
use crate::support::https::Reply;
use crate::support::issuer::{Issuer, TENANT};
use crate::support::queue::{Amqp, Delivered, Queue};
use crate::support::rich::{Recipient, opened, post, rich};

/// A daemon, whom it believes, and what comes out of it.
struct Desk {
    issuer: Issuer,
    recipient: Recipient,
    daemon: Daemon,
    queue: Queue,
    quarantine: Queue,
    files: TempDir,
}

impl Desk {
    /// One that opens what is sealed for its recipient.
    async fn opens(change: impl FnOnce(Configuration) -> Configuration) -> Self {
        Self::with("opened", change).await
    }

    /// One that passes it on as it is.
    async fn checks(change: impl FnOnce(Configuration) -> Configuration) -> Self {
        Self::with("sealed", change).await
    }

    async fn with(deliver: &str, change: impl FnOnce(Configuration) -> Configuration) -> Self {
        let (issuer, recipient) = (Issuer::open().await, Recipient::generate("2026-11"));
        let files = tempfile::tempdir().expect("a directory");
        let configuration = issuer.trusted(Daemon::configure(), deliver);
        let configuration = change(configuration.append(&recipient.table(files.path())));
        let (daemon, queue, quarantine) = started(configuration).await;
        Self { issuer, recipient, daemon, queue, quarantine, files }
    }

    /// A sealed item of the first tenant.
    fn item(&self, id: &str) -> String {
        rich(id, TENANT, &self.recipient.seal(RESOURCE))
    }

    /// POSTs these items with these tokens.
    async fn post(&self, items: &[String], tokens: &Value) -> Reply {
        post(&self.daemon.client(), items, tokens).await
    }

    /// Every item has one outcome, and these are their numbers.
    async fn check_books(&self, published: usize, refused: usize, unavailable: usize) {
        let metrics = self.daemon.metrics().await;
        let outcome = |outcome: &str| {
            metrics.get(&format!(r#"graphhook_notifications_outcome_total{{outcome="{outcome}"}}"#))
        };
        let outcomes = ["published", "refused", "unavailable", "spooled"].map(outcome);
        assert_eq!(outcomes, [published as f64, refused as f64, unavailable as f64, 0.0]);
        let received = metrics.sum("graphhook_notifications_received_total");
        assert_eq!(received, outcomes.iter().sum::<f64>());
        assert_eq!(metrics.get("graphhook_conservation_error"), 0.0);
        assert_eq!(metrics.sum("graphhook_notifications_refused_total"), refused as f64);
    }
}

/// What came, as text.
fn texts(messages: &[Delivered]) -> Vec<&str> {
    messages.iter().map(|message| std::str::from_utf8(&message.body).expect("text")).collect()
}

/// What is sealed where it does not matter.
const RESOURCE: &str = r#"{"id":"1","big":638059995676961317,"text":"Grüße \u00e9\ud83d\ude80"}"#;

#[track_caller]
fn check_accepted(reply: &Reply) {
    assert_eq!((reply.status, reply.text()), (202, ""));
}

/// Graph is told to come again.
#[track_caller]
fn check_unavailable(reply: &Reply) {
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("10")));
}

/// A daemon that is connected, and has its keys; its queue and its quarantine.
pub(crate) async fn started(configuration: Configuration) -> (Daemon, Queue, Queue) {
    let daemon = configuration.connected().await;
    daemon.eventually_metric("graphhook_signing_keys", |keys| keys > 0.0).await;
    let url = Node::shared().url();
    let queue = Amqp::connect(&url).await.queue(daemon.queue());
    let quarantine = Amqp::connect(&url).await.queue(&daemon.quarantine());
    (daemon, queue, quarantine)
}

//! Graph under load: clients that POST without pause, and remember what was answered 202.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;

use super::daemon::Daemon;
use super::eventually::{eventually, eventually_within};
use super::graph::{PATH, collection, created};
use super::https::{Client, request};
use super::queue::{Delivered, Queue};

/// Clients at work. They end when this is dropped.
pub struct Load {
    ledger: Arc<Ledger>,
    clients: JoinSet<()>,
}

/// What has happened so far.
#[derive(Default)]
struct Ledger {
    /// Ids of items whose request was answered 202.
    accepted: Mutex<BTreeSet<String>>,
    /// Requests answered 503.
    unavailable: AtomicU64,
    /// Requests without an answer.
    broken: AtomicU64,
    /// Answers other than 202 and 503.
    odd: Mutex<Vec<u16>>,
}

/// Time for a broker and a daemon to find each other again, and for confirms that never come to be given up.
const RECOVERY: Duration = Duration::from_secs(60);
/// Items of each POST.
const BATCH: usize = 3;

impl Load {
    /// Starts clients against a daemon; `name` makes the ids of this load its own.
    pub fn start(daemon: &Daemon, name: &str, clients: usize) -> Self {
        let ledger = Arc::new(Ledger::default());
        let mut set = JoinSet::new();
        for number in 0..clients {
            set.spawn(client(daemon.client(), format!("{name}-{number}"), Arc::clone(&ledger)));
        }
        Self { ledger, clients: set }
    }

    /// How many items were answered 202.
    pub fn accepted(&self) -> usize {
        self.ledger.accepted.lock().expect("no client panics").len()
    }

    /// Waits until `more` items than now were answered 202.
    pub async fn eventually_accepts(&self, more: usize) {
        let wanted = self.accepted() + more;
        eventually_within(RECOVERY, format!("{more} more accepted items"), async || {
            (self.accepted() >= wanted).then_some(())
        })
        .await;
    }

    /// Waits until `more` requests than now were answered 503.
    pub async fn eventually_unavailable(&self, more: u64) {
        let count = || self.ledger.unavailable.load(Ordering::Relaxed);
        let wanted = count() + more;
        eventually(format!("{more} more answers 503"), async || (count() >= wanted).then_some(())).await;
    }

    /// Ends the clients and returns the ids that were answered 202. Panics if there was an odd answer.
    pub async fn stop(mut self) -> BTreeSet<String> {
        self.clients.shutdown().await;
        let odd = self.ledger.odd.lock().expect("no client panics").clone();
        assert!(odd.is_empty(), "answers {odd:?}");
        self.ledger.accepted.lock().expect("no client panics").clone()
    }
}

/// Nothing that was answered 202 is missing, nothing in the queue was not sent, and every body is whole.
#[track_caller]
pub fn check_nothing_lost(accepted: &BTreeSet<String>, delivered: &[Delivered]) {
    let there: BTreeSet<&str> = delivered.iter().map(|message| message.message_id.as_str()).collect();
    let lost: Vec<&String> = accepted.iter().filter(|id| !there.contains(id.as_str())).collect();
    assert!(lost.is_empty(), "{} of {} accepted items are lost: {lost:?}", lost.len(), accepted.len());
    for message in delivered {
        assert_eq!(message.body, created(&message.message_id).as_bytes());
    }
}

/// Everything the queue gives until it has been quiet: a broker may still be handing out.
pub async fn drained(queue: &Queue, accepted: &BTreeSet<String>) -> Vec<Delivered> {
    let ids: Vec<&String> = accepted.iter().collect();
    queue.eventually_holds(&ids).await;
    queue.drain().await
}

async fn client(client: Client, name: String, ledger: Arc<Ledger>) {
    for number in 0_u64.. {
        let ids: Vec<String> = (0..BATCH).map(|item| format!("{name}-{number}-{item}")).collect();
        let body = collection(ids.iter().map(|id| created(id)));
        match client.try_send(request(hyper::Method::POST, PATH, &[], body)).await.map(|reply| reply.status) {
            Ok(202) => ledger.accepted.lock().expect("no client panics").extend(ids),
            Ok(503) => _ = ledger.unavailable.fetch_add(1, Ordering::Relaxed),
            Ok(status) => ledger.odd.lock().expect("no client panics").push(status),
            Err(_) => {
                ledger.broken.fetch_add(1, Ordering::Relaxed);
                // The daemon is gone, perhaps for good: let others run.
                tokio::task::yield_now().await;
            }
        }
    }
}

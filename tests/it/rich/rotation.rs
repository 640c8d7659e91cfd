//! Decryption keys rotated under load, as the manual tells it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Desk, opened, rich};
use crate::reload::reload_well;
use crate::support::eventually::eventually_within;
use crate::support::https::Client;
use crate::support::issuer::{Key, TENANT, claims_v1, claims_v2};
use crate::support::rich::{Recipient, post};

const WORKERS: u64 = 6;
const BOUND: std::time::Duration = std::time::Duration::from_secs(60);

/// Graph at work: it encrypts for this certificate, and signs with this key.
#[derive(Clone)]
struct Orders {
    recipients: Vec<Arc<Recipient>>,
    key: Key,
    stop: bool,
}

/// What a worker has done.
#[derive(Default)]
struct Done {
    /// Requests that were answered since the orders changed last.
    since: AtomicU64,
}

/// Posts two items after the other until it is told to stop; returns what consumers must have got, and how many answers
/// were not 202.
async fn work(
    number: u64,
    client: Client,
    mut orders: watch::Receiver<Orders>,
    done: Arc<Done>,
) -> (Vec<(String, String)>, u64) {
    let (mut owed, mut others) = (Vec::new(), 0);
    for round in 0_u64.. {
        let now = orders.borrow_and_update().clone();
        if now.stop {
            break;
        }
        let mut items = Vec::new();
        let mut promised = Vec::new();
        for half in 0..2 {
            let recipient =
                &now.recipients[usize::try_from(round + half).expect("small") % now.recipients.len()];
            let id = format!("{number}-{round}-{half}");
            let resource = format!(
                r#"{{"id":"{id}","text":"{}"}}"#,
                "x".repeat(usize::try_from(round * 37 % 999).expect("small"))
            );
            let content = recipient.seal(&resource);
            let item = rich(&id, TENANT, &content);
            promised.push((id, opened(&item, &content, &resource)));
            items.push(item);
        }
        let claims = if round % 2 == 0 { claims_v1(TENANT) } else { claims_v2(TENANT) };
        let token = now.key.sign(&now.key.header(), &claims);
        match post(&client, &items, &json!([token])).await.status {
            202 => owed.append(&mut promised),
            _ => others += 1,
        }
        if !orders.has_changed().expect("whoever gives orders is there") {
            done.since.fetch_add(1, Ordering::SeqCst);
        }
    }
    (owed, others)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_under_load_and_nothing_is_refused() {
    let mut desk = Desk::opens(|configuration| configuration).await;
    let [second, third] = ["2027-05", "2027-11"].map(|id| Arc::new(Recipient::generate(id)));
    let first = Arc::new(std::mem::replace(&mut desk.recipient, Recipient::generate("nobody's")));
    let base = desk.daemon.configuration().clone().without_appended();
    let tables = |recipients: &[&Arc<Recipient>]| {
        recipients.iter().fold(base.clone(), |configuration, recipient| {
            configuration.append(&recipient.table(desk.files.path()))
        })
    };
    let orders = Orders { recipients: vec![Arc::clone(&first)], key: desk.issuer.key(), stop: false };
    let (orders, told) = watch::channel(orders);
    let done: Vec<Arc<Done>> = (0..WORKERS).map(|_| Arc::default()).collect();
    let mut workers = JoinSet::new();
    for (number, done) in (0..).zip(&done) {
        let client = desk.daemon.client();
        let client = if number % 2 == 0 { client } else { client.http1() };
        workers.spawn(work(number, client, told.clone(), Arc::clone(done)));
    }
    // Each worker has had some answers to what it sent by the orders of now, and so all to what it sent before.
    let go_on = async || {
        let settled = async || done.iter().all(|done| done.since.load(Ordering::SeqCst) >= 3).then_some(());
        done.iter().for_each(|done| done.since.store(0, Ordering::SeqCst));
        eventually_within(BOUND, "answers to everybody", settled).await;
    };
    go_on().await;

    let [one, two, three] = [&first, &second, &third];
    let steps = [
        (vec![one, two], vec![one, two]),
        (vec![one, two], vec![two]),
        (vec![two], vec![two]),
        (vec![two, three], vec![three, two]),
        (vec![three, two], vec![three]),
        (vec![three], vec![three]),
    ];
    for (step, (keys, senders)) in steps.into_iter().enumerate() {
        let configuration = tables(&keys);
        desk.daemon.reconfigure(|_| configuration);
        reload_well(&desk.daemon).await;
        go_on().await;
        orders.send_modify(|orders| orders.recipients = senders.into_iter().map(Arc::clone).collect());
        go_on().await;
        if step == 1 {
            // And tokens go on with a key that nobody has seen.
            let key = desk.issuer.roll("key-2");
            orders.send_modify(|orders| orders.key = key);
            go_on().await;
        }
    }
    orders.send_modify(|orders| orders.stop = true);
    let (mut owed, mut others) = (Vec::new(), 0);
    while let Some(ended) = workers.join_next().await {
        let (more, unavailable) = ended.expect("a worker ends");
        owed.extend(more);
        others += unavailable;
    }
    assert_eq!(others, 0, "something was not answered 202");
    desk.check_books(owed.len(), 0, 0).await;
    let mut came: Vec<_> = desk
        .queue
        .take(owed.len())
        .await
        .into_iter()
        .map(|message| {
            assert_eq!(message.header("graphhook-resource-data"), "decrypted");
            (message.message_id.clone(), String::from_utf8_lossy(&message.body).into_owned())
        })
        .collect();
    came.sort();
    owed.sort();
    assert!(came == owed, "what came is not what was promised");
    assert_eq!(desk.quarantine.count().await, 0);
    let metrics = desk.daemon.metrics().await;
    assert_eq!(metrics.find(r#"graphhook_decryption_key_uses_total{key="2026-11"}"#), None, "it was removed");
    assert!(metrics.get(r#"graphhook_decryption_key_last_use_timestamp_seconds{key="2027-11"}"#) > 1.7e9);

    // What comes late for a key that is gone is kept out, sealed, and can be looked at.
    let late = rich("late", TENANT, &first.seal("{}"));
    super::check_accepted(&desk.post(std::slice::from_ref(&late), &json!([desk.issuer.token(TENANT)])).await);
    let refused = desk.quarantine.take(1).await.remove(0);
    assert_eq!((refused.header("graphhook-reason"), &refused.body[..]), ("unknown_key", late.as_bytes()));
}

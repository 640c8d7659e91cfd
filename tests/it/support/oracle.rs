//! Who knows what was sent, what was promised for it, and so what consumers must have got.
//!
//! Every item carries a tag that only the oracle can make, over the item's number and all its bytes: an item that
//! nobody sent, or that is not as it was sent, is recognised among what consumers got.

mod books;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::{digest, hmac};
use serde_json::Value;

use self::books::Books;
pub use self::verdict::{Report, Verdict};
use super::daemon::{Daemon, NEXT_SECRET, SECRET};
use super::disk::Mark;
use super::eventually::seen_within;
use super::queue::{Amqp, Delivered};

/// Issues items and judges what became of them.
pub struct Oracle {
    key: hmac::Key,
    books: Mutex<Books>,
}

/// One issued item, by its number.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Item(u64);

/// Whether the item knows the secret of its subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    /// It does: Microsoft Graph sent it.
    Graph,
    /// It knows the one that takes the secret's place.
    Renewed,
    /// It guesses.
    Forger,
}

/// How a request ended, as its sender saw it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// This status code.
    Status(u16),
    /// None: the connection was refused, or broke.
    None,
}

/// What the body of a message tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Recognised {
    /// Just as it was sent.
    Known(Item),
    /// We sent such an item, but not these bytes.
    Altered(Item),
    /// We sent no such item.
    Invented,
}

/// What consumers got.
#[derive(Default)]
pub struct Taken {
    /// From the queues for genuine items.
    pub normal: Vec<Delivered>,
    /// From the quarantine.
    pub quarantine: Vec<Delivered>,
}

impl Oracle {
    /// An oracle with a key of its own, which has issued nothing.
    pub fn with_fresh_key() -> Arc<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        Arc::new(Self { key: key.expect("the system has random numbers"), books: Mutex::default() })
    }

    /// A new item.
    pub fn issue(&self, sender: Sender) -> Item {
        self.issue_by(|_| sender)
    }

    /// A new item, its sender chosen by its number.
    pub fn issue_by(&self, sender: impl Fn(u64) -> Sender) -> Item {
        self.books().issue(sender)
    }

    /// The text of an item, always the same.
    pub fn text(&self, item: Item) -> String {
        let sender = self.books().sender(item);
        text(item, sender, &self.name(item, sender))
    }

    /// What stands in the item as its id.
    pub fn id(&self, item: Item) -> String {
        self.name(item, self.books().sender(item))
    }

    /// These items go out, perhaps not for the first time.
    pub fn sent(&self, items: &[Item]) {
        self.books().sent(items);
    }

    /// That request has ended, and took so long by the sender's clock.
    pub fn answered(&self, items: &[Item], answer: Answer, took: Duration, mark: Option<Mark>) {
        self.books().answered(items, answer, took, mark);
    }

    /// Genuine items that were answered 202: whoever said so must keep them.
    pub fn obligations(&self) -> Vec<Item> {
        self.obligations_by(|_| true)
    }

    /// Those of them that were answered at a mark for which `holds` is true, or at none.
    pub fn obligations_by(&self, holds: impl Fn(Mark) -> bool) -> Vec<Item> {
        self.books().obligations(holds)
    }

    /// How many items were answered 202.
    pub fn accepted(&self) -> u64 {
        self.books().accepted
    }

    /// Whether all items of this sender were answered 202.
    pub fn is_settled(&self, sender: Sender) -> bool {
        self.books().is_settled(sender)
    }

    /// How many requests were answered 503.
    pub fn unavailable(&self) -> u64 {
        self.books().unavailable
    }

    /// How many requests had no answer.
    pub fn unanswered(&self) -> u64 {
        self.books().unanswered
    }

    /// The numbers as of now, before anything was taken.
    pub fn report(&self) -> Report {
        self.books().report()
    }

    /// Which item of ours this body is.
    pub fn recognise(&self, body: &[u8]) -> Recognised {
        let Some((item, id)) = claimed(body) else { return Recognised::Invented };
        let Some(sender) = self.books().find(item) else { return Recognised::Invented };
        let ours = self.name(item, sender);
        if id != ours {
            return Recognised::Invented;
        }
        let whole = body == text(item, sender, &ours).as_bytes();
        if whole { Recognised::Known(item) } else { Recognised::Altered(item) }
    }

    /// Which items of ours these messages are.
    pub fn known(&self, messages: &[Delivered]) -> Vec<Item> {
        let known = messages.iter().filter_map(|message| match self.recognise(&message.body) {
            Recognised::Known(item) => Some(item),
            Recognised::Altered(_) | Recognised::Invented => None,
        });
        known.collect()
    }

    /// Takes from the queue and the quarantine of a daemon until all obligations are met, or a minute has passed;
    /// then what is left. The load must have been stopped.
    pub async fn taken(&self, amqp: &Amqp, daemon: &Daemon) -> Taken {
        let (normal, quarantine) = (amqp.queue(daemon.queue()), amqp.queue(&daemon.quarantine()));
        let mut taken = Taken::default();
        let mut missing: BTreeSet<Item> = self.obligations().into_iter().collect();
        let met = seen_within(RECOVERY, async || {
            // A broker that was maltreated may still be on its way up.
            let more = normal.try_drain().await.unwrap_or_default();
            for message in &more {
                if let Recognised::Known(item) = self.recognise(&message.body) {
                    missing.remove(&item);
                }
            }
            taken.normal.extend(more);
            missing.is_empty().then_some(())
        });
        // If they are not met, the judgement says so.
        met.await;
        taken.normal.extend(normal.drain().await);
        taken.quarantine.extend(quarantine.drain().await);
        taken
    }

    /// Judges what consumers got, at the very end.
    pub fn judge(&self, taken: &Taken) -> Verdict {
        self.judge_for(&self.obligations(), taken)
    }

    /// As [`Oracle::judge`], when only these items were promised, as before a power cut.
    pub fn judge_for(&self, obligations: &[Item], taken: &Taken) -> Verdict {
        verdict::judge(self, obligations, taken)
    }

    /// The name of an item: its number, and the tag over the number and the digest of all that it says.
    fn name(&self, item: Item, sender: Sender) -> String {
        let digest = digest::digest(&digest::SHA256, text(item, sender, "").as_bytes());
        let tag = hmac::sign(&self.key, &[&item.0.to_be_bytes(), digest.as_ref()].concat());
        let tag: String = tag.as_ref()[..TAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{tag}", item.0)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("nobody panics with it held")
    }
}

/// An item as Graph writes it. Sizes differ, and every third has no `id`, as with many of Graph's resources.
fn text(item: Item, sender: Sender, name: &str) -> String {
    let secret = match sender {
        Sender::Graph => SECRET,
        Sender::Renewed => NEXT_SECRET,
        Sender::Forger => "a guess",
    };
    let id = if item.0.is_multiple_of(3) { String::new() } else { format!(r#""id":"{name}","#) };
    let filler = "x".repeat(usize::try_from(item.0 * item.0 % 1999).expect("a small number"));
    format!(
        r##"{{{id}"subscriptionId":"00000001-0000-4000-8000-000000000001","changeType":"created","resource":"Users/u/Messages/{name}","resourceData":{{"@odata.type":"#Microsoft.Graph.Message","@odata.etag":"W/\"{filler}\"","id":"{name}"}},"clientState":"{secret}","tenantId":"8afd02d6-ebdd-4270-a515-c749898ea5c5"}}"##
    )
}

/// Which item a body says that it is, and the name it gives.
fn claimed(body: &[u8]) -> Option<(Item, String)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let id = body["resourceData"]["id"].as_str()?;
    let (number, _) = id.split_once('.')?;
    Some((Item(number.parse().ok()?), id.to_owned()))
}

/// Half of the tag is far more than anybody guesses.
const TAG_BYTES: usize = 16;
/// Time for a broker and a daemon to find each other again, and for a spool to be emptied.
const RECOVERY: Duration = Duration::from_secs(60);

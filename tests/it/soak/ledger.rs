//! What consumers got over the whole run, judged piece by piece, so that no body is kept.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::support::oracle::{Item, Oracle, Recognised, Taken};
use crate::support::queue::Delivered;

/// What was seen so far. About a hundred bytes for each item: room for a day at the rate of the soak.
#[derive(Default)]
pub(super) struct Ledger {
    seen: HashMap<Item, u64>,
    hasher: RandomState,
    /// Messages from the normal queue, those from the quarantine, and those beyond the first of an item.
    pub(super) delivered: u64,
    pub(super) quarantined: u64,
    pub(super) doubles: u64,
    /// Names of what is wrong.
    pub(super) invented: Vec<String>,
    pub(super) altered: Vec<String>,
    pub(super) believed: Vec<String>,
    pub(super) doubted: Vec<String>,
    pub(super) renamed: Vec<String>,
    pub(super) told: Vec<String>,
    /// Messages that were deleted with their queue, by the test: no more than these may be missing.
    pub(super) destroyed: u64,
}

impl Ledger {
    /// Takes note of messages; none of `secrets` may stand in a header.
    pub(super) fn take(&mut self, oracle: &Oracle, taken: &Taken, secrets: &[&str]) {
        let verdict = oracle.judge_for(&[], taken);
        self.delivered += verdict.report.delivered;
        self.quarantined += verdict.report.quarantined;
        self.invented.extend(verdict.invented);
        self.altered.extend(verdict.altered);
        self.believed.extend(verdict.believed);
        self.doubted.extend(verdict.doubted);
        self.renamed.extend(verdict.renamed);
        for message in &taken.normal {
            self.note(oracle, message);
        }
        for message in taken.normal.iter().chain(&taken.quarantine) {
            let tells = |value: &String| secrets.iter().any(|secret| value.contains(secret));
            if message.headers.values().any(tells) {
                self.told.push(message.message_id.clone());
            }
        }
    }

    fn note(&mut self, oracle: &Oracle, message: &Delivered) {
        let Recognised::Known(item) = oracle.recognise(&message.body) else { return };
        let id = self.hasher.hash_one(&message.message_id);
        if let Some(first) = self.seen.insert(item, id) {
            self.doubles += 1;
            if first != id {
                self.renamed.push(oracle.id(item));
            }
        }
    }

    /// Obligations that no consumer has seen.
    pub(super) fn missing(&self, oracle: &Oracle) -> Vec<Item> {
        let mut owed = oracle.obligations();
        owed.retain(|item| !self.seen.contains_key(item));
        owed
    }
}

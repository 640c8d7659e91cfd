//! The judgement: what was promised against what consumers got.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::{Item, Oracle, Recognised, Sender, Taken};
use crate::support::queue::Delivered;

/// The numbers of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Items made.
    pub issued: u64,
    /// Of these, with a wrong secret.
    pub forged: u64,
    /// Items in requests answered 202, forged ones among them.
    pub accepted: u64,
    /// Items sent again by the sender, each time counted.
    pub resent: u64,
    /// Requests.
    pub requests: u64,
    /// Requests answered 503.
    pub unavailable: u64,
    /// Requests whose connection was refused or broke.
    pub unanswered: u64,
    /// Other status codes that came.
    pub odd: Vec<u16>,
    /// The longest time to an answer, of any kind, by the sender's clock.
    pub worst_ms: u64,
    /// All but one in a thousand took no longer.
    pub p999_ms: u64,
    /// The same of the answers 202.
    pub p999_accepted_ms: u64,
    /// Messages that consumers got from normal queues.
    pub delivered: u64,
    /// Messages that came from the quarantine.
    pub quarantined: u64,
    /// Messages from normal queues beyond the first of each item.
    pub doubles: u64,
}

/// What is wrong, by the names of items or messages, and the numbers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// The numbers.
    pub report: Report,
    /// Answered 202, and gone.
    pub lost: Vec<String>,
    /// Got by consumers, and sent by nobody.
    pub invented: Vec<String>,
    /// Not the bytes that were sent.
    pub altered: Vec<String>,
    /// Forged, and yet in a normal queue.
    pub believed: Vec<String>,
    /// Genuine, and yet in the quarantine.
    pub doubted: Vec<String>,
    /// Came under more than one message id, or under another than its own.
    pub renamed: Vec<String>,
}

impl Verdict {
    /// Panics unless all is well. Doubles and times have no fixed bounds: see [`Verdict::check_doubles`] and
    /// [`Verdict::check_times`].
    #[track_caller]
    pub fn check(&self) -> &Self {
        let Self { report, lost, invented, altered, believed, doubted, renamed } = self;
        let wrong = [lost, invented, altered, believed, doubted, renamed];
        let well = wrong.iter().all(|found| found.is_empty()) && report.odd.is_empty();
        assert!(well, "{}", self.shortened().json());
        self
    }

    /// Panics when there are more doubles than the sender's own repetitions and `in_flight` items account for.
    #[track_caller]
    pub fn check_doubles(&self, in_flight: u64) -> &Self {
        assert!(self.report.doubles <= self.report.resent + in_flight, "{}", self.report.json());
        self
    }

    /// Panics when an answer took longer.
    #[track_caller]
    pub fn check_times(&self, worst: Duration) -> &Self {
        assert!(u128::from(self.report.worst_ms) <= worst.as_millis(), "{}", self.report.json());
        self
    }

    /// All of it as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("names and numbers are JSON")
    }

    /// A few names of each kind, and how many more there are.
    fn shortened(&self) -> Self {
        let mut short = self.clone();
        let Self { report: _, lost, invented, altered, believed, doubted, renamed } = &mut short;
        for names in [lost, invented, altered, believed, doubted, renamed] {
            let more = names.len().saturating_sub(SHOWN);
            names.truncate(SHOWN);
            names.extend((more > 0).then(|| format!("and {more} more")));
        }
        short
    }
}

impl Report {
    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers are JSON")
    }
}

pub(super) fn judge(oracle: &Oracle, obligations: &[Item], taken: &Taken) -> Verdict {
    let mut verdict = Verdict { report: oracle.report(), ..Verdict::default() };
    let mut seen = BTreeMap::<Item, BTreeSet<&str>>::new();
    // A gap is word of the daemon's own, and no item.
    for message in taken.normal.iter().filter(|message| message.kind != "gap") {
        verdict.report.delivered += 1;
        let Some(item) = verdict.known(oracle, message) else { continue };
        let ids = seen.entry(item).or_default();
        verdict.report.doubles += u64::from(!ids.is_empty());
        ids.insert(&message.message_id);
        if oracle.books().sender(item) == Sender::Forger {
            verdict.believed.push(oracle.id(item));
        }
    }
    for message in &taken.quarantine {
        verdict.report.quarantined += 1;
        let Some(item) = verdict.known(oracle, message) else { continue };
        seen.entry(item).or_default().insert(&message.message_id);
        if oracle.books().sender(item) != Sender::Forger {
            verdict.doubted.push(oracle.id(item));
        }
    }
    verdict.renamed = renamed(oracle, &seen);
    verdict.lost = lost(oracle, obligations, taken).into_iter().map(|item| oracle.id(item)).collect();
    verdict
}

/// Obligations that consumers did not get whole, wherever they got them.
fn lost(oracle: &Oracle, obligations: &[Item], taken: &Taken) -> Vec<Item> {
    let there: BTreeSet<Item> = taken
        .normal
        .iter()
        .chain(&taken.quarantine)
        .filter_map(|message| match oracle.recognise(&message.body) {
            Recognised::Known(item) => Some(item),
            Recognised::Altered(_) | Recognised::Invented => None,
        })
        .collect();
    obligations.iter().copied().filter(|item| !there.contains(item)).collect()
}

impl Verdict {
    fn known(&mut self, oracle: &Oracle, message: &Delivered) -> Option<Item> {
        match oracle.recognise(&message.body) {
            Recognised::Known(item) => return Some(item),
            Recognised::Altered(_) => self.altered.push(message.message_id.clone()),
            Recognised::Invented => self.invented.push(message.message_id.clone()),
        }
        None
    }
}

/// An item with an id of its own comes under it; one without always under the same.
fn renamed(oracle: &Oracle, seen: &BTreeMap<Item, BTreeSet<&str>>) -> Vec<String> {
    let wrong = |item: Item, ids: &BTreeSet<&str>| {
        let own = oracle.id(item);
        let named = oracle.text(item).starts_with(r#"{"id""#);
        ids.len() > 1 || (named && !ids.contains(own.as_str()))
    };
    let wrong = seen.iter().filter(|(item, ids)| wrong(**item, ids));
    wrong.map(|(item, ids)| format!("{} as {ids:?}", oracle.id(*item))).collect()
}

const SHOWN: usize = 5;

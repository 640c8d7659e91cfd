//! What the sender has seen, item by item and request by request.

use std::collections::HashSet;
use std::time::Duration;

use super::{Answer, Item, Report, Sender};
use crate::support::disk::Mark;

#[derive(Default)]
pub(super) struct Books {
    /// By number.
    items: Vec<Entry>,
    /// Items answered 202.
    pub(super) accepted: u64,
    requests: u64,
    pub(super) unavailable: u64,
    pub(super) unanswered: u64,
    /// Status codes other than 202 and 503.
    odd: Vec<u16>,
    /// Of each answer, and whether it was 202.
    times: Vec<(Duration, bool)>,
}

struct Entry {
    sender: Sender,
    sent: u64,
    accepted: Option<Accepted>,
}

struct Accepted {
    /// When the first 202 came, if somebody marked it.
    mark: Option<Mark>,
}

impl Books {
    pub(super) fn issue(&mut self, sender: impl Fn(u64) -> Sender) -> Item {
        let number = number(self.items.len());
        self.items.push(Entry { sender: sender(number), sent: 0, accepted: None });
        Item(number)
    }

    /// The sender of an item that was issued here.
    pub(super) fn sender(&self, item: Item) -> Sender {
        self.find(item).expect("an item of this oracle")
    }

    /// The sender of an item, if there is such an item.
    pub(super) fn find(&self, item: Item) -> Option<Sender> {
        Some(self.items.get(index(item))?.sender)
    }

    pub(super) fn sent(&mut self, items: &[Item]) {
        self.requests += 1;
        for item in items {
            self.items[index(*item)].sent += 1;
        }
    }

    pub(super) fn answered(&mut self, items: &[Item], answer: Answer, took: Duration, mark: Option<Mark>) {
        match answer {
            Answer::None => {
                self.unanswered += 1;
                return;
            }
            Answer::Status(202) => {
                for item in items {
                    let accepted = &mut self.items[index(*item)].accepted;
                    self.accepted += u64::from(accepted.is_none());
                    accepted.get_or_insert(Accepted { mark });
                }
            }
            Answer::Status(503) => self.unavailable += 1,
            Answer::Status(other) => self.odd.push(other),
        }
        self.times.push((took, answer == Answer::Status(202)));
    }

    pub(super) fn obligations(&self, holds: impl Fn(Mark) -> bool) -> Vec<Item> {
        let promised = |entry: &Entry| {
            let accepted = entry.accepted.as_ref()?;
            let holds = accepted.mark.is_none_or(&holds);
            (holds && entry.sender != Sender::Forger).then_some(())
        };
        let all = self.items.iter().enumerate();
        all.filter_map(|(at, entry)| promised(entry).map(|()| Item(number(at)))).collect()
    }

    pub(super) fn is_settled(&self, sender: Sender) -> bool {
        self.items.iter().filter(|entry| entry.sender == sender).all(|entry| entry.accepted.is_some())
    }

    pub(super) fn report(&self) -> Report {
        let sorted = |which: fn(bool) -> bool| {
            let times = self.times.iter().filter(|(_, accepted)| which(*accepted)).map(|(time, _)| *time);
            let mut times: Vec<Duration> = times.collect();
            times.sort_unstable();
            times
        };
        let (times, accepted) = (sorted(|_| true), sorted(|accepted| accepted));
        let p999 = |times: &[Duration]| times.get(times.len() * 999 / 1000).copied().map_or(0, milliseconds);
        let count =
            |holds: fn(&Entry) -> bool| number(self.items.iter().filter(|entry| holds(entry)).count());
        Report {
            issued: number(self.items.len()),
            forged: count(|entry| entry.sender == Sender::Forger),
            accepted: self.accepted,
            resent: self.items.iter().map(|entry| entry.sent.saturating_sub(1)).sum(),
            requests: self.requests,
            unavailable: self.unavailable,
            unanswered: self.unanswered,
            odd: self.odd.iter().copied().collect::<HashSet<_>>().into_iter().collect(),
            worst_ms: times.last().copied().map_or(0, milliseconds),
            p999_ms: p999(&times),
            p999_accepted_ms: p999(&accepted),
            delivered: 0,
            quarantined: 0,
            doubles: 0,
        }
    }
}

fn index(item: Item) -> usize {
    usize::try_from(item.0).unwrap_or(usize::MAX)
}

fn number(count: usize) -> u64 {
    u64::try_from(count).expect("a count fits")
}

/// Rounded up: a limit is passed by a little, too.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(1000)).expect("a time fits")
}

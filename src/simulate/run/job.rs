//! What is to be sent, and when: small enough that a great many can wait.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// A POST that is to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    /// Its number.
    pub(super) number: u64,
    /// The number of its first notification.
    pub(super) first: u64,
    /// How many notifications there are.
    pub(super) items: u32,
    /// How many of them are forged.
    pub(super) forged: u32,
    /// When the changes happened.
    pub(super) moment: SystemTime,
    /// When it is to be sent.
    pub(super) due: Instant,
    /// How many attempts have failed.
    pub(super) failed: u32,
    /// When it was first sent, by Graph's clock.
    pub(super) first_sent: Option<Duration>,
    /// How long its answer is waited for.
    pub(super) allowance: Duration,
    /// What goes wrong with it on purpose.
    pub(super) fault: Option<Fault>,
    /// It was delivered already.
    pub(super) is_duplicate: bool,
    /// Its latency is measured from when it was due, because nobody was free to send it.
    pub(super) waited: Duration,
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    SlowReader,
    HangUp,
    Duplicate,
    OutOfOrder,
}

impl Job {
    /// Its notifications, without forged ones.
    pub(super) fn genuine(&self) -> u64 {
        u64::from(self.items - self.forged)
    }
}

/// What is to be sent later, no more than a bound.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    heap: BinaryHeap<Reverse<Entry>>,
    added: u64,
    genuine: u64,
}

#[derive(Debug)]
struct Entry {
    job: Job,
    added: u64,
}

impl Waiting {
    /// Keeps it until it is due; `false` if there is no room.
    pub(super) fn keep(&mut self, job: Job) -> bool {
        if self.heap.len() >= WAITING_MAX {
            return false;
        }
        self.added += 1;
        self.genuine += Self::counted(&job);
        self.heap.push(Reverse(Entry { job, added: self.added }));
        true
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.job.due)
    }

    /// The next one, if it is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<Job> {
        self.next().filter(|due| *due <= now)?;
        let Reverse(Entry { job, .. }) = self.heap.pop()?;
        self.genuine -= Self::counted(&job);
        Some(job)
    }

    /// How many POSTs wait.
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Genuine notifications among them that are not delivered yet.
    pub(super) fn genuine(&self) -> u64 {
        self.genuine
    }

    fn counted(job: &Job) -> u64 {
        if job.is_duplicate { 0 } else { job.genuine() }
    }
}

impl Entry {
    fn key(&self) -> (Instant, u64) {
        (self.job.due, self.added)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

/// About 150 bytes each.
const WAITING_MAX: usize = 1_000_000;

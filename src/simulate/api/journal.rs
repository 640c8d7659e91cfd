//! What was asked of the stand-in, and what it sent: what tests and people look at afterwards.

use std::{collections::VecDeque, time::SystemTime};

use serde::{Serialize, Serializer};

use super::{calls::Operation, clock::written, faults::Cut};

/// A call that came.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// Counts from 1.
    pub number: u64,
    /// When it came, by the stand-in's clock.
    #[serde(serialize_with = "time")]
    pub at: SystemTime,
    /// What was asked.
    pub operation: Operation,
    /// The method.
    pub method: String,
    /// The path, without query.
    pub path: String,
    /// The status that was answered, or would have been; none while it is in work, and if nothing was done.
    pub status: Option<u16>,
    /// How its connection was cut, if it was.
    pub cut: Option<Cut>,
    /// Our id of the call.
    pub request_id: String,
    /// The caller's own id of it, if it has sent one.
    pub client_request_id: Option<String>,
    /// The app, by the token or the form.
    pub app: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The subscription that it is about.
    pub subscription: Option<String>,
}

/// A POST to a receiver.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// When, by the stand-in's clock.
    #[serde(serialize_with = "time")]
    pub at: SystemTime,
    /// What was sent.
    pub kind: SentKind,
    /// For which subscription; none for the handshake before it is one.
    pub subscription: Option<String>,
    /// Where to: the path alone, for queries may hold what is nobody's business.
    pub path: String,
    /// The status that the receiver answered.
    pub status: Option<u16>,
    /// Why it has not.
    pub error: Option<String>,
}

/// Kinds of POSTs to a receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SentKind {
    /// The check of a URL.
    Handshake,
    /// Changes.
    Notification,
    /// A lifecycle event.
    Lifecycle,
}

/// Both journals; of each the newest are kept.
#[derive(Debug, Default)]
pub(super) struct Journal {
    calls: VecDeque<Call>,
    sent: VecDeque<Sent>,
    last: u64,
}

impl Journal {
    /// Writes a call down; returns its number.
    pub(super) fn begin(&mut self, call: Call) -> u64 {
        self.last += 1;
        let number = self.last;
        push(&mut self.calls, Call { number, ..call });
        number
    }

    /// Adds to a call, if it is still known.
    pub(super) fn add(&mut self, number: u64, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.calls.iter_mut().rev().find(|call| call.number == number) {
            change(call);
        }
    }

    pub(super) fn send(&mut self, sent: Sent) {
        push(&mut self.sent, sent);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.iter().cloned().collect()
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.iter().cloned().collect()
    }

    /// Empties both; numbers go on.
    pub(super) fn clear(&mut self) {
        self.calls.clear();
        self.sent.clear();
    }
}

fn push<T>(entries: &mut VecDeque<T>, entry: T) {
    if entries.len() == ENTRIES_MAX {
        entries.pop_front();
    }
    entries.push_back(entry);
}

fn time<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&written(*at))
}

const ENTRIES_MAX: usize = 10_000;

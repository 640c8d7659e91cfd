//! The sums of a run.

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;
use serde::Serialize;

use super::{
    job::{Fault, Job},
    latency::Latency,
    post::End,
    rules::State,
};

/// What was counted; notifications are genuine ones unless they are called forged.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Notifications.
    pub notifications: Notifications,
    /// POSTs.
    pub requests: Requests,
    /// Forged notifications.
    pub forged: Forged,
    /// How long answers to first attempts took, from when these were due.
    pub first: Latency,
    /// The same of all attempts.
    pub all: Latency,
    /// How long answers were waited for that did not come, from when the attempts were due.
    pub in_vain: Latency,
    /// How long first attempts took, whether an answer came or was waited for in vain.
    pub spent: Latency,
}

/// Notifications that are genuine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Notifications {
    /// What the scenario wanted.
    pub planned: u64,
    /// Sent at least once.
    pub sent: u64,
    /// Answered 2xx in time.
    pub delivered: u64,
    /// Among these: not at the first attempt.
    pub delivered_after_retries: u64,
    /// Answered 2xx when nobody waited any more: sent again, so that they come twice.
    pub acknowledged_too_late: u64,
    /// Sent again, or meant to be.
    pub retried: u64,
    /// Not delivered until Graph gave them up.
    pub given_up: u64,
    /// Put off for ten minutes, because the receiver was slow.
    pub delayed: u64,
    /// Thrown away, because the receiver was far too slow.
    pub dropped: u64,
    /// Still to be sent again when the run was over.
    pub waiting: u64,
    /// Never sent, because no connection was free until the end.
    pub unsent: u64,
    /// Not sent again, because more POSTs waited than the simulator keeps.
    pub not_kept: u64,
}

/// POSTs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Requests {
    /// All of them.
    pub all: u64,
    /// First attempts.
    pub first: u64,
    /// Repetitions.
    pub repeated: u64,
    /// Duplicates of what was delivered.
    pub duplicates: u64,
    /// Whose body was sent slowly.
    pub slow_readers: u64,
    /// Sent after what was behind them.
    pub out_of_order: u64,
    /// Whose sender was gone before the answer.
    pub hung_up: u64,
    /// Answers in time, by status code.
    pub status: BTreeMap<u16, u64>,
    /// No answer in time.
    pub no_answer_in_time: u64,
    /// No connection.
    pub no_connection: u64,
    /// No TLS.
    pub no_tls: u64,
    /// The connection broke before an answer.
    pub broken: u64,
}

/// Forged notifications.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Forged {
    /// Sent at least once.
    pub sent: u64,
    /// POSTs with at least one of them.
    pub requests: u64,
    /// Answers to such POSTs, by status code.
    pub status: BTreeMap<u16, u64>,
    /// Answers to POSTs without any, by status code.
    pub status_without: BTreeMap<u16, u64>,
    /// POSTs that held nothing else: whose answers tell what the receiver thinks of forgeries.
    pub alone: Alone,
}

/// POSTs of forgeries alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Alone {
    /// Sent at least once.
    pub sent: u64,
    /// Answered 2xx in the end.
    pub accepted: u64,
    /// Answers, by status code, those to repetitions among them.
    pub status: BTreeMap<u16, u64>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The sums.
    pub tally: Tally,
    /// How long it took.
    pub elapsed: Duration,
    /// How long the receiver was good, slow and dropped, by Graph's clock.
    pub spent: [Duration; 3],
    /// How often it became so.
    pub entered: [u64; 3],
    /// Somebody has stopped it.
    pub is_interrupted: bool,
}

/// How a run stands.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Since its begin.
    pub elapsed: Duration,
    /// Notifications that were planned, where that is known.
    pub planned: Option<u64>,
    /// Notifications that were sent, forged ones among them.
    pub sent: u64,
    /// How many of these a second, by the last quarter of one.
    pub rate: f64,
    /// 99 % of the answers to first attempts took no longer, if there were any.
    pub p99: Option<Duration>,
    /// Answers by status code.
    pub status: BTreeMap<u16, u64>,
    /// POSTs without an answer.
    pub unanswered: u64,
    /// POSTs that wait to be sent again, or late.
    pub waiting: usize,
    /// What Graph thinks of the receiver.
    pub state: Option<State>,
}

impl Tally {
    /// A POST begins.
    pub(super) fn begin(&mut self, job: &Job) {
        let requests = &mut self.requests;
        requests.all += 1;
        if job.is_duplicate {
            requests.duplicates += 1;
        } else if job.failed > 0 {
            requests.repeated += 1;
        } else {
            requests.first += 1;
            self.notifications.sent += job.genuine();
            self.forged.sent += u64::from(job.forged);
            self.forged.alone.sent += u64::from(job.genuine() == 0);
            match job.fault {
                Some(Fault::SlowReader) => requests.slow_readers += 1,
                Some(Fault::OutOfOrder) => requests.out_of_order += 1,
                Some(Fault::HangUp | Fault::Duplicate) | None => {}
            }
        }
        self.forged.requests += u64::from(job.forged > 0);
    }

    /// A POST is over.
    pub(super) fn end(&mut self, job: &Job, end: End, took: Duration) {
        let requests = &mut self.requests;
        match end {
            End::Answered(status) => {
                *requests.status.entry(status.as_u16()).or_default() += 1;
                self.forged.answered(job, status);
            }
            End::Silence => requests.no_answer_in_time += 1,
            End::HungUp => requests.hung_up += 1,
            End::NoConnection => requests.no_connection += 1,
            End::NoTls => requests.no_tls += 1,
            End::Broken => requests.broken += 1,
        }
        // What was slow because we were says nothing of the receiver.
        if job.fault == Some(Fault::SlowReader) {
            return;
        }
        let (took, is_first) = (took + job.waited, job.failed == 0 && !job.is_duplicate);
        match end {
            End::Answered(_) => {
                self.all.note(took);
                if is_first {
                    self.first.note(took);
                    self.spent.note(took);
                }
            }
            End::Silence => {
                self.in_vain.note(took);
                if is_first {
                    self.spent.note(took);
                }
            }
            End::HungUp | End::NoConnection | End::NoTls | End::Broken => (),
        }
    }

    /// What came before is not representative.
    pub(super) fn forget_times(&mut self) {
        for times in [&mut self.first, &mut self.all, &mut self.in_vain, &mut self.spent] {
            *times = Latency::default();
        }
    }

    /// POSTs without an answer.
    pub(super) fn unanswered(&self) -> u64 {
        let Requests { no_answer_in_time, no_connection, no_tls, broken, hung_up, .. } = &self.requests;
        no_answer_in_time + no_connection + no_tls + broken + hung_up
    }
}

impl Forged {
    /// A POST was answered: one with forgeries, or one without to compare it with.
    fn answered(&mut self, job: &Job, status: StatusCode) {
        let code = status.as_u16();
        if job.forged == 0 {
            *self.status_without.entry(code).or_default() += 1;
            return;
        }
        *self.status.entry(code).or_default() += 1;
        if job.genuine() == 0 {
            *self.alone.status.entry(code).or_default() += 1;
            self.alone.accepted += u64::from(status.is_success() && !job.is_duplicate);
        }
    }
}

//! The clock of this machine, against what others say the time is.

use std::time::{Duration, SystemTime};

use super::report::{Check, Finding};
use crate::graph::ClockOffset;

/// Somebody who has told the time, and when it was here.
#[derive(Clone, Debug)]
pub(super) struct Told {
    by: String,
    date: SystemTime,
    /// Between these two moments of ours.
    asked: SystemTime,
    heard: SystemTime,
    /// From then on something is amiss.
    noticed: Duration,
    /// From then on something does not work.
    spoilt: Duration,
}

impl Told {
    pub(super) fn new(by: String, date: SystemTime, asked: SystemTime, heard: SystemTime) -> Self {
        Self { by, date, asked, heard, noticed: NOTICED, spoilt: SPOILT }
    }

    /// By Graph, whose subscriptions end by its clock, not by ours.
    pub(super) fn by_graph(by: String, &ClockOffset { date, asked, heard }: &ClockOffset) -> Self {
        Self { by, date, asked, heard, noticed: NOTICED_BY_GRAPH, spoilt: SPOILT_BY_GRAPH }
    }
}

/// Certificates, tokens and the headers of messages bear times; a clock that is off spoils them one after the other.
pub(super) fn clock(told: &[Told]) -> Vec<Finding> {
    if told.is_empty() {
        let words =
            "not compared: none of ACME, rich.key_documents, server.public_url and Graph told the time";
        return vec![Finding::ok(CHECK, words)];
    }
    told.iter().map(compare).collect()
}

fn compare(told: &Told) -> Finding {
    let skew = skew(told);
    let seconds = skew.as_secs();
    let words = format!("{seconds} s from that of {}", told.by);
    if skew > told.spoilt {
        Finding::failed(CHECK, words, SYNCHRONISE)
    } else if skew > told.noticed {
        Finding::warning(CHECK, words, SYNCHRONISE)
    } else {
        Finding::ok(CHECK, format!("agrees with that of {}", told.by))
    }
}

/// How far the date is from the time in which it was written; it has whole seconds only.
fn skew(told: &Told) -> Duration {
    let second = Duration::from_secs(1);
    let before = told.asked.duration_since(told.date + second).unwrap_or_default();
    let after = told.date.duration_since(told.heard).unwrap_or_default();
    before.max(after)
}

const CHECK: Check = Check::Clock;
const SYNCHRONISE: &str = "synchronise it, by systemd-timesyncd or chrony: see timedatectl";
const NOTICED: Duration = Duration::from_secs(5);
/// What those who check times usually allow for.
const SPOILT: Duration = Duration::from_secs(5 * 60);
const NOTICED_BY_GRAPH: Duration = Duration::from_secs(30);
/// A shortest life of 5 minutes has been seen, and what is asked for keeps a margin of some minutes.
const SPOILT_BY_GRAPH: Duration = Duration::from_secs(4 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(date: u64, verdict: &str) {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let told = Told::new("x".to_owned(), at(date), at(10_000), at(10_002));
        let said = format!("{:?}", clock(&[told]));
        assert!(said.contains(verdict), "{date}: {said}");
    }

    #[test]
    fn a_clock_that_is_off_is_told_of() {
        for date in [9_995, 9_999, 10_000, 10_001, 10_002, 10_007] {
            check(date, "Ok");
        }
        for date in [9_993, 10_008, 10_302] {
            check(date, "Warning");
        }
        for date in [1, 9_698, 10_303] {
            check(date, "Failed");
        }
        assert!(format!("{:?}", clock(&[])).contains("not compared"));
    }

    #[test]
    fn graph_allows_for_more_and_spoils_sooner() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (date, verdict) in
            [(10_032, "Ok"), (10_033, "Warning"), (10_242, "Warning"), (10_243, "Failed"), (9_758, "Failed")]
        {
            let offset = ClockOffset { date: at(date), asked: at(10_000), heard: at(10_002) };
            let said = format!("{:?}", clock(&[Told::by_graph("x".to_owned(), &offset)]));
            assert!(said.contains(verdict), "{date}: {said}");
        }
    }
}

//! The clock of this machine, against what others say the time is.

use std::time::{Duration, SystemTime};

use super::report::{Check, Finding};

/// Somebody who has told the time, and when it was here.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) by: String,
    pub(super) date: SystemTime,
    /// Between these two moments of ours.
    pub(super) asked: SystemTime,
    pub(super) heard: SystemTime,
}

/// Certificates, tokens and the headers of messages bear times; a clock that is off spoils them one after the other.
pub(super) fn clock(told: &[Told]) -> Vec<Finding> {
    if told.is_empty() {
        let words = "not compared: none of ACME, rich.key_documents and server.public_url told the time";
        return vec![Finding::ok(CHECK, words)];
    }
    told.iter().map(compare).collect()
}

fn compare(told: &Told) -> Finding {
    let skew = skew(told);
    let seconds = skew.as_secs();
    let words = format!("{seconds} s from that of {}", told.by);
    if skew > SPOILT {
        Finding::failed(CHECK, words, SYNCHRONISE)
    } else if skew > NOTICED {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(date: u64, verdict: &str) {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let told = Told { by: "x".to_owned(), date: at(date), asked: at(10_000), heard: at(10_002) };
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
}

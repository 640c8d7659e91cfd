//! What is told of a run, and whether it has passed.

mod verdicts;

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    latency::Percentiles,
    ledger::Arrivals,
    stock::Stock,
    tally::{Ended, Forged, Notifications, Requests},
};

/// What is told of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Whether every verdict is good; not of what was interrupted.
    pub passed: bool,
    /// Somebody has stopped it early.
    pub interrupted: bool,
    /// The scenario's seed.
    pub seed: u64,
    /// How long it took.
    pub elapsed_seconds: f64,
    /// Notifications sent a second, forged ones among them, from the begin to the end.
    pub notifications_per_second: f64,
    /// Genuine notifications delivered a second.
    pub delivered_per_second: f64,
    /// Answers a second.
    pub answers_per_second: f64,
    /// Genuine notifications.
    pub notifications: Notifications,
    /// POSTs.
    pub requests: Requests,
    /// How long answers took, in milliseconds.
    pub latency_ms: Latencies,
    /// What Graph thinks of the receiver; absent if nothing follows from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<Standing>,
    /// Forged notifications; absent if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forged: Option<Forged>,
    /// What arrived at the broker; absent if nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<Arrivals>,
    /// What follows.
    pub verdicts: Vec<Verdict>,
    /// What they leave open; absent if a broker was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How long answers took, from when they were due; null where there were none.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latencies {
    /// To first attempts.
    pub first: Option<Percentiles>,
    /// To all.
    pub all: Option<Percentiles>,
    /// How long answers were waited for that did not come.
    pub in_vain: Option<Percentiles>,
}

/// What Graph thinks of the receiver; times are by Graph's clock.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Standing {
    /// How much faster than ours Graph's clock ran.
    pub time_scale: f64,
    /// How long all was well.
    pub good_seconds: f64,
    /// How long new notifications were sent late.
    pub slow_seconds: f64,
    /// How long they were thrown away.
    pub drop_seconds: f64,
    /// How often it became slow.
    pub became_slow: u64,
    /// How often new notifications began to be thrown away.
    pub became_dropped: u64,
}

/// Something that was to be so.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether it is.
    pub passed: bool,
    /// What it is.
    pub what: String,
}

impl Report {
    /// The report of a run.
    pub fn of(stock: &Stock, ended: &Ended, broker: Option<Arrivals>) -> Self {
        let (tally, scenario) = (&ended.tally, stock.scenario());
        let verdicts = verdicts::of(scenario, ended, broker.as_ref());
        let per_second = |many: u64| many as f64 / ended.elapsed.as_secs_f64().max(0.001);
        let [good, slow, drop] = ended.spent.map(|spent| spent.as_secs_f64());
        let sent = tally.notifications.sent + tally.forged.sent;
        Self {
            format: FORMAT,
            passed: verdicts.iter().all(|verdict| verdict.passed),
            interrupted: ended.is_interrupted,
            seed: scenario.seed.0,
            elapsed_seconds: ended.elapsed.as_secs_f64(),
            notifications_per_second: per_second(sent),
            delivered_per_second: per_second(tally.notifications.delivered),
            answers_per_second: per_second(tally.requests.status.values().sum()),
            notifications: tally.notifications,
            requests: tally.requests.clone(),
            latency_ms: Latencies {
                first: tally.first.percentiles(),
                all: tally.all.percentiles(),
                in_vain: tally.in_vain.percentiles(),
            },
            graph: scenario.graph.rules.punishes.then_some(Standing {
                time_scale: scenario.graph.time_scale,
                good_seconds: good,
                slow_seconds: slow,
                drop_seconds: drop,
                became_slow: ended.entered[1],
                became_dropped: ended.entered[2],
            }),
            forged: (tally.forged.sent > 0).then(|| tally.forged.clone()),
            note: broker.is_none().then(|| note(stock, ended)),
            broker,
            verdicts,
        }
    }
}

/// Who believes a wrong secret, or each one, answers 2xx as well.
fn note(stock: &Stock, ended: &Ended) -> String {
    let (genuine, forged) = (ended.tally.notifications.sent, ended.tally.forged.sent);
    let (with, without) = if stock.has_secret() { (genuine, forged) } else { (0, genuine + forged) };
    format!(
        "{with} items carried the clientState and {without} did not: a 2xx does not say whom the receiver believed; \
         `simulate run` with --broker looks"
    )
}

fn share_of(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// The form of the report as JSON.
pub const FORMAT: u32 = 1;

/// `2390 × 202, 10 × 503`
pub fn status(status: &BTreeMap<u16, u64>) -> String {
    let words: Vec<String> = status.iter().map(|(code, many)| format!("{many} × {code}")).collect();
    if words.is_empty() { "no answers".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        secret::Secret,
        simulate::run::{Extent, Pace, Scenario, Tally},
    };

    fn report(change: impl FnOnce(&mut Scenario, &mut Notifications), broker: Option<Arrivals>) -> Report {
        whole(|scenario, ended| change(scenario, &mut ended.tally.notifications), broker)
    }

    fn whole(change: impl FnOnce(&mut Scenario, &mut Ended), broker: Option<Arrivals>) -> Report {
        let mut scenario = Scenario::new(Pace::FlatOut, Extent::Count(1));
        let mut tally = Tally {
            notifications: Notifications {
                planned: 100,
                sent: 100,
                delivered: 100,
                ..Notifications::default()
            },
            ..Tally::default()
        };
        tally.first.note(Duration::from_millis(40));
        tally.spent.note(Duration::from_millis(40));
        let mut ended = Ended {
            tally,
            elapsed: Duration::from_secs(2),
            spent: [Duration::from_secs(2), Duration::ZERO, Duration::ZERO],
            entered: [0; 3],
            is_interrupted: false,
        };
        change(&mut scenario, &mut ended);
        let stock = Stock::new(scenario, Some(Secret::new("right".to_owned())));
        Report::of(&stock, &ended, broker)
    }

    #[test]
    fn what_is_lost_or_late_fails_a_run_unless_it_was_expected() {
        assert!(report(|_, _| (), None).passed);
        let lossy = |_: &mut Scenario, sums: &mut Notifications| (sums.delivered, sums.given_up) = (98, 2);
        let failed = report(lossy, None);
        assert!(!failed.passed);
        assert_eq!(failed.verdicts[0].what, "98 of 100 notifications were delivered: 2 given up");
        for (least, passed) in [(0.98, true), (0.99, false)] {
            let expecting = |scenario: &mut Scenario, sums: &mut Notifications| {
                scenario.expect.delivered = Some(least);
                lossy(scenario, sums);
            };
            assert_eq!(report(expecting, None).passed, passed);
        }
        assert!(!report(|_, sums| sums.delayed = 1, None).passed);
        let nothing = |_: &mut Scenario, sums: &mut Notifications| *sums = Notifications::default();
        assert!(!report(nothing, None).passed);
    }

    #[test]
    fn limits_of_time_are_kept_or_not() {
        for (limit, passed) in [(39, false), (41, true)] {
            let limited = |scenario: &mut Scenario, _: &mut Notifications| {
                scenario.expect.latency[2] = Some(Duration::from_millis(limit));
            };
            let report = report(limited, None);
            assert_eq!(report.passed, passed);
            assert!(report.verdicts[2].what.starts_with("p99 of first attempts is 40.0 ms"), "{report:?}");
        }
    }

    #[test]
    fn what_never_arrives_fails_a_run_and_so_does_a_forgery_that_does() {
        let arrivals = Arrivals { arrived: 100, ..Arrivals::default() };
        assert!(report(|_, _| (), Some(arrivals.clone())).passed);
        let missing = Arrivals { accepted_never_arrived: 1, ..arrivals.clone() };
        assert!(!report(|_, _| (), Some(missing)).passed);
        let forged = Arrivals { forged_arrived: 1, ..arrivals };
        assert!(!report(|scenario, _| scenario.faults.forged = 0.1, Some(forged)).passed);
    }

    #[test]
    fn an_answer_that_tells_forgeries_from_the_genuine_fails_a_run() {
        let (told, never) = ("were answered other than 2xx", "were never answered 2xx");
        for (alone, accepted, words) in [
            ([(202, 5)].as_slice(), 5, "with the same status as genuine ones"),
            (&[(403, 9)], 0, "9 POSTs of forgeries alone were answered other than 2xx (9 × 403)"),
            (&[(200, 5)], 5, "5 POSTs of forgeries alone were answered as no genuine one was (5 × 200)"),
            (&[(202, 4), (500, 1)], 5, told),
            // What the genuine got, too, tells nothing, if it does not stay so.
            (&[(202, 5), (503, 1)], 5, "with the same status as genuine ones"),
            (&[(202, 4), (503, 3)], 4, never),
            (&[], 0, never),
        ] {
            let forging = |_: &mut Scenario, ended: &mut Ended| {
                let forged = &mut ended.tally.forged;
                forged.status_without = [(202, 100), (503, 2)].into();
                (forged.alone.sent, forged.alone.accepted) = (5, accepted);
                forged.alone.status = alone.iter().copied().collect();
            };
            let report = whole(forging, None);
            let verdict = report.verdicts.last().expect("verdicts");
            assert!(verdict.what.contains(words), "{alone:?}: {verdict:?}");
            assert_eq!(report.passed, words.starts_with("with the same"), "{alone:?}");
        }
    }

    #[test]
    fn who_was_believed_is_left_open_where_nobody_looked() {
        let report = whole(|_, ended| ended.tally.forged.sent = 7, None);
        let note = report.note.expect("a note");
        assert!(note.starts_with("100 items carried the clientState and 7 did not"), "{note}");
        assert_eq!(whole(|_, _| (), Some(Arrivals::default())).note, None);
    }

    #[test]
    fn what_was_interrupted_has_not_passed() {
        let report = whole(|_, ended| ended.is_interrupted = true, None);
        assert!(!report.passed && report.interrupted);
        assert!(report.verdicts[0].what.starts_with("interrupted"), "{report:?}");
    }

    #[test]
    fn waits_in_vain_are_no_answers_and_yet_longer_than_a_limit() {
        let waiting = |scenario: &mut Scenario, ended: &mut Ended| {
            scenario.expect.latency[2] = Some(Duration::from_millis(100));
            ended.tally.first = Default::default();
            for latency in [&mut ended.tally.spent, &mut ended.tally.in_vain] {
                latency.note(Duration::from_secs(3));
            }
        };
        let report = whole(waiting, None);
        assert_eq!((report.latency_ms.first, report.passed), (None, false));
        assert_eq!(report.latency_ms.in_vain.map(|waits| waits.count), Some(1));
        let unanswered = |scenario: &mut Scenario, ended: &mut Ended| {
            scenario.expect.latency[0] = Some(Duration::from_millis(100));
            ended.tally.spent = Default::default();
        };
        let report = whole(unanswered, None);
        assert!(!report.passed, "{report:?}");
        assert_eq!(
            report.verdicts[2].what,
            "p50 of first attempts, expected at most 100.0 ms: there were no answers"
        );
    }
}

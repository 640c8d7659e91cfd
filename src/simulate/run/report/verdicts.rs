//! What a run is to be like, and whether it was.

use std::{collections::BTreeMap, time::Duration};

use hyper::StatusCode;

use super::{Verdict, share_of, status};
use crate::simulate::run::{
    ledger::Arrivals,
    scenario::Scenario,
    tally::{Alone, Ended, Forged, Notifications, Tally},
};

pub(super) fn of(scenario: &Scenario, ended: &Ended, broker: Option<&Arrivals>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if ended.is_interrupted {
        let what = "interrupted before its end: what was not sent by then was not looked at".to_owned();
        verdicts.push(Verdict { passed: false, what });
    }
    verdicts.push(delivered(scenario, ended));
    if scenario.graph.rules.punishes {
        verdicts.push(delayed(scenario, ended));
    }
    let expected = scenario.expect.latency.into_iter().zip(QUANTILES);
    let limits = expected.filter_map(|(limit, of)| limit.map(|limit| (limit, of)));
    verdicts.extend(limits.map(|(limit, of)| in_time(&ended.tally, limit, of)));
    verdicts.extend(unrevealed(scenario, &ended.tally.forged));
    if let Some(arrivals) = broker {
        let missing = arrivals.accepted_never_arrived;
        let doubt = if missing > 0 && arrivals.seen_in_part { ", or came while nobody looked" } else { "" };
        let what = format!("{missing} notifications were accepted (2xx) and never arrived{doubt}");
        verdicts.push(Verdict { passed: missing == 0, what });
        if scenario.faults.forged > 0.0 {
            let came = arrivals.forged_arrived;
            verdicts
                .push(Verdict { passed: came == 0, what: format!("{came} forged notifications arrived") });
        }
    }
    verdicts
}

/// A wait in vain is no answer, and yet longer than any limit below it.
fn in_time(tally: &Tally, limit: Duration, (name, share): (&str, f64)) -> Verdict {
    let Some(took) = tally.spent.quantile(share) else {
        let limit = millis(limit);
        let what = format!("{name} of first attempts, expected at most {limit}: there were no answers");
        return Verdict { passed: false, what };
    };
    let vain = if tally.requests.no_answer_in_time > 0 { " (waits in vain among them)" } else { "" };
    let what =
        format!("{name} of first attempts{vain} is {}, expected at most {}", millis(took), millis(limit));
    Verdict { passed: took <= limit, what }
}

/// Nobody may learn from an answer that a notification was found to be forged; only POSTs of nothing else can tell.
fn unrevealed(scenario: &Scenario, forged: &Forged) -> Option<Verdict> {
    let Alone { sent, accepted, status: answers } = &forged.alone;
    if *sent == 0 {
        return None;
    }
    let is_good = |code: u16| StatusCode::from_u16(code).is_ok_and(|status| status.is_success());
    let genuine = &forged.status_without;
    let tells = |code: u16| if genuine.is_empty() { !is_good(code) } else { !genuine.contains_key(&code) };
    let telling: BTreeMap<u16, u64> =
        answers.iter().filter(|(code, _)| tells(**code)).map(|(code, many)| (*code, *many)).collect();
    let expected = scenario.expect.delivered.unwrap_or(1.0);
    let (passed, what) = if !telling.is_empty() {
        let is_refused = telling.keys().any(|code| !is_good(*code));
        let how = if is_refused { "other than 2xx" } else { "as no genuine one was" };
        let many: u64 = telling.values().sum();
        let telling = status(&telling);
        let learns = "whoever forges learns from it";
        (false, format!("{many} POSTs of forgeries alone were answered {how} ({telling}): {learns}"))
    } else if share_of(*accepted, *sent) < expected {
        (false, format!("{} POSTs of forgeries alone were never answered 2xx", sent - accepted))
    } else {
        (true, "POSTs of forgeries alone were answered with the same status as genuine ones".to_owned())
    };
    Some(Verdict { passed, what })
}

fn delivered(scenario: &Scenario, ended: &Ended) -> Verdict {
    let Notifications { planned, sent, delivered, given_up, dropped, waiting, unsent, not_kept, .. } =
        ended.tally.notifications;
    let lost: Vec<String> = [
        (given_up, "given up"),
        (dropped, "dropped"),
        (waiting, "still waiting at the end"),
        (unsent, "never sent for want of a free connection"),
        (not_kept, "not kept for want of room"),
    ]
    .into_iter()
    .filter(|(many, _)| *many > 0)
    .map(|(many, why)| format!("{many} {why}"))
    .collect();
    let because = if lost.is_empty() { String::new() } else { format!(": {}", lost.join(", ")) };
    let passed = match scenario.expect.delivered {
        None => delivered == planned && (sent > 0 || ended.tally.forged.sent > 0),
        Some(share) => share_of(delivered, planned) >= share,
    };
    Verdict { passed, what: format!("{delivered} of {planned} notifications were delivered{because}") }
}

fn delayed(scenario: &Scenario, ended: &Ended) -> Verdict {
    let Notifications { planned, delayed, .. } = ended.tally.notifications;
    let passed = share_of(delayed, planned) <= scenario.expect.delayed.unwrap_or(0.0);
    let what = match delayed {
        0 => "no notification was delayed for a slow receiver".to_owned(),
        many => format!("{many} notifications were put off for ten minutes, because the receiver was slow"),
    };
    Verdict { passed, what }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

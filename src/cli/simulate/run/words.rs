//! The report as people read it.

use std::{fmt::Write, time::Duration};

use crate::{
    cli::{check::Style, words::brief},
    simulate::run::{
        Arrivals, Percentiles,
        report::{Latencies, Report, Standing, status},
    },
};

pub(super) fn text(report: &Report, style: Style) -> String {
    let mut text = String::new();
    let mut line =
        |name: &str, words: String| writeln!(text, "{name:<14} {words}").expect("a string takes all");
    line("notifications", notifications(report));
    line("", repeated(report));
    line("requests", requests(report));
    for (number, words) in latency(&report.latency_ms).into_iter().enumerate() {
        line(if number == 0 { "latency" } else { "" }, words);
    }
    if let Some(waits) = &report.latency_ms.in_vain {
        line("in vain", percentiles(waits, "waits for answers that did not come"));
    }
    if let Some(graph) = &report.graph {
        line("graph", standing(graph));
    }
    if let Some(forged) = &report.forged {
        let words = format!("{} in {} POSTs: {}", forged.sent, forged.requests, status(&forged.status));
        line("forged", words);
        if forged.alone.sent > 0 {
            line(
                "",
                format!("{} POSTs of nothing else: {}", forged.alone.sent, status(&forged.alone.status)),
            );
        }
    }
    if let Some(arrivals) = &report.broker {
        line("broker", arrived(arrivals));
        if !arrivals.missing.is_empty() {
            line("", format!("missing: {}", arrivals.missing.join(", ")));
        }
        if arrivals.seen_in_part {
            line("", "for a while nobody looked, or not fast enough: some may have come unseen".to_owned());
        }
    }
    for verdict in &report.verdicts {
        let (word, colour) = if verdict.passed { ("passed", 32) } else { ("failed", 31) };
        let word = match style {
            Style::Plain => format!("{word:<14}"),
            Style::Coloured => format!("\x1b[{colour}m{word:<14}\x1b[0m"),
        };
        writeln!(text, "{word} {}", verdict.what).expect("a string takes all");
    }
    if let Some(note) = &report.note {
        writeln!(text, "{:<14} {note}", "note").expect("a string takes all");
    }
    text
}

fn notifications(report: &Report) -> String {
    let sums = &report.notifications;
    let with_forged = if report.forged.is_some() { " with the forged" } else { "" };
    format!(
        "{} planned, {} sent, {} delivered; {:.0} sent{with_forged} and {:.0} delivered a second for {}",
        sums.planned,
        sums.sent,
        sums.delivered,
        report.notifications_per_second,
        report.delivered_per_second,
        lasted(report.elapsed_seconds),
    )
}

fn lasted(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.1} s") } else { brief(Duration::from_secs_f64(seconds)) }
}

fn repeated(report: &Report) -> String {
    let sums = &report.notifications;
    let all = [
        (sums.retried, "to be sent again"),
        (sums.delivered_after_retries, "delivered only then"),
        (sums.acknowledged_too_late, "acknowledged too late, so that they come twice"),
        (sums.delayed, "put off for ten minutes"),
        (sums.dropped, "dropped"),
        (sums.given_up, "given up"),
        (sums.waiting, "still waiting"),
        (sums.unsent, "never sent"),
        (sums.not_kept, "not kept"),
    ];
    list(&all).unwrap_or_else(|| "none was sent again, delayed or lost".to_owned())
}

fn requests(report: &Report) -> String {
    let sums = &report.requests;
    let all = [
        (sums.no_answer_in_time, "without an answer in time"),
        (sums.no_connection, "without a connection"),
        (sums.no_tls, "without TLS"),
        (sums.broken, "broken off"),
        (sums.repeated, "repetitions"),
        (sums.duplicates, "duplicates"),
        (sums.hung_up, "hung up on"),
        (sums.slow_readers, "slow"),
        (sums.out_of_order, "out of order"),
    ];
    let words = format!("{}: {}", sums.all, status(&sums.status));
    list(&all).map_or(words.clone(), |more| format!("{words}; {more}"))
}

fn standing(graph: &Standing) -> String {
    let time = |seconds: f64| brief(Duration::from_secs_f64(seconds));
    let scale = if graph.time_scale > 1.0 {
        format!(", by a clock {} times as fast", graph.time_scale)
    } else {
        String::new()
    };
    format!(
        "good for {}, slow for {} ({} times), dropped for {} ({} times){scale}",
        time(graph.good_seconds),
        time(graph.slow_seconds),
        graph.became_slow,
        time(graph.drop_seconds),
        graph.became_dropped,
    )
}

fn arrived(arrivals: &Arrivals) -> String {
    let all = [
        (arrivals.accepted_never_arrived, "accepted and never arrived"),
        (arrivals.arrived_twice, "arrived twice though sent once"),
        (arrivals.sent_and_arrived_twice, "sent twice and arrived twice"),
        (arrivals.arrived_unaccepted, "arrived without having been accepted"),
        (arrivals.forged_arrived, "forged"),
    ];
    let words = format!("{} arrived", arrivals.arrived);
    list(&all).map_or(words.clone(), |more| format!("{words}; {more}"))
}

/// A line for each; only answers have a latency.
fn latency(times: &Latencies) -> Vec<String> {
    let said = |times: &Option<Percentiles>, of: &str| times.as_ref().map(|times| percentiles(times, of));
    let mut lines: Vec<String> =
        [said(&times.first, "first attempts"), said(&times.all, "all")].into_iter().flatten().collect();
    if lines.is_empty() {
        lines.push("no answers".to_owned());
    }
    lines
}

fn percentiles(times: &Percentiles, of: &str) -> String {
    let Percentiles { p50, p90, p99, p99_9, max, count: _ } = times;
    format!("p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, p99.9 {p99_9:.1} ms, max {max:.1} ms ({of})")
}

/// What there is any of.
fn list(all: &[(u64, &str)]) -> Option<String> {
    let some: Vec<String> =
        all.iter().filter(|(many, _)| *many > 0).map(|(many, what)| format!("{many} {what}")).collect();
    (!some.is_empty()).then(|| some.join(", "))
}

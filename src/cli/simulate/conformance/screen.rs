//! A report as people read it.

use std::{fmt::Write, time::Duration};

use serde_json::json;

use crate::{
    cli::{
        check::Style,
        table::{Cell, Table, Tone},
        words::{number, plain},
    },
    simulate::conformance::{
        case::{Case, Level},
        outcome::{Outcome, Verdict},
        report::{Report, Summary},
        stage::cut,
    },
};

/// The table, what is wrong in full, and a sum.
pub(super) fn text(report: &Report, style: Style) -> String {
    let mut text = format!("{}: {}\n\n", plain(&report.url), report.tls.as_deref().unwrap_or("no TLS"));
    let mut table = Table::new(["case", "level", "result", "observed", "Graph"]);
    for case in &report.cases {
        table.row([
            case.name.into(),
            case.level.as_str().into(),
            Cell::new(case.result.as_str(), tone(case)),
            cut(&case.observed, COLUMN).into(),
            case.graph.split(':').next().unwrap_or_default().into(),
        ]);
    }
    text += &table.text(style);
    for case in report.cases.iter().filter(|case| case.is_failed()) {
        put_failure(&mut text, case, style);
    }
    text += &sum(report);
    for note in &report.notes {
        text += &format!("{}\n", plain(note));
    }
    text
}

fn tone(case: &Outcome) -> Tone {
    match case.result {
        Verdict::Passed => Tone::Good,
        Verdict::Failed if case.level == Level::Must => Tone::Bad,
        Verdict::Failed | Verdict::Skipped => Tone::Odd,
    }
}

fn put_failure(text: &mut String, case: &Outcome, style: Style) {
    let Outcome { name, about, sent, expected, observed, graph, source, .. } = case;
    let name = match style {
        Style::Plain => (*name).to_owned(),
        Style::Coloured => format!("\x1b[1m{name}\x1b[0m"),
    };
    write!(
        text,
        "\n{name} ({}): {about}\n  sent      {}\n  expected  {expected}\n  observed  {}\n  Graph     {}\n  \
         see       {}, {}\n",
        case.level.as_str(),
        plain(sent),
        plain(observed),
        plain(graph),
        source.title,
        source.url
    )
    .expect("a string takes all");
}

fn sum(report: &Report) -> String {
    let Summary { passed, failed_must, failed_should, skipped } = report.summary;
    let took = Duration::from_secs_f64(report.took_ms / 1000.0);
    format!(
        "\n{} in {:.1} s: {passed} passed, {skipped} skipped, {} failed ({failed_must} must, {failed_should} should)\n",
        number(report.cases.len() as u64, "case"),
        took.as_secs_f64(),
        failed_must + failed_should
    )
}

/// The whole report.
pub(super) fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).expect("strings and numbers are always JSON") + "\n"
}

/// The cases as documentation has them.
pub(super) fn list(cases: &[&Case]) -> String {
    let mut table = Table::new(["case", "level", "about", "expected"]);
    for case in cases {
        table.row([case.name.into(), case.level.as_str().into(), case.about.into(), case.expected().into()]);
    }
    table.text(Style::Plain)
}

/// The same for programs.
pub(super) fn list_json(cases: &[&Case]) -> String {
    let cases: Vec<_> = cases
        .iter()
        .map(|case| {
            json!({
                "name": case.name, "group": case.group(), "level": case.level, "about": case.about,
                "source": case.source, "expected": case.expected(),
            })
        })
        .collect();
    serde_json::to_string_pretty(&cases).expect("strings are always JSON") + "\n"
}

/// What fits into a column.
const COLUMN: usize = 48;

//! What was found, in the order in which it was found, and how it is shown.

use std::{
    fmt::Write,
    io::{self, IsTerminal},
};

use serde::{Serialize, Serializer};

use crate::{
    config::{Environment, LoadError, Problem},
    error::Chain,
};

/// What is looked at; `docs/check.md` has a section for each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Check {
    Configuration,
    Files,
    ClientStates,
    Routing,
    Limits,
    Listen,
    Spool,
    Tls,
    Acme,
    Rich,
    Broker,
    PublicUrl,
    Subscriptions,
    Graph,
    Clock,
}

impl Check {
    #[cfg(test)]
    pub(super) const ALL: [Self; 15] = [
        Self::Configuration,
        Self::Files,
        Self::ClientStates,
        Self::Routing,
        Self::Limits,
        Self::Listen,
        Self::Spool,
        Self::Tls,
        Self::Acme,
        Self::Rich,
        Self::Broker,
        Self::PublicUrl,
        Self::Subscriptions,
        Self::Graph,
        Self::Clock,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Files => "files",
            Self::ClientStates => "client_states",
            Self::Routing => "routing",
            Self::Limits => "limits",
            Self::Listen => "listen",
            Self::Spool => "spool",
            Self::Tls => "tls",
            Self::Acme => "acme",
            Self::Rich => "rich",
            Self::Broker => "broker",
            Self::PublicUrl => "public_url",
            Self::Subscriptions => "subscriptions",
            Self::Graph => "graph",
            Self::Clock => "clock",
        }
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    Warning,
    Failed,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }

    /// SGR parameter (ECMA-48): green, yellow, red.
    fn colour(self) -> u8 {
        match self {
            Self::Ok => 32,
            Self::Warning => 33,
            Self::Failed => 31,
        }
    }
}

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    check: Check,
    verdict: Verdict,
    message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: Check, message: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, message: message.into(), advice: None }
    }

    pub(super) fn warning(check: Check, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warning, message: message.into(), advice: Some(advice.into()) }
    }

    pub(super) fn failed(check: Check, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Failed, message: message.into(), advice: Some(advice.into()) }
    }

    /// The words of the configuration say already what to do.
    pub(super) fn problem(check: Check, verdict: Verdict, problem: &Problem) -> Self {
        Self { check, verdict, message: problem.to_string(), advice: None }
    }
}

/// Findings in the order in which they were made.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

/// Whether verdicts have colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cli) enum Style {
    Plain,
    Coloured,
}

impl Style {
    /// Colours are for a terminal, and not for whoever has set `NO_COLOR` (<https://no-color.org>).
    pub(in crate::cli) fn of(environment: &Environment) -> Self {
        let is_unwanted = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = environment.get("TERM").is_none_or(|term| term == "dumb");
        if is_unwanted || is_dumb || !io::stdout().is_terminal() { Self::Plain } else { Self::Coloured }
    }
}

impl Report {
    pub(super) fn refused(error: &LoadError) -> Self {
        let mut report = Self::default();
        match error {
            LoadError::Wrong(problems) => {
                let findings = problems
                    .0
                    .iter()
                    .map(|problem| Finding::problem(Check::Configuration, Verdict::Failed, problem));
                report.extend(findings);
            }
            LoadError::NoFile => {
                report.findings.push(Finding {
                    check: Check::Configuration,
                    verdict: Verdict::Failed,
                    message: error.to_string(),
                    advice: None,
                });
            }
            LoadError::Unreadable { .. } => {
                let advice = "name another with --config, or run check as the daemon's user";
                report.add(Finding::failed(Check::Configuration, Chain(error).to_string(), advice));
            }
        }
        report
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.verdict == Verdict::Failed)
    }

    #[expect(clippy::print_stdout, reason = "this is the result of the command")]
    pub(super) fn print(&self, json: bool, style: Style) {
        if json {
            println!("{}", serde_json::to_string_pretty(self).expect("strings are always JSON"));
        } else {
            print!("{}", self.text(style));
        }
    }

    fn text(&self, style: Style) -> String {
        let mut text = String::new();
        for Finding { check, verdict, message, advice } in &self.findings {
            let word = format!("{:<8}", verdict.as_str());
            let word = match style {
                Style::Plain => word,
                Style::Coloured => format!("\x1b[{}m{word}\x1b[0m", verdict.colour()),
            };
            let advice = advice.as_ref().map_or(String::new(), |advice| format!("; {advice}"));
            writeln!(text, "{word} {:<14} {message}{advice}", check.as_str()).expect("a string takes all");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manual has a section for each check, in this order, and none for anything else.
    #[test]
    fn the_manual_has_every_check() {
        let manual = include_str!("../../../docs/check.md");
        let sections = manual.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
        assert_eq!(sections.collect::<Vec<_>>(), Check::ALL.map(Check::as_str));
    }

    #[test]
    fn a_finding_is_one_line_and_its_json_has_a_fixed_shape() {
        let mut report = Report::default();
        report.add(Finding::ok(Check::Spool, "fine"));
        report.add(Finding::failed(Check::PublicUrl, "nobody there", "start the daemon"));
        assert_eq!(
            report.text(Style::Plain),
            "ok       spool          fine\nfailed   public_url     nobody there; start the daemon\n"
        );
        assert!(report.text(Style::Coloured).starts_with("\x1b[32mok      \x1b[0m spool"));
        let json = serde_json::to_value(&report).expect("JSON");
        let expected = serde_json::json!({"findings": [
            {"check": "spool", "verdict": "ok", "message": "fine"},
            {"check": "public_url", "verdict": "failed", "message": "nobody there", "advice": "start the daemon"},
        ]});
        assert_eq!(json, expected);
    }
}

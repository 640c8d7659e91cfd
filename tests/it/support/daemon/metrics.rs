//! Metrics in the Prometheus text format, for comparing.

use std::collections::BTreeMap;

/// All series of one answer, by full name: `graphhook_notifications_outcome_total{outcome="published"}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text format; panics on a line that is none of it.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(series).collect())
    }

    /// The value of a series; panics when there is none of this name.
    #[track_caller]
    pub fn get(&self, name: &str) -> f64 {
        self.find(name).unwrap_or_else(|| panic!("no {name} among {:#?}", self.0.keys()))
    }

    /// The value of a series, if there is one of this name.
    pub fn find(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The sum over all series of a metric, whatever their labels.
    pub fn sum(&self, metric: &str) -> f64 {
        self.of(metric).map(|(_, value)| value).sum()
    }

    /// All series of a metric, by full name.
    pub fn of(&self, metric: &str) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().filter_map(move |(name, value)| {
            let rest = name.strip_prefix(metric)?;
            (rest.is_empty() || rest.starts_with('{')).then_some((name.as_str(), *value))
        })
    }

    /// The full names of all series.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// `name{labels} value`, perhaps with a timestamp or an exemplar after it.
fn series(line: &str) -> (String, f64) {
    let no_value = || panic!("no value in {line:?}");
    let name = line.find([' ', '{']).unwrap_or_else(no_value);
    let labelled = line[name..].starts_with('{');
    let name = if labelled { line.find("} ").unwrap_or_else(no_value) + 1 } else { name };
    let (name, rest) = line.split_at(name);
    let value = rest.split_whitespace().next().unwrap_or_else(|| panic!("no value in {line:?}"));
    (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number in {line:?}")))
}

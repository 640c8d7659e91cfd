//! All outcomes of a run.

use serde::Serialize;

use super::{
    case::Level,
    outcome::{Outcome, Verdict},
};
use crate::simulate::carried::Carried;

/// All outcomes of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of this form; it changes when a member goes or means something else.
    pub format: u32,
    /// The receiver's URL, without its query, in which a key may stand.
    pub url: String,
    /// The version of TLS that was agreed on.
    pub tls: Option<String>,
    /// Which program has asked.
    pub program: String,
    /// When, RFC 3339.
    pub began: String,
    /// How long it took.
    pub took_ms: f64,
    /// Whether it was ended before its end: then the rest is skipped.
    pub interrupted: bool,
    /// How many came out how.
    pub summary: Summary,
    /// How many items carried the clientState.
    pub items: Carried,
    /// What has to be known beside the cases, for people.
    pub notes: Vec<String>,
    /// Each case, in the order of the list.
    pub cases: Vec<Outcome>,
}

/// How many came out how.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// As it has to.
    pub passed: usize,
    /// Wrong, and Graph would not subscribe, or something would be lost or come twice.
    pub failed_must: usize,
    /// Wrong, and it is advice.
    pub failed_should: usize,
    /// Not tried.
    pub skipped: usize,
}

impl Summary {
    /// Counts.
    pub fn of(cases: &[Outcome]) -> Self {
        let mut summary = Self::default();
        for case in cases {
            match case.result {
                Verdict::Passed => summary.passed += 1,
                Verdict::Failed => match case.level {
                    Level::Must => summary.failed_must += 1,
                    Level::Should => summary.failed_should += 1,
                },
                Verdict::Skipped => summary.skipped += 1,
            }
        }
        summary
    }

    /// Whether the receiver passes; strictly, advice counts as well.
    pub fn is_good(self, strictly: bool) -> bool {
        self.failed_must == 0 && (!strictly || self.failed_should == 0)
    }
}

impl Report {
    /// Whether the receiver passes; strictly, advice counts as well. What was not tried to its end does not.
    pub fn is_good(&self, strictly: bool) -> bool {
        !self.interrupted && self.summary.is_good(strictly)
    }
}

/// The form of the report as JSON.
pub const FORMAT: u32 = 1;

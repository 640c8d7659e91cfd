//! What came of a case: for people, and for programs.

use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;

use super::{
    case::{Case, Level, Source},
    judge,
    shot::{Kind, Reply},
    stage::Stage,
};
use crate::{
    error::Chain,
    simulate::{
        consequence::Consequence,
        receiver::{PROMPT, Unreached},
    },
};

/// What came of a case.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// What stands before the slash of the name.
    pub group: &'static str,
    /// How much depends on it.
    pub level: Level,
    /// What it is about.
    pub about: &'static str,
    /// Who says so.
    pub source: Source,
    /// Whether it came out right.
    pub result: Verdict,
    /// What was sent.
    pub sent: String,
    /// What was demanded.
    pub expected: String,
    /// What came back; of a failed case, what is wrong with it; of a skipped one, why it was skipped.
    pub observed: String,
    /// What Graph does with such answers.
    pub graph: String,
    /// How long it took.
    pub took_ms: f64,
}

/// How a case came out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it has to.
    Passed,
    /// Otherwise.
    Failed,
    /// It was not tried.
    Skipped,
}

impl Verdict {
    /// As reports have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Outcome {
    /// A case that is not tried, and why.
    pub fn skipped(case: &Case, why: &str) -> Self {
        Self {
            name: case.name,
            group: case.group(),
            level: case.level,
            about: case.about,
            source: case.source,
            result: Verdict::Skipped,
            sent: String::new(),
            expected: case.expected(),
            observed: why.to_owned(),
            graph: String::new(),
            took_ms: 0.0,
        }
    }

    /// Judges what came back.
    pub fn of(stage: &Stage, case: &Case, replies: &[Reply], took: Duration) -> Self {
        let wrong = case.expect.iter().find_map(|judge| judge.judge(replies).err());
        Self {
            result: if wrong.is_some() || replies.is_empty() { Verdict::Failed } else { Verdict::Passed },
            sent: stage.hide(&sent(replies)),
            observed: stage.hide(&wrong.unwrap_or_else(|| observed(replies))),
            graph: graph(replies),
            took_ms: (took.as_secs_f64() * 10_000.0).round() / 10.0,
            ..Self::skipped(case, "")
        }
    }

    /// Whether it was tried and came out wrong.
    pub fn is_failed(&self) -> bool {
        self.result == Verdict::Failed
    }
}

/// The first requests in words.
fn sent(replies: &[Reply]) -> String {
    let mut words: Vec<&str> = replies.iter().map(|reply| reply.words.as_str()).collect();
    words.dedup();
    let more = words.len().saturating_sub(SHOWN);
    words.truncate(SHOWN);
    let words = words.join(", ");
    match (replies.len(), more) {
        (1, _) => words,
        (many, 0) => format!("{many} requests: {words}"),
        (many, more) => format!("{many} requests: {words} and {more} more"),
    }
}

/// Status codes, how often each came, and the longest wait.
fn observed(replies: &[Reply]) -> String {
    let mut seen: Vec<(String, usize)> = Vec::new();
    for reply in replies {
        let words = match &reply.answer {
            Ok(answer) => answer.status.as_u16().to_string(),
            Err(error) => Chain(error).to_string(),
        };
        match seen.iter_mut().find(|(known, _)| *known == words) {
            Some((_, many)) => *many += 1,
            None => seen.push((words, 1)),
        }
    }
    let words: Vec<String> = seen
        .into_iter()
        .map(|(words, many)| if many == 1 { words } else { format!("{many} × {words}") })
        .collect();
    let slowest =
        replies.iter().filter_map(|reply| reply.answer.as_ref().ok()).map(|answer| answer.took).max();
    match slowest {
        Some(took) if took >= Duration::from_secs(1) => {
            format!("{}, {:.1} s", words.join(", "), took.as_secs_f64())
        }
        Some(took) => format!("{}, {} ms", words.join(", "), took.as_millis().max(1)),
        None => words.join(", "),
    }
}

/// What Graph does: the worst of it. What strangers send says nothing of Graph, whatever good follows it.
fn graph(replies: &[Reply]) -> String {
    let words = || replies.iter().map(graph_one);
    let is_bad = |words: &String| !GOOD.contains(&words.as_str()) && words != NEVER;
    let first = || words().find(|words| words == NEVER).or_else(|| words().next());
    words().find(is_bad).or_else(first).unwrap_or_else(|| NEVER.to_owned())
}

fn graph_one(reply: &Reply) -> String {
    match (&reply.kind, &reply.answer) {
        (Kind::Stranger, _) => NEVER.to_owned(),
        (Kind::Notification, answer) => Consequence::of(answer, PROMPT).to_string(),
        (Kind::Handshake(_), Err(Unreached::Late(_))) => {
            "no subscription: the validation timed out".to_owned()
        }
        (Kind::Handshake(_), Err(_)) => "no subscription: the validation failed".to_owned(),
        (Kind::Handshake(_), Ok(answer)) => match judge::token(reply, answer) {
            Ok(()) => "subscribes".to_owned(),
            Err(_) if answer.status != StatusCode::OK => {
                format!("no subscription: it wants 200 and got {}", answer.status.as_u16())
            }
            Err(_) => "no subscription: the answer is not the token as text/plain".to_owned(),
        },
    }
}

/// What needs no words.
const GOOD: [&str; 2] = ["subscribes", "delivered"];
const NEVER: &str = "never sends this";
const SHOWN: usize = 3;

//! What a receiver of change notifications must do and should do, as a list of cases, and the play of them.
//!
//! A case is a value: a name, a sentence, a source, what is sent and what is demanded ([`case`]). The groups have a file
//! each; to add a case is to add a value there, and a line to the table in `docs/conformance.md`, which a test demands.
//! Nothing is known of the receiver but its URL and its clientState.

pub mod case;
mod client_state;
mod deadlines;
mod handshake;
mod item;
pub mod judge;
pub mod junit;
mod lifecycle;
mod odd;
pub mod outcome;
mod post;
pub mod report;
mod rich;
pub mod shot;
pub mod stage;
mod transport;
mod wire;

use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use rustls::ProtocolVersion;
use tokio_util::sync::CancellationToken;
use url::Position;

use self::{
    case::{Case, Play},
    outcome::Outcome,
    report::{FORMAT, Report, Summary},
    shot::Reply,
    stage::Stage,
};
use super::{
    carried::Carried,
    receiver::{PATIENT, Unreached},
};
use crate::{deadline::Deadline, moment::rfc3339_exact};

/// All cases, in the order in which they are played.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    let groups: [&'static [Case]; 9] = [
        handshake::CASES,
        post::CASES,
        item::CASES,
        odd::CASES,
        deadlines::CASES,
        client_state::CASES,
        lifecycle::CASES,
        rich::CASES,
        transport::CASES,
    ];
    groups.into_iter().flatten()
}

/// The receiver as it was found before the first case: the version of TLS that it agrees on.
///
/// # Errors
///
/// [`Unreached`] when there is nobody, or nobody who is believed.
pub async fn probe(stage: &Stage) -> Result<Option<String>, Unreached> {
    let found = Deadline::after(PATIENT).limit(stage.receiver.tls_version()).await;
    let version = found.map_err(|_| Unreached::Late(PATIENT))??;
    let words = |version| if version == ProtocolVersion::TLSv1_2 { "TLS 1.2" } else { "TLS 1.3" };
    // rustls speaks no others.
    Ok(version.map(|version| words(version).to_owned()))
}

/// Plays these cases, one after another, until `stop`; `begins` hears of each before it does.
pub async fn play(
    stage: &Stage,
    tls: Option<String>,
    cases: &[&'static Case],
    stop: &CancellationToken,
    mut begins: impl FnMut(usize, &Case),
) -> Report {
    let (began, start) = (SystemTime::now(), Instant::now());
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(cases.len());
    let mut course = Course::default();
    for (number, case) in cases.iter().enumerate() {
        if let Some(why) = course.skips(stage, case) {
            outcomes.push(Outcome::skipped(case, why));
            continue;
        }
        begins(number, case);
        let start = Instant::now();
        outcomes.push(match stop.run_until_cancelled(replies(stage, case)).await {
            Some(replies) => {
                course.saw(stage, case, &replies);
                Outcome::of(stage, case, &replies, start.elapsed())
            }
            None => {
                course.is_interrupted = true;
                Outcome::skipped(case, INTERRUPTED)
            }
        });
    }
    Report {
        format: FORMAT,
        url: stage.receiver.url()[..Position::AfterPath].to_owned(),
        tls,
        program: concat!("graphhook ", env!("CARGO_PKG_VERSION")).to_owned(),
        began: rfc3339_exact(began).unwrap_or_default(),
        took_ms: (start.elapsed().as_secs_f64() * 1000.0).round(),
        interrupted: course.is_interrupted,
        summary: Summary::of(&outcomes),
        items: course.items,
        notes: course.notes(),
        cases: outcomes,
    }
}

/// What is known of a run beside the outcomes of its cases.
#[derive(Debug, Default)]
struct Course {
    /// Cases in a row without any answer.
    silent: usize,
    is_interrupted: bool,
    items: Carried,
    /// What a genuine item was refused with.
    refused: Option<StatusCode>,
}

impl Course {
    fn skips(&self, stage: &Stage, case: &Case) -> Option<&'static str> {
        if !stage.has(case.needs) {
            Some(case.needs.words())
        } else if self.is_interrupted {
            Some(INTERRUPTED)
        } else if self.silent >= SILENT_MAX {
            Some("the receiver no longer answers")
        } else {
            None
        }
    }

    fn saw(&mut self, stage: &Stage, case: &Case, replies: &[Reply]) {
        self.silent = if replies.iter().all(|reply| reply.answer.is_err()) { self.silent + 1 } else { 0 };
        replies.iter().for_each(|reply| self.items.add(&reply.body, stage.client_state.as_ref()));
        if GENUINE.contains(&case.name) && stage.client_state.is_some() {
            let statuses = replies.iter().filter_map(|reply| reply.answer.as_ref().ok());
            let refused = statuses.map(|answer| answer.status).find(StatusCode::is_client_error);
            self.refused = self.refused.or(refused);
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_interrupted {
            notes.push("interrupted: what was not tried is skipped".to_owned());
        }
        notes.extend(self.refused.map(genuine_refused));
        if !self.items.is_none() {
            notes.push(self.items.to_string());
        }
        notes
    }
}

/// What has to be asked when a receiver refuses an item that is right in every way.
pub fn genuine_refused(status: StatusCode) -> String {
    format!("already the genuine item is refused with {}: is the clientState right?", status.as_u16())
}

async fn replies(stage: &Stage, case: &Case) -> Vec<Reply> {
    let playing = async {
        match case.play {
            Play::Each(shots) => wire::each(stage, shots(stage)).await,
            Play::Line(shots) => wire::line(stage, shots(stage)).await,
            Play::Together(shots) => wire::together(stage, shots(stage)).await,
            Play::Own(play) => play(stage).await,
        }
    };
    // What is not done by then has answered nothing.
    let mut replies = Deadline::after(CASE_MAX).limit(playing).await.unwrap_or_default();
    replies.iter_mut().for_each(|reply| stage.scrub(reply));
    replies
}

/// As many cases without any answer in a row, and the rest is not tried: nobody wants to wait for it.
const SILENT_MAX: usize = 6;
/// More than any case takes, whose every request has its own bound.
const CASE_MAX: Duration = Duration::from_secs(60);
const INTERRUPTED: &str = "interrupted";
/// Cases of an item that nothing is wrong with.
const GENUINE: [&str; 2] = ["post/message", "client-state/genuine"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own_in_its_group() {
        let mut names = BTreeSet::new();
        for case in cases() {
            let (group, name) = case.name.split_once('/').expect("a group and a name");
            let is_plain = |text: &str| {
                text.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
            };
            assert!(is_plain(group) && is_plain(name), "{}", case.name);
            assert!(names.insert(case.name), "{} is there twice", case.name);
            assert!(!case.expect.is_empty(), "{} demands nothing", case.name);
            assert!(case.source.url.starts_with("https://"), "{}", case.name);
            assert!(!case.about.ends_with('.') && !case.about.is_empty(), "{}", case.name);
        }
        assert!(names.len() >= 60, "only {} cases", names.len());
    }
}

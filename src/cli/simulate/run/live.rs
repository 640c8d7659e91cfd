//! One line on a terminal that tells how a run stands, and is written anew again and again.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use crate::simulate::run::{Progress, State, report::status};

/// The line, if there is a terminal.
pub(super) struct Live {
    is_shown: bool,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { is_shown: io::stderr().is_terminal() }
    }

    /// Writes it anew. Who cannot read it any more misses nothing.
    pub(super) fn show(&mut self, progress: &Progress) {
        if self.is_shown {
            self.is_shown = write!(io::stderr(), "\r{}\u{1b}[K", line(progress)).is_ok();
        }
    }

    pub(super) fn clear(&mut self) {
        if self.is_shown {
            self.is_shown = write!(io::stderr(), "\r\u{1b}[K").is_ok();
        }
    }
}

fn line(progress: &Progress) -> String {
    let planned = progress.planned.map_or(String::new(), |planned| format!("/{planned}"));
    let unanswered = match progress.unanswered {
        0 => String::new(),
        many => format!(", {many} without"),
    };
    let millis = |time: Duration| time.as_secs_f64() * 1_000.0;
    let p99 = progress.p99.map_or(String::new(), |p99| format!("p99 {:.1} ms  ", millis(p99)));
    format!(
        "{:.0} s  {}{planned} sent  {:.0}/s  {p99}{}{unanswered}  {} waiting  {}",
        progress.elapsed.as_secs_f64(),
        progress.sent,
        progress.rate,
        status(&progress.status),
        progress.waiting,
        progress.state.map_or("", State::as_str),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_line_says_how_it_stands() {
        let progress = Progress {
            elapsed: Duration::from_millis(12_300),
            planned: Some(6_000),
            sent: 2_400,
            rate: 199.6,
            p99: Some(Duration::from_micros(3_120)),
            status: BTreeMap::from([(202, 2_390), (503, 10)]),
            unanswered: 3,
            waiting: 4,
            state: Some(State::Slow),
        };
        let expected =
            "12 s  2400/6000 sent  200/s  p99 3.1 ms  2390 × 202, 10 × 503, 3 without  4 waiting  slow";
        assert_eq!(line(&progress), expected);
    }
}

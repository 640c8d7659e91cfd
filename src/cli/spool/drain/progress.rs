//! Waiting until a spool is empty, and telling a terminal about it.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::Instant;

use crate::{deadline::Deadline, supervise::signals::Signals};

/// What a spool still holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Left {
    pub(super) items: u64,
    pub(super) parked: u64,
    pub(super) set_aside: u64,
    /// Whether more may come out of a damaged file.
    pub(super) is_mending: bool,
}

/// Why the waiting ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// Nothing is left.
    Empty,
    /// The broker does not want what is left.
    Unwanted,
    /// It took too long.
    Late,
    /// A signal came.
    Interrupted,
}

/// Looks until there is an end.
pub(super) async fn wait(
    mut look: impl FnMut() -> anyhow::Result<Left>,
    owed: Deadline,
    signals: &mut Signals,
) -> anyhow::Result<(End, Left)> {
    let mut judge = Judge::default();
    let is_shown = io::stderr().is_terminal();
    loop {
        let left = look()?;
        if is_shown {
            let Left { items, parked, .. } = left;
            write!(io::stderr(), "\r{items} left, {parked} of them in trouble \u{1b}[K")?;
        }
        let end = match judge.end(left, Instant::now()) {
            Some(end) => Some(end),
            None => tokio::select! {
                () = Deadline::after(LOOK_AFTER).passed() => None,
                () = owed.passed() => Some(End::Late),
                _signal = signals.stop() => Some(End::Interrupted),
            },
        };
        if let Some(end) = end {
            if is_shown {
                writeln!(io::stderr())?;
            }
            return Ok((end, left));
        }
    }
}

#[derive(Default)]
struct Judge {
    /// What was left when it last became less, and when that was.
    last: Option<(Left, Instant)>,
}

impl Judge {
    fn end(&mut self, left: Left, now: Instant) -> Option<End> {
        let since = match self.last {
            Some((last, since)) if last.items == left.items => since,
            Some(_) | None => {
                self.last = Some((left, now));
                now
            }
        };
        let is_unwanted = left.items == left.set_aside
            || (left.items == left.parked && now.duration_since(since) > TRIED_FOR);
        match left {
            Left { is_mending: true, .. } => None,
            Left { items: 0, .. } => Some(End::Empty),
            _ if is_unwanted => Some(End::Unwanted),
            _ => None,
        }
    }
}

/// Time between two looks.
const LOOK_AFTER: Duration = Duration::from_millis(200);
/// Every message is tried four times in this time (after 1, 3 and 7 s).
const TRIED_FOR: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn left(items: u64, parked: u64, set_aside: u64) -> Left {
        Left { items, parked, set_aside, is_mending: false }
    }

    #[test]
    fn it_is_over_when_nothing_is_left_or_nothing_is_wanted() {
        let now = Instant::now();
        let end = |left| Judge::default().end(left, now);
        assert_eq!(end(left(0, 0, 0)), Some(End::Empty));
        assert_eq!(end(left(2, 2, 2)), Some(End::Unwanted));
        assert_eq!(end(left(3, 2, 2)), None);
        assert_eq!(end(Left { is_mending: true, ..left(0, 0, 0) }), None);
    }

    #[test]
    fn what_the_broker_refuses_has_some_tries() {
        let mut judge = Judge::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(judge.end(left(3, 2, 0), at(0)), None);
        assert_eq!(judge.end(left(2, 2, 0), at(8)), None);
        assert_eq!(judge.end(left(2, 2, 0), at(17)), None);
        assert_eq!(judge.end(left(2, 2, 0), at(19)), Some(End::Unwanted));
        // A broker that is away refuses nothing.
        let mut judge = Judge::default();
        assert_eq!(judge.end(left(2, 1, 1), at(0)), None);
        assert_eq!(judge.end(left(2, 1, 1), at(999)), None);
    }
}

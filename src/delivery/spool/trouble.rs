//! Messages that the broker did not want: when to try again, and when to stop trying.

use std::time::{Duration, SystemTime};

use rusqlite::Row;

use super::store::{micros, spooled_at};

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The broker could not take it: a queue is full, or has no leader.
    Nacked,
    /// No queue is bound for it.
    Returned,
    /// The channel closed whenever it was published.
    Rejected,
    /// What stands in the spool is not what was written.
    Unreadable,
}

/// What the broker had against a message so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// The last fault.
    pub fault: Fault,
    /// Failed tries.
    pub attempts: u32,
    /// The first of them.
    pub since: SystemTime,
    /// What is next.
    pub retry: Retry,
}

/// When a message is tried again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// Not before this time.
    At(SystemTime),
    /// When somebody asks for it.
    SetAside,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nacked, Self::Returned, Self::Rejected, Self::Unreadable];

    /// The word in the file and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nacked => "nacked",
            Self::Returned => "returned",
            Self::Rejected => "rejected",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Trouble {
    /// The trouble after one more failed try. `set_aside_after` is `spool.set_aside_after`.
    ///
    /// A nack is the broker's condition and passes; it is tried for ever. What no queue is bound for, and what
    /// closes channels, is the message's own, and somebody must look at it some day.
    pub fn next(before: Option<Self>, fault: Fault, now: SystemTime, set_aside_after: Duration) -> Self {
        let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
        let since = before.map_or(now, |before| before.since);
        let pause = PAUSE_FIRST.saturating_mul(1 << (attempts - 1).min(16)).min(PAUSE_LONGEST);
        let age = now.duration_since(since).unwrap_or(Duration::ZERO);
        let retry = match fault {
            Fault::Nacked => Retry::At(now + pause),
            Fault::Returned if age < set_aside_after => Retry::At(now + pause),
            Fault::Rejected if attempts < REJECTED_MAX => Retry::At(now + pause),
            Fault::Returned | Fault::Rejected | Fault::Unreadable => Retry::SetAside,
        };
        Self { fault, attempts, since, retry }
    }

    pub(super) fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let word: String = row.get(0)?;
        let fault = Fault::ALL.into_iter().find(|fault| fault.as_str() == word).unwrap_or(Fault::Unreadable);
        let retry_at = row.get::<_, Option<i64>>(3)?;
        Ok(Self {
            fault,
            attempts: row.get(1)?,
            since: spooled_at(row.get::<_, i64>(2)?.cast_unsigned()),
            retry: retry_at.map_or(Retry::SetAside, |at| Retry::At(spooled_at(at.cast_unsigned()))),
        })
    }
}

impl Retry {
    /// The column; NULL for what is set aside.
    pub(super) fn column(self) -> Option<i64> {
        match self {
            Self::At(at) => Some(micros(at).cast_signed()),
            Self::SetAside => None,
        }
    }
}

/// Pause before the second try.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// Longest pause: when queue and binding are there again, everything is on its way within this time.
pub(super) const PAUSE_LONGEST: Duration = Duration::from_secs(60);
/// A message is known to close channels when it has been alone on one, this many times.
const REJECTED_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: SystemTime = SystemTime::UNIX_EPOCH;
    const HOUR: Duration = Duration::from_secs(3600);

    /// The trouble after each of so many failures, one retried as soon as it may be.
    fn life(fault: Fault, failures: usize) -> Vec<Trouble> {
        let (mut now, mut troubles) = (NOON, Vec::<Trouble>::new());
        for _ in 0..failures {
            let trouble = Trouble::next(troubles.last().copied(), fault, now, HOUR);
            if let Retry::At(at) = trouble.retry {
                now = at;
            }
            troubles.push(trouble);
        }
        troubles
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        let nacked = life(Fault::Nacked, 20);
        assert_eq!(nacked[0].retry, Retry::At(NOON + Duration::from_secs(1)));
        assert_eq!(nacked[1].retry, Retry::At(NOON + Duration::from_secs(3)));
        let (Retry::At(last), Retry::At(before)) = (nacked[19].retry, nacked[18].retry) else {
            panic!("a nack is never final: {nacked:?}")
        };
        assert_eq!(last, before + PAUSE_LONGEST);
    }

    #[test]
    fn unroutable_messages_are_set_aside_after_the_time_and_not_before() {
        for trouble in life(Fault::Returned, 100) {
            let last_try = match trouble.retry {
                Retry::At(_) => continue,
                Retry::SetAside => trouble.since + HOUR,
            };
            assert!(last_try >= NOON + HOUR);
        }
        assert_eq!(life(Fault::Returned, 100)[99].retry, Retry::SetAside);
        assert_ne!(life(Fault::Returned, 10)[9].retry, Retry::SetAside);
    }

    #[test]
    fn what_closes_channels_is_set_aside_soon_and_what_is_unreadable_at_once() {
        assert_ne!(life(Fault::Rejected, 2)[1].retry, Retry::SetAside);
        assert_eq!(life(Fault::Rejected, 3)[2].retry, Retry::SetAside);
        assert_eq!(life(Fault::Unreadable, 1)[0].retry, Retry::SetAside);
    }
}

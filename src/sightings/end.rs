//! When a subscription ends, as its items say it. Pure.

use super::Moment;

/// The end that a subscription's items name, and what makes an alarm of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct End {
    /// The end.
    pub(super) at: Moment,
    /// When it was first named: the subscription was made or renewed by then.
    pub(super) named_at: Moment,
}

impl End {
    /// Whether less than a fifth of what we saw of its life is left.
    pub(super) fn is_near(&self, now: Moment) -> bool {
        let life = self.at.saturating_sub(self.named_at);
        !self.is_past(now) && self.at.saturating_sub(now).saturating_mul(5) < life
    }

    pub(super) fn is_past(&self, now: Moment) -> bool {
        self.at <= now
    }
}

/// Reads `subscriptionExpirationDateTime`: RFC 3339 with up to nine digits of a fraction, which is dropped, and any
/// offset; without one it is UTC.
pub(super) fn read(text: &str) -> Option<Moment> {
    let (date, rest) = text.split_at_checked(19)?;
    let local = humantime::parse_rfc3339_weak(date).ok()?;
    let local = local.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            let digits = fraction.len() - zone.len();
            (1..=9).contains(&digits).then_some(zone)?
        }
    };
    let seconds = match zone.split_at_checked(1) {
        None => local,
        Some(("Z" | "z", "")) => local,
        Some(("+", ahead)) => local.checked_sub(offset(ahead)?)?,
        Some(("-", behind)) => local.checked_add(offset(behind)?)?,
        Some(_) => return None,
    };
    Some(Moment::from_secs(seconds))
}

/// `hh:mm` in seconds.
fn offset(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, max: u64| -> Option<u64> {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| is_number && *number <= max)
    };
    Some(number(hours, 23)? * 3600 + number(minutes, 59)? * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_that_graph_writes_are_read() {
        for (text, expected) in [
            ("2026-10-01T11:00:00Z", Some(1_790_852_400)),
            ("2026-10-01T11:00:00.0000000Z", Some(1_790_852_400)),
            ("2026-10-01T11:00:00.9999999Z", Some(1_790_852_400)),
            ("2026-10-01T11:00:00+00:00", Some(1_790_852_400)),
            ("2026-10-01T11:00:00.123+05:30", Some(1_790_852_400 - 19_800)),
            ("2026-10-01T11:00:00-08:00", Some(1_790_852_400 + 28_800)),
            ("2026-10-01T11:00:00", Some(1_790_852_400)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("9999-12-31T23:59:59Z", Some(253_402_300_799)),
            ("", None),
            ("2026-10-01", None),
            ("2026-13-01T11:00:00Z", None),
            ("2026-10-01T11:00:00.Z", None),
            ("2026-10-01T11:00:00.0123456789Z", None),
            ("2026-10-01T11:00:00 Z", None),
            ("2026-10-01T11:00:00Zz", None),
            ("2026-10-01T11:00:00+5:30", None),
            ("2026-10-01T11:00:00+05:60", None),
            ("2026-10-01T11:00:00+0530", None),
            ("2026-10-01T11:00:00++5:30", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("NA", None),
            ("2026-10-01T11:00:0\u{e4}Z", None),
        ] {
            assert_eq!(read(text), expected.map(Moment::from_secs), "{text:?}");
        }
    }

    #[test]
    fn near_is_the_last_fifth_of_the_life_that_was_seen() {
        let end = End { at: Moment::from_secs(1_000), named_at: Moment::from_secs(0) };
        for (now, is_near, is_past) in [
            (0, false, false),
            (800, false, false),
            (801, true, false),
            (999, true, false),
            (1_000, false, true),
        ] {
            let now = Moment::from_secs(now);
            assert_eq!((end.is_near(now), end.is_past(now)), (is_near, is_past), "{now:?}");
        }
        let born_dead = End { at: Moment::from_secs(5), named_at: Moment::from_secs(9) };
        assert!(born_dead.is_past(Moment::from_secs(9)) && !born_dead.is_near(Moment::from_secs(9)));
    }
}

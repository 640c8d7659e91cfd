//! Moments as everybody reads them: RFC 3339, UTC, to the second; and as Graph writes them.

use std::time::{Duration, SystemTime};

use serde::Serializer;

/// This moment; one that no four digits of a year hold becomes the last one that they do, and one before 1970 is 1970.
pub fn rfc3339(moment: SystemTime) -> String {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    humantime::format_rfc3339_seconds(at(since)).to_string()
}

/// This unix time, as [`rfc3339`] has it.
pub fn rfc3339_unix(seconds: i64) -> String {
    rfc3339(at_unix(seconds))
}

/// This moment, unless it cannot be written.
pub(crate) fn rfc3339_exact(moment: SystemTime) -> Option<String> {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (since.as_secs() <= LAST.as_secs()).then(|| rfc3339(moment))
}

/// The moment so long after 1970, but none that cannot be written: files and strangers may name any.
pub(crate) fn at(since_1970: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + since_1970.min(LAST)
}

/// This unix time as a moment that can be written.
pub(crate) fn at_unix(seconds: i64) -> SystemTime {
    at(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

/// For fields that hold unix times.
pub(crate) fn serialize_unix<S: Serializer>(seconds: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match seconds {
        Some(seconds) => serializer.serialize_str(&rfc3339_unix(*seconds)),
        None => serializer.serialize_none(),
    }
}

/// Reads a time of Graph's, as time since 1970: RFC 3339 with up to nine digits of a fraction, which is dropped, and any
/// offset; without one it is UTC.
pub(crate) fn read(text: &str) -> Option<Duration> {
    let (date, rest) = text.split_at_checked(19)?;
    let local = humantime::parse_rfc3339_weak(date).ok()?;
    let local = local.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
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
    Some(Duration::from_secs(seconds))
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

/// From 1970 to the last second of 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_moment_is_too_odd() {
        for (seconds, text) in [
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (-1, "1970-01-01T00:00:00Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339_unix(seconds), text);
        }
        let (before, last) = (SystemTime::UNIX_EPOCH - Duration::from_secs(1), "9999-12-31T23:59:59Z");
        assert_eq!(rfc3339(before), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(at(Duration::MAX)), last);
        let within = SystemTime::UNIX_EPOCH + LAST + Duration::from_millis(999);
        assert_eq!(rfc3339_exact(within).as_deref(), Some(last));
        assert_eq!(rfc3339_exact(SystemTime::UNIX_EPOCH + LAST + Duration::from_secs(1)), None);
        assert_eq!(rfc3339_exact(before), None);
    }

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
            assert_eq!(read(text), expected.map(Duration::from_secs), "{text:?}");
        }
    }
}

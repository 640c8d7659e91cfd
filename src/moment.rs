//! Moments as everybody reads them: RFC 3339, UTC, to the second.

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
}

//! Moments as everybody reads them: RFC 3339, UTC, to the second.

use std::time::{Duration, SystemTime};

use serde::Serializer;

/// This moment; one that no four digits of a year hold becomes the last one that they do.
pub fn rfc3339(moment: SystemTime) -> String {
    humantime::format_rfc3339_seconds(moment.min(SystemTime::UNIX_EPOCH + LAST)).to_string()
}

/// This unix time. What lies before 1970 is 1970.
pub fn rfc3339_unix(seconds: i64) -> String {
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(LAST);
    rfc3339(SystemTime::UNIX_EPOCH + since)
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
    }
}

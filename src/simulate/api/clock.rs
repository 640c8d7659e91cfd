//! The service's clock, and how the service reads and writes times.

use std::time::{Duration, SystemTime};

use crate::moment::at;

/// The real time, and what it has been set forward.
#[derive(Debug, Default)]
pub(super) struct Clock {
    ahead: Duration,
}

impl Clock {
    pub(super) fn now(&self) -> SystemTime {
        at(since_1970(SystemTime::now()) + self.ahead)
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.ahead = self.ahead.saturating_add(by).min(AHEAD_MAX);
    }
}

/// RFC 3339 with up to nine digits of a fraction, of which six are kept, and any offset; without one it is UTC.
pub(super) fn read(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_at_checked(DATE_BYTES)?;
    let local = since_1970(humantime::parse_rfc3339_weak(date).ok()?);
    let zone_at = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
    let (fraction, zone) = rest.split_at(zone_at);
    let fraction = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        None => return None,
        Some(digits) if digits.is_empty() || digits.len() > 9 || digits.contains('.') => return None,
        Some(digits) => format!("{digits:0<6}")[..6].parse().ok()?,
    };
    let local = local + Duration::from_micros(fraction);
    let moment = match zone.split_at_checked(1) {
        None | Some(("Z" | "z", "")) => local,
        Some(("+", ahead)) => local.checked_sub(offset(ahead)?)?,
        Some(("-", behind)) => local + offset(behind)?,
        Some(_) => return None,
    };
    Some(at(moment))
}

/// As the service writes it: `2026-01-07T11:20:42.305776Z`.
pub(super) fn written(moment: SystemTime) -> String {
    let moment = at(since_1970(moment));
    if since_1970(moment).subsec_micros() == 0 {
        humantime::format_rfc3339_seconds(moment).to_string()
    } else {
        humantime::format_rfc3339_micros(moment).to_string()
    }
}

/// As the service writes it into errors: `2026-06-01T12:00:00`.
pub(super) fn written_bare(moment: SystemTime) -> String {
    let written = humantime::format_rfc3339_seconds(at(since_1970(moment))).to_string();
    written.trim_end_matches('Z').to_owned()
}

/// Unix time.
pub(super) fn unix(moment: SystemTime) -> u64 {
    since_1970(moment).as_secs()
}

pub(super) fn since_1970(moment: SystemTime) -> Duration {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// `hh:mm`
fn offset(text: &str) -> Option<Duration> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, max: u64| -> Option<u64> {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| is_number && *number <= max)
    };
    Some(Duration::from_secs(number(hours, 23)? * 3600 + number(minutes, 59)? * 60))
}

/// `2026-01-07T11:20:42`
const DATE_BYTES: usize = 19;
/// A century: no test needs more, and no sum overflows.
const AHEAD_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("2026-10-01T11:00:00Z", Some("2026-10-01T11:00:00Z")),
            ("2026-10-01T11:00:00", Some("2026-10-01T11:00:00Z")),
            ("2026-10-01T11:00:00.0000000Z", Some("2026-10-01T11:00:00Z")),
            ("2026-10-01T11:00:00.5Z", Some("2026-10-01T11:00:00.500000Z")),
            ("2026-10-01T11:00:00.305776+00:00", Some("2026-10-01T11:00:00.305776Z")),
            ("2026-10-01T11:00:00+05:30", Some("2026-10-01T05:30:00Z")),
            ("2026-10-01T23:00:00.1234567-08:00", Some("2026-10-02T07:00:00.123456Z")),
            ("2026-10-01T11:00:00.", None),
            ("2026-10-01T11:00:00.1.2Z", None),
            ("2026-10-01T11:00:007Z", None),
            ("2026-10-01T11:00:00+5:30", None),
            ("2026-10-01T11:00:00 UTC", None),
            ("2026-13-01T11:00:00Z", None),
            ("2026-10-01", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(read(text).map(written).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_clock_goes_forward_and_never_too_far() {
        let mut clock = Clock::default();
        let before = clock.now();
        clock.advance(Duration::from_secs(7200));
        assert!(clock.now() >= before + Duration::from_secs(7200));
        clock.advance(Duration::MAX);
        assert!(clock.now() < before + AHEAD_MAX + Duration::from_secs(60));
    }
}

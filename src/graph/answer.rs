//! What stands in the head of an answer.

use std::{
    str::FromStr,
    time::{Duration, SystemTime},
};

use hyper::{
    HeaderMap,
    header::{DATE, RETRY_AFTER},
};

use super::envelope::{ID_CHARS_MAX, cleaned};

/// How long to wait: seconds, or a date (RFC 9110, section 10.2.3), which is read by the clock that wrote it if it is told.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = u64::from_str(value) {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let now = date(headers).unwrap_or_else(SystemTime::now);
    Some(then.duration_since(now).unwrap_or_default())
}

/// What time it is there.
pub(super) fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()
}

/// Graph's name of the request.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = cleaned(headers.get("request-id")?.to_str().ok()?, ID_CHARS_MAX, &[]);
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_clock_of_who_says_it() {
        for (value, expected) in [
            (" 120 ", Some(120)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(77)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
            headers.insert(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:48:20 GMT"));
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}

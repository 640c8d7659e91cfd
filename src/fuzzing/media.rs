//! The headers that say what a body is.

use hyper::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};

use crate::webhook::media::readable;

/// Reads lines of the form `e VALUE` (Content-Encoding) and any other (Content-Type). What says that it is compressed, or
/// names a charset that is not UTF-8, is never taken; and one such header among good ones is enough.
pub fn media(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let (name, value) = match line.strip_prefix(b"e ") {
            Some(value) => (CONTENT_ENCODING, value),
            None => (CONTENT_TYPE, line),
        };
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        headers.append(name, value);
    }
    if readable(&headers).is_err() {
        return;
    }
    for coding in headers.get_all(CONTENT_ENCODING) {
        assert!(coding.as_bytes().eq_ignore_ascii_case(b"identity"), "{coding:?} is taken");
    }
    for media in headers.get_all(CONTENT_TYPE) {
        let media = media.to_str().unwrap_or_default().to_ascii_lowercase();
        let values = media.split(';').skip(1).filter_map(|part| part.trim().strip_prefix("charset"));
        let charsets = values.filter_map(|value| value.trim_start().strip_prefix('='));
        let plain = |charset: &str| charset.replace(['"', ' ', '\t'], "") == "utf-8";
        assert!(charsets.into_iter().all(plain), "{media:?} is taken");
    }
    headers.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert!(readable(&headers).is_err(), "a compressed body is taken");
}

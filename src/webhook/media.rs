//! What a body is, as far as its headers say. Pure.

use hyper::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

/// The body is not plain UTF-8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unsupported;

/// Compressed bodies and charsets other than UTF-8 are not read. The media type itself is not checked.
pub(crate) fn readable(headers: &HeaderMap) -> Result<(), Unsupported> {
    let plain = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    let types = headers.get_all(CONTENT_TYPE).iter().map(|value| value.to_str().unwrap_or_default());
    let parameters = types.flat_map(|value| value.split(';').skip(1));
    let mut charsets = parameters.filter_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    if plain && charsets.all(|charset| charset.eq_ignore_ascii_case("utf-8")) {
        Ok(())
    } else {
        Err(Unsupported)
    }
}

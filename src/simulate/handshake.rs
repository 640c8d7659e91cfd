//! How a URL proves that it wants notifications, and what is wrong with a proof ("Receive change notifications through
//! webhooks", <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>).

use hyper::{StatusCode, header::CONTENT_ENCODING};

use super::receiver::{Answer, PATIENT, Unreached};
use crate::error::Chain;

/// A token as Graph writes it into the query: a form's encoding, with small letters in its hexadecimal numbers.
pub fn encoded(token: &str) -> String {
    let mut encoded = String::with_capacity(token.len() + 16);
    for byte in token.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'*' | b'(' | b')' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{byte:02x}")),
        }
    }
    encoded
}

/// Each thing that is wrong with an answer to this token; nothing if Graph would make the subscription.
pub fn faults(answer: &Result<Answer, Unreached>, token: &str) -> Vec<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return vec![Chain(error).to_string()],
    };
    let mut found = Vec::new();
    if answer.status != StatusCode::OK {
        let more = if answer.status.is_redirection() { ": a redirect proves nothing" } else { "" };
        found.push(format!("the answer is {}, not 200{more}", answer.status));
    }
    let media_type = answer.content_type().unwrap_or("not there");
    let bare = media_type.split(';').next().unwrap_or_default().trim();
    if !bare.eq_ignore_ascii_case("text/plain") {
        found.push(format!("Content-Type is {media_type}, not text/plain"));
    }
    if answer.is_of_two_types() {
        found.push(TWO_TYPES.to_owned());
    }
    if let Some(encoding) = answer.headers.get(CONTENT_ENCODING) {
        found.push(format!("the answer is compressed ({})", String::from_utf8_lossy(encoding.as_bytes())));
    }
    found.extend(body_fault(&answer.body, token).map(str::to_owned));
    if answer.took > PATIENT {
        let (took, waits) = (answer.took.as_secs_f64(), PATIENT.as_secs());
        found.push(format!("the answer came after {took:.1} s, and Graph waits {waits} s"));
    }
    found
}

/// What has become of the token.
pub(super) fn body_fault(body: &[u8], token: &str) -> Option<&'static str> {
    if body == token.as_bytes() {
        return None;
    }
    let text = String::from_utf8_lossy(body);
    Some(match text.as_ref() {
        "" => "the answer is empty: it has to hold the token",
        said if said == encoded(token) || said.eq_ignore_ascii_case(&encoded(token)) => {
            "the token came back encoded: it has to be decoded once"
        }
        said if said == token.replace(' ', "+") => {
            "the token came back with \"+\" for its spaces: it is encoded as forms are"
        }
        said if said.trim_end_matches(['\r', '\n']) == token => "a line break stands behind the token",
        said if said.trim_start_matches('\u{feff}') == token => "a byte order mark stands before the token",
        said if said.trim() == token => "white space stands beside the token",
        said if said.trim().trim_matches('"') == token => {
            "the token came back in quotes: JSON is not asked for"
        }
        said if said.contains(token) => "there is more in the answer than the token",
        _ => "the answer is not the token",
    })
}

/// What is wrong with an answer that says twice what it is.
pub(super) const TWO_TYPES: &str = "the answer has two Content-Types";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use hyper::{HeaderMap, header::CONTENT_TYPE};

    use super::*;
    use crate::simulate::handshake_token;

    #[test]
    fn a_token_is_encoded_as_graph_does() {
        for (token, expected) in [
            ("a b:c", "a+b%3ac"),
            ("%2B+/=", "%252B%2b%2f%3d"),
            ("é&?", "%c3%a9%26%3f"),
            ("A-z_0.!*()", "A-z_0.!*()"),
        ] {
            assert_eq!(encoded(token), expected);
        }
        let (token, written) = handshake_token("25460109-0e8b-4521-8090-dd691b407ed8");
        assert_eq!(encoded(&token), written);
    }

    #[test]
    fn each_thing_that_is_wrong_is_named() {
        let check_after = |seconds, status: u16, media_type: &str, body: &str, expected: &[&str]| {
            let answer = Answer {
                status: StatusCode::from_u16(status).expect("a status"),
                reason: None,
                headers: HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().expect("a value"))]),
                body: Bytes::from(body.to_owned()),
                took: Duration::from_secs(seconds),
            };
            let found = faults(&Ok(answer), "a b:c");
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{found}: {expected}");
            }
        };
        let check = |status, media_type: &str, body: &str, expected: &[&str]| {
            check_after(0, status, media_type, body, expected);
        };
        check(200, "text/plain; charset=utf-8", "a b:c", &[]);
        check_after(10, 200, "text/plain", "a b:c", &[]);
        check_after(12, 200, "text/plain", "a b:c", &["after 12.0 s, and Graph waits 10 s"]);
        check(202, "text/html", "OK", &["202", "text/html", "not the token"]);
        check(302, "text/plain", "", &["redirect", "empty"]);
        for (body, expected) in [
            ("a+b%3ac", "encoded"),
            ("a+b%3Ac", "encoded"),
            ("a+b:c", "spaces"),
            ("a b:c\r\n", "line break"),
            ("\u{feff}a b:c", "byte order"),
            (" a b:c", "white space"),
            ("\"a b:c\"", "quotes"),
            ("<p>a b:c</p>", "more in the answer"),
            ("a b", "not the token"),
        ] {
            check(200, "text/plain", body, &[expected]);
        }
        assert_eq!(faults(&Err(Unreached::Late(Duration::from_secs(10))), "a"), ["no answer in 10 s"]);
    }
}

//! The validation handshake: find the token in the query, check its form, decode it once.
//!
//! Graph POSTs `?validationToken=…` while a subscription is being created and wants the decoded token back as
//! plain text within 10 s. Today's token is a sentence with spaces written as `+` and colons as `%3a`
//! (<https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>). It proves nothing about the
//! caller: anybody may send one, so nothing is touched and nothing remembered.

/// A token that may be echoed: no markup, no control characters, not too long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Token(String);

/// The query holds a token that Graph cannot have sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct BadToken;

impl Token {
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// Looks for a handshake in a raw query. An empty token is none: then the body decides.
pub(crate) fn token(query: Option<&str>) -> Result<Option<Token>, BadToken> {
    let values = query.unwrap_or_default().split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == PARAMETER && !value.is_empty()).then_some(value)
    });
    let mut found = None;
    for value in values {
        if found.replace(value).is_some() {
            return Err(BadToken);
        }
    }
    found.map(decode).transpose()
}

fn decode(value: &str) -> Result<Token, BadToken> {
    let token = form_decode(value).ok_or(BadToken)?;
    let is_harmless = |character: char| !matches!(character, '<' | '>' | '\0'..='\x1f' | '\x7f');
    if token.len() <= TOKEN_BYTES_MAX && token.chars().all(is_harmless) {
        Ok(Token(token))
    } else {
        Err(BadToken)
    }
}

/// Decodes `application/x-www-form-urlencoded` once. Libraries do the same, but mend broken escapes and broken
/// UTF-8 silently, and would echo what nobody sent.
fn form_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Name of the parameter; case matters.
const PARAMETER: &str = "validationToken";
/// Longest token that is echoed. Today's has 117 bytes.
const TOKEN_BYTES_MAX: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Vectors made for this project from Microsoft's pages and from a log published by the abraunegg/onedrive
    /// project; see `tests/data/README.md`.
    const VECTORS: &str = include_str!("../../tests/data/vector-handshake.json");

    #[track_caller]
    fn check(query: &str, expected: Result<Option<&str>, BadToken>) {
        let found = token(Some(query)).map(|token| token.map(Token::into_string));
        assert_eq!(found, expected.map(|token| token.map(str::to_owned)), "{query}");
    }

    #[test]
    fn all_vectors_are_echoed() {
        let vectors: serde_json::Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
        let cases = vectors["cases"].as_array().expect("cases");
        assert!(!cases.is_empty());
        for case in cases {
            check(case["query"].as_str().expect("query"), Ok(case["body"].as_str()));
        }
    }

    #[test]
    fn what_is_no_handshake() {
        assert_eq!(token(None), Ok(None));
        for query in
            ["", "a=b", "validationToken", "validationToken=", "validationtoken=x", "xvalidationToken=x"]
        {
            check(query, Ok(None));
        }
        check("validationToken=&validationToken=abc", Ok(Some("abc")));
    }

    #[test]
    fn what_graph_never_sends() {
        let long = format!("validationToken={}", "a".repeat(TOKEN_BYTES_MAX + 1));
        for query in [
            "validationToken=a&validationToken=b",
            "validationToken=a&validationToken=a",
            "validationToken=%",
            "validationToken=%4",
            "validationToken=%zz",
            "validationToken=%ff",
            "validationToken=%c3%28",
            "validationToken=%3Cscript%3E",
            "validationToken=<b>",
            "validationToken=a%0d%0aSet-Cookie:b",
            "validationToken=%00",
            "validationToken=%1b[2J",
            "validationToken=%7f",
            &long,
        ] {
            check(query, Err(BadToken));
        }
    }

    #[test]
    fn the_longest_token_is_echoed() {
        let token = "a".repeat(TOKEN_BYTES_MAX);
        check(&format!("validationToken={token}"), Ok(Some(&token)));
    }

    proptest! {
        #[test]
        fn what_a_form_encodes_comes_back(text in "[^<>\\x00-\\x1f\\x7f]{1,200}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            check(&format!("validationToken={encoded}"), Ok(Some(&text)));
        }

        #[test]
        fn no_query_panics(query in "\\PC{0,100}") {
            drop(token(Some(&query)));
        }
    }
}

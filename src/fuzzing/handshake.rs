//! The query of a validation handshake.

use url::form_urlencoded;

use crate::webhook::handshake::{Token, token};

/// Reads a query. What is echoed is what the decoder of the `url` crate makes of the one token in it, and can do no
/// harm; what that decoder need not mend is echoed.
pub fn handshake(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let echoed = token(Some(query)).map(|token| token.map(Token::into_string));
    let named = query.split('&').filter_map(|pair| pair.strip_prefix("validationToken="));
    let raw: Vec<&str> = named.filter(|value| !value.is_empty()).collect();
    match (&*raw, echoed) {
        ([], echoed) => assert_eq!(echoed, Ok(None), "nothing is echoed that is not there"),
        ([raw], Ok(Some(echoed))) => {
            assert!(is_harmless(&echoed), "an echo that may do harm: {echoed:?}");
            assert!(is_whole(raw), "an echo of a broken escape: {raw:?}");
            assert_eq!(echoed, decoded(raw));
        }
        ([raw], Err(_)) => assert!(!is_whole(raw) || !is_harmless(&decoded(raw)), "{raw:?} is refused"),
        ([raw], Ok(None)) => panic!("{raw:?} is passed over"),
        (_, echoed) => assert!(echoed.is_err(), "one of several tokens is echoed"),
    }
}

fn decoded(raw: &str) -> String {
    let pair = format!("x={raw}");
    let (_, value) = form_urlencoded::parse(pair.as_bytes()).next().expect("one pair");
    value.into_owned()
}

fn is_harmless(echoed: &str) -> bool {
    echoed.len() <= 8192
        && !echoed.contains(['<', '>'])
        && !echoed.contains(|c| matches!(c, '\0'..='\x1f' | '\x7f'))
}

/// Whether every escape is one, and all of them together are UTF-8.
fn is_whole(raw: &str) -> bool {
    let digits = |escape: &str| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let mended = decoded(raw).matches('\u{fffd}').count();
    let sent = raw.matches('\u{fffd}').count() + raw.to_ascii_lowercase().matches("%ef%bf%bd").count();
    raw.split('%').skip(1).all(digits) && mended == sent
}

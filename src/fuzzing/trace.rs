//! The trace context in the headers of a request.

use std::collections::BTreeSet;

use hyper::{HeaderMap, header::HeaderValue};

use crate::trace::{TRACEPARENT, TRACESTATE, context::Context};

/// The lines before an empty one are values of `traceparent`, those behind it of `tracestate`. What is read stands there
/// by the letter, what is not read does not; and what is passed on is short, is printable, and reads the same again.
pub fn trace(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (parents, states) = text.split_once("\n\n").unwrap_or((text, ""));
    let Some(context) = read(parents, states) else { return };
    let parents: Vec<&str> = parents.lines().collect();
    let expected = match *parents {
        [parent] => by_the_letter(parent.trim_matches([' ', '\t'])),
        _ => None,
    };
    let found = context
        .as_ref()
        .map(|context| (context.trace().to_string(), context.span().to_string(), context.is_sampled()));
    assert_eq!(found, expected.map(|(trace, span, sampled)| (trace.to_owned(), span.to_owned(), sampled)));
    let Some(state) = context.and_then(Context::into_state) else { return };
    assert!((1..=512).contains(&state.len()), "{} bytes", state.len());
    assert!(state.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{state:?}");
    let said: BTreeSet<&str> =
        states.split(['\n', ',']).map(|member| member.trim_matches([' ', '\t', '\r'])).collect();
    let mut keys = BTreeSet::new();
    for member in state.split(',') {
        assert!(said.contains(member), "nobody said {member:?}");
        assert!(keys.insert(member.split('=').next()), "{member:?} comes twice");
    }
    assert_eq!(read(parents[0], &state).flatten().and_then(Context::into_state), Some(state));
}

/// None if no request could say so.
fn read(parents: &str, states: &str) -> Option<Option<Context>> {
    let mut headers = HeaderMap::new();
    for (name, values) in [(TRACEPARENT, parents), (TRACESTATE, states)] {
        for value in values.lines() {
            headers.append(name, HeaderValue::from_str(value).ok()?);
        }
    }
    Some(Context::read(&headers))
}

/// Another reading of the recommendation, by its parts.
fn by_the_letter(parent: &str) -> Option<(&str, &str, bool)> {
    let parts: Vec<&str> = parent.split('-').collect();
    let [version, trace, span, flags, ref more @ ..] = *parts else { return None };
    let is_number = |text: &str, digits: usize| {
        text.len() == digits && text.chars().all(|digit| "0123456789abcdef".contains(digit))
    };
    let is_good = is_number(version, 2)
        && version != "ff"
        && (version != "00" || more.is_empty())
        && is_number(trace, 32)
        && is_number(span, 16)
        && is_number(flags, 2)
        && [trace, span].iter().all(|id| id.chars().any(|digit| digit != '0'));
    is_good.then(|| (trace, span, "13579bdf".contains(&flags[1..])))
}

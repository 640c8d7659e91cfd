//! `traceparent` and `tracestate` by the letter of the W3C recommendation "Trace Context" (level 1, November 2021).
//!
//! Whatever is not by that letter is as good as absent: the recommendation has a new trace begin then. Nothing that comes
//! out is longer than what goes into a message, and all of it is printable ASCII.

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

use super::{
    TRACEPARENT, TRACESTATE,
    id::{SpanId, TraceId},
};
use crate::{envelope::Envelope, notification::id::push_hexadecimal};

/// The span that somebody has in a trace, as headers say it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Context {
    trace: TraceId,
    span: SpanId,
    is_sampled: bool,
    state: Option<Box<str>>,
}

impl Context {
    /// What the headers of a request say. One `traceparent`, no more; without a good one `tracestate` is not read.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(&TRACEPARENT_NAME).iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
        let context = Self::parse(parent.as_bytes())?;
        let state = state(headers.get_all(TRACESTATE).iter());
        Some(Self { state: state.filter(|state| !state.is_empty()).map(String::into_boxed_str), ..context })
    }

    /// What the headers of a message of ours say; those that a version before this wrote say nothing.
    pub(super) fn of_message(envelope: &Envelope) -> Option<Self> {
        let headers = &envelope.properties.headers;
        let (_, parent) = headers.iter().find(|(name, _)| name == TRACEPARENT)?;
        Self::parse(parent.as_bytes())
    }

    /// Section 3.2: version, trace, span and flags in lower-case hexadecimal digits. A version that is not known yet may
    /// say more behind them; ff is none.
    fn parse(value: &[u8]) -> Option<Self> {
        let (known, more) = value.trim_ascii().split_at_checked(KNOWN_BYTES)?;
        let version = hexadecimal(&known[..2])?;
        let may_end = more.is_empty() || (version > VERSION && more[0] == b'-');
        if version == NO_VERSION || !may_end || [2, 35, 52].iter().any(|&at| known[at] != b'-') {
            return None;
        }
        let flags = hexadecimal(&known[53..])?;
        Some(Self {
            trace: TraceId::new(hexadecimal(&known[3..35])?)?,
            span: SpanId::new(hexadecimal(&known[36..52])?)?,
            is_sampled: flags & SAMPLED != 0,
            state: None,
        })
    }

    /// The trace.
    pub fn trace(&self) -> TraceId {
        self.trace
    }

    /// The span within it.
    pub fn span(&self) -> SpanId {
        self.span
    }

    /// Whether whoever said so records the trace.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    /// `tracestate` as it is passed on; at most 512 bytes.
    pub fn into_state(self) -> Option<Box<str>> {
        self.state
    }
}

/// A `traceparent` of ours. Of its flags only the one that has a meaning is ever set.
pub(super) fn parent(trace: TraceId, span: SpanId, is_sampled: bool) -> String {
    let mut parent = String::with_capacity(KNOWN_BYTES);
    parent.push_str("00-");
    push_hexadecimal(&mut parent, &trace.to_bytes());
    parent.push('-');
    push_hexadecimal(&mut parent, &span.to_bytes());
    parent.push_str(if is_sampled { "-01" } else { "-00" });
    parent
}

/// Digits of any number up to 32, lower-case ones only.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

/// Section 3.3: all fields as one list. It is passed on in its order, without empty members and without a key's second
/// value; as nothing if a single member is wrong.
fn state<'a>(fields: impl Iterator<Item = &'a HeaderValue>) -> Option<String> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    let mut count = 0;
    for field in fields {
        for member in field.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            if member.is_empty() {
                continue;
            }
            count += 1;
            let (key, value) = member.split_once('=')?;
            if count > MEMBERS_MAX || !is_key(key) || !is_value(value) {
                return None;
            }
            if members.iter().all(|(other, _)| *other != key) {
                members.push((key, member));
            }
        }
    }
    Some(bounded(members.into_iter().map(|(_, member)| member).collect()))
}

/// Section 3.3.1.5: what is longer than must be passed on loses its long members first, the last ones before others,
/// then whatever stands last.
fn bounded(mut members: Vec<&str>) -> String {
    let bytes = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>();
    // A comma fewer than members.
    while bytes(&members) > STATE_BYTES_MAX + 1 {
        let long = members.iter().rposition(|member| member.len() > LONG_BYTES);
        members.remove(long.unwrap_or(members.len() - 1));
    }
    members.join(",")
}

/// Section 3.3.1.3.1: a vendor's name, or a tenant's at one of its systems.
fn is_key(key: &str) -> bool {
    let is_part = |part: &str, longest: usize, begins: fn(u8) -> bool| {
        let bytes = part.as_bytes();
        let may_stand =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(byte);
        bytes.len() <= longest
            && bytes.first().is_some_and(|first| begins(*first))
            && bytes.iter().all(may_stand)
    };
    let letter: fn(u8) -> bool = |byte| byte.is_ascii_lowercase();
    let letter_or_digit: fn(u8) -> bool = |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    match key.split_once('@') {
        None => is_part(key, 256, letter),
        Some((tenant, system)) => is_part(tenant, 241, letter_or_digit) && is_part(system, 14, letter),
    }
}

/// Section 3.3.1.3.2: printable, without comma and equals sign; spaces at its end are not part of it.
fn is_value(value: &str) -> bool {
    let may_stand = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    (1..=256).contains(&value.len()) && value.bytes().all(may_stand)
}

/// The version that is known here.
static TRACEPARENT_NAME: HeaderName = HeaderName::from_static(TRACEPARENT);
const VERSION: u128 = 0;
/// The version that is none.
const NO_VERSION: u128 = 0xff;
/// Bytes of a `traceparent` of the version that is known.
const KNOWN_BYTES: usize = 55;
/// The one flag that has a meaning.
const SAMPLED: u128 = 1;
/// Members of a `tracestate`.
const MEMBERS_MAX: usize = 32;
/// What must be passed on of a `tracestate`, and all that is.
const STATE_BYTES_MAX: usize = 512;
/// Members longer than this go first.
const LONG_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(parents: &[&str], states: &[&str]) -> Option<Context> {
        let mut headers = HeaderMap::new();
        for (name, values) in [(TRACEPARENT, parents), (TRACESTATE, states)] {
            for value in values {
                headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
            }
        }
        Context::read(&headers)
    }

    #[track_caller]
    fn check_parent(value: &str, is_sampled: bool) {
        let context = read(&[value], &[]).unwrap_or_else(|| panic!("{value} is good"));
        assert_eq!(
            (context.trace.to_string(), context.span.to_string()),
            (TRACE.to_owned(), SPAN.to_owned())
        );
        assert_eq!((context.is_sampled, &context.state), (is_sampled, &None), "{value}");
    }

    #[test]
    fn good_parents() {
        for (flags, is_sampled) in [("00", false), ("01", true), ("03", true), ("fe", false), ("ff", true)] {
            check_parent(&format!("00-{TRACE}-{SPAN}-{flags}"), is_sampled);
        }
        check_parent(&format!("  00-{TRACE}-{SPAN}-01\t"), true);
        for later in ["cc-T-S-01", "cc-T-S-01-", "fe-T-S-01-what-the-future-brings", "01-T-S-09-.."] {
            check_parent(&later.replace('T', TRACE).replace('S', SPAN), true);
        }
    }

    #[test]
    fn bad_parents() {
        for bad in [
            "",
            "00",
            "-",
            "00-T-S",
            "00-T-S-",
            "00-T-S-1",
            "00-T-S-0x",
            "00-T-S-010",
            "00-T-S-01-",
            "00-T-S-01-x",
            "ff-T-S-01",
            "ff-T-S-01-x",
            "cc-T-S-01.x",
            "cc-T-S-01x",
            "0-T-S-01",
            "000-T-S-01",
            "0x-T-S-01",
            "FE-T-S-01",
            "00-T-S-0A",
            "00-T-S-.0",
            "00_T-S-01",
            "00-T_S-01",
            "00-T-S_01",
            "00--T-S-01",
            "T-S-01",
            "00-T-0000000000000000-01",
            "00-00000000000000000000000000000000-S-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-S-01",
            "00-T-00F067AA0BA902B7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-S-01",
            "00-4bf92f3577b34da6a3ce929d0e0e47360-S-01",
            "00-T-00f067aa0ba902b-01",
            "00-T-00f067aa0ba902b70-01",
            "00-T-+0f067aa0ba902b7-01",
            "00-T- 0f067aa0ba902b7-01",
            "00-T-S-01,00-T-S-01",
            "00 -T-S-01",
            "00-T-S-01 x",
            "00-ü0000000000000000000000000000001-S-01",
        ] {
            let value = bad.replace('T', TRACE).replace('S', SPAN);
            assert_eq!(read(&[&value], &["a=1"]), None, "{value}");
        }
        let good = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(read(&[&good, &good], &[]), None, "two are none");
        assert_eq!(read(&[], &["a=1"]), None);
    }

    #[track_caller]
    fn check_state(states: &[&str], expected: &str) {
        let context = read(&[&format!("00-{TRACE}-{SPAN}-01")], states).expect("the parent is good");
        assert_eq!(context.state.as_deref().unwrap_or_default(), expected, "{states:?}");
    }

    #[test]
    fn good_states() {
        for good in ["a=1", "a=1,b=2", "a@b=1", "0t@v=1", "z-_*/0=!~ x", "a= 1"] {
            check_state(&[good], good);
        }
        check_state(&["a=1", "b=2", "c=3"], "a=1,b=2,c=3");
        check_state(&[" a=1 ,\tb=2\t"], "a=1,b=2");
        check_state(&["", "a=1,,b=2, ,"], "a=1,b=2");
        check_state(&["a=1,b=2,a=3"], "a=1,b=2");
        check_state(&[&format!("{}=1", "z".repeat(256))], &format!("{}=1", "z".repeat(256)));
        check_state(
            &[&format!("{}@{}=1", "t".repeat(241), "v".repeat(14))],
            &format!("{}@{}=1", "t".repeat(241), "v".repeat(14)),
        );
        check_state(&[&format!("a={}", "v".repeat(256))], &format!("a={}", "v".repeat(256)));
        let many: Vec<String> = (0..32).map(|number| format!("k{number}=v")).collect();
        check_state(&[&many.join(",")], &many.join(","));
    }

    #[test]
    fn bad_states_leave_the_trace() {
        let many: Vec<String> = (0..33).map(|number| format!("k{number}=v")).collect();
        for bad in [
            "a",
            "=",
            "=1",
            "a=",
            "A=1",
            "0a=1",
            "a b=1",
            "a =1",
            "a.b=1",
            "a==1",
            "a=1=2",
            "a=1,b",
            "@a=1",
            "a@=1",
            "a@@b=1",
            "a@b@c=1",
            "a@0b=1",
            "a=ü",
            "a=1;b=2=",
            &many.join(","),
            &format!("{}=1", "z".repeat(257)),
            &format!("{}@v=1", "t".repeat(242)),
            &format!("t@{}=1", "v".repeat(15)),
            &format!("a={}", "v".repeat(257)),
            &"k=v,".repeat(33),
        ] {
            check_state(&[bad], "");
            check_state(&["x=1", bad], "");
        }
    }

    #[test]
    fn long_states_lose_their_long_members_first() {
        let member = |key: &str, bytes: usize| format!("{key}={}", "v".repeat(bytes - 2));
        let listed = |members: &[(&str, usize)]| {
            members.iter().map(|(key, bytes)| member(key, *bytes)).collect::<Vec<_>>().join(",")
        };
        for (said, kept) in [
            // 512 with their commas, and one more.
            (vec![("a", 255), ("b", 256)], vec![("a", 255), ("b", 256)]),
            (vec![("a", 256), ("b", 256)], vec![("a", 256)]),
            (
                vec![("a", 100), ("b", 200), ("c", 128), ("d", 200), ("e", 100)],
                vec![("a", 100), ("c", 128), ("e", 100)],
            ),
            (vec![("a", 100), ("b", 129), ("c", 200), ("d", 100)], vec![("a", 100), ("b", 129), ("d", 100)]),
            (
                vec![("a", 128), ("b", 128), ("c", 128), ("d", 128), ("e", 3)],
                vec![("a", 128), ("b", 128), ("c", 128)],
            ),
        ] {
            check_state(&[&listed(&said)], &listed(&kept));
        }
    }

    proptest! {
        #[test]
        fn what_we_write_is_read_as_it_was_meant(trace in 1_u128.., span in 1_u64.., is_sampled: bool) {
            let (trace, span) = (TraceId::new(trace).expect("not zero"), SpanId::new(span.into()).expect("not zero"));
            let written = parent(trace, span, is_sampled);
            prop_assert_eq!(written.len(), KNOWN_BYTES);
            prop_assert_eq!(read(&[&written], &[]), Some(Context { trace, span, is_sampled, state: None }));
        }

        #[test]
        fn nothing_that_is_passed_on_is_long_or_odd(states in prop::collection::vec("([a-z0-9@_*/-]{1,5}=[ -~]{1,90}[, \t]?){0,12}", 0..4)) {
            let states: Vec<&str> = states.iter().map(String::as_str).collect();
            let context = read(&[&format!("00-{TRACE}-{SPAN}-01")], &states).expect("the parent is good");
            if let Some(state) = context.into_state() {
                prop_assert!((1..=STATE_BYTES_MAX).contains(&state.len()));
                prop_assert!(state.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{state:?}");
                // Passed on once more, it stays the same.
                prop_assert_eq!(read(&[&format!("00-{TRACE}-{SPAN}-01")], &[&*state]).and_then(Context::into_state), Some(state));
            }
        }
    }
}

//! Ids of traces and spans: never zero, and random where they are ours.

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
};

use crate::random;

/// Names a trace: 16 bytes, not all of them zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TraceId(NonZeroU128);

/// Names a span within its trace: 8 bytes, not all of them zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpanId(NonZeroU64);

/// Ids that nobody has had: for a trace, for a request's span, and the first of those of its items.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) items: SpanId,
}

impl TraceId {
    pub(super) fn new(id: u128) -> Option<Self> {
        NonZeroU128::new(id).map(Self)
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    pub(super) fn lower_bits(self, bits: u32) -> u64 {
        (self.0.get() & ((1 << bits) - 1)) as u64
    }
}

impl SpanId {
    pub(super) fn new(id: u128) -> Option<Self> {
        NonZeroU64::new(u64::try_from(id).ok()?).map(Self)
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }

    /// The id so many places on. All of one request are drawn at once: they need to differ, and to be no secret.
    pub(super) fn following(self, places: usize) -> Self {
        let id = self.0.get().wrapping_add(places as u64);
        // Past the end of all numbers, zero is passed over.
        let id = if id < self.0.get() { id.wrapping_add(1) } else { id };
        Self(NonZeroU64::new(id).unwrap_or(NonZeroU64::MIN))
    }
}

impl Drawn {
    /// None if the system has no random numbers, or, once in an eternity, if they are zero.
    pub(super) fn fresh() -> Option<Self> {
        let bytes: [u8; 32] = random::bytes()?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        Some(Self {
            trace: TraceId::new(number(&bytes[..16]))?,
            span: SpanId::new(number(&bytes[16..24]))?,
            items: SpanId::new(number(&bytes[24..]))?,
        })
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printed_in_full() {
        assert_eq!(TraceId::new(0xa).expect("not zero").to_string(), "0000000000000000000000000000000a");
        assert_eq!(SpanId::new(0xb).expect("not zero").to_string(), "000000000000000b");
        assert_eq!((TraceId::new(0), SpanId::new(0), SpanId::new(1 << 64)), (None, None, None));
    }

    #[test]
    fn the_spans_of_a_request_differ_and_none_is_zero() {
        for first in [1, 7, u128::from(u64::MAX) - 2, u128::from(u64::MAX)] {
            let first = SpanId::new(first).expect("not zero");
            let spans: Vec<String> = (0..10).map(|place| first.following(place).to_string()).collect();
            let differing: std::collections::BTreeSet<_> = spans.iter().collect();
            assert_eq!(differing.len(), 10, "{spans:?}");
            assert!(!spans.contains(&"0000000000000000".to_owned()), "{spans:?}");
        }
    }

    #[test]
    fn no_two_draws_are_the_same() {
        let [one, other] = [Drawn::fresh(), Drawn::fresh()].map(|drawn| drawn.expect("random numbers"));
        assert_ne!(one.trace, other.trace);
        assert_ne!(one.span, other.span);
        assert_ne!(one.items, other.items);
        assert_ne!(one.span, one.items);
    }
}

//! Values of a scenario file, each read whole or refused with what was expected.

use std::{fmt, marker::PhantomData, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor, value::SeqAccessDeserializer},
};

use super::{Pace, Weighted};

/// A whole number in a range.
#[derive(Clone, Copy)]
pub(super) struct Whole<const LEAST: u64, const MOST: u64>(pub(super) u64);

/// A length of time, at most a week.
#[derive(Clone, Copy)]
pub(super) struct Time(pub(super) Duration);

/// A number of bytes, at most 1 MiB.
#[derive(Clone, Copy)]
pub(super) struct Bytes(pub(super) usize);

/// From 0 to 1.
#[derive(Clone, Copy)]
pub(super) struct Chance(pub(super) f64);

/// From 1 to 100,000.
#[derive(Clone, Copy)]
pub(super) struct Scale(pub(super) f64);

/// Notifications a second, or `"flat_out"`.
#[derive(Clone, Copy)]
pub(super) struct Rate(pub(super) Pace);

/// A number, a range, or ranges with weights.
pub(super) struct PerPost(pub(super) Weighted<(u32, u32)>);

/// So many ids, or these.
pub(super) enum Ids {
    Many(u32),
    These(Vec<String>),
}

impl Ids {
    pub(super) fn named(self, name: impl FnOnce(u32) -> Vec<String>) -> Vec<String> {
        match self {
            Self::Many(many) => name(many),
            Self::These(ids) => ids,
        }
    }
}

/// Reads a value by the first of its forms that fits; `expecting` says what they are.
struct Reading<T> {
    expecting: &'static str,
    number: fn(f64) -> Option<T>,
    text: fn(&str) -> Option<T>,
    list: fn(toml::Value) -> Option<T>,
    made: PhantomData<T>,
}

impl<T> Reading<T> {
    fn new(expecting: &'static str) -> Self {
        Self { expecting, number: |_| None, text: |_| None, list: |_| None, made: PhantomData }
    }
}

impl<'de, T> Visitor<'de> for Reading<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_f64(number as f64)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        (self.number)(number).ok_or_else(|| E::custom(format!("expected {}", self.expecting)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).ok_or_else(|| E::custom(format!("expected {}", self.expecting)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        let list = toml::Value::deserialize(SeqAccessDeserializer::new(list))?;
        (self.list)(list).ok_or_else(|| A::Error::custom(format!("expected {}", self.expecting)))
    }
}

fn whole(number: f64, least: u64, most: u64) -> Option<u64> {
    let fits = number.fract() == 0.0 && number >= least as f64 && number <= most as f64;
    fits.then_some(number as u64)
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if (LEAST..=MOST).contains(&number) {
            Ok(Self(number))
        } else {
            Err(D::Error::custom(format!("expected a whole number from {LEAST} to {MOST}")))
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |text: &str| {
            let time = humantime::parse_duration(text).ok()?;
            (!time.is_zero() && time <= WEEK).then_some(Self(time))
        };
        let reading =
            Reading { text, ..Reading::new("a length of time up to a week, such as \"1500ms\" or \"4h\"") };
        deserializer.deserialize_any(reading)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |text: &str| {
            let bytes = text.parse::<bytesize::ByteSize>().ok()?.as_u64();
            (bytes <= SIZE_MAX).then_some(Self(bytes as usize))
        };
        let number = |number: f64| whole(number, 0, SIZE_MAX).map(|bytes| Self(bytes as usize));
        let reading = Reading { text, number, ..Reading::new("a size up to 1 MiB, such as \"2KiB\"") };
        deserializer.deserialize_any(reading)
    }
}

impl<'de> Deserialize<'de> for Chance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |number: f64| (0.0..=1.0).contains(&number).then_some(Self(number));
        deserializer.deserialize_any(Reading { number, ..Reading::new("a share from 0 to 1") })
    }
}

impl<'de> Deserialize<'de> for Scale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |number: f64| (1.0..=100_000.0).contains(&number).then_some(Self(number));
        deserializer.deserialize_any(Reading { number, ..Reading::new("a number from 1 to 100000") })
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number =
            |number: f64| (0.001..=10_000_000.0).contains(&number).then_some(Self(Pace::PerSecond(number)));
        let text = |text: &str| (text == "flat_out").then_some(Self(Pace::FlatOut));
        let reading = Reading { number, text, ..Reading::new("notifications a second, or \"flat_out\"") };
        deserializer.deserialize_any(reading)
    }
}

impl<'de> Deserialize<'de> for PerPost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |number: f64| range(&toml::Value::Float(number)).map(|range| Self(Weighted::one(range)));
        let text = |text: &str| range(&toml::Value::from(text)).map(|range| Self(Weighted::one(range)));
        let list = |list: toml::Value| {
            let weights = list.as_array()?.iter().map(|pair| match pair.as_array()?.as_slice() {
                [many, weight] => Some((number_of(weight)?, range(many)?)),
                _ => None,
            });
            Weighted::new(weights.collect::<Option<Vec<_>>>()?).map(Self)
        };
        let reading = Reading { number, text, list, ..Reading::new(PER_POST_EXPECTED) };
        deserializer.deserialize_any(reading)
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |number: f64| whole(number, 1, IDS_MAX).map(|many| Self::Many(many as u32));
        let list = |list: toml::Value| {
            let ids = list.as_array()?.iter().map(|id| id.as_str().map(str::to_owned));
            let ids: Vec<String> = ids.collect::<Option<_>>()?;
            (!ids.is_empty()).then_some(Self::These(ids))
        };
        let reading = Reading { number, list, ..Reading::new("a number from 1 to 100000, or a list of ids") };
        deserializer.deserialize_any(reading)
    }
}

/// `3` or `"1-20"`.
fn range(value: &toml::Value) -> Option<(u32, u32)> {
    if let Some(number) = number_of(value) {
        let number = whole(number, 1, PER_POST_MAX)? as u32;
        return Some((number, number));
    }
    let (from, to) = value.as_str()?.split_once('-')?;
    let bound = |text: &str| text.trim().parse().ok().filter(|number| (1..=PER_POST_MAX).contains(number));
    let (from, to): (u64, u64) = (bound(from)?, bound(to)?);
    (from <= to).then_some((from as u32, to as u32))
}

fn number_of(value: &toml::Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|number| number as f64))
}

const PER_POST_EXPECTED: &str =
    "a number from 1 to 10000, a range such as \"1-20\", or such with weights: [[1, 70], [\"2-20\", 30]]";
const PER_POST_MAX: u64 = 10_000;
const IDS_MAX: u64 = 100_000;
const SIZE_MAX: u64 = 1 << 20;
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

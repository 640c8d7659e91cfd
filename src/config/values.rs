//! Values of the configuration that are more than numbers and words: secrets, times and sizes; how they are read, and how
//! they are shown.

use std::{borrow::Cow, fmt, path::PathBuf, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};

/// Stands where a secret is not shown. As a secret it is refused: somebody would have taken it from what we print.
pub(super) const MASK: &str = "[secret]";

/// A secret, or where to find it.
#[derive(Clone, Deserialize, JsonSchema, PartialEq)]
#[serde(
    untagged,
    expecting = "expected a string or one of { file = \"…\" }, { env = \"…\" }, { credential = \"…\" }"
)]
pub(super) enum RawSecret {
    /// The secret itself.
    Value(String),
    /// Where it lies.
    Reference(SecretReference),
}

/// Where a secret lies.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SecretReference {
    /// A file; one newline at its end is not part of the secret.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A systemd credential (`LoadCredential=`), by name.
    Credential(String),
}

/// As it may be shown.
impl Serialize for RawSecret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(_) => serializer.serialize_str(MASK),
            Self::Reference(reference) => reference.serialize(serializer),
        }
    }
}

impl fmt::Debug for RawSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str(MASK),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

/// For `broker.urls`: of a URL all is shown but user and password.
pub(super) fn masked_urls<S: Serializer>(urls: &[RawSecret], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(urls.len()))?;
    for url in urls {
        match url {
            RawSecret::Value(url) => list.serialize_element(&masked_url(url))?,
            RawSecret::Reference(_) => list.serialize_element(url)?,
        }
    }
    list.end()
}

/// Only of what is surely a URL anything is shown: of a broken one nobody knows where its password ends.
fn masked_url(text: &str) -> String {
    let is_url = url::Url::parse(text).is_ok() && !text.contains('#');
    match text.split_once("://") {
        Some((scheme @ ("amqp" | "amqps"), rest)) if is_url => match rest.split_once('@') {
            None => text.to_owned(),
            Some((user, place)) if !user.contains(['/', '?']) && !place.contains('@') => {
                format!("{scheme}://{MASK}@{place}")
            }
            Some(_) => MASK.to_owned(),
        },
        _ => MASK.to_owned(),
    }
}

/// Whether this is what was shown in place of a secret.
pub(super) fn is_masked(value: &str) -> bool {
    value == MASK || value.contains(&format!("://{MASK}@"))
}

/// A duration with its unit, as in `"1500ms"` or `"2s"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "expected a duration with its unit, such as \"1500ms\" or \"2s\"";
        let text = String::deserialize(deserializer).map_err(|_| de::Error::custom(EXPECTED))?;
        humantime::parse_duration(&text).map(Self).map_err(|_| de::Error::custom(EXPECTED))
    }
}

/// In the largest unit that needs no fraction.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let units = TIMES.iter().filter(|(_, unit)| nanos >= *unit && nanos.is_multiple_of(*unit));
        match units.into_iter().next() {
            Some((name, unit)) => write!(f, "{}{name}", nanos / unit),
            None => f.write_str("0s"),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^ *([0-9]+ *[A-Za-z]+ *)+$" })
    }
}

/// A number of bytes with its unit, as in `"4MiB"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "expected a size with its unit, such as \"64KiB\" or \"4MiB\"";
        let text = String::deserialize(deserializer).map_err(|_| de::Error::custom(EXPECTED))?;
        let size = text.parse::<bytesize::ByteSize>().map_err(|_| de::Error::custom(EXPECTED))?;
        Ok(Self(size.as_u64()))
    }
}

/// In the largest unit that needs no fraction.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = SIZES.iter().filter(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        match units.into_iter().next() {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => f.write_str("0B"),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? *([KkMmGgTtPp][Ii]?)?[Bb]?$" })
    }
}

const TIMES: [(&str, u128); 7] = [
    ("day", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("min", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];
const SIZES: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_and_sizes_are_shown_in_their_largest_whole_unit() {
        let time = |millis| Time(Duration::from_millis(millis)).to_string();
        assert_eq!([time(2_500), time(20_000), time(60_000)], ["2500ms", "20s", "1min"]);
        assert_eq!([time(3_600_000), time(86_400_000), time(0)], ["1h", "1day", "0s"]);
        let size = |bytes| Size(bytes).to_string();
        assert_eq!([size(4 << 20), size(1500), size(4 << 30), size(0)], ["4MiB", "1500B", "4GiB", "0B"]);
    }

    #[test]
    fn of_a_url_all_is_shown_but_its_user() {
        for (url, shown) in [
            ("amqp://u:hunter2@h:1/%2f?heartbeat=5", "amqp://[secret]@h:1/%2f?heartbeat=5"),
            ("amqps://hunter2@h", "amqps://[secret]@h"),
            ("amqp://u:hunter/2@h", MASK),
            ("amqp://u:hunter#2@h", MASK),
            ("amqp://u:hunter@2@h", MASK),
            ("hunter2", MASK),
            ("https://u:hunter2@h", MASK),
            ("amqp://h/v", "amqp://h/v"),
            ("amqp://u:hunter2/@h", MASK),
            ("amqp://u:hunter2", MASK),
        ] {
            assert_eq!(masked_url(url), shown, "{url}");
        }
        assert!(is_masked(&masked_url("amqp://u:p@h")) && is_masked(MASK) && !is_masked("amqp://u:p@h"));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_as_the_same(nanos in any::<u64>(), bytes in any::<u64>()) {
            let time = Time(Duration::from_nanos(nanos));
            let again: Time = serde_json::from_value(serde_json::json!(time)).expect("a time");
            prop_assert_eq!(again, time);
            // Bytesize reads by floating point: beyond 2^53 it rounds.
            let size = Size(bytes >> 11);
            let again: Size = serde_json::from_value(serde_json::json!(size)).expect("a size");
            prop_assert_eq!(again, size);
        }
    }
}

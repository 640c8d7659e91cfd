//! How long answers took: percentiles by HdrHistogram, to three digits.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Times of answers.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

/// What is told of them, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many there are.
    pub count: u64,
    /// Half of them took no longer.
    pub p50: f64,
    /// 90 % of them took no longer.
    pub p90: f64,
    /// 99 % of them took no longer.
    pub p99: f64,
    /// 99.9 % of them took no longer.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).expect("the bounds are fit for a histogram"))
    }
}

impl Latency {
    /// Notes one.
    pub fn note(&mut self, took: Duration) {
        self.0.saturating_record(u64::try_from(took.as_micros()).unwrap_or(MICROS_MAX).max(1));
    }

    /// The time that this share of them did not exceed, from 0 to 1; `None` if there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_micros(self.0.value_at_quantile(share)))
    }

    /// What is told of them, if there are any.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let millis = |share: f64| self.quantile(share).map(|time| time.as_secs_f64() * 1_000.0);
        Some(Percentiles {
            count: self.0.len(),
            p50: millis(0.5)?,
            p90: millis(0.9)?,
            p99: millis(0.99)?,
            p99_9: millis(0.999)?,
            max: millis(1.0)?,
        })
    }
}

/// A day.
const MICROS_MAX: u64 = 24 * 60 * 60 * 1_000_000;
const DIGITS: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_three_digits() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentiles(), None);
        for millis in 1..=1_000 {
            latency.note(Duration::from_millis(millis));
        }
        latency.note(Duration::from_secs(1 << 40));
        let Percentiles { count, p50, p90, p99, p99_9, max } = latency.percentiles().expect("some");
        assert_eq!(count, 1_001);
        for (said, expected) in [(p50, 501.0), (p90, 901.0), (p99, 991.0), (p99_9, 1_000.0)] {
            assert!((said - expected).abs() <= expected / 1_000.0, "{said} for {expected}");
        }
        assert!((max - 86_400_000.0).abs() < 100_000.0, "{max}");
    }
}

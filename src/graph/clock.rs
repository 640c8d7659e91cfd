//! What time it is at Graph.

use std::time::{Duration, SystemTime};

/// The `Date` of an answer, and when it was here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClockOffset {
    /// Graph's time; whole seconds only.
    pub date: SystemTime,
    /// We sent the request at this moment of ours.
    pub asked: SystemTime,
    /// We had the answer at this one.
    pub heard: SystemTime,
}

impl ClockOffset {
    /// Graph's clock less ours, as little as the time of the request and the rounding of the date allow for: 0 where both
    /// may be right.
    pub fn seconds(&self) -> i64 {
        let second = Duration::from_secs(1);
        let ahead = self.date.duration_since(self.heard).unwrap_or_default();
        let behind = self.asked.duration_since(self.date + second).unwrap_or_default();
        let whole = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        whole(ahead) - whole(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_agree_as_long_as_both_may_be_right() {
        for (date, expected) in
            [(9_000, -999), (9_998, -1), (9_999, 0), (10_000, 0), (10_002, 0), (10_003, 1), (11_000, 998)]
        {
            let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let offset = ClockOffset { date: at(date), asked: at(10_000), heard: at(10_002) };
            assert_eq!(offset.seconds(), expected, "{date}");
        }
    }
}

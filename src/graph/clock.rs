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

/// The time at Graph, when it is this here: times of subscriptions are Graph's, and our clock may jump.
pub(super) fn at_graph(offset: Option<ClockOffset>, here: SystemTime) -> SystemTime {
    let seconds = offset.map_or(0, |offset| offset.seconds());
    let by = Duration::from_secs(seconds.unsigned_abs());
    let there = if seconds < 0 { here.checked_sub(by) } else { here.checked_add(by) };
    there.unwrap_or(here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_time_it_is_graph_says() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(at_graph(None, at(7)), at(7));
        for (date, expected) in [(10_000, 20_000), (11_000, 20_998), (9_000, 19_001), (0, 10_001)] {
            let offset = ClockOffset { date: at(date), asked: at(10_000), heard: at(10_002) };
            assert_eq!(at_graph(Some(offset), at(20_000)), at(expected), "{date}");
        }
    }

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

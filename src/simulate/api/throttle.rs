//! The service's rate limits ("Microsoft Graph service-specific throttling limits", section on subscriptions,
//! <https://learn.microsoft.com/graph/throttling-limits>). Pure.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, SystemTime},
};

use super::calls::{Caller, Operation};

/// What came in the last 20 seconds.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    seen: HashMap<Key, VecDeque<SystemTime>>,
}

/// Whose calls of which kind are counted together; an app in all tenants has no tenant.
type Key = (Class, String, Option<String>);

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Class {
    Write,
    Reauthorize,
    Get,
    List,
}

impl Class {
    fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Create | Operation::Update | Operation::Delete => Some(Self::Write),
            Operation::Reauthorize => Some(Self::Reauthorize),
            Operation::Get => Some(Self::Get),
            Operation::List => Some(Self::List),
            Operation::Token | Operation::DeviceCode | Operation::Identity => None,
        }
    }

    /// Of an app in all tenants, and in one.
    fn limits(self) -> (usize, usize) {
        match self {
            Self::Write | Self::Get => (2_000, 500),
            Self::Reauthorize => (4_000, 1_000),
            Self::List => (40, 25),
        }
    }
}

impl Throttle {
    /// Counts a call. Seconds after which to come again, if it is one too many; it counts all the same.
    pub(super) fn count(&mut self, operation: Operation, caller: &Caller, now: SystemTime) -> Option<u64> {
        let class = Class::of(operation)?;
        if self.seen.len() > KEYS_MAX {
            self.seen.retain(|_, times| times.back().is_some_and(|last| is_recent(*last, now)));
        }
        let (of_app, of_tenant) = class.limits();
        let tenant = Some(caller.tenant.clone());
        let app = self.count_one((class, caller.app.clone(), None), of_app, now);
        let tenant = self.count_one((class, caller.app.clone(), tenant), of_tenant, now);
        app.max(tenant)
    }

    fn count_one(&mut self, key: Key, limit: usize, now: SystemTime) -> Option<u64> {
        let times = self.seen.entry(key).or_default();
        while times.front().is_some_and(|first| !is_recent(*first, now)) {
            times.pop_front();
        }
        // No more than the limit are kept: the oldest of them says when there is room again.
        let is_full = times.len() == limit;
        let after = times.front().filter(|_| is_full).map(|first| {
            let passed = now.duration_since(*first).unwrap_or_default();
            WINDOW.saturating_sub(passed).as_secs() + 1
        });
        if is_full {
            times.pop_front();
        }
        times.push_back(now);
        after
    }
}

fn is_recent(time: SystemTime, now: SystemTime) -> bool {
    now.duration_since(time).unwrap_or_default() < WINDOW
}

const WINDOW: Duration = Duration::from_secs(20);
/// Pairs of app and tenant, before those are dropped that have been silent.
const KEYS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(tenant: &str) -> Caller {
        Caller { app: "app".to_owned(), tenant: tenant.to_owned(), creator: String::new() }
    }

    #[test]
    fn the_limits_are_those_of_the_service() {
        let start = SystemTime::UNIX_EPOCH;
        for (operation, limit) in [
            (Operation::List, Some(25)),
            (Operation::Create, Some(500)),
            (Operation::Get, Some(500)),
            (Operation::Reauthorize, Some(1_000)),
            (Operation::Token, None),
        ] {
            let mut throttle = Throttle::default();
            let first = (1..=1_200).find(|_| throttle.count(operation, &caller("a"), start).is_some());
            assert_eq!(first, limit.map(|limit| limit + 1), "{operation:?}");
        }
    }

    #[test]
    fn an_app_has_a_limit_over_all_tenants() {
        let mut throttle = Throttle::default();
        let calls = (1..=50).map(|n| throttle.count(Operation::List, &caller(&(n % 2).to_string()), now(0)));
        assert_eq!(calls.filter(Option::is_some).count(), 10);
    }

    #[test]
    fn after_the_time_that_was_told_there_is_room_unless_somebody_hammers() {
        let mut throttle = Throttle::default();
        let mut count = |seconds| throttle.count(Operation::List, &caller("a"), now(seconds));
        assert!((0..25).all(|_| count(10).is_none()));
        assert_eq!(count(15), Some(16));
        // The refused one counts.
        assert!((0..24).all(|_| count(31).is_none()));
        assert_eq!(count(31), Some(5));
        assert!((0..25).all(|_| count(40).is_some()));
        assert_eq!(count(52), Some(9));
        assert_eq!(count(75), None);
    }

    fn now(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

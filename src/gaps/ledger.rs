//! The gaps that are owed: one for each subscription and reason, and none told too often. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use crate::envelope::gap::{Gap, GapReason};

/// What consumers are still to be told.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    owed: BTreeMap<Key, Gap>,
    /// When one of this key was told last, for as long as that matters.
    told: HashMap<Key, Instant>,
}

/// Reason and subscription.
type Key = (GapReason, Option<String>);

impl Ledger {
    /// Owes a gap. One of its kind that is owed already grows to hold both.
    pub(super) fn owe(&mut self, gap: Gap) {
        let mut key = key(&gap);
        let mut gap = gap;
        if self.owed.len() >= OWED_MAX && !self.owed.contains_key(&key) {
            // It is told of all subscriptions together then.
            key.1 = None;
            gap = Gap::new(gap.reason, gap.from, gap.to);
        }
        match self.owed.get_mut(&key) {
            Some(known) => grow(known, gap),
            None => _ = self.owed.insert(key, gap),
        }
    }

    /// Some of those that may be told now.
    pub(super) fn due(&mut self, now: Instant, many: usize) -> Vec<Gap> {
        self.told.retain(|_, told| now.duration_since(*told) < QUIET);
        let due = self.owed.iter().filter(|(key, _)| !self.told.contains_key(key));
        due.take(many).map(|(_, gap)| gap.clone()).collect()
    }

    /// These have been told.
    pub(super) fn told(&mut self, gaps: &[Gap], now: Instant) {
        for gap in gaps {
            let key = key(gap);
            self.owed.remove(&key);
            if self.told.len() < OWED_MAX {
                self.told.insert(key, now);
            }
        }
    }

    /// All that are owed.
    pub(super) fn all(&self) -> Vec<Gap> {
        self.owed.values().cloned().collect()
    }
}

fn key(gap: &Gap) -> Key {
    (gap.reason, gap.subscription_id.clone())
}

/// What one of them does not know, the other may.
fn grow(known: &mut Gap, more: Gap) {
    let Gap {
        subscription_id: _,
        name,
        client_state,
        tenant_id,
        resource,
        resource_type,
        reason: _,
        from,
        to,
        replaced_by,
    } = more;
    for (known, more) in [
        (&mut known.name, name),
        (&mut known.client_state, client_state),
        (&mut known.tenant_id, tenant_id),
        (&mut known.resource, resource),
        (&mut known.resource_type, resource_type),
        (&mut known.replaced_by, replaced_by),
    ] {
        if more.is_some() {
            *known = more;
        }
    }
    // A begin that one of them does not know, nobody knows.
    known.from = known.from.zip(from).map(|(one, other)| one.min(other));
    known.to = known.to.max(to);
}

/// Time between two gaps of one subscription for one reason; what comes between is told then, as one.
pub(super) const QUIET: Duration = Duration::from_secs(60);
/// Gaps that may be owed one by one: two for each subscription that is watched.
pub(super) const OWED_MAX: usize = 20_000;

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn missed(id: &str, from: Option<u64>, to: u64) -> Gap {
        let gap = Gap::new(GapReason::Missed, from.map(at), at(to));
        Gap { subscription_id: Some(id.to_owned()), ..gap }
    }

    #[test]
    fn what_comes_in_a_minute_is_told_as_one_and_nothing_is_lost() {
        let (mut ledger, start) = (Ledger::default(), Instant::now());
        let now = |seconds| start + Duration::from_secs(seconds);
        ledger.owe(missed("a", Some(1), 5));
        assert_eq!(ledger.due(now(0), 9), [missed("a", Some(1), 5)]);
        // It was not told: it is due again.
        assert_eq!(ledger.due(now(1), 9).len(), 1);
        ledger.told(&[missed("a", Some(1), 5)], now(2));
        for second in 6..10_006 {
            ledger.owe(missed("a", Some(second - 1), second));
        }
        ledger.owe(missed("b", None, 7));
        assert_eq!(ledger.due(now(3), 9), [missed("b", None, 7)]);
        assert_eq!(ledger.due(now(61), 9).len(), 1);
        assert_eq!(ledger.due(now(62), 9)[0], missed("a", Some(5), 10_005));
        ledger.told(&ledger.all(), now(62));
        assert_eq!(ledger.due(now(1_000), 9), []);
    }

    #[test]
    fn two_of_a_kind_grow_together() {
        let named = |gap| Gap { resource: Some("r".to_owned()), ..gap };
        for (one, other, expected) in [
            (missed("a", Some(3), 5), missed("a", Some(4), 9), missed("a", Some(3), 9)),
            (missed("a", Some(3), 5), missed("a", Some(1), 2), missed("a", Some(1), 5)),
            (missed("a", Some(3), 5), missed("a", None, 2), missed("a", None, 5)),
            (missed("a", None, 5), missed("a", Some(1), 2), missed("a", None, 5)),
            (named(missed("a", Some(1), 2)), missed("a", Some(1), 2), named(missed("a", Some(1), 2))),
            (missed("a", Some(1), 2), named(missed("a", Some(1), 2)), named(missed("a", Some(1), 2))),
        ] {
            let mut ledger = Ledger::default();
            ledger.owe(one);
            ledger.owe(other);
            assert_eq!(ledger.all(), [expected]);
        }
        let mut ledger = Ledger::default();
        ledger.owe(missed("a", None, 1));
        ledger.owe(Gap { reason: GapReason::Dropped, ..missed("a", None, 1) });
        assert_eq!(ledger.all().len(), 2);
    }

    #[test]
    fn over_the_bound_all_subscriptions_are_told_of_together() {
        let mut ledger = Ledger::default();
        for n in 0..OWED_MAX as u64 {
            ledger.owe(missed(&n.to_string(), Some(n), n));
        }
        ledger.owe(missed("x", Some(3), 4));
        ledger.owe(missed("y", Some(2), 9));
        ledger.owe(missed("0", Some(0), 70));
        let all = ledger.all();
        assert_eq!(all.len(), OWED_MAX + 1);
        assert_eq!(all[0], Gap::new(GapReason::Missed, Some(at(2)), at(9)));
        assert!(all.contains(&missed("0", Some(0), 70)));
    }
}

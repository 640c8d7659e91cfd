//! What is told of the subscriptions that we manage; those of which the names come and go with the configuration.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use prometheus_client::{
    metrics::{family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{
    labels::{StepResult, SubscriptionCall, SubscriptionState},
    series::{Counters, Labelled, counters, gauge, gauges, moment},
};

/// Series of `[[subscriptions]]`.
#[derive(Debug)]
pub struct Subscriptions {
    many: Labelled<SubscriptionState, Gauge>,
    ends: Family<Labels, Gauge>,
    shown: Mutex<BTreeMap<String, i64>>,
    earliest: Gauge,
    /// Calls to Graph for the sake of subscriptions, by what they were for and how they ended.
    pub steps: Counters<(SubscriptionCall, StepResult)>,
    manager: Gauge,
    last_look: Gauge,
}

type Labels = [(&'static str, String); 1];

impl Subscriptions {
    pub(super) fn register(r: &mut Registry) -> Self {
        let ends = Family::default();
        let help = "When a wanted subscription ends, unix time; 0 while it is not there";
        r.register_with_unit("subscription_expiration_timestamp", help, Unit::Seconds, ends.clone());
        Self {
            many: gauges(
                r,
                "subscriptions",
                "Subscriptions by how they stand; 0 on a daemon that does not manage",
            ),
            ends,
            shown: Mutex::default(),
            earliest: moment(
                r,
                "subscriptions_earliest_end_timestamp",
                "When the first of the wanted subscriptions ends, unix time; 0 without one",
            ),
            steps: counters(r, "subscription_steps", "Calls to Graph that make, keep or mend subscriptions"),
            manager: gauge(r, "subscriptions_manager", "1 while this daemon manages subscriptions"),
            last_look: moment(
                r,
                "subscriptions_last_look_timestamp",
                "When Graph last showed what it has, unix time; 0 if it never did",
            ),
        }
    }

    /// Whether this daemon manages. Who does not shows none.
    pub fn manages(&self, is_manager: bool) {
        self.manager.set(i64::from(is_manager));
        if !is_manager {
            for state in [
                SubscriptionState::Wanted,
                SubscriptionState::Live,
                SubscriptionState::Pending,
                SubscriptionState::Failing,
                SubscriptionState::Stranger,
            ] {
                self.show(state, 0);
            }
            self.ends(BTreeMap::new());
        }
    }

    /// So many of them stand like this.
    pub fn show(&self, state: SubscriptionState, many: usize) {
        self.many.of_label(state).set(i64::try_from(many).unwrap_or(i64::MAX));
    }

    /// When the wanted ones end, by name; nothing of what is not there.
    pub fn ends(&self, ends: BTreeMap<String, Option<SystemTime>>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let ends: BTreeMap<String, i64> =
            ends.into_iter().map(|(name, end)| (name, end.map_or(0, unix))).collect();
        for gone in shown.keys().filter(|name| !ends.contains_key(*name)) {
            self.ends.remove(&labels(gone));
        }
        for (name, end) in &ends {
            self.ends.get_or_create(&labels(name)).set(*end);
        }
        let alive = ends.values().copied().filter(|end| *end > 0);
        self.earliest.set(alive.min().unwrap_or_default());
        *shown = ends;
    }

    /// Graph has shown what it has.
    pub fn looked(&self, at: SystemTime) {
        self.last_look.set(unix(at));
    }
}

fn labels(name: &str) -> Labels {
    [("subscription", name.to_owned())]
}

fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn the_series_follow_what_is_wanted() {
        let mut registry = Registry::default();
        let subscriptions = Subscriptions::register(&mut registry);
        let page = || {
            let mut page = String::new();
            text::encode(&mut page, &registry).expect("a String takes every text");
            page
        };
        assert!(page().contains(r#"subscription_steps_total{step="create",result="failed"} 0"#));
        subscriptions.manages(true);
        subscriptions.show(SubscriptionState::Stranger, 3);
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(77);
        subscriptions.ends(BTreeMap::from([("mail".to_owned(), Some(end)), ("chat".to_owned(), None)]));
        for line in [
            r#"subscription_expiration_timestamp_seconds{subscription="mail"} 77"#,
            r#"subscription_expiration_timestamp_seconds{subscription="chat"} 0"#,
            r#"subscriptions{state="stranger"} 3"#,
            "subscriptions_manager 1",
            "subscriptions_earliest_end_timestamp_seconds 77",
        ] {
            assert!(page().contains(line), "{line} in\n{}", page());
        }
        subscriptions.ends(BTreeMap::from([("mail".to_owned(), Some(end))]));
        assert!(!page().contains("chat"));
        subscriptions.manages(false);
        assert!(!page().contains("mail"));
        assert!(page().contains(r#"subscriptions{state="stranger"} 0"#));
    }
}

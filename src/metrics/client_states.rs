//! What is told for each entry of the table of secrets; the entries come and go with the configuration.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

/// Series for each entry of the table of secrets.
#[derive(Debug)]
pub struct ClientStates {
    names: Mutex<HashSet<String>>,
    verified: Family<Labels, Counter>,
    seen: Family<Labels, Gauge>,
    silent: Family<Labels, Gauge>,
    ending: Family<Labels, Gauge>,
    ended: Family<Labels, Gauge>,
    expiry: Family<Labels, Gauge>,
}

/// How it stands with the subscriptions of one entry.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// All that are watched.
    pub seen: u64,
    /// Quieter than they should be.
    pub silent: u64,
    /// Soon at their end.
    pub ending: u64,
    /// Past it.
    pub ended: u64,
    /// The earliest end to come, unix time; 0 without one.
    pub expiry: u64,
}

type Labels = [(&'static str, String); 1];

impl ClientStates {
    pub(super) fn register(r: &mut Registry) -> Self {
        let expiry = Family::default();
        let help = "The earliest end to come of a subscription that was seen, unix time; 0 without one";
        r.register_with_unit("subscription_expiry_timestamp", help, Unit::Seconds, expiry.clone());
        let verified = Family::default();
        r.register("notifications_verified", "Genuine items by the entry that admits them", verified.clone());
        let mut gauge = |name: &str, help: &str| {
            let family = Family::default();
            r.register(name, help, family.clone());
            family
        };
        Self {
            names: Mutex::default(),
            seen: gauge("subscriptions_seen", "Subscriptions from which genuine items came"),
            silent: gauge("subscriptions_silent", "Subscriptions that are quieter than they should be"),
            ending: gauge("subscriptions_ending", "Subscriptions that end soon, and no renewal was seen"),
            ended: gauge("subscriptions_ended", "Subscriptions that ended in the last seven days"),
            verified,
            expiry,
        }
    }

    /// These are the entries from now on: new ones stand at 0, and what is gone is shown no more.
    pub fn adopt<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut shown = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let names: HashSet<String> = names.map(str::to_owned).collect();
        for gone in shown.difference(&names) {
            let labels = labels(gone);
            self.verified.remove(&labels);
            for gauges in self.gauges() {
                gauges.remove(&labels);
            }
        }
        for name in &names {
            let labels = labels(name);
            drop(self.verified.get_or_create(&labels));
            for gauges in self.gauges() {
                drop(gauges.get_or_create(&labels));
            }
        }
        *shown = names;
    }

    /// The counter of an entry's genuine items.
    pub fn verified(&self, name: &str) -> Counter {
        self.verified.get_or_create_owned(&labels(name))
    }

    /// Shows how it stands with the subscriptions of an entry.
    pub fn show(&self, name: &str, census: Census) {
        let Census { seen, silent, ending, ended, expiry } = census;
        for (gauges, value) in self.gauges().into_iter().zip([seen, silent, ending, ended, expiry]) {
            gauges.get_or_create(&labels(name)).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    fn gauges(&self) -> [&Family<Labels, Gauge>; 5] {
        [&self.seen, &self.silent, &self.ending, &self.ended, &self.expiry]
    }
}

fn labels(name: &str) -> Labels {
    [("client_state", name.to_owned())]
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn the_series_follow_the_table() {
        let mut registry = Registry::default();
        let states = ClientStates::register(&mut registry);
        let page = || {
            let mut page = String::new();
            text::encode(&mut page, &registry).expect("a String takes every text");
            page
        };
        states.adopt(["mail", "chat"].into_iter());
        states.verified("mail").inc();
        states.show("chat", Census { silent: 2, expiry: 77, ..Census::default() });
        for line in [
            r#"notifications_verified_total{client_state="mail"} 1"#,
            r#"notifications_verified_total{client_state="chat"} 0"#,
            r#"subscriptions_silent{client_state="chat"} 2"#,
            r#"subscriptions_ended{client_state="mail"} 0"#,
            r#"subscription_expiry_timestamp_seconds{client_state="chat"} 77"#,
        ] {
            assert!(page().contains(line), "{line} in\n{}", page());
        }
        states.adopt(["mail", "new"].into_iter());
        assert!(!page().contains("chat"));
        assert!(page().contains(r#"notifications_verified_total{client_state="mail"} 1"#));
        assert!(page().contains(r#"subscriptions_seen{client_state="new"} 0"#));
    }
}

//! What is told of resource data: its tokens, its keys, and what became of it.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{
    labels::KeyFetch,
    series::{Counters, confirm_times, counters, gauge, moment, seconds},
};
use crate::verify::TokenFault;

/// Series of `[rich]`.
#[derive(Debug)]
pub struct Rich {
    /// Validation tokens by what was found; `None` is a good one.
    pub tokens: Counters<Option<TokenFault>>,
    /// Time of one decryption, without the wait for its turn.
    pub decryption_duration: Histogram,
    /// Keys for tokens that are known.
    pub signing_keys: Gauge,
    signing_keys_fetched: Gauge,
    /// Attempts to fetch one document of keys.
    pub key_fetches: Counters<KeyFetch>,
    ids: Mutex<HashSet<String>>,
    uses: Family<Labels, Counter>,
    last_use: Family<Labels, Gauge>,
    certificate_not_after: Family<Labels, Gauge>,
}

/// How often and when a decryption key was of use.
#[derive(Clone, Debug)]
pub struct KeyUse {
    count: Counter,
    last: Gauge,
}

type Labels = [(&'static str, String); 1];

impl KeyUse {
    /// It has opened something.
    pub fn note(&self, now: SystemTime) {
        self.count.inc();
        self.last.set(unix(now));
    }

    /// When it did so last, unix time; 0 if it never did.
    pub fn last(&self) -> i64 {
        self.last.get()
    }
}

impl Rich {
    pub(super) fn register(r: &mut Registry) -> Self {
        let (uses, last_use) = (Family::default(), Family::default());
        r.register("decryption_key_uses", "Resource data opened with a key", uses.clone());
        let help = "When a key was last of use, unix time; 0 if it never was";
        r.register_with_unit("decryption_key_last_use_timestamp", help, Unit::Seconds, last_use.clone());
        let certificate_not_after = Family::default();
        let help = "End of the certificate that belongs to a key, unix time";
        let name = "decryption_certificate_not_after_timestamp";
        r.register_with_unit(name, help, Unit::Seconds, certificate_not_after.clone());
        Self {
            tokens: counters(r, "validation_tokens", "Validation tokens by what was found"),
            decryption_duration: seconds(
                r,
                "decryption_duration",
                "Time of one decryption, without the wait for its turn",
                confirm_times(),
            ),
            signing_keys: gauge(r, "signing_keys", "Keys for validation tokens that are known"),
            signing_keys_fetched: moment(
                r,
                "signing_keys_fetched_timestamp",
                "When all documents of keys were last read well, unix time; 0 before the first time",
            ),
            key_fetches: counters(r, "signing_key_fetches", "Attempts to fetch a document of keys"),
            ids: Mutex::default(),
            uses,
            last_use,
            certificate_not_after,
        }
    }

    /// All documents of keys were read well.
    pub fn keys_fetched(&self, now: SystemTime) {
        self.signing_keys_fetched.set(unix(now));
    }

    /// These are the decryption keys from now on, with the end of their certificates where they name one: new ones stand
    /// at 0, and what is gone is shown no more.
    pub fn adopt<'a>(&self, keys: impl Iterator<Item = (&'a str, Option<i64>)>) {
        let mut shown = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids = HashSet::new();
        for (id, not_after) in keys {
            drop(self.key_use(id));
            match not_after {
                Some(end) => drop(self.certificate_not_after.get_or_create(&labels(id)).set(end)),
                None => drop(self.certificate_not_after.remove(&labels(id))),
            }
            ids.insert(id.to_owned());
        }
        for gone in shown.difference(&ids) {
            self.uses.remove(&labels(gone));
            self.last_use.remove(&labels(gone));
            self.certificate_not_after.remove(&labels(gone));
        }
        *shown = ids;
    }

    /// The series of a decryption key.
    pub fn key_use(&self, id: &str) -> KeyUse {
        KeyUse {
            count: self.uses.get_or_create_owned(&labels(id)),
            last: self.last_use.get_or_create_owned(&labels(id)),
        }
    }
}

fn labels(id: &str) -> Labels {
    [("key", id.to_owned())]
}

fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

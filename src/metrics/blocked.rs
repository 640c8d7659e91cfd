//! How long the broker has blocked us, in all: a counter that goes on while it lasts.

use std::{
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Instant,
};

use prometheus_client::{
    metrics::counter::Counter,
    registry::{Registry, Unit},
};

/// Time for which the broker has blocked publishing.
#[derive(Debug)]
pub struct Blocked {
    total: Counter<f64, AtomicU64>,
    /// Counted up to here, while it lasts.
    since: Mutex<Option<Instant>>,
}

impl Blocked {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let total = Counter::default();
        let help = "Time for which the broker has blocked publishing";
        registry.register_with_unit("amqp_blocked", help, Unit::Seconds, total.clone());
        Self { total, since: Mutex::default() }
    }

    /// It is blocked from now on, or it is not.
    pub fn set(&self, is_blocked: bool, now: Instant) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = *since {
            self.total.inc_by(now.saturating_duration_since(since).as_secs_f64());
        }
        *since = is_blocked.then_some(now);
    }

    /// Brings the counter up to date.
    pub(super) fn tick(&self, now: Instant) {
        let is_blocked = self.since.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        self.set(is_blocked, now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_counts_while_it_lasts_and_not_between() {
        let (blocked, start) = (Blocked::register(&mut Registry::default()), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        blocked.set(false, at(1));
        blocked.set(true, at(2));
        blocked.tick(at(5));
        assert_eq!(blocked.total.get(), 3.0);
        blocked.set(true, at(6));
        blocked.set(false, at(7));
        blocked.tick(at(90));
        assert_eq!(blocked.total.get(), 5.0);
    }
}

//! The subscriptions there are: whose they are, how many they may be, and when they end. Pure.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;

use super::{calls::Caller, refusal::Refusal, subscription::Subscription};

/// All subscriptions, in the order in which they were made; those that have ended for a while, too.
#[derive(Debug, Default)]
pub(super) struct Store(Vec<Subscription>);

impl Store {
    /// Whether there is room for it, and no other like it.
    pub(super) fn admit(&self, new: &Subscription, quota: usize, now: SystemTime) -> Result<(), Refusal> {
        let owned: Vec<_> = self.live(now).filter(|kept| kept.owner == new.owner).collect();
        if let Some(same) = owned.iter().find(|kept| kept.is_same_as(new)) {
            let message = format!("Subscription Id {} already exists for the requested combination", same.id);
            return Err(Refusal::new(StatusCode::CONFLICT, "Conflict", message));
        }
        if owned.len() >= quota || self.0.len() >= SUBSCRIPTIONS_MAX {
            let reason = "Maximum number of subscriptions has been reached";
            let message = format!("Operation: Create; Exception: [Status Code: Forbidden; Reason: {reason}]");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "ExtensionError", message));
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, new: Subscription, now: SystemTime) {
        self.0.retain(|kept| kept.expires + REMEMBERED > now);
        self.0.push(new);
    }

    /// A live one, whosever it is.
    pub(super) fn find(&self, id: &str, now: SystemTime) -> Option<&Subscription> {
        self.live(now).find(|kept| kept.id.eq_ignore_ascii_case(id))
    }

    /// A live one of this caller's.
    pub(super) fn owned(&self, id: &str, by: &Caller, now: SystemTime) -> Option<&Subscription> {
        self.find(id, now).filter(|kept| kept.owner == *by)
    }

    /// Puts a changed one in the place of the old; whether that was still there.
    pub(super) fn replace(&mut self, changed: Subscription, now: SystemTime) -> bool {
        let kept = self.0.iter_mut().find(|kept| kept.id == changed.id && kept.expires > now);
        kept.map(|kept| *kept = changed).is_some()
    }

    /// Removes a live one.
    pub(super) fn remove(&mut self, id: &str, now: SystemTime) -> Option<Subscription> {
        let at = self.0.iter().position(|kept| kept.expires > now && kept.id.eq_ignore_ascii_case(id))?;
        Some(self.0.remove(at))
    }

    pub(super) fn live(&self, now: SystemTime) -> impl Iterator<Item = &Subscription> {
        self.0.iter().filter(move |kept| kept.expires > now)
    }

    /// What a caller gets to see of its own, from one place of the list on, and the place of the next page.
    pub(super) fn page(
        &self,
        by: &Caller,
        with_expired: bool,
        from: usize,
        size: usize,
        now: SystemTime,
    ) -> (Vec<&Subscription>, Option<usize>) {
        let all = self.0.iter().filter(|kept| kept.owner == *by && (with_expired || kept.expires > now));
        let mut rest = all.skip(from);
        let page: Vec<_> = rest.by_ref().take(size.max(1)).collect();
        let next = rest.next().map(|_| from + page.len());
        (page, next)
    }
}

/// In memory at once, those included that have ended.
const SUBSCRIPTIONS_MAX: usize = 10_000;
/// How long those that have ended can still be listed.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

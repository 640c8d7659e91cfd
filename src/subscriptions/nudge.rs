//! Genuine lifecycle items, for whoever acts on them: bounded, one of a kind for each subscription, and never waited for
//! by a request.
//!
//! Only [`Sightings`](crate::sightings::Sightings) posts, and it takes nothing but [`Verified`](crate::verify::Verified):
//! a forged item never comes here. An item moves nobody by itself to call Graph as often as it comes: what waits is one
//! nudge, however many items made it.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::SystemTime,
};

use tokio::sync::Notify;

use crate::{metrics::Metrics, notification::lifecycle::Event};

/// Where lifecycle items are posted, for all who have an inbox.
#[derive(Debug)]
pub struct Nudges {
    inboxes: Mutex<Vec<Weak<Shared>>>,
    metrics: Arc<Metrics>,
}

/// What waits for one who acts.
#[derive(Debug)]
pub struct Inbox(Arc<Shared>);

/// Lifecycle items of one subscription that tell the same, and that the same entry of the table admits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nudge {
    /// The subscription.
    pub subscription_id: Arc<str>,
    /// What the items tell.
    pub event: Event,
    /// Name of the entry of the table that admits them.
    pub client_state: Arc<str>,
    /// The tenant, if they name it.
    pub tenant_id: Option<String>,
    /// When the last genuine item of any kind had come before the first of these; nothing if none had.
    pub before: Option<SystemTime>,
    /// When the first of them came.
    pub first_at: SystemTime,
    /// When the last of them came.
    pub last_at: SystemTime,
    /// How many there were.
    pub times: u64,
}

/// Items for which there was no room: of which subscriptions, nobody knows any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lump {
    /// What they tell.
    pub event: Event,
    /// Name of the entry of the table that admits them.
    pub client_state: Arc<str>,
    /// When the first of them came.
    pub first_at: SystemTime,
    /// When the last of them came.
    pub last_at: SystemTime,
    /// How many there were.
    pub times: u64,
}

/// All that an inbox held.
#[derive(Debug, Default)]
pub struct Mail {
    /// One for each subscription, event and entry of the table, in no order.
    pub nudges: Vec<Nudge>,
    /// One for each event and entry of the table, if there were more than there was room for.
    pub lumps: Vec<Lump>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Who knows the secret of one entry speaks for that one alone: his items are not taken together with those of others.
    nudges: HashMap<(Arc<str>, Event, Arc<str>), Nudge>,
    lumps: Vec<Lump>,
}

impl Nudges {
    /// Without any inbox.
    pub fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { inboxes: Mutex::default(), metrics })
    }

    /// An inbox for what comes from now on; it is gone when it is dropped.
    pub fn inbox(&self) -> Inbox {
        let shared = Arc::<Shared>::default();
        let mut inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        inboxes.retain(|inbox| inbox.strong_count() > 0);
        inboxes.push(Arc::downgrade(&shared));
        Inbox(shared)
    }

    /// Posts what a request brought. Never waits.
    pub(crate) fn post(&self, nudges: &[Nudge]) {
        if nudges.is_empty() {
            return;
        }
        let inboxes = self.inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let lumped = inboxes.iter().filter_map(Weak::upgrade).map(|inbox| inbox.put(nudges)).max();
        self.metrics.nudges_overflowed.inc_by(lumped.unwrap_or_default());
    }
}

impl Inbox {
    /// Waits until there is something.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken, and an arrival that nobody waited for ends the next wait at once.
    pub async fn arrived(&self) {
        while self.0.waiting().is_empty() {
            self.0.arrived.notified().await;
        }
    }

    /// Takes all that is there.
    pub fn take(&self) -> Mail {
        let Waiting { nudges, lumps } = std::mem::take(&mut *self.0.waiting());
        Mail { nudges: nudges.into_values().collect(), lumps }
    }
}

impl Shared {
    /// Returns how many had no room.
    fn put(&self, nudges: &[Nudge]) -> u64 {
        let lumped = {
            let mut waiting = self.waiting();
            nudges.iter().filter(|nudge| !waiting.put(nudge)).count()
        };
        self.arrived.notify_one();
        lumped as u64
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.nudges.is_empty() && self.lumps.is_empty()
    }

    /// Returns whether there was room for it.
    fn put(&mut self, nudge: &Nudge) -> bool {
        let is_full = self.nudges.len() >= NUDGES_MAX;
        let key = (Arc::clone(&nudge.subscription_id), nudge.event, Arc::clone(&nudge.client_state));
        match self.nudges.entry(key) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.last_at = known.last_at.max(nudge.last_at);
                known.times += nudge.times;
                true
            }
            Entry::Vacant(place) if !is_full => {
                place.insert(nudge.clone());
                true
            }
            Entry::Vacant(_) => {
                self.lump(nudge);
                false
            }
        }
    }

    fn lump(&mut self, nudge: &Nudge) {
        let &Nudge { event, ref client_state, first_at, last_at, times, .. } = nudge;
        let is_like = |lump: &&mut Lump| lump.event == event && lump.client_state == *client_state;
        match self.lumps.iter_mut().find(is_like) {
            Some(lump) => {
                lump.last_at = lump.last_at.max(last_at);
                lump.times += times;
            }
            None => {
                let client_state = Arc::clone(client_state);
                self.lumps.push(Lump { event, client_state, first_at, last_at, times });
            }
        }
    }
}

/// Nudges that may wait: as many as there are subscriptions that are watched.
const NUDGES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    fn nudge(id: &str, event: Event, second: u64) -> Nudge {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        Nudge {
            subscription_id: id.into(),
            event,
            client_state: "mail".into(),
            tenant_id: None,
            before: None,
            first_at: at,
            last_at: at,
            times: 1,
        }
    }

    #[test]
    fn many_of_a_kind_are_one_and_each_inbox_gets_it() {
        let nudges = Nudges::new(Metrics::new());
        nudges.post(&[nudge("before", Event::Missed, 0)]);
        let inboxes = [nudges.inbox(), nudges.inbox()];
        assert!(inboxes[0].arrived().now_or_never().is_none());
        nudges.post(&[nudge("a", Event::Missed, 1), nudge("a", Event::SubscriptionRemoved, 1)]);
        nudges.post(&[nudge("a", Event::Missed, 5)]);
        for inbox in &inboxes {
            assert!(inbox.arrived().now_or_never().is_some());
            let Mail { nudges, lumps } = inbox.take();
            assert_eq!((nudges.len(), lumps.len()), (2, 0));
            let missed = nudges.iter().find(|nudge| nudge.event == Event::Missed).expect("one of them");
            let Nudge { first_at, last_at, .. } = nudge("a", Event::Missed, 1);
            let expected =
                Nudge { first_at, last_at: last_at + Duration::from_secs(4), times: 2, ..missed.clone() };
            assert_eq!(*missed, expected);
            assert!(inbox.arrived().now_or_never().is_none());
        }
    }

    #[test]
    fn items_of_one_entry_do_not_hide_those_of_another() {
        let nudges = Nudges::new(Metrics::new());
        let inbox = nudges.inbox();
        let insider = Nudge { client_state: "insider".into(), ..nudge("a", Event::Missed, 1) };
        nudges.post(&[insider, nudge("a", Event::Missed, 2)]);
        let mut entries: Vec<_> = inbox.take().nudges.into_iter().map(|nudge| nudge.client_state).collect();
        entries.sort_unstable();
        assert_eq!(entries, ["insider".into(), "mail".into()] as [Arc<str>; 2]);
    }

    #[test]
    fn what_has_no_room_is_lumped_and_counted() {
        let metrics = Metrics::new();
        let nudges = Nudges::new(Arc::clone(&metrics));
        let inbox = nudges.inbox();
        let many: Vec<Nudge> =
            (0..NUDGES_MAX + 3).map(|n| nudge(&n.to_string(), Event::Missed, n as u64)).collect();
        nudges.post(&many);
        // One that waits already needs no room.
        nudges.post(&[nudge("0", Event::Missed, 7), nudge("x", Event::ReauthorizationRequired, 9)]);
        assert_eq!(metrics.nudges_overflowed.get(), 4);
        let Mail { nudges: waiting, lumps } = inbox.take();
        assert_eq!(waiting.len(), NUDGES_MAX);
        let told: Vec<_> = lumps.iter().map(|lump| (lump.event, lump.times)).collect();
        assert_eq!(told, [(Event::Missed, 3), (Event::ReauthorizationRequired, 1)]);
        assert_eq!(lumps[0].last_at, many[NUDGES_MAX + 2].last_at);
    }

    #[test]
    fn an_inbox_that_is_dropped_costs_nothing_more() {
        let nudges = Nudges::new(Metrics::new());
        drop(nudges.inbox());
        nudges.post(&[nudge("a", Event::Missed, 1)]);
        let _inbox = nudges.inbox();
        assert_eq!(nudges.inboxes.lock().expect("no panic").len(), 1);
    }
}

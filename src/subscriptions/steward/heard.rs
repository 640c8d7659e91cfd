//! What Graph has said by itself, for as long as it matters. Pure.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use super::super::{
    nudge::{Lump, Mail, Nudge},
    plan::Calls,
    state::{Kept, MadeBy, State},
};
use crate::notification::{id::SubscriptionId, lifecycle::Event};

/// Lifecycle notifications that are still to be answered.
#[derive(Debug, Default)]
pub(super) struct Heard {
    challenged: HashMap<SubscriptionId<'static>, SystemTime>,
    removed: HashMap<SubscriptionId<'static>, SystemTime>,
}

impl Heard {
    /// Takes what has come. Returns whether there is anything to be done about it: not for subscriptions that are none of
    /// ours, nor for a token that has just been renewed.
    pub(super) fn hear(&mut self, mail: Mail, state: &State, now: SystemTime) -> bool {
        let before = (self.challenged.len(), self.removed.len());
        for Nudge { subscription_id, event, .. } in mail.nudges {
            if let Some(kept) = state.with_id(&subscription_id) {
                self.one(event, kept, now);
            }
        }
        for Lump { event, .. } in mail.lumps {
            for kept in &state.kept {
                self.one(event, kept, now);
            }
        }
        before != (self.challenged.len(), self.removed.len())
    }

    fn one(&mut self, event: Event, kept: &Kept, now: SystemTime) {
        let Some(live) = kept.live().filter(|_| kept.made_by == MadeBy::Wanted) else { return };
        match event {
            Event::ReauthorizationRequired => {
                if !kept.touch.is_some_and(|touch| touch.is_done && touch.is_fresh(now)) {
                    self.challenged.entry(live.id.clone()).or_insert(now);
                }
            }
            Event::SubscriptionRemoved => _ = self.removed.entry(live.id.clone()).or_insert(now),
            Event::Missed | Event::Other => {}
        }
    }

    /// This one has a fresh token.
    pub(super) fn answered(&mut self, id: &str) {
        self.challenged.remove(id);
    }

    /// What is to be considered now.
    pub(super) fn calls(&self, now: SystemTime) -> Calls {
        let lately = |then: &SystemTime| now.duration_since(*then).unwrap_or_default() < MATTERS_FOR;
        let ids = |heard: &HashMap<SubscriptionId<'static>, SystemTime>| {
            heard.iter().filter(|(_, then)| lately(then)).map(|(id, _)| id.clone()).collect()
        };
        Calls { challenged: ids(&self.challenged), removed: ids(&self.removed) }
    }

    /// Forgets what does not matter any more. Returns whether something is said to be gone that Graph still shows: it is
    /// looked at more often.
    pub(super) fn has_doubts(&mut self, state: &State, now: SystemTime) -> bool {
        for heard in [&mut self.challenged, &mut self.removed] {
            heard.retain(|id, then| {
                now.duration_since(*then).unwrap_or_default() < MATTERS_FOR && state.with_id(id).is_some()
            });
        }
        !self.removed.is_empty()
    }
}

/// Longer than any pause between tries.
const MATTERS_FOR: Duration = Duration::from_secs(30 * 60);

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
    /// ours, nor for a token that has just been renewed, nor when it carries another clientState than that subscription's:
    /// an entry of the table may admit items of any subscription, and who knows its secret is not Graph to the others.
    pub(super) fn hear(&mut self, mail: Mail, state: &State, now: SystemTime) -> bool {
        let before = (self.challenged.len(), self.removed.len());
        for Nudge { subscription_id, event, client_state, .. } in mail.nudges {
            if let Some(kept) = state.with_id(&subscription_id).filter(|kept| *kept.entry() == *client_state)
            {
                self.one(event, kept, now);
            }
        }
        for Lump { event, client_state, .. } in mail.lumps {
            for kept in state.kept.iter().filter(|kept| *kept.entry() == *client_state) {
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
                    // It wants one still, or again: from now on.
                    self.challenged.insert(live.id.clone(), now);
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
        let ids = |heard: &HashMap<SubscriptionId<'static>, SystemTime>, for_how_long| {
            heard
                .iter()
                .filter(|(_, then)| is_within(**then, now, for_how_long))
                .map(|(id, _)| id.clone())
                .collect()
        };
        Calls { challenged: ids(&self.challenged, WANTED_FOR), removed: ids(&self.removed, DOUBTED_FOR) }
    }

    /// Forgets what does not matter any more. Returns whether something is said to be gone that Graph still shows: it is
    /// looked at more often.
    pub(super) fn has_doubts(&mut self, state: &State, now: SystemTime) -> bool {
        for (heard, for_how_long) in [(&mut self.challenged, WANTED_FOR), (&mut self.removed, DOUBTED_FOR)] {
            heard.retain(|id, then| is_within(*then, now, for_how_long) && state.with_id(id).is_some());
        }
        !self.removed.is_empty()
    }
}

fn is_within(then: SystemTime, now: SystemTime, time: Duration) -> bool {
    now.duration_since(then).unwrap_or_default() < time
}

/// A fresh token is wanted until there is one: longer than any pause between tries, and any fault of Graph's that passes.
const WANTED_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// What Graph still shows half an hour later is there.
const DOUBTED_FOR: Duration = Duration::from_secs(30 * 60);

#[cfg(test)]
mod tests;

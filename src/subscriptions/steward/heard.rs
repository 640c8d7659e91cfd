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

#[cfg(test)]
mod tests {
    use super::{
        super::super::state::{Form, Live, Phase, Touch, TouchKind},
        *,
    };
    use crate::{moment::at, secret::Secret};

    const NOW: u64 = 1_000_000;

    fn time(seconds: u64) -> SystemTime {
        at(Duration::from_secs(seconds))
    }

    fn state() -> State {
        let form = Form {
            resource: "r".to_owned(),
            change_types: Vec::new(),
            notification_url: String::new(),
            lifecycle_url: String::new(),
            entry: None,
            encryption: None,
            app_id: None,
            query_options: None,
            prefer: Vec::new(),
        };
        let kept = |id: &str, made_by| {
            let secret = Secret::new(id.to_owned());
            let mut kept = Kept::pending(id.to_owned(), made_by, form.clone(), secret, time(0));
            kept.phase = Phase::Live(Live {
                id: id.to_owned().into(),
                expires_at: time(NOW + 1),
                made_at: time(0),
                renewed_at: time(0),
                notification_url: String::new(),
            });
            kept
        };
        let kept = vec![kept("ours", MadeBy::Wanted), kept("by hand", MadeBy::Hand)];
        State { kept, ..State::default() }
    }

    fn mail(id: &str, event: Event) -> Mail {
        let nudge = Nudge {
            subscription_id: id.into(),
            event,
            client_state: "entry".into(),
            tenant_id: None,
            before: None,
            first_at: time(NOW),
            last_at: time(NOW),
            times: 1,
        };
        Mail { nudges: vec![nudge], lumps: Vec::new() }
    }

    #[test]
    fn what_matters_is_heard_once() {
        let mut state = state();
        let hear = |state: &State, id: &str, event| Heard::default().hear(mail(id, event), state, time(NOW));
        assert!(hear(&state, "ours", Event::ReauthorizationRequired));
        assert!(hear(&state, "ours", Event::SubscriptionRemoved));
        for event in Event::ALL {
            assert!(!hear(&state, "by hand", event), "{event:?}");
            assert!(!hear(&state, "a stranger's", event), "{event:?}");
        }
        assert!(!hear(&state, "ours", Event::Missed));
        assert!(!hear(&state, "ours", Event::Other));
        for (ago, is_done, expected) in [(599, true, false), (599, false, true), (600, true, true)] {
            state.kept[0].touch = Some(Touch { kind: TouchKind::Patch, at: time(NOW - ago), is_done });
            assert_eq!(hear(&state, "ours", Event::ReauthorizationRequired), expected);
        }
        // A second one of the same is no news, before it is answered.
        let mut heard = Heard::default();
        let mut again = || heard.hear(mail("ours", Event::SubscriptionRemoved), &state, time(NOW));
        assert_eq!((again(), again()), (true, false));
    }

    #[test]
    fn what_was_heard_matters_for_a_time() {
        let (state, mut heard) = (state(), Heard::default());
        heard.hear(mail("ours", Event::SubscriptionRemoved), &state, time(NOW));
        heard.hear(mail("ours", Event::ReauthorizationRequired), &state, time(NOW));
        let many = |heard: &Heard, seconds| {
            let Calls { challenged, removed } = heard.calls(time(NOW + seconds));
            (challenged.len(), removed.len())
        };
        assert_eq!(many(&heard, 1799), (1, 1));
        assert_eq!(many(&heard, 1800), (0, 0));
        assert!(heard.has_doubts(&state, time(NOW + 1799)));
        heard.answered("ours");
        assert_eq!(many(&heard, 0), (0, 1));
        assert!(!heard.has_doubts(&State::default(), time(NOW)));
        assert_eq!(many(&heard, 0), (0, 0));
    }

    #[test]
    fn what_had_no_room_may_mean_all_of_ours() {
        let lump =
            Lump { event: Event::ReauthorizationRequired, first_at: time(NOW), last_at: time(NOW), times: 9 };
        let mut heard = Heard::default();
        assert!(heard.hear(Mail { nudges: Vec::new(), lumps: vec![lump] }, &state(), time(NOW)));
        assert_eq!(heard.calls(time(NOW)).challenged.len(), 1);
    }
}

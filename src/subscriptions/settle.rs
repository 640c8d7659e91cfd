//! What each step does to the state: before a call to Graph, so that nothing is forgotten in a crash, and after it. Pure.

use std::time::SystemTime;

use super::{
    plan::{Actual, DeleteReason, Step},
    state::{Form, Former, Kept, Loss, MadeBy, Owed, Phase, Standing, State, Touch, TouchKind},
};
use crate::{
    config::{ClientState, Wanted},
    graph::subscription::Subscription,
    notification::id::SubscriptionId,
    secret::Secret,
};

/// What a state is changed by.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// What should be.
    pub wanted: &'a [Wanted],
    /// The table of secrets, as it is configured.
    pub table: &'a [ClientState],
    /// What Graph has.
    pub actual: &'a Actual,
    /// The time.
    pub now: SystemTime,
    /// Makes a clientState.
    pub make_secret: fn() -> Secret,
}

impl Settlement<'_> {
    /// All that a step changes before Graph is called for it; of a step that is ours alone, that is all. A step whose
    /// subject is gone changes nothing.
    pub fn begin(&self, state: &mut State, step: &Step) {
        match step {
            Step::Expect { name } => self.expect(state, name),
            Step::Adopt { name, id } => self.adopt(state, name, id),
            Step::Rename { from, to } => {
                if let Some(kept) = state.named_mut(from) {
                    kept.name.clone_from(to);
                }
            }
            Step::Believe { name, id, expires_at } => self.believe(state, name, id, *expires_at),
            Step::Lose { name, id, loss } => self.lose(state, name, id, *loss),
            Step::Replace { name, id, overlaps } => self.replace(state, name, id, *overlaps),
            Step::Drop { name } => {
                if let Some(index) = state.kept.iter().position(|kept| kept.name == *name) {
                    let kept = state.kept.remove(index);
                    state.former.extend(former(&kept, Standing::Doomed));
                }
            }
            Step::Forget { id } => state.former.retain(|former| former.id != *id),
            // What came from it was refused, for nobody knows how long.
            Step::Delete { id, name: Some(name), why: DeleteReason::Remain } => {
                if let Some(kept) = state.named_mut(name) {
                    kept.owe(Owed { loss: Loss::Replaced, id: Some(id.clone()), from: None });
                }
            }
            // Its successor was to be there before it goes.
            Step::Delete { id, name: Some(name), why: DeleteReason::Former } => {
                let is_outgoing = |former: &Former| former.id == *id && former.standing == Standing::Outgoing;
                if state.former.iter().any(is_outgoing)
                    && let Some(kept) = state.named_mut(name).filter(|kept| kept.live().is_none())
                {
                    kept.owe(Owed { loss: Loss::Replaced, id: Some(id.clone()), from: Some(self.now) });
                }
            }
            Step::Delete { .. } | Step::Create { .. } => {}
            Step::Renew { name, .. } | Step::Move { name, .. } | Step::Rotate { name, .. } => {
                self.touch(state, name, TouchKind::Patch);
            }
            Step::Reauthorize { name, .. } => self.touch(state, name, TouchKind::Reauthorize),
        }
    }

    /// The same for a call, unless the other kind of call that gives a fresh token was made since the plan was: daemon and
    /// command line work at one time. Returns whether the call may be made.
    pub fn may_begin(&self, state: &mut State, step: &Step) -> bool {
        let kind = match step {
            Step::Renew { .. } | Step::Move { .. } | Step::Rotate { .. } => Some(TouchKind::Patch),
            Step::Reauthorize { .. } => Some(TouchKind::Reauthorize),
            Step::Expect { .. }
            | Step::Adopt { .. }
            | Step::Rename { .. }
            | Step::Believe { .. }
            | Step::Lose { .. }
            | Step::Replace { .. }
            | Step::Drop { .. }
            | Step::Forget { .. }
            | Step::Delete { .. }
            | Step::Create { .. } => None,
        };
        let touch = step.name().and_then(|name| state.named(name)).and_then(|kept| kept.touch);
        if kind.zip(touch).is_some_and(|(kind, touch)| touch.forbids(kind, self.now)) {
            return false;
        }
        self.begin(state, step);
        true
    }

    /// Graph has answered the call of this step, with a subscription where it shows one.
    pub fn finish(&self, state: &mut State, step: &Step, shown: Option<&Subscription>) {
        if let Step::Delete { id, .. } = step {
            let former = state.former.iter_mut().find(|former| former.id == *id);
            if let Some(former) = former {
                former.standing = Standing::Gone { at: self.now };
            }
            return;
        }
        let Some(kept) = step.name().and_then(|name| state.named_mut(name)) else { return };
        if let Some(form) = self.wanted.iter().find(|wanted| wanted.name == kept.name).map(Form::of) {
            if matches!(step, Step::Move { .. }) {
                kept.form.notification_url = form.notification_url;
            } else if matches!(step, Step::Rotate { .. }) {
                kept.form.encryption = form.encryption;
            }
        }
        if let Some(shown) = shown {
            kept.is_now(shown, self.now);
        }
        if let Some(touch) = kept.touch.as_mut() {
            // It may have been tried for minutes.
            (touch.is_done, touch.at) = (true, self.now);
        }
    }

    /// Graph would not change the certificate.
    pub fn refuse_rotation(&self, state: &mut State, name: &str) {
        if let Some(kept) = state.named_mut(name) {
            kept.is_unrotatable = true;
        }
    }

    fn form(&self, name: &str) -> Option<Form> {
        self.wanted.iter().find(|wanted| wanted.name == name).map(Form::of)
    }

    /// The configured secret; or a new one.
    fn secret(&self, form: &Form) -> Secret {
        let named = form.entry.as_ref();
        let configured = named.and_then(|name| self.table.iter().find(|entry| entry.name == *name));
        configured.map_or_else(self.make_secret, |entry| entry.secret.clone())
    }

    fn expect(&self, state: &mut State, name: &str) {
        let Some(form) = self.form(name) else { return };
        match state.named_mut(name) {
            Some(kept) if kept.live().is_some() => {}
            Some(kept) => self.begin_anew(kept, form),
            None => {
                let secret = self.secret(&form);
                state.kept.push(Kept::pending(name.to_owned(), MadeBy::Wanted, form, secret, self.now));
            }
        }
    }

    fn begin_anew(&self, kept: &mut Kept, form: Form) {
        let (secret, owed) = (self.secret(&form), std::mem::take(&mut kept.owed));
        *kept = Kept::pending(kept.name.clone(), kept.made_by, form, secret, self.now);
        kept.owed = owed;
    }

    fn adopt(&self, state: &mut State, name: &str, id: &SubscriptionId<'static>) {
        let Some(shown) = self.actual.with_id(id) else { return };
        if state.named(name).is_none() {
            self.expect(state, name);
        }
        if let Some(kept) = state.named_mut(name) {
            kept.is_now(shown, self.now);
        }
    }

    fn believe(&self, state: &mut State, name: &str, id: &SubscriptionId<'static>, expires_at: SystemTime) {
        let Some(Phase::Live(live)) = state.named_mut(name).map(|kept| &mut kept.phase) else { return };
        if live.id == *id {
            // Somebody else has renewed it: that life began lately.
            if live.expires_at < expires_at {
                live.renewed_at = self.now;
            }
            live.expires_at = expires_at;
        }
    }

    fn lose(&self, state: &mut State, name: &str, id: &SubscriptionId<'static>, loss: Loss) {
        let Some(kept) = state.named_mut(name) else { return };
        let Some(live) = kept.live().filter(|live| live.id == *id) else { return };
        // So late it was still there, or what it brought was.
        let seen = self.actual.seen.get(id).map(|seen| seen.last_at);
        let from = seen.map_or(live.renewed_at, |seen| seen.max(live.renewed_at)).min(live.expires_at);
        let is_gone = self.actual.gone.contains(id);
        let standing = if is_gone { Standing::Gone { at: self.now } } else { Standing::Doomed };
        let former = former(kept, standing);
        kept.owe(Owed { loss, id: Some(id.clone()), from: Some(from.min(self.now)) });
        let form = if kept.made_by == MadeBy::Wanted { self.form(name) } else { None };
        let form = form.unwrap_or_else(|| kept.form.clone());
        self.begin_anew(kept, form);
        state.former.extend(former);
    }

    fn replace(&self, state: &mut State, name: &str, id: &SubscriptionId<'static>, overlaps: bool) {
        let Some(form) = self.form(name) else { return };
        let Some(kept) = state.named_mut(name) else { return };
        if kept.live().is_none_or(|live| live.id != *id) {
            return;
        }
        let standing = if overlaps { Standing::Outgoing } else { Standing::Doomed };
        let former = former(kept, standing);
        if !overlaps {
            kept.owe(Owed { loss: Loss::Replaced, id: Some(id.clone()), from: Some(self.now) });
        }
        self.begin_anew(kept, form);
        state.former.extend(former);
    }

    fn touch(&self, state: &mut State, name: &str, kind: TouchKind) {
        if let Some(kept) = state.named_mut(name) {
            kept.touch = Some(Touch { kind, at: self.now, is_done: false });
        }
    }
}

/// It as one that another takes the place of, if Graph has it.
fn former(kept: &Kept, standing: Standing) -> Option<Former> {
    let id = kept.live()?.id.clone();
    let (name, entry) = (kept.name.clone(), kept.entry().to_owned());
    Some(Former { id, name, entry, client_state: kept.client_state.clone(), standing })
}

//! What is to be done so that Graph has what is wanted. Pure: everything that was seen is an argument, and so is the time.
//!
//! A subscription is ours when the state has its id, or when it shows that it is: Graph shows the clientState that we made,
//! or genuine items have come from it. What merely stands in our place (of our app, at our URL, for the resource and change
//! types that we want) cannot be told from ours, and all its items are refused: it has to make room. Whatever else Graph
//! has is a stranger's, and stays as it is.

pub mod due;
mod form;
pub mod step;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, SystemTime},
};

use self::form::Difference;
pub use self::step::{DeleteReason, Step};
use super::state::{Form, HEARD_FOR, Kept, Live, Loss, MadeBy, Phase, Standing, State, TouchKind};
use crate::{
    config::{ClientState, Wanted},
    graph::{resources::is_same_url, subscription::Subscription},
    notification::id::SubscriptionId,
    secret::Secret,
};

/// Everything that a plan is made of.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What should be.
    pub wanted: &'a [Wanted],
    /// The table of secrets, as it is configured.
    pub table: &'a [ClientState],
    /// What we know.
    pub state: &'a State,
    /// What Graph has.
    pub actual: &'a Actual,
    /// What Graph has said by itself.
    pub calls: &'a Calls,
    /// Rules.
    pub policy: &'a Policy,
    /// The time.
    pub now: SystemTime,
}

/// What Graph has, as far as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    /// What the list showed, or what was shown when it was asked for by its id, with a clientState perhaps.
    pub subscriptions: Vec<Subscription>,
    /// Asked for by their ids, and not there.
    pub gone: HashSet<SubscriptionId<'static>>,
    /// Those from which genuine items came, and the entry of the table that admitted them.
    pub seen: HashMap<SubscriptionId<'static>, Seen>,
}

/// Genuine items of a subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seen {
    /// The entry of the table of secrets that admits them.
    pub entry: String,
    /// When the last one came.
    pub last_at: SystemTime,
}

/// What Graph has said by itself, in lifecycle notifications that were genuine.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Subscriptions that want a fresh token.
    pub challenged: HashSet<SubscriptionId<'static>>,
    /// Subscriptions that are said to be gone.
    pub removed: HashSet<SubscriptionId<'static>>,
}

/// Rules of a plan.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The id of our app, if it is known.
    pub app: Option<String>,
    /// Percent of a life after which it is renewed.
    pub renew_at: u8,
}

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// In this order; for one name at most one step forward, beside deletions.
    pub steps: Vec<Step>,
    /// Subscriptions that are none of ours.
    pub strangers: Vec<SubscriptionId<'static>>,
    /// When something will be due that is not due yet.
    pub next: Option<SystemTime>,
}

impl Actual {
    /// What a list showed.
    pub fn of(subscriptions: Vec<Subscription>) -> Self {
        Self { subscriptions, ..Self::default() }
    }

    /// The subscription with this id.
    pub fn with_id(&self, id: &str) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| *subscription.id == *id)
    }

    /// This is how it is now.
    pub fn put(&mut self, subscription: Subscription) {
        self.subscriptions.retain(|other| other.id != subscription.id);
        self.gone.remove(&subscription.id);
        self.subscriptions.push(subscription);
    }

    /// It is there no more.
    pub fn lose(&mut self, id: &SubscriptionId<'static>) {
        self.subscriptions.retain(|other| other.id != *id);
        self.gone.insert(id.clone());
    }
}

impl Question<'_> {
    /// Ids to ask Graph for one by one before a plan is made: lists lack what is there, and never show a clientState.
    pub fn to_ask(&self) -> Vec<SubscriptionId<'static>> {
        let known = self.state.kept.iter().filter_map(Kept::live);
        let lacking = known.filter(|live| {
            let is_removed = self.calls.removed.contains(&live.id);
            live.expires_at > self.now && (is_removed || self.actual.with_id(&live.id).is_none())
        });
        let mut ids: Vec<SubscriptionId<'static>> = lacking.map(|live| live.id.clone()).collect();
        let pending = self.state.kept.iter().filter(|kept| kept.live().is_none());
        let mut forms: Vec<Form> = pending.map(|kept| kept.form.clone()).collect();
        let new = self.wanted.iter().filter(|wanted| self.state.named(&wanted.name).is_none());
        forms.extend(new.map(Form::of));
        for subscription in &self.actual.subscriptions {
            if forms.iter().any(|form| self.stands_in(form, subscription)) {
                ids.push(subscription.id.clone());
            }
        }
        ids
    }

    /// The plan.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan { steps: Vec::new(), strangers: Vec::new(), next: None };
        self.plan_former(&mut plan);
        for kept in self.state.kept.iter().filter(|kept| self.is_unwanted(kept)) {
            self.plan_unwanted(kept, &mut plan);
        }
        for wanted in self.wanted {
            self.plan_wanted(wanted, &mut plan);
        }
        // First what the state alone has to know, then what makes room for others.
        plan.steps.sort_by_key(Step::rank);
        let strangers = self.actual.subscriptions.iter().filter(|other| {
            let is_doomed = plan.steps.iter().any(|step| step.id() == Some(&other.id));
            !is_doomed && !self.is_known(&other.id)
        });
        plan.strangers = strangers.map(|other| other.id.clone()).collect();
        plan
    }

    fn plan_former(&self, plan: &mut Plan) {
        for former in &self.state.former {
            let id = former.id.clone();
            let has_successor = self.state.named(&former.name).is_none_or(|kept| kept.live().is_some());
            match former.standing {
                Standing::Gone { at } => {
                    let until = at + HEARD_FOR;
                    if until <= self.now {
                        plan.steps.push(Step::Forget { id });
                    } else {
                        plan.wake(until);
                    }
                }
                Standing::Outgoing if !has_successor && !self.is_in_the_way(&id) => {}
                Standing::Outgoing | Standing::Doomed => {
                    plan.delete(id, Some(&former.name), DeleteReason::Former);
                }
            }
        }
    }

    /// Whether it stands where something is still to be made: its own successor, which was to be elsewhere at first, or
    /// another one.
    fn is_in_the_way(&self, id: &SubscriptionId<'static>) -> bool {
        let Some(shown) = self.actual.with_id(id) else { return false };
        let is_to_come =
            |wanted: &Wanted| self.state.named(&wanted.name).is_none_or(|kept| kept.live().is_none());
        self.wanted.iter().any(|wanted| is_to_come(wanted) && Form::of(wanted).is_place_of(shown))
    }

    /// Made for a name that the configuration does not know any more.
    fn is_unwanted(&self, kept: &Kept) -> bool {
        let is_wanted = self.wanted.iter().any(|wanted| wanted.name == kept.name);
        !is_wanted && kept.made_by == MadeBy::Wanted
    }

    fn plan_unwanted(&self, kept: &Kept, plan: &mut Plan) {
        let is_renamed = self.wanted.iter().any(|wanted| self.is_renamed(kept, wanted));
        if kept.live().is_some() {
            if !is_renamed {
                plan.steps.push(Step::Drop { name: kept.name.clone() });
            }
            return;
        }
        // It may have been made, and nobody was there to hear of it.
        let mut remains = self.standing_in(&kept.form).peekable();
        if remains.peek().is_none() {
            plan.steps.push(Step::Drop { name: kept.name.clone() });
        }
        for remain in remains {
            plan.delete(remain.id.clone(), Some(&kept.name), DeleteReason::Remain);
        }
    }

    /// Whether it is what `wanted` wants, under the name of before.
    fn is_renamed(&self, kept: &Kept, wanted: &Wanted) -> bool {
        self.is_unwanted(kept)
            && kept.live().is_some()
            && kept.form == Form::of(wanted)
            && self.state.named(&wanted.name).is_none()
    }

    fn plan_wanted(&self, wanted: &Wanted, plan: &mut Plan) {
        let form = Form::of(wanted);
        let name = || wanted.name.clone();
        match self.state.named(&wanted.name) {
            None => match self.state.kept.iter().find(|kept| self.is_renamed(kept, wanted)) {
                Some(kept) => plan.steps.push(Step::Rename { from: kept.name.clone(), to: name() }),
                None => match self.find(&form, &wanted.name, self.secret(&form), SystemTime::UNIX_EPOCH) {
                    Some(found) => plan.steps.push(Step::Adopt { name: name(), id: found.id.clone() }),
                    None => plan.steps.push(Step::Expect { name: name() }),
                },
            },
            Some(kept) => match &kept.phase {
                Phase::Pending { since } => self.plan_pending(kept, *since, &form, plan),
                Phase::Live(live) => self.plan_live(kept, live, &form, plan),
            },
        }
    }

    fn plan_pending(&self, kept: &Kept, since: SystemTime, form: &Form, plan: &mut Plan) {
        let name = || kept.name.clone();
        let is_current =
            kept.form == *form && self.secret(form).is_none_or(|secret| *secret == kept.client_state);
        if is_current && let Some(found) = self.find(form, &kept.name, Some(&kept.client_state), since) {
            plan.steps.push(Step::Adopt { name: name(), id: found.id.clone() });
            return;
        }
        let mut remains: Vec<_> = self.standing_in(&kept.form).chain(self.standing_in(form)).collect();
        remains.dedup_by_key(|remain| &remain.id);
        // Once it is asked for in another form, nobody knows where the remains of the old one would stand.
        let comes_first = !is_current && !remains.is_empty();
        for remain in remains {
            plan.delete(remain.id.clone(), Some(&kept.name), DeleteReason::Remain);
        }
        let step = if is_current { Step::Create { name: name() } } else { Step::Expect { name: name() } };
        plan.steps.extend(Some(step).filter(|_| !comes_first));
    }

    fn plan_live(&self, kept: &Kept, live: &Live, form: &Form, plan: &mut Plan) {
        let (name, id) = (|| kept.name.clone(), live.id.clone());
        for other in self.standing_in(form) {
            plan.delete(other.id.clone(), Some(&kept.name), DeleteReason::Duplicate);
        }
        let shown = self.actual.with_id(&live.id);
        let is_gone = self.actual.gone.contains(&live.id);
        // What the list says of something that was just changed may be older than the change.
        let is_fresh = age(live.renewed_at, self.now) < FRESH_FOR;
        let end = shown.filter(|_| !is_fresh).map_or(live.expires_at, |shown| shown.expiration_date_time);
        if is_gone || end <= self.now {
            let is_removed = self.calls.removed.contains(&live.id);
            let loss = match (is_removed, end <= self.now) {
                (true, _) => Loss::Removed,
                (false, true) => Loss::Expired,
                (false, false) => Loss::Gone,
            };
            plan.steps.push(Step::Lose { name: name(), id, loss });
            return;
        }
        let Some(shown) = shown else { return };
        if end != live.expires_at {
            plan.steps.push(Step::Believe { name: name(), id, expires_at: end });
            return;
        }
        let difference = if self.secret(form).is_some_and(|secret| *secret != kept.client_state) {
            Difference::Other
        } else {
            Difference::between(kept, form)
        };
        let may_patch = !kept.touch.is_some_and(|touch| touch.forbids(TouchKind::Patch, self.now));
        let is_moved = !is_same_url(&shown.notification_url, &live.notification_url) && !is_fresh;
        let step = match difference {
            Difference::Other => {
                let is_taken = |other: &&Kept| other.live().is_some() && other.form.shares_place_with(form);
                let overlaps = !self.state.kept.iter().any(|other| is_taken(&other));
                Some(Step::Replace { name: name(), id, overlaps })
            }
            Difference::Url if may_patch => Some(Step::Move { name: name(), id }),
            Difference::None if is_moved && may_patch => Some(Step::Move { name: name(), id }),
            Difference::Encryption if may_patch => Some(Step::Rotate { name: name(), id }),
            Difference::Url | Difference::Encryption | Difference::None => {
                self.plan_token(kept, live, may_patch, plan)
            }
        };
        plan.steps.extend(step);
    }

    /// A fresh token, when one is due or asked for.
    fn plan_token(&self, kept: &Kept, live: &Live, may_patch: bool, plan: &mut Plan) -> Option<Step> {
        let (name, id) = (kept.name.clone(), live.id.clone());
        let due = due::renewal(live, self.policy.renew_at);
        if due <= self.now && may_patch {
            return Some(Step::Renew { name, id });
        }
        let kind = self.calls.challenged.contains(&id).then(|| due::answer(kept.touch, live, due, self.now));
        match kind.flatten() {
            Some(TouchKind::Patch) => return Some(Step::Renew { name, id }),
            Some(TouchKind::Reauthorize) => return Some(Step::Reauthorize { name, id }),
            None => {}
        }
        let allowed = kept.touch.filter(|_| !may_patch).map(|touch| touch.ends());
        plan.wake(allowed.map_or(due, |allowed| allowed.max(due)));
        None
    }

    /// One that serves as `form` says, and shows that it is ours. Of several, the one that lives longest.
    fn find(
        &self,
        form: &Form,
        name: &str,
        secret: Option<&Secret>,
        since: SystemTime,
    ) -> Option<&Subscription> {
        let secret = secret?;
        let fits = |shown: &&Subscription| {
            let carries_data = shown.include_resource_data.unwrap_or_default();
            let encryption = shown.encryption_certificate_id.as_ref().filter(|_| carries_data);
            shown
                .lifecycle_notification_url
                .as_deref()
                .is_some_and(|url| is_same_url(url, &form.lifecycle_url))
                && carries_data == form.encryption.is_some()
                && encryption.is_none_or(|id| Some(id) == form.encryption.as_ref())
        };
        let is_proven = |shown: &&Subscription| match &shown.client_state {
            Some(shown) => shown == secret,
            None => self.actual.seen.get(&shown.id).is_some_and(|seen| {
                seen.entry == form.entry.as_deref().unwrap_or(name) && seen.last_at >= since
            }),
        };
        let ours = self.standing_in(form).filter(fits).filter(is_proven);
        ours.max_by_key(|shown| shown.expiration_date_time)
    }

    /// Those that nobody knows, and that stand where this one should.
    fn standing_in(&self, form: &Form) -> impl Iterator<Item = &Subscription> {
        let alive = self.actual.subscriptions.iter().filter(|other| other.expiration_date_time > self.now);
        let form = form.clone();
        alive.filter(move |other| self.stands_in(&form, other))
    }

    fn stands_in(&self, form: &Form, other: &Subscription) -> bool {
        let is_of_our_app = match (&self.policy.app, &other.application_id) {
            (_, None) => true,
            (Some(ours), Some(theirs)) => ours.eq_ignore_ascii_case(theirs),
            (None, Some(_)) => false,
        };
        let is_here = is_same_url(&other.notification_url, &form.notification_url);
        is_of_our_app && is_here && form.is_place_of(other) && !self.is_known(&other.id)
    }

    /// Whether the state speaks of it.
    fn is_known(&self, id: &SubscriptionId<'static>) -> bool {
        let is_former = self.state.former.iter().any(|former| former.id == *id);
        is_former || self.state.with_id(id).is_some()
    }

    /// The configured secret, if one is to be used.
    fn secret(&self, form: &Form) -> Option<&Secret> {
        let name = form.entry.as_ref()?;
        self.table.iter().find(|entry| entry.name == *name).map(|entry| &entry.secret)
    }
}

impl Plan {
    fn delete(&mut self, id: SubscriptionId<'static>, name: Option<&str>, why: DeleteReason) {
        if !self.steps.iter().any(|step| step.id() == Some(&id)) {
            self.steps.push(Step::Delete { id, name: name.map(str::to_owned), why });
        }
    }

    fn wake(&mut self, at: SystemTime) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

fn age(then: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_else(|error| error.duration())
}

/// For so long our own last word goes before what a list says.
const FRESH_FOR: Duration = Duration::from_secs(120);

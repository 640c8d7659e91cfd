//! A small Graph, without time and network: it has subscriptions, allows one for each place, forgets what has ended, loses
//! what a test says, and remembers who called.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{super::*, time};
use crate::subscriptions::settle::Settlement;

/// Graph, its clock, and the daemon's file.
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) graph: Vec<Subscription>,
    pub(super) state: State,
    pub(super) wanted: Vec<Wanted>,
    pub(super) table: Vec<ClientState>,
    pub(super) calls: Calls,
    /// Whether a GET shows clientStates.
    pub(super) shows: bool,
    /// Whether PATCH takes a certificate.
    pub(super) rotates: bool,
    /// When which kind of token was given to which subscription.
    pub(super) touches: HashMap<SubscriptionId<'static>, Vec<(TouchKind, u64)>>,
    /// The next so many lists lack what was made last.
    pub(super) lists_lag: usize,
    next_id: u64,
}

/// What may go wrong with a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    None,
    /// It was not done.
    Before,
    /// It was done, and nobody heard of it.
    After,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            now: 1_000_000,
            graph: Vec::new(),
            state: State::default(),
            wanted: Vec::new(),
            table: Vec::new(),
            calls: Calls::default(),
            shows: false,
            rotates: true,
            touches: HashMap::new(),
            lists_lag: 0,
            next_id: 0,
        }
    }

    /// Looks, plans and acts until nothing is left to do. Returns the number of rounds that did something; each call may
    /// fail as the faults say, and the daemon dies with the first of them.
    pub(super) fn settle(&mut self, faults: &mut impl Iterator<Item = Fault>) -> usize {
        for round in 0..ROUNDS_MAX {
            let plan = self.plan();
            if plan.steps.is_empty() {
                return round;
            }
            let has_own = plan.steps.iter().any(Step::is_ours_alone);
            for step in plan.steps.iter().filter(|step| step.is_ours_alone() == has_own) {
                if !self.act(step, faults.next().unwrap_or(Fault::None)) {
                    return round + 1;
                }
            }
        }
        ROUNDS_MAX
    }

    pub(super) fn plan(&mut self) -> Plan {
        let actual = self.look();
        let policy = policy();
        let Self { wanted, table, state, calls, now, .. } = self;
        Question { wanted, table, state, actual: &actual, calls, policy: &policy, now: time(*now) }.plan()
    }

    fn look(&mut self) -> Actual {
        let (now, policy) = (time(self.now), policy());
        self.graph.retain(|subscription| subscription.expiration_date_time > now);
        let mut listed = self.graph.clone();
        for subscription in &mut listed {
            subscription.client_state = None;
        }
        if self.lists_lag > 0 {
            self.lists_lag -= 1;
            listed.pop();
        }
        let mut actual = Actual::of(listed);
        let Self { wanted, table, state, calls, .. } = &*self;
        let asked = Question { wanted, table, state, actual: &actual, calls, policy: &policy, now }.to_ask();
        for id in asked {
            match self.graph.iter().find(|subscription| subscription.id == id) {
                Some(found) => {
                    let client_state = found.client_state.clone().filter(|_| self.shows);
                    actual.put(Subscription { client_state, ..found.clone() });
                }
                None => actual.lose(&id),
            }
        }
        actual
    }

    /// Returns whether the daemon lives on.
    fn act(&mut self, step: &Step, fault: Fault) -> bool {
        let actual = self.look();
        let (wanted, table, now) = (self.wanted.clone(), self.table.clone(), time(self.now));
        let settlement = Settlement { wanted: &wanted, table: &table, actual: &actual, now, make_secret };
        settlement.begin(&mut self.state, step);
        if step.is_ours_alone() {
            return fault == Fault::None;
        }
        if fault == Fault::Before {
            return false;
        }
        let answer = self.call(step);
        if fault == Fault::After {
            return false;
        }
        match answer {
            Ok(shown) => settlement.finish(&mut self.state, step, shown.as_ref()),
            Err(Refusal::Rotation) => {
                if let Some(name) = step.name() {
                    settlement.refuse_rotation(&mut self.state, name);
                }
            }
            Err(Refusal::Gone | Refusal::Conflict) => {}
        }
        true
    }

    fn call(&mut self, step: &Step) -> Result<Option<Subscription>, Refusal> {
        let kept = |name: &str| self.state.named(name).cloned();
        match step {
            Step::Create { name } => {
                let kept = kept(name).expect("only what is kept is made");
                assert!(matches!(kept.phase, Phase::Pending { .. }), "made twice: {kept:?}");
                self.create(&kept).map(Some)
            }
            Step::Delete { id, .. } => {
                self.graph.retain(|subscription| subscription.id != *id);
                Ok(None)
            }
            Step::Renew { id, .. } => self.patch(id, |_| {}).map(Some),
            Step::Move { id, name } => {
                let url = self.wanted.iter().find(|wanted| wanted.name == *name);
                let url = url.expect("it is wanted").notification_url.clone();
                self.patch(id, |subscription| subscription.notification_url = url).map(Some)
            }
            Step::Rotate { id, name } if self.rotates => {
                let wanted = self.wanted.iter().find(|wanted| wanted.name == *name);
                let key = wanted.and_then(|wanted| wanted.encryption.clone()).expect("it has one");
                self.patch(id, |subscription| subscription.encryption_certificate_id = Some(key.id)).map(Some)
            }
            Step::Rotate { id, .. } => {
                self.touch(id, TouchKind::Patch);
                Err(Refusal::Rotation)
            }
            Step::Reauthorize { id, .. } => {
                self.touch(id, TouchKind::Reauthorize);
                self.calls.challenged.remove(id);
                if self.graph.iter().any(|subscription| subscription.id == *id) {
                    Ok(None)
                } else {
                    Err(Refusal::Gone)
                }
            }
            Step::Expect { .. }
            | Step::Adopt { .. }
            | Step::Rename { .. }
            | Step::Believe { .. }
            | Step::Lose { .. }
            | Step::Replace { .. }
            | Step::Drop { .. }
            | Step::Forget { .. } => panic!("no call: {step:?}"),
        }
    }

    fn create(&mut self, kept: &Kept) -> Result<Subscription, Refusal> {
        let stands = |other: &&Subscription| {
            kept.form.is_place_of(other) && other.application_id.as_deref() == Some("app")
        };
        if self.graph.iter().any(|other| stands(&other)) {
            return Err(Refusal::Conflict);
        }
        let form = &kept.form;
        let made = Subscription {
            id: self.fresh_id(),
            resource: form.resource.clone(),
            change_type: form.change_type(),
            notification_url: form.notification_url.clone(),
            lifecycle_notification_url: Some(form.lifecycle_url.clone()),
            expiration_date_time: time(self.now + LIFE),
            application_id: Some("app".to_owned()),
            client_state: Some(kept.client_state.clone()),
            include_resource_data: form.encryption.as_ref().map(|_| true),
            encryption_certificate_id: form.encryption.clone(),
        };
        self.graph.push(made.clone());
        Ok(made)
    }

    fn patch(
        &mut self,
        id: &SubscriptionId<'static>,
        change: impl FnOnce(&mut Subscription),
    ) -> Result<Subscription, Refusal> {
        self.touch(id, TouchKind::Patch);
        self.calls.challenged.remove(id);
        let found = self.graph.iter_mut().find(|subscription| subscription.id == *id);
        let found = found.ok_or(Refusal::Gone)?;
        found.expiration_date_time = time(self.now + LIFE);
        change(found);
        Ok(found.clone())
    }

    fn touch(&mut self, id: &SubscriptionId<'static>, kind: TouchKind) {
        self.touches.entry(id.clone()).or_default().push((kind, self.now));
    }

    pub(super) fn fresh_id(&mut self) -> SubscriptionId<'static> {
        self.next_id += 1;
        format!("id-{}", self.next_id).into()
    }
}

/// Why a call had no effect.
enum Refusal {
    Gone,
    Conflict,
    Rotation,
}

pub(super) fn policy() -> Policy {
    Policy { app: Some("app".to_owned()), renew_at: 60 }
}

fn make_secret() -> Secret {
    static MADE: AtomicU64 = AtomicU64::new(0);
    Secret::new(format!("made {}", MADE.fetch_add(1, Ordering::Relaxed)))
}

/// Life of what is made or renewed.
pub(super) const LIFE: u64 = super::DAY;
/// After so many rounds something turns in circles.
pub(super) const ROUNDS_MAX: usize = 16;

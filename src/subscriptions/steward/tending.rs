//! What the steward knows between two looks.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use tracing::{info, warn};

use super::{
    super::{
        nudge::Mail,
        plan::{Actual, Plan, Policy, Step},
        state::State,
        work::{WorkError, Workshop},
    },
    heard::Heard,
    rest::Rest,
};
use crate::{backoff::jittered, error::Chain, moment::rfc3339, telemetry::Sparse};

/// What the steward knows between two looks.
pub(super) struct Tending {
    look_every: Duration,
    /// Rules, once somebody could sign in.
    pub(super) policy: Option<Policy>,
    /// The state was read.
    pub(super) knows_state: bool,
    /// The state as it was last.
    pub(super) state: State,
    pub(super) heard: Heard,
    /// What failed, by name, or by id where there is no name.
    pub(super) rests: HashMap<String, Rest>,
    pub(super) strangers: usize,
    /// When something will be due.
    pub(super) next: Option<SystemTime>,
    pub(super) looked_at: Option<SystemTime>,
    /// Why the last look failed, if it did.
    pub(super) trouble: Option<String>,
    complaints: Sparse,
    /// Consumers could not be told of something.
    pub(super) is_owing: bool,
}

impl Tending {
    pub(super) fn new(look_every: Duration, heard: Heard) -> Self {
        Self {
            look_every,
            policy: None,
            knows_state: false,
            state: State::default(),
            heard,
            rests: HashMap::new(),
            strangers: 0,
            next: None,
            looked_at: None,
            trouble: None,
            complaints: Sparse::every(super::PAUSE_LONGEST),
            is_owing: false,
        }
    }

    /// Takes what Graph has said. Returns whether there is anything to be done about it.
    pub(super) fn hear(&mut self, mail: Mail, now: SystemTime) -> bool {
        self.heard.hear(mail, &self.state, now)
    }

    pub(super) fn plan(&mut self, shop: &Workshop, actual: &Actual) -> Plan {
        let policy = self.policy.as_ref().expect("there was a look");
        let calls = self.heard.calls(SystemTime::now());
        let plan = shop.question(&self.state, actual, &calls, policy, shop.graph.now()).plan();
        (self.strangers, self.next) = (plan.strangers.len(), plan.next);
        if !plan.steps.iter().any(Step::is_ours_alone) {
            // Where nothing is left to do, nothing fails: it may have been done all the same.
            self.rests.retain(|name, _| plan.steps.iter().any(|step| key(step) == name));
        }
        plan
    }

    /// Those that may be tried now.
    pub(super) fn due(&self, steps: Vec<Step>) -> Vec<Step> {
        let now = Instant::now();
        let is_due = |step: &Step| self.rests.get(key(step)).is_none_or(|rest| rest.until <= now);
        steps.into_iter().filter(is_due).collect()
    }

    /// Whether something that has to come before it has failed.
    pub(super) fn is_held_up(&self, step: &Step) -> bool {
        self.rests.get(key(step)).is_some_and(|rest| rest.until > Instant::now())
    }

    pub(super) fn succeeded(&mut self, step: &Step, state: State) {
        self.state = state;
        self.rests.remove(key(step));
        if let Some(id) = step.id() {
            self.heard.answered(id);
        }
    }

    pub(super) fn failed(&mut self, step: &Step, error: &WorkError) {
        let rest = self.rests.entry(key(step).to_owned()).or_insert_with(Rest::new);
        let pause = rest.again(Chain(error).to_string(), error.retry_after());
        let Some(others) = rest.sparse.pass(Instant::now()) else { return };
        warn!(
            event = "subscription_step_failed",
            name = step.name(),
            subscription = step.id().map(|id| &**id),
            step = step.as_str(),
            error = %Chain(error),
            again_in = pause.as_secs(),
            others,
            "a subscription is not as it should be"
        );
    }

    pub(super) fn could_not_look(&mut self, error: &WorkError) {
        let words = Chain(error).to_string();
        if let Some(others) = self.complaints.pass(Instant::now()) {
            warn!(
                event = "subscriptions_not_looked_after",
                error = words,
                others,
                "subscriptions cannot be looked after: they live on until they end"
            );
        }
        self.trouble = Some(words);
    }

    pub(super) fn looked_well(&mut self) {
        self.looked_at = Some(SystemTime::now());
        if self.trouble.take().is_some() {
            self.complaints.renew();
            info!("subscriptions are looked after again");
        }
    }

    /// Time until the next look.
    pub(super) fn rest(&mut self, now: SystemTime) -> Duration {
        let mut rest = jittered(self.look_every);
        if let Some(next) = self.next {
            rest = rest.min(next.duration_since(now).unwrap_or_default());
        }
        let begun = Instant::now();
        for failed in self.rests.values() {
            rest = rest.min(failed.until.saturating_duration_since(begun));
        }
        if self.heard.has_doubts(&self.state, SystemTime::now()) {
            rest = rest.min(DOUBTS_FOR);
        }
        if self.is_owing {
            rest = rest.min(OWING_FOR);
        }
        rest.max(super::LOOKS_APART)
    }

    /// The time of the next renewal, in words.
    pub(super) fn next_at(&self) -> Option<String> {
        self.next.map(rfc3339)
    }
}

/// What rests when a step fails.
fn key(step: &Step) -> &str {
    step.name().or(step.id().map(|id| &**id)).unwrap_or_default()
}

/// Time between looks at what Graph says is gone, and shows.
const DOUBTS_FOR: Duration = Duration::from_secs(30);
/// Time between tries to tell consumers.
const OWING_FOR: Duration = Duration::from_secs(5);

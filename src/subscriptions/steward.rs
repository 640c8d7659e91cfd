//! Keeps at Graph what the configuration wants: looks, plans, acts, reports, and begins anew.
//!
//! It works while the configuration says so and this daemon holds the lock of the shared broker; at the start, now and then,
//! after a reload, and when a lifecycle notification that was genuine asks for it. Whatever fails is tried again after a
//! pause of its own, and nothing else waits for it: not the other subscriptions, and least of all the data plane.

mod heard;
mod overview;
mod rest;
mod tending;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::overview::{Manager, Overview, Row};
use self::{heard::Heard, tending::Tending};
use super::{
    nudge::Inbox,
    plan::{Actual, Plan, Seen, Step},
    state::{Kept, MadeBy, State},
    work::{self, WorkError, Workshop},
};
use crate::{
    backoff::Backoff,
    config::{self, ClientState, Config},
    deadline::Deadline,
    delivery::lock::{Lock, Standing},
    envelope::gap::Gap,
    gaps::Gaps,
    graph::Graph,
    metrics::{Metrics, StepResult},
    sightings::Sightings,
};

/// The task that does it.
pub struct Steward {
    /// What is wanted.
    pub wishes: watch::Receiver<Wishes>,
    /// The revision of the state that requests are judged by.
    pub in_force: watch::Receiver<u64>,
    /// Of several daemons one does it.
    pub lock: Lock,
    /// Lifecycle notifications that were genuine.
    pub inbox: Inbox,
    /// From which subscriptions genuine items have come.
    pub sightings: Arc<Sightings>,
    /// Consumers are told of what they may have missed.
    pub gaps: Arc<Gaps>,
    /// Whether Graph can get through to us.
    pub is_reachable: Box<dyn Fn() -> bool + Send + Sync>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What `/status` tells.
    pub told: watch::Sender<Overview>,
}

/// The part of a configuration that says what is wanted.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// `[graph]` and `[[subscriptions]]`.
    pub graph: Option<Arc<config::Graph>>,
    /// The table of secrets.
    pub table: Arc<[ClientState]>,
}

/// Something above has changed, and the work is left as it is.
struct Interrupted;

impl Wishes {
    /// What this configuration wants.
    pub fn of(config: &Config) -> Self {
        Self { graph: config.graph.clone().map(Arc::new), table: config.client_states.clone().into() }
    }
}

impl Steward {
    /// Works until `stop`. A call that is under way then is given a moment to end.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut standing = self.lock.standing();
        // What Graph has said is still to be answered after a reload.
        let mut heard = Heard::default();
        while !stop.is_cancelled() {
            let Wishes { graph, table } = self.wishes.borrow_and_update().clone();
            let settings = graph.filter(|graph| graph.manage);
            self.lock.want(settings.is_some());
            let held = *standing.borrow_and_update() == Standing::Held;
            match settings {
                Some(settings) if held => {
                    info!(subscriptions = settings.subscriptions.len(), "this daemon manages subscriptions");
                    self.metrics.managed.manages(true);
                    let mut tending = Tending::new(settings.look_every, heard);
                    self.manage(settings, table, &mut tending, &mut standing, &stop).await;
                    heard = tending.heard;
                    self.rest(Manager::Standby);
                }
                Some(_) => self.idle(Manager::Standby, &mut standing, &stop).await,
                None => self.idle(Manager::Off, &mut standing, &stop).await,
            }
        }
        self.rest(Manager::Off);
        self.lock.want(false);
    }

    /// Shows what is wanted, so that it can be seen from the start.
    pub fn announce(&self) {
        self.rest(Manager::Off);
    }

    /// Somebody else does it, or nobody.
    fn rest(&self, manager: Manager) {
        self.gaps.manage([]);
        self.sightings.succeed(HashSet::new());
        self.metrics.managed.manages(false);
        let wishes = self.wishes.borrow();
        let wanted = wishes.graph.iter().flat_map(|graph| &graph.subscriptions);
        self.metrics.managed.ends(wanted.map(|wanted| (wanted.name.clone(), None)).collect());
        self.told.send_replace(Overview::of(manager));
    }

    async fn idle(
        &mut self,
        manager: Manager,
        standing: &mut watch::Receiver<Standing>,
        stop: &CancellationToken,
    ) {
        self.rest(manager);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed(&mut self.wishes) => return,
                () = changed(standing) => return,
                // Nobody acts on it here.
                () = self.inbox.arrived() => drop(self.inbox.take()),
            }
        }
    }

    /// Works with one version of the configuration, until there is another, the lock is lost or it is to stop.
    async fn manage(
        &mut self,
        settings: Arc<config::Graph>,
        table: Arc<[ClientState]>,
        tending: &mut Tending,
        standing: &mut watch::Receiver<Standing>,
        stop: &CancellationToken,
    ) {
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        let graph = loop {
            match Graph::new(&settings, Arc::clone(&self.metrics)).await {
                Ok(graph) => break graph,
                Err(error) => {
                    tending.could_not_look(&error.into());
                    self.tell(&settings, tending);
                    let pause = Deadline::after(backoff.next_pause());
                    if self.wait(pause, pause, tending, standing, stop).await.is_err() {
                        return;
                    }
                }
            }
        };
        let shop = Workshop { graph, settings, table };
        loop {
            let (rest, floor) = match self.tend(&shop, tending, standing, stop).await {
                Ok(Ok(())) => {
                    backoff.reset();
                    // Whoever calls us often is not asked as often.
                    (tending.rest(shop.graph.now()), LOOKS_APART)
                }
                Ok(Err(error)) => {
                    tending.could_not_look(&error);
                    let given = error.retry_after().unwrap_or_default().min(PAUSE_GIVEN_MAX);
                    let rest = backoff.next_pause().max(given);
                    // Nobody who calls us makes it succeed any sooner.
                    (rest, rest)
                }
                Err(Interrupted) => return,
            };
            self.tell(&shop.settings, tending);
            let (until, floor) = (Deadline::after(rest), Deadline::after(floor));
            if self.wait(until, floor, tending, standing, stop).await.is_err() {
                return;
            }
        }
    }

    /// Waits, or until there is something to do; but not less than until `floor`.
    async fn wait(
        &mut self,
        until: Deadline,
        floor: Deadline,
        tending: &mut Tending,
        standing: &mut watch::Receiver<Standing>,
        stop: &CancellationToken,
    ) -> Result<(), Interrupted> {
        let mut until = until;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Err(Interrupted),
                () = changed(&mut self.wishes) => return Err(Interrupted),
                () = changed(standing) => {
                    if *standing.borrow_and_update() != Standing::Held {
                        return Err(Interrupted);
                    }
                }
                () = until.passed() => return Ok(()),
                () = self.inbox.arrived(), if tending.knows_state => {
                    if tending.hear(self.inbox.take(), SystemTime::now()) {
                        until = floor;
                    }
                }
            }
        }
    }

    /// One look, and all that it leads to.
    async fn tend(
        &mut self,
        shop: &Workshop,
        tending: &mut Tending,
        standing: &watch::Receiver<Standing>,
        stop: &CancellationToken,
    ) -> Result<Result<(), WorkError>, Interrupted> {
        let looked = stop.run_until_cancelled(self.look(shop, tending)).await.ok_or(Interrupted)?;
        let mut actual = match looked {
            Ok(actual) => actual,
            Err(error) => return Ok(Err(error)),
        };
        let mut tried = HashSet::new();
        for _ in 0..ROUNDS_MAX {
            let plan = tending.plan(shop, &actual);
            if plan.steps.iter().any(Step::is_ours_alone) {
                match self.settle(shop, tending, &plan, &actual).await {
                    Ok(()) => continue,
                    Err(error) => return Ok(Err(error)),
                }
            }
            let mut steps = tending.due(plan.steps);
            steps.retain(|step| !tried.contains(step));
            if steps.is_empty() {
                break;
            }
            let may_create = stop.run_until_cancelled(self.may_create(&steps, tending)).await;
            let may_create = may_create.ok_or(Interrupted)?;
            for step in steps {
                let is_interrupted = self.wishes.has_changed().unwrap_or_default()
                    || *standing.borrow() != Standing::Held
                    || stop.is_cancelled();
                if is_interrupted {
                    return Err(Interrupted);
                }
                if tending.is_held_up(&step) {
                    continue;
                }
                tried.insert(step.clone());
                let done = match may_create {
                    false if matches!(step, Step::Create { .. }) => Err(WorkError::NotInForce),
                    true | false => finish(shop.call(&step, &mut actual), stop).await?,
                };
                if let Err(error) = self.account(tending, &step, done) {
                    return Ok(Err(error));
                }
            }
        }
        stop.run_until_cancelled(self.settle_debts(shop, tending)).await.ok_or(Interrupted)?;
        tending.looked_well();
        Ok(Ok(()))
    }

    async fn look(&self, shop: &Workshop, tending: &mut Tending) -> Result<Arc<Actual>, WorkError> {
        // A damaged file is set aside by it.
        let opened = shop.settle(&[], &Arc::default()).await?;
        if let Some(aside) = opened.set_aside {
            warn!(
                event = "subscription_state_set_aside",
                file = %aside.display(),
                "what was known of subscriptions is damaged: those whose clientState we made are made anew"
            );
        }
        tending.state = opened.state;
        tending.knows_state = true;
        let now = SystemTime::now();
        // Whose it is, the state tells.
        tending.hear(self.inbox.take(), now);
        if tending.policy.is_none() {
            tending.policy = Some(shop.policy().await?);
        }
        let policy = tending.policy.as_ref().expect("there is one by now");
        let mut actual = shop.look(&tending.state, &tending.heard.calls(now), policy).await?;
        let kept = tending.state.kept.iter().filter_map(Kept::live).map(|live| &live.id);
        for id in actual.subscriptions.iter().map(|shown| &shown.id).chain(kept) {
            if let Some(known) = self.sightings.known(id) {
                let seen = Seen { entry: known.client_state.to_string(), last_at: known.last_at };
                actual.seen.insert(id.clone(), seen);
            }
        }
        self.metrics.managed.looked(now);
        Ok(Arc::new(actual))
    }

    async fn settle(
        &self,
        shop: &Workshop,
        tending: &mut Tending,
        plan: &Plan,
        actual: &Arc<Actual>,
    ) -> Result<(), WorkError> {
        let settled = shop.settle(&plan.steps, actual).await?;
        for step in plan.steps.iter().filter(|step| step.is_ours_alone()) {
            let id = step.id().map(|id| &**id);
            match step {
                Step::Lose { name, loss, .. } => warn!(
                    event = "subscription_lost",
                    name,
                    subscription = id,
                    reason = loss.reason().as_str(),
                    "a subscription is gone: another one is made in its place"
                ),
                Step::Expect { .. }
                | Step::Adopt { .. }
                | Step::Rename { .. }
                | Step::Believe { .. }
                | Step::Replace { .. }
                | Step::Drop { .. }
                | Step::Forget { .. }
                | Step::Delete { .. }
                | Step::Create { .. }
                | Step::Renew { .. }
                | Step::Move { .. }
                | Step::Rotate { .. }
                | Step::Reauthorize { .. } => {
                    info!(
                        name = step.name(),
                        subscription = id,
                        step = step.as_str(),
                        "subscriptions are planned"
                    );
                }
            }
        }
        tending.state = settled.state;
        Ok(())
    }

    /// Whether what is to be made could be validated, and its first notification be believed. Waits for that.
    async fn may_create(&mut self, steps: &[Step], tending: &Tending) -> bool {
        if !steps.iter().any(|step| matches!(step, Step::Create { .. })) {
            return true;
        }
        let revision = tending.state.revision;
        let in_force = self.in_force.wait_for(|in_force| *in_force >= revision);
        let is_in_force =
            Deadline::after(IN_FORCE_WITHIN).limit(in_force).await.is_ok_and(|known| known.is_ok());
        is_in_force && (self.is_reachable)()
    }

    /// Notes how a step went. What would befall all others as well is returned.
    fn account(
        &self,
        tending: &mut Tending,
        step: &Step,
        done: Result<State, WorkError>,
    ) -> Result<(), WorkError> {
        let steps = &self.metrics.managed.steps;
        let (name, id) = (step.name(), step.id().map(|id| &**id));
        match done {
            Ok(state) => {
                let made = name.and_then(|name| state.named(name)).and_then(Kept::live);
                let made = made.filter(|_| matches!(step, Step::Create { .. })).map(|live| &*live.id);
                info!(name, subscription = made.or(id), step = step.as_str(), "subscriptions are kept");
                if let Some(call) = step.call() {
                    steps.count((call, StepResult::Ok));
                }
                tending.succeeded(step, state);
                Ok(())
            }
            Err(WorkError::Outdated) => Ok(()),
            Err(error) => {
                if let Some(call) = step.call() {
                    steps.count((call, StepResult::Failed));
                }
                tending.failed(step, &error);
                if error.concerns_all() { Err(error) } else { Ok(()) }
            }
        }
    }

    /// Tells consumers what is owed for those that are there again.
    async fn settle_debts(&self, shop: &Workshop, tending: &mut Tending) {
        tending.is_owing = false;
        let owing: Vec<Kept> =
            tending.state.kept.iter().filter(|kept| !kept.owed.is_empty()).cloned().collect();
        for kept in owing {
            let gaps = self.owed(&kept);
            if gaps.is_empty() {
                continue;
            }
            for gap in &gaps {
                if self.gaps.tell(gap).await.is_err() {
                    tending.is_owing = true;
                    return;
                }
            }
            match work::told(&shop.settings.directory, &kept).await {
                Ok(state) => tending.state = state,
                Err(error) => {
                    tending.is_owing = true;
                    tending.could_not_look(&error.into());
                }
            }
        }
    }

    /// What consumers are to be told, once there is another one.
    fn owed(&self, kept: &Kept) -> Vec<Gap> {
        let Some(live) = kept.live() else { return Vec::new() };
        let gap = |owed: &super::state::Owed| {
            let known = owed.id.as_ref().and_then(|id| self.sightings.known(id));
            Gap {
                subscription_id: owed.id.as_ref().map(|id| id.to_string()),
                name: Some(kept.name.clone()),
                client_state: Some(kept.entry().to_owned()),
                tenant_id: known.as_ref().and_then(|known| known.tenant_id.as_deref()).map(str::to_owned),
                resource: Some(kept.form.resource.clone()),
                resource_type: known.and_then(|known| known.resource_type).map(|text| text.to_string()),
                replaced_by: Some(live.id.to_string()),
                ..Gap::new(owed.loss.reason(), owed.from, live.made_at)
            }
        };
        kept.owed.iter().map(gap).collect()
    }

    /// Shows how it stands.
    fn tell(&self, settings: &config::Graph, tending: &Tending) {
        let overview = tending.overview(settings);
        overview.show(&self.metrics.managed);
        let live = |kept: &Kept| kept.live().map(|live| live.id.to_string());
        let ours = tending.state.kept.iter().filter(|kept| kept.made_by == MadeBy::Wanted);
        self.gaps.manage(ours.filter_map(live));
        self.sightings.succeed(tending.state.succeeded());
        let ends: BTreeMap<String, Option<SystemTime>> = settings
            .subscriptions
            .iter()
            .map(|wanted| {
                let live = tending.state.named(&wanted.name).and_then(Kept::live);
                (wanted.name.clone(), live.map(|live| live.expires_at))
            })
            .collect();
        self.metrics.managed.ends(ends);
        self.told.send_replace(overview);
    }
}

/// A call that is under way when it is to stop is given a moment: whether it was done would have to be found out.
async fn finish<T>(call: impl Future<Output = T>, stop: &CancellationToken) -> Result<T, Interrupted> {
    tokio::select! {
        done = call => Ok(done),
        () = async { stop.cancelled().await; Deadline::after(GRACE).passed().await } => Err(Interrupted),
    }
}

/// Until it changes. When nobody can change it any more it stays as it is: this never ends then, and what is waited for
/// beside it, the stop above all, is still heard.
async fn changed<T>(receiver: &mut watch::Receiver<T>) {
    if receiver.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Pauses between tries.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(10 * 60);
/// A longer pause is not believed.
const PAUSE_GIVEN_MAX: Duration = Duration::from_secs(60 * 60);
/// Graph allows an app 25 lists in 20 s; nudges come as they like.
const LOOKS_APART: Duration = Duration::from_secs(1);
/// The file is looked at every second.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(15);
/// Of the time for the stop.
const GRACE: Duration = Duration::from_secs(3);
/// Plans that may follow from one look. A subscription that is replaced takes five.
const ROUNDS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// What the daemon is told by ends before it, when the daemon stops.
    #[tokio::test]
    async fn the_stop_is_heard_although_nobody_can_change_anything_any_more() {
        // Of what is ready at once, select takes any.
        for _ in 0..64 {
            let (sender, mut receiver) = watch::channel(0);
            drop(sender);
            let stop = CancellationToken::new();
            let waiting = async {
                tokio::select! {
                    () = stop.cancelled() => true,
                    () = changed(&mut receiver) => false,
                }
            };
            let (is_stopped, ()) = tokio::join!(waiting, async { stop.cancel() });
            assert!(is_stopped);
        }
    }

    #[tokio::test]
    async fn a_change_is_heard() {
        let (sender, mut receiver) = watch::channel(0);
        sender.send_replace(1);
        changed(&mut receiver).await;
    }
}

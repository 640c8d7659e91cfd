//! Doing at Graph what a plan says: look, save what is about to be done, do it, save what came of it.
//!
//! Daemon and command line work with it alike. Whoever calls decides when, and how often.

use std::{
    collections::HashSet,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::{
    plan::{Actual, Calls, Policy, Question, Step},
    settle::Settlement,
    state::{
        Form, Kept, State,
        file::{StateError, Updated},
    },
};
use crate::{
    blocking::off_thread,
    config::{self, ClientState, Wanted},
    graph::{
        Graph, GraphError, resources,
        subscription::{Change, NewSubscription},
    },
    notification::id::SubscriptionId,
    secret::Secret,
};

/// What is worked with: one version of the configuration.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// The way to Graph.
    pub graph: Graph,
    /// `[graph]`, and what is wanted.
    pub settings: Arc<config::Graph>,
    /// The table of secrets, as it is configured.
    pub table: Arc<[ClientState]>,
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Graph did not do it.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It could not be saved.
    #[error(transparent)]
    State(#[from] StateError),
    /// Its first notification could not be believed.
    #[error("its clientState is not in force yet")]
    NotInForce,
    /// What it is about is gone, or not wanted any more: a new plan will know.
    #[error("it is not there any more")]
    Outdated,
}

impl WorkError {
    /// Whether no other step would fare better.
    pub fn concerns_all(&self) -> bool {
        match self {
            Self::State(_) => true,
            Self::Graph(error) => match error {
                GraphError::Setup(_)
                | GraphError::SignIn(_)
                | GraphError::Unauthorized(_)
                | GraphError::Unreached(_)
                | GraphError::Crowded { .. } => true,
                GraphError::Forbidden(_)
                | GraphError::Quota(_)
                | GraphError::Gone(_)
                | GraphError::Conflict { .. }
                | GraphError::Refused(_)
                | GraphError::Throttled(_)
                | GraphError::Unavailable(_)
                | GraphError::Unanswered { .. }
                | GraphError::Answer { .. }
                | GraphError::Uncertain { .. }
                | GraphError::NoId
                | GraphError::Opaque => false,
            },
            Self::NotInForce | Self::Outdated => false,
        }
    }

    /// How long Graph wants us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Graph(error) => error.retry_after(),
            Self::State(_) | Self::NotInForce | Self::Outdated => None,
        }
    }
}

/// What is sent for a step.
#[derive(Debug)]
enum Call {
    Create(Box<NewSubscription>),
    Change(SubscriptionId<'static>, Change),
    Reauthorize(SubscriptionId<'static>),
    Delete(SubscriptionId<'static>),
}

impl Workshop {
    /// Rules of plans.
    ///
    /// # Errors
    ///
    /// [`GraphError`] when nobody can sign in.
    pub async fn policy(&self) -> Result<Policy, GraphError> {
        let settings = &self.settings;
        let app = if settings.client_id.is_empty() {
            match self.graph.token_claims().await {
                Ok(claims) => claims.app_id,
                // Then none is ours but those that the state knows.
                Err(GraphError::Opaque) => None,
                Err(error) => return Err(error),
            }
        } else {
            Some(settings.client_id.clone())
        };
        Ok(Policy { app, renew_at: settings.renew_at })
    }

    /// Looks what Graph has: the list, and one by one what the list does not tell. What was seen of them, the caller adds.
    ///
    /// # Errors
    ///
    /// [`GraphError`]; half a look is none.
    pub async fn look(&self, state: &State, calls: &Calls, policy: &Policy) -> Result<Actual, GraphError> {
        let mut actual = Actual::of(self.graph.list().await?);
        for id in self.question(state, &actual, calls, policy, self.graph.now()).to_ask() {
            match self.graph.get(&id).await {
                Ok(subscription) => actual.put(subscription),
                Err(GraphError::Gone(_)) => actual.lose(&id),
                // Some cannot be fetched by their ids, though they are listed; what the list says must do.
                Err(GraphError::Refused(_) | GraphError::Forbidden(_) | GraphError::Unavailable(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(actual)
    }

    /// What a plan is made of.
    pub fn question<'a>(
        &'a self,
        state: &'a State,
        actual: &'a Actual,
        calls: &'a Calls,
        policy: &'a Policy,
        now: SystemTime,
    ) -> Question<'a> {
        let (wanted, table) = (&*self.settings.subscriptions, &*self.table);
        Question { wanted, table, state, actual, calls, policy, now }
    }

    /// What is saved now.
    ///
    /// # Errors
    ///
    /// [`StateError`]
    pub async fn state(&self) -> Result<State, StateError> {
        let directory = self.settings.directory.clone();
        off_thread(move || State::load(&directory)).await
    }

    /// Does those of the steps that concern the state alone.
    ///
    /// # Errors
    ///
    /// [`StateError`]: then none of them is done.
    pub async fn settle(&self, steps: &[Step], actual: &Arc<Actual>) -> Result<Updated<()>, StateError> {
        let own: Vec<Step> = steps.iter().filter(|step| step.is_ours_alone()).cloned().collect();
        self.change(actual, move |settlement, state| {
            for step in &own {
                settlement.begin(state, step);
            }
        })
        .await
    }

    /// Makes the call of a step: saves that it will be made, makes it, saves what came of it, and notes in `actual` what
    /// Graph has now. A subscription that turns out to be gone is no error: the next plan goes by that. Of a create,
    /// whoever calls sees to it that its clientState is in force before.
    ///
    /// # Errors
    ///
    /// [`WorkError`]: it was not done, as far as is known.
    ///
    /// # Cancel safety
    ///
    /// It may have been done. The state knows that, and the next look shows it.
    pub async fn call(&self, step: &Step, actual: &mut Arc<Actual>) -> Result<State, WorkError> {
        let begun = {
            let step = step.clone();
            self.change(actual, move |settlement, state| settlement.may_begin(state, &step)).await?
        };
        if !begun.value {
            return Err(WorkError::Outdated);
        }
        let known = known(actual, &begun.state);
        let call = self.prepare(step, &begun.state, self.graph.now()).ok_or(WorkError::Outdated)?;
        let answer = match &call {
            Call::Create(new) => self.graph.create(new, &known).await.map(Some),
            Call::Change(id, change) => self.graph.update(id, change).await.map(Some),
            Call::Reauthorize(id) => self.graph.reauthorize(id).await.map(|()| None),
            Call::Delete(id) => self.graph.delete(id).await.map(|_| None),
        };
        let shown = match answer {
            Ok(shown) => shown,
            Err(GraphError::Gone(_)) => {
                let (Call::Change(id, _) | Call::Reauthorize(id) | Call::Delete(id)) = call else {
                    return Err(WorkError::Outdated);
                };
                Arc::make_mut(actual).lose(&id);
                return Ok(begun.state);
            }
            Err(GraphError::Refused(_)) if matches!(step, Step::Rotate { .. }) => {
                let name = step.name().unwrap_or_default().to_owned();
                let refused = self.change(actual, move |settlement, state| {
                    settlement.refuse_rotation(state, &name);
                });
                return Ok(refused.await?.state);
            }
            Err(error) => return Err(error.into()),
        };
        match (&call, &shown) {
            (Call::Delete(id), _) => Arc::make_mut(actual).lose(id),
            (_, Some(shown)) => Arc::make_mut(actual).put(shown.clone()),
            (_, None) => {}
        }
        let step = step.clone();
        let done = self.change(actual, move |settlement, state| {
            settlement.finish(state, &step, shown.as_ref());
        });
        Ok(done.await?.state)
    }

    /// What is sent for a step; nothing if what it is about is gone, or not wanted any more.
    fn prepare(&self, step: &Step, state: &State, now: SystemTime) -> Option<Call> {
        let wanted = |name: &str| self.settings.subscriptions.iter().find(|wanted| wanted.name == name);
        let until = |wanted: &Wanted| Some(now + self.lifetime(wanted));
        match step {
            Step::Create { name } => {
                let kept = state.named(name).filter(|kept| kept.live().is_none())?;
                let wanted = wanted(name).filter(|wanted| Form::of(wanted) == kept.form)?;
                Some(Call::Create(Box::new(self.new_subscription(wanted, kept, now))))
            }
            Step::Renew { name, id } => {
                let change = Change { expiration_date_time: until(wanted(name)?), ..Change::default() };
                Some(Call::Change(id.clone(), change))
            }
            Step::Move { name, id } => {
                let wanted = wanted(name)?;
                let url = Some(wanted.notification_url.clone());
                let change = Change {
                    notification_url: url,
                    expiration_date_time: until(wanted),
                    ..Change::default()
                };
                Some(Call::Change(id.clone(), change))
            }
            Step::Rotate { name, id } => {
                let wanted = wanted(name)?;
                let encryption = wanted.encryption.clone()?;
                let change = Change {
                    expiration_date_time: until(wanted),
                    encryption_certificate: Some(encryption.certificate),
                    encryption_certificate_id: Some(encryption.id),
                    ..Change::default()
                };
                Some(Call::Change(id.clone(), change))
            }
            Step::Reauthorize { id, .. } => Some(Call::Reauthorize(id.clone())),
            Step::Delete { id, .. } => Some(Call::Delete(id.clone())),
            Step::Expect { .. }
            | Step::Adopt { .. }
            | Step::Rename { .. }
            | Step::Believe { .. }
            | Step::Lose { .. }
            | Step::Replace { .. }
            | Step::Drop { .. }
            | Step::Forget { .. } => None,
        }
    }

    /// What is asked for with a POST.
    pub fn new_subscription(&self, wanted: &Wanted, kept: &Kept, now: SystemTime) -> NewSubscription {
        let encryption = wanted.encryption.clone();
        NewSubscription {
            resource: wanted.resource.clone(),
            change_type: kept.form.change_type(),
            notification_url: wanted.notification_url.clone(),
            lifecycle_notification_url: wanted.lifecycle_url.clone(),
            expiration_date_time: now + self.lifetime(wanted),
            client_state: kept.client_state.clone(),
            include_resource_data: encryption.as_ref().map(|_| true),
            encryption_certificate: encryption.as_ref().map(|encryption| encryption.certificate.clone()),
            encryption_certificate_id: encryption.map(|encryption| encryption.id),
            notification_url_app_id: wanted.app_id.clone(),
            notification_query_options: wanted.query_options.clone(),
            prefer: wanted.prefer.clone(),
        }
    }

    /// How long it should live.
    pub fn lifetime(&self, wanted: &Wanted) -> Duration {
        let is_rich = wanted.encryption.is_some();
        let usual = || resources::lifetime(&wanted.resource, is_rich, &self.settings.lifetimes);
        wanted.lifetime.unwrap_or_else(usual)
    }

    async fn change<T: Send + 'static>(
        &self,
        actual: &Arc<Actual>,
        change: impl FnOnce(&Settlement<'_>, &mut State) -> T + Send + 'static,
    ) -> Result<Updated<T>, StateError> {
        let (settings, table) = (Arc::clone(&self.settings), Arc::clone(&self.table));
        let (actual, now) = (Arc::clone(actual), self.graph.now());
        off_thread(move || {
            let settlement = Settlement {
                wanted: &settings.subscriptions,
                table: &table,
                actual: &actual,
                now,
                make_secret,
            };
            State::update(&settings.directory, |state| change(&settlement, state))
        })
        .await
    }
}

/// Ids of what surely is none that a create makes: lists may still show what was deleted a moment ago.
fn known(actual: &Actual, state: &State) -> HashSet<SubscriptionId<'static>> {
    let kept = state.kept.iter().filter_map(Kept::live).map(|live| &live.id);
    let former = state.former.iter().map(|former| &former.id);
    let shown = actual.subscriptions.iter().map(|shown| &shown.id);
    shown.chain(&actual.gone).chain(kept).chain(former).cloned().collect()
}

/// Notes in the state of this directory that consumers have been told of all that was owed for this name.
///
/// # Errors
///
/// [`StateError`]: then they are told again.
pub async fn told(directory: &Path, kept: &Kept) -> Result<State, StateError> {
    let (directory, name, told) = (directory.to_owned(), kept.name.clone(), kept.owed.clone());
    let updated = off_thread(move || {
        State::update(&directory, |state| {
            if let Some(kept) = state.named_mut(&name) {
                kept.owed.retain(|owed| !told.contains(owed));
            }
        })
    });
    Ok(updated.await?.state)
}

/// A clientState that nobody guesses: 256 bits, in the 43 letters of base64url.
pub fn make_secret() -> Secret {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system's generator of random numbers never fails once it has begun");
    Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriptions::state::{Former, Standing};

    #[test]
    fn what_was_deleted_is_never_taken_for_what_is_made() {
        let id = |id: &str| SubscriptionId::from(id.to_owned());
        let mut actual = Actual::default();
        actual.lose(&id("gone"));
        let former = Former {
            id: id("former"),
            name: "mail".to_owned(),
            entry: "mail".to_owned(),
            client_state: Secret::new("secret".to_owned()),
            standing: Standing::Doomed,
        };
        let state = State { former: vec![former], ..State::default() };
        assert_eq!(known(&actual, &state), HashSet::from([id("gone"), id("former")]));
    }
}

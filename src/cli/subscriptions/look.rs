//! A look at what Graph has, and the plan that follows from it.
//!
//! It sees what the list shows, and asks for single subscriptions where that does not suffice. Which subscriptions genuine
//! items have come from is known to the daemon alone, so it may adopt one that looks like nobody's from here.

use std::time::SystemTime;

use crate::{
    config::{self, Config},
    graph::{Graph, GraphError, subscription::Subscription},
    subscriptions::{
        plan::{Actual, Calls, Plan, Policy, Question},
        state::State,
    },
};

/// What was seen, and what it is compared with.
#[derive(Debug)]
pub(in crate::cli) struct Look<'a> {
    settings: &'a config::Graph,
    config: &'a Config,
    state: &'a State,
    now: SystemTime,
    actual: Actual,
    calls: Calls,
    policy: Policy,
}

impl<'a> Look<'a> {
    /// Looks, beginning with this list.
    pub(in crate::cli) async fn at(
        graph: &Graph,
        (settings, config): (&'a config::Graph, &'a Config),
        state: &'a State,
        list: Vec<Subscription>,
    ) -> Result<Self, GraphError> {
        let app = match settings.client_id.as_str() {
            "" => graph.token_claims().await.ok().and_then(|claims| claims.app_id),
            id => Some(id.to_owned()),
        };
        let mut look = Self {
            settings,
            config,
            state,
            now: SystemTime::now(),
            actual: Actual::of(list),
            calls: Calls::default(),
            policy: Policy { app, renew_at: settings.renew_at },
        };
        let ids = look.question().to_ask();
        for id in ids {
            match graph.get(&id).await {
                Ok(shown) => look.actual.put(shown),
                Err(GraphError::Gone(_)) => look.actual.lose(&id),
                Err(error) => return Err(error),
            }
        }
        Ok(look)
    }

    /// What is to be done.
    pub(in crate::cli) fn plan(&self) -> Plan {
        self.question().plan()
    }

    fn question(&self) -> Question<'_> {
        Question {
            wanted: &self.settings.subscriptions,
            table: &self.config.client_states,
            state: self.state,
            actual: &self.actual,
            calls: &self.calls,
            policy: &self.policy,
            now: self.now,
        }
    }
}

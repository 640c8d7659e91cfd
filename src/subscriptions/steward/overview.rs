//! How it stands with the subscriptions that are wanted, for `/status` and for metrics.

use std::time::{Instant, SystemTime};

use serde::Serialize;

use super::{
    super::{plan::due, state::Kept},
    tending::Tending,
};
use crate::{
    config::{self, Wanted},
    metrics::{SubscriptionState, Subscriptions},
    moment::rfc3339,
};

/// What `/status` tells of the management of subscriptions.
#[derive(Clone, Debug, Serialize)]
pub struct Overview {
    /// Who manages.
    pub manager: Manager,
    /// When Graph last showed what it has.
    pub last_look_at: Option<String>,
    /// Why it could not be asked at the last try.
    pub trouble: Option<String>,
    /// The configuration wants so many.
    pub wanted: usize,
    /// Of them, those that are there.
    pub live: usize,
    /// Of them, those that are still to be made.
    pub pending: usize,
    /// Those with which something did not succeed.
    pub failing: usize,
    /// Subscriptions at Graph that are none of ours.
    pub strangers: usize,
    /// When something is due.
    pub next_at: Option<String>,
    /// The wanted ones: those with which something failed first.
    pub list: Vec<Row>,
}

/// Who manages.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// Nobody: the configuration does not want it.
    Off,
    /// Another daemon, or nobody because there is no broker.
    Standby,
    /// This daemon.
    Active,
}

/// One that is wanted.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whether Graph has it.
    pub live: bool,
    /// Its id.
    pub id: Option<String>,
    /// When it ends.
    pub expires_at: Option<String>,
    /// When it is renewed.
    pub renew_at: Option<String>,
    /// What failed.
    pub trouble: Option<String>,
    /// When it is tried again.
    pub again_at: Option<String>,
}

impl Overview {
    /// Of one who does nothing.
    pub fn of(manager: Manager) -> Self {
        Self {
            manager,
            last_look_at: None,
            trouble: None,
            wanted: 0,
            live: 0,
            pending: 0,
            failing: 0,
            strangers: 0,
            next_at: None,
            list: Vec::new(),
        }
    }

    /// Shows the numbers.
    pub(super) fn show(&self, metrics: &Subscriptions) {
        for (state, many) in [
            (SubscriptionState::Wanted, self.wanted),
            (SubscriptionState::Live, self.live),
            (SubscriptionState::Pending, self.pending),
            (SubscriptionState::Failing, self.failing),
            (SubscriptionState::Stranger, self.strangers),
        ] {
            metrics.show(state, many);
        }
    }
}

impl Tending {
    /// How it stands.
    pub(super) fn overview(&self, settings: &config::Graph) -> Overview {
        let mut list: Vec<Row> =
            settings.subscriptions.iter().map(|wanted| self.row(wanted, settings.renew_at)).collect();
        let live = list.iter().filter(|row| row.live).count();
        let wanted = list.len();
        list.sort_by_key(|row| (row.trouble.is_none(), row.live));
        list.truncate(LISTED_MAX);
        Overview {
            manager: Manager::Active,
            last_look_at: self.looked_at.map(rfc3339),
            trouble: self.trouble.clone(),
            wanted,
            live,
            pending: wanted - live,
            failing: self.rests.len(),
            strangers: self.strangers,
            next_at: self.next_at(),
            list,
        }
    }

    fn row(&self, wanted: &Wanted, renew_at: u8) -> Row {
        let live = self.state.named(&wanted.name).and_then(Kept::live);
        let rest = self.rests.get(&wanted.name);
        let again_in = |until: Instant| until.saturating_duration_since(Instant::now());
        Row {
            name: wanted.name.clone(),
            live: live.is_some(),
            id: live.map(|live| live.id.to_string()),
            expires_at: live.map(|live| rfc3339(live.expires_at)),
            renew_at: live.map(|live| rfc3339(due::renewal(live, renew_at))),
            trouble: rest.map(|rest| rest.words.clone()),
            again_at: rest.map(|rest| rfc3339(SystemTime::now() + again_in(rest.until))),
        }
    }
}

/// Subscriptions in `/status`.
const LISTED_MAX: usize = 100;

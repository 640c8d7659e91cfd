//! What we know of our subscriptions: their ids and clientStates, what was asked for, and what is still to be done.
//!
//! It is saved before anything is done at Graph and again afterwards, so that whoever finds it after a crash knows what may
//! have happened meanwhile. Daemon and command line share the [`mod@file`], one of them at a time.

pub mod file;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    time::{Duration, SystemTime},
};

use crate::{
    config::{ChangeType, ClientState, Wanted},
    envelope::gap::GapReason,
    graph::{resources::is_same_path, subscription::Subscription},
    notification::id::SubscriptionId,
    secret::Secret,
};

/// All that we know.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct State {
    /// Grows with each change: who waits for a change to be in force waits for this number.
    pub revision: u64,
    /// One for each name.
    pub kept: Vec<Kept>,
    /// Those that others have taken the place of.
    pub former: Vec<Former>,
}

/// A subscription of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its name: that of a wanted one, or what somebody called it.
    pub name: String,
    /// Who wants it.
    pub made_by: MadeBy,
    /// What was asked for.
    pub form: Form,
    /// What its items carry.
    pub client_state: Secret,
    /// How far it is.
    pub phase: Phase,
    /// The last call that gave it a fresh token, or may have.
    pub touch: Option<Touch>,
    /// What consumers are to be told once it is there.
    pub owed: Vec<Owed>,
    /// Graph does not let its certificate be changed.
    pub is_unrotatable: bool,
}

/// Who wants a subscription.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MadeBy {
    /// The configuration: it goes when its name is gone from there.
    Wanted,
    /// Somebody, by hand: the daemon leaves it alone.
    Hand,
}

/// What a subscription is asked for with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Form {
    /// The path to watch.
    pub resource: String,
    /// Sorted, each once.
    pub change_types: Vec<ChangeType>,
    /// Where notifications go.
    pub notification_url: String,
    /// Where lifecycle notifications go.
    pub lifecycle_url: String,
    /// The entry of the table of secrets that it uses, if it uses one.
    pub entry: Option<String>,
    /// For which certificate resource data is encrypted, if it comes along.
    pub encryption: Option<String>,
    /// `notificationUrlAppId`.
    pub app_id: Option<String>,
    /// `notificationQueryOptions`.
    pub query_options: Option<String>,
    /// Values of `Prefer`.
    pub prefer: Vec<String>,
}

/// How far a subscription is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Its clientState is made, and perhaps the subscription too: the first notification may come before Graph's answer.
    Pending {
        /// Since when.
        since: SystemTime,
    },
    /// Graph has it.
    Live(Live),
}

/// A subscription that Graph has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Live {
    /// Its id.
    pub id: SubscriptionId<'static>,
    /// When it ends, as Graph said last.
    pub expires_at: SystemTime,
    /// When it was made, or found.
    pub made_at: SystemTime,
    /// When its present life began.
    pub renewed_at: SystemTime,
    /// Where its notifications go, in Graph's words.
    pub notification_url: String,
}

/// A call that gives a subscription a fresh token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Touch {
    /// Which.
    pub kind: TouchKind,
    /// When it was made.
    pub at: SystemTime,
    /// Whether Graph said that it was done. If not, it may have been all the same.
    pub is_done: bool,
}

/// The two calls that give a fresh token. Both within ten minutes may leave the subscription inconsistent ("Lifecycle
/// notifications", <https://learn.microsoft.com/graph/change-notifications-lifecycle-events>).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TouchKind {
    /// PATCH.
    Patch,
    /// POST reauthorize.
    Reauthorize,
}

/// Changes may be missing, and consumers do not know it yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owed {
    /// Why.
    pub loss: Loss,
    /// The subscription that did not bring them.
    pub id: Option<SubscriptionId<'static>>,
    /// Since when; nobody may know.
    pub from: Option<SystemTime>,
}

/// Why changes may be missing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Loss {
    /// Graph said that it removed the subscription.
    Removed,
    /// It had ended before it was renewed.
    Expired,
    /// It was no longer there.
    Gone,
    /// It had to be deleted before another could be made.
    Replaced,
}

impl Loss {
    /// What consumers are told.
    pub fn reason(self) -> GapReason {
        match self {
            Self::Removed => GapReason::SubscriptionRemoved,
            Self::Expired => GapReason::Expired,
            Self::Gone | Self::Replaced => GapReason::Lost,
        }
    }
}

/// A subscription that another has taken the place of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Former {
    /// Its id.
    pub id: SubscriptionId<'static>,
    /// The name it had.
    pub name: String,
    /// The entry of the table of secrets that admitted its items.
    pub entry: String,
    /// What its items carry.
    pub client_state: Secret,
    /// What becomes of it.
    pub standing: Standing,
}

/// What becomes of a subscription that another has taken the place of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It goes when its successor is there.
    Outgoing,
    /// It goes now.
    Doomed,
    /// It is gone; what it sent may still come.
    Gone {
        /// Since when.
        at: SystemTime,
    },
}

impl State {
    /// Those that are gone and in whose place there is another, once consumers have been told of the gap between them.
    pub fn succeeded(&self) -> HashSet<String> {
        let has_successor = |former: &&Former| {
            let is_gone = matches!(former.standing, Standing::Gone { .. });
            let is_owed = |kept: &Kept| kept.owed.iter().any(|owed| owed.id.as_ref() == Some(&former.id));
            is_gone
                && self.named(&former.name).is_some_and(|kept| kept.live().is_some())
                && !self.kept.iter().any(is_owed)
        };
        self.former.iter().filter(has_successor).map(|former| former.id.to_string()).collect()
    }

    /// The subscription of this name.
    pub fn named(&self, name: &str) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.name == name)
    }

    /// The same, to change it.
    pub fn named_mut(&mut self, name: &str) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.name == name)
    }

    /// The subscription with this id.
    pub fn with_id(&self, id: &str) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.live().is_some_and(|live| *live.id == *id))
    }

    /// Entries of the table of secrets that are made here: those of the live ones admit nothing but their own items.
    pub fn client_states(&self, table: &[ClientState]) -> Vec<ClientState> {
        let entry = |name: &str, secret: &Secret, id: Option<&SubscriptionId<'static>>| ClientState {
            name: name.to_owned(),
            secret: secret.clone(),
            subscriptions: id.cloned().into_iter().collect(),
            tenants: Default::default(),
            silent_after: None,
        };
        let is_in = |name: &str, secret: &Secret, id: Option<&SubscriptionId<'static>>| {
            table.iter().any(|entry| {
                let admits =
                    entry.subscriptions.is_empty() || id.is_some_and(|id| entry.subscriptions.contains(id));
                entry.name == name && entry.secret == *secret && admits
            })
        };
        let kept = self.kept.iter().map(|kept| {
            let id = kept.live().map(|live| &live.id);
            (kept.entry(), &kept.client_state, id)
        });
        let former =
            self.former.iter().map(|former| (&*former.entry, &former.client_state, Some(&former.id)));
        let made = kept.chain(former).filter(|(name, secret, id)| !is_in(name, secret, *id));
        made.map(|(name, secret, id)| entry(name, secret, id)).collect()
    }
}

impl Kept {
    /// One that is to be made.
    pub fn pending(name: String, made_by: MadeBy, form: Form, client_state: Secret, now: SystemTime) -> Self {
        Self {
            name,
            made_by,
            form,
            client_state,
            phase: Phase::Pending { since: now },
            touch: None,
            owed: Vec::new(),
            is_unrotatable: false,
        }
    }

    /// What Graph has of it, if it has it.
    pub fn live(&self) -> Option<&Live> {
        match &self.phase {
            Phase::Live(live) => Some(live),
            Phase::Pending { .. } => None,
        }
    }

    /// Name of the entry of the table of secrets that admits its items.
    pub fn entry(&self) -> &str {
        self.form.entry.as_deref().unwrap_or(&self.name)
    }

    /// Graph has it, and says this of it.
    pub fn is_now(&mut self, subscription: &Subscription, now: SystemTime) {
        let live = |made_at| Live {
            id: subscription.id.clone(),
            expires_at: subscription.expiration_date_time,
            made_at,
            renewed_at: now,
            notification_url: subscription.notification_url.clone(),
        };
        self.phase = match &self.phase {
            Phase::Live(known) if known.id == subscription.id => Phase::Live(live(known.made_at)),
            Phase::Live(_) | Phase::Pending { .. } => Phase::Live(live(now)),
        };
    }

    /// Owes consumers a word, unless the bound is reached: then the last one stands for all.
    pub fn owe(&mut self, owed: Owed) {
        let Owed { loss, ref id, from } = owed;
        if let Some(known) = self.owed.iter_mut().find(|known| (known.loss, &known.id) == (loss, id)) {
            known.from = known.from.zip(from).map(|(one, other)| one.min(other));
        } else if self.owed.len() < OWED_MAX {
            self.owed.push(owed);
        } else if let Some(last) = self.owed.last_mut() {
            *last = Owed { from: last.from.zip(from).map(|(one, other)| one.min(other)), ..owed };
        }
    }
}

impl Form {
    /// What is asked for with this one.
    pub fn of(wanted: &Wanted) -> Self {
        Self {
            resource: wanted.resource.clone(),
            change_types: wanted.change_types.clone(),
            notification_url: wanted.notification_url.clone(),
            lifecycle_url: wanted.lifecycle_url.clone(),
            entry: wanted.client_state.clone(),
            encryption: wanted.encryption.as_ref().map(|encryption| encryption.id.clone()),
            app_id: wanted.app_id.clone(),
            query_options: wanted.query_options.clone(),
            prefer: wanted.prefer.clone(),
        }
    }

    /// Change types as Graph is told.
    pub fn change_type(&self) -> String {
        let words: Vec<&str> = self.change_types.iter().map(|change| change.as_str()).collect();
        words.join(",")
    }

    /// Whether Graph would take one for the other: it allows one subscription of an app for a resource and its change
    /// types ("Create subscription", <https://learn.microsoft.com/graph/api/subscription-post-subscriptions>).
    pub fn shares_place_with(&self, other: &Self) -> bool {
        is_same_path(&self.resource, &other.resource) && self.change_types == other.change_types
    }

    /// The same, of a subscription that Graph shows.
    pub fn is_place_of(&self, shown: &Subscription) -> bool {
        let mut ours: Vec<&str> = self.change_types.iter().map(|change| change.as_str()).collect();
        ours.sort_unstable();
        is_same_path(&self.resource, &shown.resource) && ours == shown.change_types()
    }
}

impl Touch {
    /// Whether it was so lately that the other kind of call would do harm.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        // A clock that was set back makes nothing fresh for long.
        let age = now.duration_since(self.at).unwrap_or_else(|error| error.duration());
        age < self.lasts()
    }

    /// Whether a call of this kind would do harm now.
    pub fn forbids(&self, kind: TouchKind, now: SystemTime) -> bool {
        self.kind != kind && self.is_fresh(now)
    }

    /// From when on it is not fresh any more.
    pub fn ends(&self) -> SystemTime {
        self.at + self.lasts()
    }

    /// What is not done may have been tried again and again after it began.
    fn lasts(&self) -> Duration {
        if self.is_done { TOUCH_EVERY } else { TOUCH_EVERY + TRIED_FOR }
    }
}

/// Time between a PATCH and a POST reauthorize of one subscription.
pub const TOUCH_EVERY: Duration = Duration::from_secs(10 * 60);
/// Longer than a call to Graph is tried.
const TRIED_FOR: Duration = Duration::from_secs(10 * 60);
/// What is gone may still be heard of: Graph repeats for up to four hours ("Receive change notifications through
/// webhooks", <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>); and a little more.
pub const HEARD_FOR: Duration = Duration::from_secs(4 * 3600 + 15 * 60);
/// Words that may be owed for one subscription.
const OWED_MAX: usize = 8;

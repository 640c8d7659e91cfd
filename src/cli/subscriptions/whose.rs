//! Whose a subscription is.

use serde::Serialize;

use super::session::Session;
use crate::{
    graph::{resources::is_same_url, subscription::Subscription},
    subscriptions::state::{Kept, MadeBy},
};

/// Who cares for a subscription.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Whose {
    /// The configuration wants it.
    Wanted,
    /// Somebody made it by hand.
    ByHand,
    /// It was wanted once, or another has taken its place.
    LeftOver,
    /// It comes to a URL of ours, but we do not know its clientState: what it brings is refused.
    Unknown,
    /// It goes elsewhere.
    Stranger,
}

impl Whose {
    /// Of one that Graph shows.
    pub(super) fn of(subscription: &Subscription, session: &Session) -> Self {
        if let Some(kept) = session.state.with_id(&subscription.id) {
            return Self::of_kept(kept, session);
        }
        if session.state.former.iter().any(|former| former.id == subscription.id) {
            return Self::LeftOver;
        }
        let url = &subscription.notification_url;
        let public = session.config.server.public_url.as_ref().map(ToString::to_string);
        let wanted = session.workshop.settings.subscriptions.iter().map(|wanted| &wanted.notification_url);
        match wanted.chain(&public).any(|ours| is_same_url(ours, url)) {
            true => Self::Unknown,
            false => Self::Stranger,
        }
    }

    /// Of one that we keep.
    pub(super) fn of_kept(kept: &Kept, session: &Session) -> Self {
        match kept.made_by {
            MadeBy::Hand => Self::ByHand,
            MadeBy::Wanted
                if session.workshop.settings.subscriptions.iter().any(|wanted| wanted.name == kept.name) =>
            {
                Self::Wanted
            }
            MadeBy::Wanted => Self::LeftOver,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::ByHand => "by hand",
            Self::LeftOver => "left over",
            Self::Unknown => "unknown",
            Self::Stranger => "stranger",
        }
    }
}

//! One thing to do.

use std::time::SystemTime;

use super::super::state::Loss;
use crate::{metrics::SubscriptionCall, notification::id::SubscriptionId};

/// One thing to do.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Step {
    /// It shall be made: a clientState is made for it, and saved.
    Expect {
        /// Which.
        name: String,
    },
    /// It is there already, and is ours.
    Adopt {
        /// Which.
        name: String,
        /// What is there.
        id: SubscriptionId<'static>,
    },
    /// It has another name from now on.
    Rename {
        /// From this.
        from: String,
        /// To this.
        to: String,
    },
    /// It ends at another time than we knew.
    Believe {
        /// Which.
        name: String,
        /// Its id.
        id: SubscriptionId<'static>,
        /// When.
        expires_at: SystemTime,
    },
    /// It is gone: another one is made in its place, and consumers are told.
    Lose {
        /// Which.
        name: String,
        /// Its id.
        id: SubscriptionId<'static>,
        /// How.
        loss: Loss,
    },
    /// It cannot become what is wanted: another one is made in its place.
    Replace {
        /// Which.
        name: String,
        /// Its id.
        id: SubscriptionId<'static>,
        /// Graph allows both at a time: it goes when the other one is there.
        overlaps: bool,
    },
    /// Nobody wants it any more.
    Drop {
        /// Which.
        name: String,
    },
    /// A former one, so long gone that nothing of it can come any more.
    Forget {
        /// Which.
        id: SubscriptionId<'static>,
    },
    /// DELETE.
    Delete {
        /// Which.
        id: SubscriptionId<'static>,
        /// For the sake of this one.
        name: Option<String>,
        /// Why.
        why: DeleteReason,
    },
    /// POST.
    Create {
        /// Which.
        name: String,
    },
    /// PATCH of its end.
    Renew {
        /// Which.
        name: String,
        /// Its id.
        id: SubscriptionId<'static>,
    },
    /// PATCH of its notification URL.
    Move {
        /// Which.
        name: String,
        /// Its id.
        id: SubscriptionId<'static>,
    },
    /// PATCH of its certificate.
    Rotate {
        /// Which.
        name: String,
        /// Its id.
        id: SubscriptionId<'static>,
    },
    /// POST reauthorize.
    Reauthorize {
        /// Which.
        name: String,
        /// Its id.
        id: SubscriptionId<'static>,
    },
}

/// Why a subscription is deleted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum DeleteReason {
    /// Another one has taken its place, or nobody wants it any more.
    Former,
    /// There is another one of ours in the same place.
    Duplicate,
    /// It stands in the place of one that is wanted, and nothing shows that its items would be believed.
    Remain,
}

impl Step {
    /// The word in the log and in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Expect { .. } => "expect",
            Self::Adopt { .. } => "adopt",
            Self::Rename { .. } => "rename",
            Self::Believe { .. } => "believe",
            Self::Lose { .. } => "lose",
            Self::Replace { .. } => "replace",
            Self::Drop { .. } => "drop",
            Self::Forget { .. } => "forget",
            Self::Delete { .. } => "delete",
            Self::Create { .. } => "create",
            Self::Renew { .. } => "renew",
            Self::Move { .. } => "move",
            Self::Rotate { .. } => "rotate",
            Self::Reauthorize { .. } => "reauthorize",
        }
    }

    /// What it is counted as, if Graph is called for it.
    pub fn call(&self) -> Option<SubscriptionCall> {
        match self {
            Self::Create { .. } => Some(SubscriptionCall::Create),
            Self::Renew { .. } => Some(SubscriptionCall::Renew),
            Self::Move { .. } => Some(SubscriptionCall::Move),
            Self::Rotate { .. } => Some(SubscriptionCall::Rotate),
            Self::Reauthorize { .. } => Some(SubscriptionCall::Reauthorize),
            Self::Delete { .. } => Some(SubscriptionCall::Delete),
            Self::Expect { .. }
            | Self::Adopt { .. }
            | Self::Rename { .. }
            | Self::Believe { .. }
            | Self::Lose { .. }
            | Self::Replace { .. }
            | Self::Drop { .. }
            | Self::Forget { .. } => None,
        }
    }

    /// Whether it concerns our own state, and Graph is not asked.
    pub fn is_ours_alone(&self) -> bool {
        self.rank() == 0
    }

    /// The subscription that it concerns, if there is one already.
    pub fn id(&self) -> Option<&SubscriptionId<'static>> {
        match self {
            Self::Expect { .. } | Self::Rename { .. } | Self::Drop { .. } | Self::Create { .. } => None,
            Self::Adopt { id, .. }
            | Self::Believe { id, .. }
            | Self::Lose { id, .. }
            | Self::Replace { id, .. }
            | Self::Forget { id }
            | Self::Delete { id, .. }
            | Self::Renew { id, .. }
            | Self::Move { id, .. }
            | Self::Rotate { id, .. }
            | Self::Reauthorize { id, .. } => Some(id),
        }
    }

    /// The name that it is for.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Forget { .. } => None,
            Self::Delete { name, .. } => name.as_deref(),
            Self::Rename { to: name, .. }
            | Self::Expect { name }
            | Self::Adopt { name, .. }
            | Self::Believe { name, .. }
            | Self::Lose { name, .. }
            | Self::Replace { name, .. }
            | Self::Drop { name }
            | Self::Create { name }
            | Self::Renew { name, .. }
            | Self::Move { name, .. }
            | Self::Rotate { name, .. }
            | Self::Reauthorize { name, .. } => Some(name),
        }
    }

    /// What comes first.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Expect { .. }
            | Self::Adopt { .. }
            | Self::Rename { .. }
            | Self::Believe { .. }
            | Self::Lose { .. }
            | Self::Replace { .. }
            | Self::Drop { .. }
            | Self::Forget { .. } => 0,
            Self::Renew { .. } | Self::Reauthorize { .. } | Self::Move { .. } | Self::Rotate { .. } => 1,
            Self::Delete { .. } => 2,
            Self::Create { .. } => 3,
        }
    }
}

impl DeleteReason {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Former => "another one has its place, or nobody wants it any more",
            Self::Duplicate => "it doubles another one",
            Self::Remain => "it stands in the place of another one, and its items would be refused",
        }
    }
}

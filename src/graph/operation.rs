//! What Graph is asked for.

/// One of the calls of the subscription API.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// A page of all subscriptions.
    List,
    /// One of them.
    Get,
    /// A new one.
    Create,
    /// A change of one: it is renewed, moved, or has its certificate replaced.
    Update,
    /// Consent to go on with one.
    Reauthorize,
    /// The end of one.
    Delete,
}

impl Operation {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::List, Self::Get, Self::Create, Self::Update, Self::Reauthorize, Self::Delete];

    /// In logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Get => "get",
            Self::Create => "create",
            Self::Update => "update",
            Self::Reauthorize => "reauthorize",
            Self::Delete => "delete",
        }
    }

    /// Whether it is about a subscription that should be there: 404 says that it is not.
    pub(super) fn names_one(self) -> bool {
        match self {
            Self::Get | Self::Update | Self::Reauthorize | Self::Delete => true,
            Self::List | Self::Create => false,
        }
    }
}

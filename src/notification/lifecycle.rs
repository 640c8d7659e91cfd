//! What an item tells of: a change, or the life of its subscription.

/// The kind of an item.
///
/// Told apart by the member, never by the URL: one POST may mix both ("Lifecycle notifications", March 2026).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// A change of a resource.
    Notification,
    /// `reauthorizationRequired`, `subscriptionRemoved`, `missed`, or whatever Graph adds.
    Lifecycle,
}

impl Kind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Notification, Self::Lifecycle];

    /// The word in routing keys, in the AMQP `type` and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// What a lifecycle item tells ("Lifecycle notifications", March 2026).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Event {
    /// The subscription wants a fresh token soon, or nothing more comes.
    ReauthorizationRequired,
    /// The subscription is gone.
    SubscriptionRemoved,
    /// Changes were not delivered.
    Missed,
    /// Whatever Graph adds.
    Other,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::ReauthorizationRequired, Self::SubscriptionRemoved, Self::Missed, Self::Other];

    /// What `lifecycleEvent` says.
    pub fn of(text: &str) -> Self {
        Self::ALL.into_iter().find(|event| event.as_str() == text).unwrap_or(Self::Other)
    }

    /// Graph's word, which is also that in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReauthorizationRequired => "reauthorizationRequired",
            Self::SubscriptionRemoved => "subscriptionRemoved",
            Self::Missed => "missed",
            Self::Other => "other",
        }
    }
}

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

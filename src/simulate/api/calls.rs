//! What can be asked of the service, and who asks.

use serde::{Deserialize, Serialize};

/// A call that can be counted, and go wrong.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// A token for somebody who proves who they are.
    Token,
    /// The begin of a sign-in on another device.
    DeviceCode,
    /// A token for a machine of Microsoft's.
    Identity,
    /// POST /subscriptions
    Create,
    /// GET /subscriptions
    List,
    /// GET /subscriptions/{id}
    Get,
    /// PATCH /subscriptions/{id}
    Update,
    /// POST /subscriptions/{id}/reauthorize
    Reauthorize,
    /// DELETE /subscriptions/{id}
    Delete,
}

/// Who calls, by their token.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Caller {
    /// The app.
    pub(super) app: String,
    /// The tenant.
    pub(super) tenant: String,
    /// The user, or the app's own principal.
    pub(super) creator: String,
}

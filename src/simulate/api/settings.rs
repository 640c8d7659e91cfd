//! What can change while the stand-in runs.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Manners of the service that tests choose.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Subscriptions on a page of a list.
    pub page_size: usize,
    /// Live subscriptions of one app in one tenant; one more is refused with 403.
    pub quota: usize,
    /// Whether GET by id shows the clientState. Lists never do.
    pub shows_client_state: bool,
    /// Whether lists name expired subscriptions, too.
    pub lists_expired: bool,
    /// Whether a first notification is sent, and its answer awaited, before the 201.
    pub overtakes: bool,
    /// Whether a new certificate in a PATCH is passed over in silence.
    pub keeps_certificates: bool,
    /// Whether the service's rate limits are in force.
    pub throttles: bool,
    /// Seconds that access tokens live.
    pub token_lifetime: u64,
    /// Seconds between two questions of who waits for a sign-in on another device.
    pub device_interval: u64,
    /// Questions that are answered with "not yet" before the user has signed in; without it they sign in when told to.
    pub device_polls: Option<u32>,
    /// Origin of the links to next pages, when it shall not be that of the call.
    pub next_link_origin: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            page_size: 100,
            quota: 1_000,
            shows_client_state: true,
            lists_expired: false,
            overtakes: false,
            keeps_certificates: false,
            throttles: true,
            token_lifetime: 3_599,
            device_interval: 1,
            device_polls: None,
            next_link_origin: None,
        }
    }
}

impl Settings {
    /// The same with some of them changed.
    ///
    /// # Errors
    ///
    /// What serde says of a name or value that does not fit.
    pub(super) fn with(&self, changes: serde_json::Map<String, Value>) -> serde_json::Result<Self> {
        let mut all = serde_json::to_value(self)?;
        if let Some(all) = all.as_object_mut() {
            all.extend(changes);
        }
        serde_json::from_value(all)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(changes: Value) -> Option<Settings> {
        Settings::default().with(changes.as_object().cloned().unwrap_or_default()).ok()
    }

    #[test]
    fn what_is_named_changes_and_nothing_else() {
        let expected = Settings { page_size: 2, device_polls: Some(3), ..Settings::default() };
        assert_eq!(changed(json!({ "pageSize": 2, "devicePolls": 3 })), Some(expected));
        assert_eq!(changed(json!({})), Some(Settings::default()));
        assert_eq!(changed(json!({ "pagesize": 2 })), None);
        assert_eq!(changed(json!({ "quota": "many" })), None);
    }
}

//! What the running daemon says of the management of subscriptions: whether it does it, and which state it goes by.

use std::time::Duration;

use serde::Deserialize;

use super::session::Session;
use crate::{
    backoff::Backoff,
    cli::status::{AskError, ask},
    config::Listen,
    deadline::Deadline,
};

/// The part of `/status` that is about it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Management {
    /// What the daemon has to do with it.
    pub(super) manager: String,
    /// Which version of the state its clientStates are of.
    pub(super) revision: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    management: Option<Management>,
}

impl Management {
    /// Whether it makes and keeps what is wanted.
    pub(super) fn is_manager(&self) -> bool {
        self.manager == "active"
    }
}

/// Why nobody can say that a clientState is in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotInForce {
    /// There is no daemon.
    #[error(
        "no daemon that serves this configuration can be asked, and its first notifications would be refused: start it, \
         name its admin listener with --admin, or say --no-wait if a daemon with this graph.directory is somewhere else"
    )]
    Absent(#[source] AskError),
    /// It is another daemon, or one without `[graph]`.
    #[error("the daemon at {0} does not look at graph.directory: does it have this configuration? Reload it")]
    Unaware(Listen),
    /// It does not take it up.
    #[error(
        "the daemon at {place} has not taken up the new clientState within {} s: its log says why; does it have this \
         graph.directory?",
        WITHIN.as_secs()
    )]
    Late {
        /// Which daemon.
        place: Listen,
    },
}

impl Session {
    /// Where the daemon can be asked.
    pub(super) fn admin(&self, named: Option<Listen>) -> Listen {
        named.unwrap_or(Listen::Address(self.config.admin.listen))
    }
}

/// What the daemon says; nothing if it says nothing of it.
pub(super) async fn management(place: &Listen) -> Result<Option<Management>, AskError> {
    let answer = ask(place, "/status").await?;
    // Of another version, or no graphhook at all: it says nothing of what we ask.
    let status: Status = serde_json::from_str(&answer).unwrap_or_default();
    Ok(status.management)
}

/// Waits until the daemon goes by this version of the state, or a later one.
pub(super) async fn wait(place: &Listen, revision: u64) -> Result<(), NotInForce> {
    let owed = Deadline::after(WITHIN);
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
    loop {
        let said = management(place).await.map_err(NotInForce::Absent)?;
        match said.map(|management| management.revision) {
            None => return Err(NotInForce::Unaware(place.clone())),
            Some(Some(in_force)) if in_force >= revision => return Ok(()),
            Some(Some(_) | None) => {}
        }
        if owed.limit(backoff.pause()).await.is_err() {
            return Err(NotInForce::Late { place: place.clone() });
        }
    }
}

/// The daemon looks at the file every second.
const WITHIN: Duration = Duration::from_secs(15);

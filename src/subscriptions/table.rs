//! The clientStates of the state, as entries of the table of secrets: read whenever the file is another.

use std::path::PathBuf;

use tokio::sync::watch;
use tracing::warn;

use super::state::{
    State,
    file::{Stamp, StateError},
};
use crate::{config::ClientState, error::Chain};

/// The clientStates that are in force beside those of the configuration.
#[derive(Debug)]
pub struct Table {
    /// None as long as nobody signs in to Graph.
    directory: Option<PathBuf>,
    /// The version of the file that was looked at last.
    stamp: Option<Stamp>,
    state: State,
    /// The state's revision that requests are judged by.
    in_force: watch::Sender<u64>,
}

/// What a look at the file brought.
#[derive(Debug)]
pub struct Found {
    stamp: Option<Stamp>,
    state: Result<State, StateError>,
}

impl Table {
    /// Reads what is there. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`StateError::Newer`], because what a newer version has made could not be believed. What cannot be read otherwise
    /// counts as nothing.
    pub fn open(directory: Option<PathBuf>) -> Result<Self, StateError> {
        let in_force = watch::Sender::new(0);
        let mut table = Self { directory, stamp: None, state: State::default(), in_force };
        let found = table.look()();
        if let Some(Found { state: Err(error @ StateError::Newer(_)), .. }) = found {
            return Err(error);
        }
        if let Some(found) = found {
            table.take(found);
        }
        table.is_in_force();
        Ok(table)
    }

    /// The state is in this directory from now on. Without one, nothing is added any more.
    pub fn follow(&mut self, directory: Option<PathBuf>) {
        if self.directory != directory {
            if directory.is_none() {
                self.state = State::default();
            }
            (self.directory, self.stamp) = (directory, None);
        }
    }

    /// A look at the file, for a thread that may wait for the disk: gives something when there is another version.
    pub fn look(&self) -> impl FnOnce() -> Option<Found> + Send + use<> {
        let (directory, known) = (self.directory.clone(), self.stamp);
        move || {
            let directory = directory?;
            let stamp = State::stamp(&directory);
            if stamp == known {
                return None;
            }
            Some(Found { stamp, state: State::load(&directory) })
        }
    }

    /// Takes what was found. What cannot be read changes nothing: what was believed still is. Returns whether there is
    /// something new to be put in force.
    pub fn take(&mut self, Found { stamp, state }: Found) -> bool {
        self.stamp = stamp;
        match state {
            Ok(state) => {
                let is_new = state != self.state;
                self.state = state;
                is_new
            }
            Err(error) => {
                warn!(
                    event = "subscription_state_unreadable",
                    error = %Chain(&error),
                    "the clientStates that graphhook has made cannot be read: those that were read before stay in force"
                );
                false
            }
        }
    }

    /// The entries to be added to this table.
    pub fn client_states(&self, configured: &[ClientState]) -> Vec<ClientState> {
        self.state.client_states(configured)
    }

    /// Requests are judged by them from now on.
    pub fn is_in_force(&self) {
        self.in_force.send_replace(self.state.revision);
    }

    /// The revision of the state that is in force.
    pub fn revision(&self) -> watch::Receiver<u64> {
        self.in_force.subscribe()
    }
}

//! SIGTERM and SIGINT stop; a second one hurries. SIGHUP is named and ignored.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tracing::warn;

/// A signal that stops the daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// From systemd.
    Term,
    /// From a terminal.
    Interrupt,
}

/// The signals this process listens to from the moment of its making.
#[derive(Debug)]
pub struct Signals {
    term: Stream,
    interrupt: Stream,
    hangup: Stream,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal to stop.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn stop(&mut self) -> Signal {
        loop {
            tokio::select! {
                _ = self.term.recv() => return Signal::Term,
                _ = self.interrupt.recv() => return Signal::Interrupt,
                _ = self.hangup.recv() => {
                    warn!("this version does not reload its configuration; restart it to apply changes");
                }
            }
        }
    }
}

//! SIGTERM and SIGINT stop; a second one hurries. SIGHUP reloads.

use std::io;

use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A signal that stops the daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// From systemd.
    Term,
    /// From a terminal.
    Interrupt,
}

/// The signals to stop that this process listens to from the moment of its making.
#[derive(Debug)]
pub struct Signals {
    term: Stream,
    interrupt: Stream,
}

/// SIGHUP, from the moment of its making; from then on it never ends the process.
#[derive(Debug)]
pub struct Hangups(Stream);

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next signal to stop.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn stop(&mut self) -> Signal {
        tokio::select! {
            _ = self.term.recv() => Signal::Term,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

impl Hangups {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Whatever the system says.
    pub fn new() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one. Those that came since the last count as one.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) {
        // There is always a next one: the stream ends with the runtime.
        let (Some(()) | None) = self.0.recv().await;
    }
}

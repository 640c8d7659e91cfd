//! The queue between whoever logs and the one thread that writes.
//!
//! A pipe that nobody reads, or a journald that stands still, stops that thread. The queue has a bound: then lines are
//! dropped and counted, and no request ever waits for its log.

use std::{
    io::{self, Write},
    mem,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// The way to the thread that writes the log.
#[derive(Clone, Debug)]
pub(super) struct Outbox(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    is_writing: bool,
    /// All that were ever dropped, once there is a counter for them.
    dropped: Option<Counter>,
    /// Dropped while nobody counted.
    uncounted: u64,
    /// Dropped for want of room since the log last said so.
    untold: u64,
}

/// Where lines go.
pub(super) enum Sink {
    /// Standard error, a line each.
    StandardError,
    /// Journald's socket, a datagram each. It is named each time, for journald may make a new one.
    Journal(UnixDatagram, PathBuf),
}

/// One line while it is written.
pub(super) struct Line<'a> {
    outbox: &'a Outbox,
    text: Vec<u8>,
}

impl Outbox {
    /// Starts the thread. It lives as long as the process.
    pub(super) fn open(sink: Sink) -> io::Result<Self> {
        let outbox = Self(Arc::default());
        let shared = Arc::clone(&outbox.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.work(sink))?;
        Ok(outbox)
    }

    /// Leaves a line, or drops it when there is no room.
    pub(super) fn put(&self, line: Vec<u8>) {
        let mut state = self.0.state();
        let bytes = line.len() + BESIDE_LINE;
        if state.bytes + bytes > BYTES_MAX {
            state.untold += 1;
            return state.drop_one();
        }
        state.bytes += bytes;
        state.lines.push(line);
        self.0.arrived.notify_one();
    }

    /// Counts dropped lines here from now on, and those that were dropped before.
    pub(super) fn count_dropped(&self, counter: Counter) {
        let mut state = self.0.state();
        counter.inc_by(mem::take(&mut state.uncounted));
        state.dropped = Some(counter);
    }

    /// Waits until all is written, but no longer than this.
    pub(super) fn flush(&self, within: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty();
        drop(self.0.written.wait_timeout_while(self.0.state(), within, is_busy));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut sink: Sink) {
        loop {
            let lines = self.take();
            for line in lines {
                // There is nobody to tell but the counter.
                if sink.write(&line).is_err() {
                    self.state().drop_one();
                }
            }
            let untold = mem::take(&mut self.state().untold);
            if untold > 0 {
                warn!(event = "log_dropped", lines = untold, "the log could not be written fast enough");
            }
        }
    }

    /// All lines there are, as soon as there are any.
    fn take(&self) -> Vec<Vec<u8>> {
        let mut state = self.state();
        state.is_writing = false;
        if state.lines.is_empty() {
            self.written.notify_all();
        }
        let mut state = self
            .arrived
            .wait_while(state, |state| state.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        state.is_writing = true;
        state.bytes = 0;
        mem::take(&mut state.lines)
    }
}

impl State {
    fn drop_one(&mut self) {
        match &self.dropped {
            Some(counter) => _ = counter.inc(),
            None => self.uncounted += 1,
        }
    }
}

impl Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::StandardError => io::stderr().write_all(line),
            Self::Journal(socket, path) => socket.send_to(line, path).map(|_| ()),
        }
    }
}

impl<'a> MakeWriter<'a> for Outbox {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { outbox: self, text: Vec::new() }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.outbox.put(mem::take(&mut self.text));
    }
}

/// Lines that wait, with what each costs beside its text: some thousands.
const BYTES_MAX: usize = 1 << 20;
const BESIDE_LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_is_dropped_and_counted_and_the_rest_comes_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let reader = UnixDatagram::bind(&path).expect("a socket");
        let socket = UnixDatagram::unbound().expect("a socket");
        let outbox = Outbox::open(Sink::Journal(socket, path)).expect("a thread");
        let line = vec![b'x'; 60 << 10];
        let put = 100;
        (0..put).for_each(|_| outbox.put(line.clone()));
        let counter = Counter::default();
        outbox.count_dropped(counter.clone());
        let kept = BYTES_MAX / (line.len() + BESIDE_LINE);
        assert!(counter.get() > 0 && counter.get() <= put - kept as u64, "{}", counter.get());
        // Nothing more is dropped when somebody reads, and at the end nothing is left.
        let mut buffer = vec![0; 64 << 10];
        for _ in 0..put - counter.get() {
            assert_eq!(reader.recv(&mut buffer).expect("a line"), line.len());
        }
        outbox.flush(Duration::from_secs(10));
        assert!(outbox.0.state().lines.is_empty());
    }
}

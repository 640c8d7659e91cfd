//! A command that goes on until it is told to stop, or has seen enough.

use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::daemon::{collect, leashed, program};
use super::eventually::eventually;
use super::process;

/// The program with some command, killed when dropped and when the test process dies.
pub struct Started {
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Started {
    /// Starts it with these arguments and this environment only.
    pub fn new(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let mut command = program(&environment.collect());
        command.args(arguments);
        let mut child = leashed(&command, "").spawn().expect("sh can be started");
        let (out, err) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().expect("standard output is piped"), &out),
            collect(child.stderr.take().expect("standard error is piped"), &err),
        ];
        Self { child, out, err, readers }
    }

    /// What it has written to standard output so far.
    pub fn out(&self) -> String {
        self.out.lock().expect("a reader does not panic").clone()
    }

    /// What it has written to standard error so far.
    pub fn err(&self) -> String {
        self.err.lock().expect("a reader does not panic").clone()
    }

    /// Waits until standard output has so many lines, and returns them.
    #[track_caller]
    pub fn eventually_prints(&self, lines: usize) -> impl Future<Output = Vec<String>> {
        eventually(format!("{lines} lines"), async move || {
            let out = self.out();
            let whole: Vec<_> =
                out.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::to_owned).collect();
            (whole.len() >= lines).then_some(whole)
        })
    }

    /// Waits until standard error holds `text` so many times.
    #[track_caller]
    pub fn eventually_says(&self, text: &str, times: usize) -> impl Future<Output = ()> {
        eventually(format!("{text:?}, {times} times"), async move || {
            (self.err().matches(text).count() >= times).then_some(())
        })
    }

    /// Sends a signal: `"TERM"`, `"INT"`.
    pub fn signal(&self, name: &str) {
        process::signal(self.child.id(), name);
    }

    /// Waits until it has ended by itself, and returns its exit code; then all it has said is there.
    pub async fn exit(&mut self) -> Option<i32> {
        let status = process::exit_within(&mut self.child, BOUND).await;
        let status = status.unwrap_or_else(|| panic!("it still runs; it said\n{}{}", self.out(), self.err()));
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        status.code()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const BOUND: Duration = Duration::from_secs(30);

//! Commands with a bound in time, and signals, without `unsafe`.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use super::eventually::seen_within;

/// Runs `command` to its end without input; kills it and panics when it takes longer than `bound`.
///
/// The output goes through files, so that a lot of it cannot block the child.
pub async fn output(command: &mut Command, bound: Duration) -> Output {
    let mut stdout = tempfile::tempfile().expect("a temporary file can be made");
    let mut stderr = tempfile::tempfile().expect("a temporary file can be made");
    let mut child = Killed(
        command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().expect("a file handle can be cloned"))
            .stderr(stderr.try_clone().expect("a file handle can be cloned"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")),
    );
    let status = exit_within(&mut child.0, bound).await;
    let (stdout, stderr) = (whole(&mut stdout), whole(&mut stderr));
    match status {
        Some(status) => Output { status, stdout, stderr },
        None => panic!(
            "{command:?} took longer than {bound:?}; it said\n{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        ),
    }
}

/// The exit status of `child`, or `None` when it still runs after `bound`.
pub async fn exit_within(child: &mut Child, bound: Duration) -> Option<ExitStatus> {
    seen_within(bound, async || child.try_wait().expect("the child is ours to wait for")).await
}

/// Sends a signal (`"TERM"`, `"HUP"`, ...) to one process.
///
/// By the shell's own `kill`, because /bin/kill is not part of every minimal system.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "kill", name, &pid.to_string()])
        .status()
        .expect("sh can be started");
    assert!(status.success(), "cannot send {name} to process {pid}");
}

/// A child that does not outlive the one who waits for it.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Fails only when it has ended by itself, which is as good.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn whole(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().expect("a file can be rewound");
    file.read_to_end(&mut bytes).expect("a temporary file can be read");
    bytes
}

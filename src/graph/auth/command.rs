//! A program that prints a token: `az account get-access-token`, or one of the operator's own.

use std::{
    process::{ExitStatus, Stdio},
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};
use zeroize::Zeroizing;

use super::{
    super::error::Cause,
    AuthError,
    endpoint::{Granted, is_token},
};
use crate::{deadline::Deadline, secret::Secret};

/// The program, with its arguments.
pub(super) struct Program(Vec<String>);

/// Ends the program, and what it has started, when nobody waits for it any more.
struct Running {
    child: Child,
    group: Option<Pid>,
}

impl Program {
    pub(super) fn new(command: &[String]) -> Self {
        Self(command.to_vec())
    }

    /// Runs it, without a shell, and reads what it prints. What it says on standard error is not ours to log: tokens have
    /// been seen there.
    pub(super) async fn run(&self) -> Result<Granted, AuthError> {
        let printed = Deadline::after(RUN_WITHIN).limit(self.output()).await;
        let printed =
            printed.map_err(|_| AuthError::Exit(format!("not done in {} s", RUN_WITHIN.as_secs())))??;
        read(&printed, SystemTime::now())
    }

    async fn output(&self) -> Result<Zeroizing<Vec<u8>>, AuthError> {
        let failed = |error| AuthError::Program(Cause::new(error));
        let mut running = Running::start(&self.0).map_err(failed)?;
        let stdout = running.child.stdout.take().expect("it was asked for");
        let mut printed = Zeroizing::new(Vec::with_capacity(OUTPUT_BYTES_MAX + 1));
        let read = stdout.take(OUTPUT_BYTES_MAX as u64 + 1).read_to_end(&mut printed).await;
        if read.map_err(failed)? > OUTPUT_BYTES_MAX {
            return Err(AuthError::Output("it is too long"));
        }
        let status = running.child.wait().await.map_err(failed)?;
        running.group = None;
        if status.success() { Ok(printed) } else { Err(AuthError::Exit(ending(status))) }
    }
}

impl Running {
    fn start(command: &[String]) -> std::io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::NotFound)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        Ok(Self { child, group })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended by itself.
            let (Ok(()) | Err(_)) = kill_process_group(group, Signal::KILL);
        }
    }
}

/// JSON as identity platforms and `az` write it, or the token itself.
fn read(printed: &[u8], now: SystemTime) -> Result<Granted, AuthError> {
    let text = std::str::from_utf8(printed).map_err(|_| AuthError::Output("it is no text"))?.trim();
    if text.starts_with('{') {
        return match Granted::read(text.as_bytes(), now) {
            Err(AuthError::Answer(what)) => Err(AuthError::Output(what)),
            read => read,
        };
    }
    if !is_token(text) {
        return Err(AuthError::Output("it is neither JSON nor one word"));
    }
    Ok(Granted { access: Secret::new(text.to_owned()), life: None, refresh: None })
}

fn ending(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => "ended by a signal".to_owned(),
    }
}

/// `az` takes some seconds when it asks somebody itself.
const RUN_WITHIN: Duration = Duration::from_secs(30);
const OUTPUT_BYTES_MAX: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(script: &str) -> Result<Granted, AuthError> {
        Program::new(&["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]).run().await
    }

    #[tokio::test]
    async fn tokens_are_read_from_both_forms() {
        let bare = run("echo '  token-1'").await.expect("a token");
        assert_eq!((bare.access.expose(), bare.life), ("token-1", None));
        let json = run(r#"echo '{"accessToken":"token-2","expires_in":60}'"#).await.expect("a token");
        assert_eq!((json.access.expose(), json.life), ("token-2", Some(Duration::from_secs(60))));
    }

    #[tokio::test]
    async fn whatever_else_a_program_does_is_an_error_without_its_words() {
        for (script, expected) in [
            ("echo hunter2 hunter2", "neither JSON nor one word"),
            ("true", "neither JSON nor one word"),
            ("echo '{\"token\":\"hunter2\"}'", "no access token"),
            ("echo hunter2; echo hunter2 >&2; exit 3", "exit code 3"),
            ("kill -9 $$", "ended by a signal"),
            ("printf '\\377'", "no text"),
            ("yes hunter2", "too long"),
        ] {
            let error = run(script).await.expect_err(script);
            let shown = format!("{error:?} {}", crate::error::Chain(&error));
            assert!(shown.contains(expected) && !shown.contains("hunter2"), "{script}: {shown}");
        }
        let error = Program::new(&["/nowhere/at-all".to_owned()]).run().await.expect_err("there is none");
        assert!(matches!(error, AuthError::Program(_)), "{error:?}");
    }

    /// The script's child would outlive it, and holds its output open: when that ends, both are gone.
    #[tokio::test]
    async fn nothing_that_was_started_is_left() {
        let script = "sleep 600 & echo begun; wait";
        let command = ["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()];
        let mut running = Running::start(&command).expect("it starts");
        let mut stdout = running.child.stdout.take().expect("it was asked for");
        let mut line = [0; 6];
        stdout.read_exact(&mut line).await.expect("it prints");
        drop(running);
        let mut rest = Vec::new();
        let ended = Deadline::after(Duration::from_secs(30)).limit(stdout.read_to_end(&mut rest)).await;
        ended.expect("its last writer is gone").expect("it can be read");
    }
}

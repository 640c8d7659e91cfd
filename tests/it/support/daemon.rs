//! The real program, as a process of its own.

mod configuration;
mod metrics;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::mem;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use hyper::Method;
use serde_json::Value;
use tempfile::TempDir;

pub use self::configuration::{CLIENT_STATE, CONNECTION_UP, Configuration, NEXT_SECRET, SECRET};
pub use self::metrics::Metrics;
use super::certs::{Authority, Files};
use super::eventually::{eventually, seen_within};
use super::https::{self, Client};
use super::process;

/// A running `graphhook serve`, killed when dropped and when the test process dies, however it dies.
pub struct Daemon {
    configuration: Configuration,
    directory: TempDir,
    certificates: Files,
    running: Running,
}

impl Daemon {
    /// What the daemon will be told; `.start()` on it starts the daemon.
    pub fn configure() -> Configuration {
        Configuration::new()
    }

    /// Starts the daemon, without waiting for anything.
    pub fn spawn(configuration: Configuration) -> Self {
        let directory = tempfile::Builder::new().prefix("graphhook-daemon-").tempdir();
        let directory = directory.expect("a temporary directory can be made");
        let certificates = Authority::generate().write_into(directory.path());
        configuration.write_into(directory.path(), &certificates);
        let running = Running::new(&configuration, directory.path());
        Self { configuration, directory, certificates, running }
    }

    /// Starts it again with the same files, spool included, once it has ended; a new log, and perhaps new ports.
    pub async fn restart(&mut self) {
        assert!(self.exited().is_some(), "the daemon still runs");
        self.running = Running::new(&self.configuration, self.directory.path());
        self.listening().await;
    }

    /// As [`Daemon::restart`], for a daemon that ends soon, by itself or by a fail point; returns how.
    pub async fn restart_until_exit(&mut self) -> ExitStatus {
        assert!(self.exited().is_some(), "the daemon still runs");
        self.running = Running::new(&self.configuration, self.directory.path());
        self.wait_exit().await
    }

    /// Waits until both listeners are there; panics with the log when the daemon ends instead.
    pub async fn listening(&self) {
        let listening = seen_within(START_BOUND, async || {
            let both = self.address_of("public").and(self.address_of("admin"));
            (both.is_some() || self.exited().is_some()).then(|| both.is_some())
        });
        let listening = listening.await.unwrap_or(false);
        assert!(listening, "the daemon does not listen ({:?}); it said\n{}", self.exited(), self.log());
    }

    /// The address of the public listener.
    pub fn public(&self) -> SocketAddr {
        self.address_of("public").expect("the daemon was waited for")
    }

    /// The address of the admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.address_of("admin").expect("the daemon was waited for")
    }

    /// The authority whose certificate the daemon shows.
    pub fn ca(&self) -> &Path {
        &self.certificates.ca
    }

    /// The daemon's own certificate and key, among others.
    pub fn certificates(&self) -> &Files {
        &self.certificates
    }

    /// The daemon's directory, which holds its configuration, certificates and spool.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of the spool.
    pub fn spool(&self) -> PathBuf {
        self.configuration.spool_in(self.directory.path())
    }

    /// A new client of the public listener.
    pub fn client(&self) -> Client {
        Client::new(self.public(), self.ca())
    }

    /// The exchange it publishes to.
    pub fn exchange(&self) -> &str {
        self.configuration.exchange_name()
    }

    /// The queue it declares.
    pub fn queue(&self) -> &str {
        self.configuration.queue_name()
    }

    /// The queue it declares for what it refuses.
    pub fn quarantine(&self) -> String {
        format!("{}.refused", self.exchange())
    }

    /// Writes the configuration file anew; `signal("HUP")` makes the daemon read it.
    pub fn reconfigure(&mut self, change: impl FnOnce(Configuration) -> Configuration) {
        self.configuration = change(self.configuration.clone());
        self.configuration.write_into(self.directory.path(), &self.certificates);
    }

    /// What it was told last.
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The daemon's process id.
    pub fn pid(&self) -> u32 {
        self.running.pid
    }

    /// Sends a signal: `"TERM"`, `"HUP"`, `"INT"`, `"STOP"`, `"CONT"`.
    pub fn signal(&self, name: &str) {
        process::signal(self.running.pid, name);
    }

    /// Kills the daemon (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> ExitStatus {
        let mut child = self.child();
        // Fails only when the daemon has ended already, and then there is a status all the same.
        child.kill().ok();
        let status = child.wait().expect("the daemon is our child");
        self.running.read_to_end();
        status
    }

    /// Waits until the daemon has ended, at most 30 s; panics with the log when it has not.
    pub async fn wait_exit(&self) -> ExitStatus {
        let exited = seen_within(EXIT_BOUND, async || self.exited()).await;
        exited.unwrap_or_else(|| panic!("the daemon still runs; it said\n{}", self.log()))
    }

    /// How the daemon ended, if it has; then the log is whole.
    pub fn exited(&self) -> Option<ExitStatus> {
        let status = self.child().try_wait().expect("the daemon is our child")?;
        self.running.read_to_end();
        Some(status)
    }

    /// All it has printed so far, standard output and error together.
    pub fn log(&self) -> String {
        self.running.log.lock().expect("a reader does not panic").clone()
    }

    /// Waits until the log contains `text`.
    #[track_caller]
    pub fn eventually_logs(&self, text: &str) -> impl Future<Output = ()> {
        eventually(format!("{text:?} in the log"), async move || self.log().contains(text).then_some(()))
    }

    /// GET of a path from the admin listener: status and body.
    pub async fn get_admin(&self, path: &str) -> (u16, String) {
        let request = https::request(Method::GET, path, &[], "");
        let reply = https::plain(self.admin(), request).await;
        let reply = reply.unwrap_or_else(|error| panic!("no answer to GET {path}: {error}\n{}", self.log()));
        (reply.status, reply.text().to_owned())
    }

    /// The metrics as of now.
    pub async fn metrics(&self) -> Metrics {
        let (status, text) = self.get_admin("/metrics").await;
        assert_eq!(status, 200, "no metrics: {text}");
        Metrics::parse(&text)
    }

    /// Waits until the metric of this full name, `name{label="value"}`, has a value that `holds`.
    #[track_caller]
    pub fn eventually_metric(&self, name: &str, holds: impl Fn(f64) -> bool) -> impl Future<Output = f64> {
        eventually(format!("a good value of {name}"), async move || {
            let value = self.metrics().await.find(name);
            value.filter(|value| holds(*value))
        })
    }

    /// The address a listener has logged.
    fn address_of(&self, listener: &str) -> Option<SocketAddr> {
        self.log().lines().rev().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let fields = &line["fields"];
            let wanted = fields["message"] == "listening" && fields["listener"] == listener;
            if wanted { fields["address"].as_str()?.parse().ok() } else { None }
        })
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.running.child.lock().expect("no test panics with it held")
    }
}

/// A unix time as `/status` has it.
pub fn rfc3339(seconds: f64) -> String {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)).to_string()
}

/// Runs the program to its end with these arguments and this environment only, at most 30 s.
pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    process::output(program(&environment).args(arguments), EXIT_BOUND).await
}

/// One process of the daemon's life.
struct Running {
    child: Mutex<Child>,
    pid: u32,
    log: Arc<Mutex<String>>,
    readers: Mutex<Vec<JoinHandle<()>>>,
}

impl Running {
    fn new(configuration: &Configuration, directory: &Path) -> Self {
        let mut command = program(configuration.environment());
        command.args(["serve", "--config"]).arg(configuration::file(directory));
        let mut child = leashed(&command, configuration.before_start()).spawn().expect("sh can be started");
        let log = Arc::default();
        let readers = vec![
            collect(child.stdout.take().expect("standard output is piped"), &log),
            collect(child.stderr.take().expect("standard error is piped"), &log),
        ];
        Self { pid: child.id(), child: Mutex::new(child), log, readers: Mutex::new(readers) }
    }

    /// Waits for the last of what an ended daemon has printed.
    fn read_to_end(&self) {
        let readers = mem::take(&mut *self.readers.lock().expect("a reader does not panic"));
        for reader in readers {
            reader.join().expect("a reader does not panic");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(child) = self.child.get_mut() else { return };
        // Fails only when the daemon has ended already.
        child.kill().ok();
        child.wait().ok();
        // Lets the leash go before anybody else can have the daemon's process id.
        if let Some(mut leash) = child.stdin.take() {
            leash.write_all(b"done\n").ok();
        }
    }
}

/// The program with nothing of our environment, where a `GRAPHHOOK_…` of a developer's may stand.
pub(super) fn program(environment: &BTreeMap<String, String>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_graphhook"));
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(environment);
    command
}

/// The command in a shell that becomes it, and leaves behind a small process that kills it with us.
///
/// Standard input is a pipe that only we hold; its end tells that we are gone. `before` is a line for the shell; file
/// descriptors from 3 on are its own, as systemd would pass them.
pub(super) fn leashed(command: &Command, before: &str) -> Command {
    let script = format!(
        r#"exec 9<&0
        ( read -r _ <&9 || kill -KILL "$$" ) >/dev/null 2>&1 &
        {before}
        exec "$@" </dev/null 9<&-"#
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

/// Adds to `log`, line by line, until the pipe ends; a thread, so that it outlasts any one runtime.
pub(super) fn collect(pipe: impl Read + Send + 'static, log: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            log.lock().expect("nobody panics with it held").push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

const START_BOUND: Duration = Duration::from_secs(30);
/// The daemon takes up to 20 s to stop in good order.
const EXIT_BOUND: Duration = Duration::from_secs(30);

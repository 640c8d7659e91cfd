//! A real RabbitMQ, private to this test process.
//!
//! From Debian's `rabbitmq-server` package, which need not run as a service: own data directory, cookie, epmd
//! and ports, all on 127.0.0.1. A small shell process, `guardian.sh`, holds the node and ends it with us,
//! because the test harness neither drops statics nor tells anybody that it was killed.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tokio::net::TcpStream;
use tokio::sync::{MutexGuard, OnceCell};
use tokio::time::timeout;

use super::certs::{Authority, Files};
use super::eventually::{eventually, seen_within};
use super::ports::Ports;
use super::process;

/// One RabbitMQ node with an AMQP and an AMQPS listener; user `guest`, password `guest`, vhost `/`.
///
/// The AMQPS listener asks for a client certificate and checks it, but serves clients without one.
pub struct Node {
    ports: Ports,
    directory: PathBuf,
    certificates: Files,
    guardian: Mutex<Guardian>,
    pid: AtomicU32,
    alarmed: AtomicBool,
}

/// The node for faults, until dropped.
pub type Faulty = MutexGuard<'static, Node>;

impl Node {
    /// The node that all tests use at once and none may fault; started by the first who asks.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Node> = OnceLock::new();
        SHARED.get_or_init(|| {
            // On a thread and runtime of its own, for the caller's runtime belongs to one test.
            let starting = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime can be made").block_on(Self::launch())
            };
            thread::scope(|scope| scope.spawn(starting).join()).expect("the shared node starts")
        })
    }

    /// The node for faults, for one test at a time.
    ///
    /// It is healthy when handed out, whatever the test before did to it; what that test declared is still
    /// there, so names should come from [`unique`](super::queue::unique).
    pub async fn faulty() -> Faulty {
        static FAULTY: OnceCell<tokio::sync::Mutex<Node>> = OnceCell::const_new();
        let node = FAULTY.get_or_init(async || tokio::sync::Mutex::new(Self::launch().await)).await;
        let node = node.lock().await;
        node.heal().await;
        node
    }

    /// Starts a new node. It ends when dropped, and with this process.
    pub async fn launch() -> Self {
        for _ in 1..ATTEMPTS {
            // Another process may have taken one of the ports between our look and the node's start.
            if let Ok(node) = Self::attempt().await {
                return node;
            }
        }
        Self::attempt().await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// `amqp://` with user, password and vhost.
    pub fn url(&self) -> String {
        url("amqp", "127.0.0.1", self.ports.amqp)
    }

    /// `amqps://` likewise; the certificate is signed by [`Node::ca`].
    pub fn url_tls(&self) -> String {
        url("amqps", "localhost", self.ports.amqps)
    }

    /// `amqp://` by way of another port of the loopback, such as that of a [`Cut`](super::Cut).
    pub fn url_by(&self, port: u16) -> String {
        url("amqp", "127.0.0.1", port)
    }

    /// The port of the AMQP listener.
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The port of the AMQPS listener.
    pub fn port_tls(&self) -> u16 {
        self.ports.amqps
    }

    /// The certificate of the authority which the AMQPS listener belongs to and believes.
    pub fn ca(&self) -> &Path {
        &self.certificates.ca
    }

    /// The files of that authority, among them a client certificate which the node believes.
    pub fn certificates(&self) -> &Files {
        &self.certificates
    }

    /// The process id of the node's VM, as of its last start.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Kills the VM (SIGKILL) and waits until it is gone; the data stay.
    pub fn kill(&self) {
        self.order("kill");
    }

    /// Starts the node again on the same data and ports, and waits until it serves.
    pub async fn start(&self) {
        self.start_vm();
        if let Err(why) = self.ready().await {
            panic!("{why}");
        }
        // The limit in the configuration file is in force again.
        self.alarmed.store(false, Ordering::Relaxed);
    }

    /// Stops the VM where it stands (SIGSTOP): connections stay open and nothing answers.
    pub fn pause(&self) {
        self.order("STOP");
    }

    /// Lets the VM run on after [`Node::pause`].
    pub fn resume(&self) {
        self.order("CONT");
    }

    /// Raises or clears the memory alarm: while it is on, publishers are blocked.
    pub async fn alarm(&self, on: bool) {
        if on {
            self.alarmed.store(true, Ordering::Relaxed);
        }
        let limit = if on { WATERMARK_ALARMING } else { WATERMARK };
        self.ctl(&["set_vm_memory_high_watermark", limit]).await;
        // The alarm follows the limit a moment later.
        eventually("the memory alarm follows its limit", async || (self.alarms().await == on).then_some(()))
            .await;
        self.alarmed.store(on, Ordering::Relaxed);
    }

    /// What `rabbitmqctl` with these arguments prints; panics when it fails.
    pub async fn ctl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(home().join("sbin/rabbitmqctl"));
        command.env_clear().envs(environment(&self.directory, &self.ports)).arg("--quiet").args(arguments);
        let output = process::output(&mut command, CTL_BOUND).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {arguments:?} failed: {said}{complained}");
        said
    }

    /// What the node's own log holds so far (warnings and worse), and its console.
    pub fn log(&self) -> String {
        log_of(&self.directory)
    }

    /// Whether an alarm is in force.
    async fn alarms(&self) -> bool {
        let alarms = self.ctl(&["eval", "rabbit_alarm:get_alarms()."]).await;
        alarms.trim() != "[]"
    }

    /// Takes back whatever a test did to the node.
    async fn heal(&self) {
        self.resume();
        let awake = async || self.answers().await.then_some(());
        if !runs(self.pid()) || seen_within(WAKING, awake).await.is_none() {
            self.kill();
            self.start().await;
        }
        if self.alarmed.load(Ordering::Relaxed) {
            self.alarm(false).await;
        }
    }

    async fn attempt() -> Result<Self, String> {
        let ports = Ports::free();
        let directory = tempfile::Builder::new().prefix("graphhook-broker-").tempdir();
        // Kept, because the guardian is who removes it.
        let directory = directory.expect("a temporary directory can be made").keep();
        let certificates = furnish(&directory, &ports);
        let guardian = Guardian::hold(&directory, &ports);
        let node = Self {
            ports,
            directory,
            certificates,
            guardian: Mutex::new(guardian),
            pid: AtomicU32::new(0),
            alarmed: AtomicBool::new(false),
        };
        let epmd = async || TcpStream::connect(("127.0.0.1", node.ports.epmd)).await.ok();
        if seen_within(EPMD_BOUND, epmd).await.is_none() {
            return Err("epmd does not listen; is Erlang installed?".to_owned());
        }
        node.start_vm();
        node.ready().await?;
        Ok(node)
    }

    fn start_vm(&self) {
        let pid = self.order("start");
        let pid = pid.parse().unwrap_or_else(|_| panic!("the guardian gave no process id but {pid:?}"));
        self.pid.store(pid, Ordering::Relaxed);
    }

    /// Waits until the node serves, or tells why it will not.
    async fn ready(&self) -> Result<(), String> {
        let state = seen_within(START_BOUND, async || match self.answers().await {
            true => Some(Ok(())),
            false if !runs(self.pid()) => Some(Err("ended by itself")),
            false => None,
        });
        let failed = match state.await {
            Some(Ok(())) => return Ok(()),
            Some(Err(why)) => why,
            None => "was not ready in time",
        };
        Err(format!("the RabbitMQ node {failed}; it said\n{}", self.log()))
    }

    /// Whether a client gets as far as the vhost now, and the AMQPS listener is there.
    ///
    /// Both listeners open at the end of the node's start, AMQPS after AMQP.
    async fn answers(&self) -> bool {
        let url = self.url();
        let asking = async {
            TcpStream::connect(("127.0.0.1", self.ports.amqps)).await.ok()?;
            let connection = Connection::connect(&url, ConnectionProperties::default()).await.ok()?;
            connection.close(200, "seen".into()).await.ok()
        };
        timeout(ANSWER_BOUND, asking).await.is_ok_and(|answered| answered.is_some())
    }

    fn order(&self, order: &str) -> String {
        self.guardian.lock().expect("no test panics while it gives an order").order(order)
    }
}

/// The process that holds the node; it ends the node when this is dropped, or this process dies.
struct Guardian {
    shell: Child,
    answers: BufReader<ChildStdout>,
}

impl Guardian {
    fn hold(directory: &Path, ports: &Ports) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", include_str!("guardian.sh")])
            .env_clear()
            .envs(environment(directory, ports))
            .env("SERVER", home().join("sbin/rabbitmq-server"))
            .env("DIRECTORY", directory)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own, so that Ctrl-C at a terminal reaches the tests and not the broker.
            .process_group(0)
            .spawn()
            .expect("sh can be started");
        let answers = BufReader::new(shell.stdout.take().expect("standard output is piped"));
        Self { shell, answers }
    }

    fn order(&mut self, order: &str) -> String {
        let orders = self.shell.stdin.as_mut().expect("standard input is piped");
        writeln!(orders, "{order}").expect("the guardian lives as long as we do");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the guardian answers each order");
        answer.trim_end().to_owned()
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Returns when the node is gone; there is nothing to do about a status.
        self.shell.wait().ok();
    }
}

/// Writes what the node reads at its start.
fn furnish(directory: &Path, ports: &Ports) -> Files {
    let certificates = Authority::generate().write_into(directory);
    let cookie = directory.join(".erlang.cookie");
    fs::write(&cookie, format!("{:016x}", RandomState::new().hash_one(directory)))
        .expect("the cookie can be written");
    fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).expect("the cookie is ours");
    fs::write(directory.join("enabled_plugins"), "[].\n").expect("the plugin list can be written");
    fs::write(directory.join("rabbitmq.conf"), configuration(&certificates, ports))
        .expect("the configuration too");
    certificates
}

fn configuration(certificates: &Files, ports: &Ports) -> String {
    let Files { ca, certificate, key, .. } = certificates;
    let lines = [
        format!("listeners.tcp.1 = 127.0.0.1:{}", ports.amqp),
        format!("listeners.ssl.1 = 127.0.0.1:{}", ports.amqps),
        format!("ssl_options.cacertfile = {}", ca.display()),
        format!("ssl_options.certfile = {}", certificate.display()),
        format!("ssl_options.keyfile = {}", key.display()),
        "ssl_options.verify = verify_peer".to_owned(),
        "ssl_options.fail_if_no_peer_cert = false".to_owned(),
        "loopback_users = none".to_owned(),
        "log.console = false".to_owned(),
        "log.file.level = warning".to_owned(),
        // A test machine may be small or nearly full: alarms are for the tests to raise.
        "disk_free_limit.absolute = 10MB".to_owned(),
        format!("vm_memory_high_watermark.relative = {WATERMARK}"),
    ];
    lines.join("\n") + "\n"
}

/// The environment of the node, its epmd and its tools; nothing of the caller's, where a `RABBITMQ_…` for
/// another broker may stand.
fn environment(directory: &Path, ports: &Ports) -> [(&'static str, String); 16] {
    let within = |name: &str| directory.join(name).display().to_string();
    let loopback = "-kernel inet_dist_use_interface {127,0,0,1}";
    [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOME", directory.display().to_string()),
        ("LANG", "C.UTF-8".to_owned()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_EPMD_PORT", ports.epmd.to_string()),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
        ("RABBITMQ_NODENAME", "graphhook@localhost".to_owned()),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
        ("RABBITMQ_CONFIG_FILE", within("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", within("enabled_plugins")),
        ("RABBITMQ_MNESIA_BASE", within("data")),
        ("RABBITMQ_LOG_BASE", within("log")),
        ("RABBITMQ_PID_FILE", within("pid")),
        // The script becomes the VM instead of waiting for it, so the guardian knows the VM's process id.
        ("RABBITMQ_ALLOW_INPUT", "1".to_owned()),
        // No busy waiting: the cores belong to the tests.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            format!("{loopback} -noinput -start_epmd false +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none"),
        ),
        ("RABBITMQ_CTL_ERL_ARGS", loopback.to_owned()),
    ]
}

fn url(scheme: &str, host: &str, port: u16) -> String {
    format!("{scheme}://guest:guest@{host}:{port}/%2f")
}

/// Where the package has its scripts: /usr/lib/rabbitmq/lib/rabbitmq_server-VERSION.
fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let found = fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
        let mut servers: Vec<_> = found
            .map(|entry| entry.path())
            .filter(|path| path.join("sbin/rabbitmq-server").exists())
            .collect();
        servers.sort();
        servers.pop().expect("these tests need RabbitMQ: apt-get install rabbitmq-server, or call tests/run")
    })
}

/// Whether a process is there and not merely a zombie.
fn runs(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with(['Z', 'X']))
}

fn log_of(directory: &Path) -> String {
    let logs = fs::read_dir(directory.join("log")).into_iter().flatten().flatten().map(|entry| entry.path());
    let all = logs.chain([directory.join("console.log"), directory.join("epmd.log")]);
    all.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

const ATTEMPTS: u32 = 3;
/// A start takes 5 s on two idle cores; a machine that compiles at the same time may need far more.
const START_BOUND: Duration = Duration::from_secs(90);
const EPMD_BOUND: Duration = Duration::from_secs(10);
const ANSWER_BOUND: Duration = Duration::from_secs(5);
/// How long a node that was paused may need to come to itself before it counts as lost.
const WAKING: Duration = Duration::from_secs(5);
const CTL_BOUND: Duration = Duration::from_secs(60);
const WATERMARK: &str = "0.4";
const WATERMARK_ALARMING: &str = "0.0000001";

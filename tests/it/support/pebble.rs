//! A real ACME server, Let's Encrypt's `pebble` of Debian's package of that name, for one test.
//!
//! Whatever domain it is told to validate, it looks for at 127.0.0.1, because the only name server that it knows says
//! so. It remembers nothing when it is stopped: not the accounts, not the orders, not its own root.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::certs::{Authority, Files};
use super::daemon::{collect, leashed};
use super::eventually::seen_within;
use super::https::Client;
use super::ports;

/// The server and its name server, until dropped.
pub struct Pebble {
    wanted: Wanted,
    ports: [u16; 2],
    directory: TempDir,
    certificates: Files,
    names: SocketAddr,
    process: Option<Child>,
    log: Arc<Mutex<String>>,
    _naming: JoinSet<()>,
}

/// What a server is to be like.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// Where TLS-ALPN-01 is looked for.
    pub tls_port: u16,
    /// Where HTTP-01 is looked for.
    pub http_port: u16,
    /// Life of its certificates.
    pub seconds: u64,
    /// How many of a hundred nonces it refuses.
    pub bad_nonces: u32,
}

impl Pebble {
    /// Starts one.
    pub async fn start(wanted: Wanted) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let certificates = Authority::generate().write_into(directory.path());
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("the loopback has a free port");
        let names = socket.local_addr().expect("a socket has an address");
        let mut naming = JoinSet::new();
        naming.spawn(name_all(socket));
        let mut pebble = Self {
            wanted,
            ports: ports::free(),
            directory,
            certificates,
            names,
            process: None,
            log: Arc::default(),
            _naming: naming,
        };
        pebble.launch().await;
        pebble
    }

    /// Where it takes orders: HTTPS, by a certificate of [`Pebble::ca`].
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[0]).into()
    }

    /// The authority of its own HTTPS.
    pub fn ca(&self) -> &Path {
        &self.certificates.ca
    }

    /// The certificate and the key of its own HTTPS.
    pub fn certificates(&self) -> &Files {
        &self.certificates
    }

    /// The root of what it issues, as a file.
    pub async fn root(&self) -> PathBuf {
        let management = Client::new((Ipv4Addr::LOCALHOST, self.ports[1]).into(), self.ca());
        let root = management.get("/roots/0").await;
        assert_eq!(root.status, 200);
        let file = self.directory.path().join("root.pem");
        fs::write(&file, &root.body).expect("the directory can be written");
        file
    }

    /// All it has printed so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("a reader does not panic").clone()
    }

    /// How often it has said this.
    pub fn said(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// Starts it anew: it knows nobody any more.
    pub async fn forget(&mut self) {
        self.kill();
        self.launch().await;
    }

    fn kill(&mut self) {
        let Some(mut child) = self.process.take() else { return };
        // Fails only when it has ended already.
        child.kill().ok();
        child.wait().ok();
    }

    async fn launch(&mut self) {
        let [orders, management] = self.ports;
        let configuration = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{orders}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": self.certificates.certificate,
            "privateKey": self.certificates.key,
            "httpPort": self.wanted.http_port,
            "tlsPort": self.wanted.tls_port,
            "domainBlocklist": [BLOCKED],
            "certificateValidityPeriod": self.wanted.seconds,
        }});
        let file = self.directory.path().join("pebble.json");
        fs::write(&file, configuration.to_string()).expect("the directory can be written");
        let mut command = Command::new("pebble");
        command.arg("-config").arg(&file).arg("-dnsserver").arg(self.names.to_string());
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.env("PEBBLE_WFE_NONCEREJECT", self.wanted.bad_nonces.to_string());
        let mut child = leashed(&command, "").spawn().expect("sh can be started");
        // They end with the process.
        drop(collect(child.stdout.take().expect("standard output is piped"), &self.log));
        drop(collect(child.stderr.take().expect("standard error is piped"), &self.log));
        self.process = Some(child);
        let before = self.said(READY);
        let ready = seen_within(START_BOUND, async || (self.said(READY) > before).then_some(())).await;
        assert!(ready.is_some(), "pebble does not start; it said\n{}", self.log());
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A name server: every name has the address 127.0.0.1, and no other record.
async fn name_all(socket: UdpSocket) {
    let mut query = [0; 512];
    while let Ok((length, asker)) = socket.recv_from(&mut query).await {
        let Some(answer) = named(&query[..length]) else { continue };
        // Whoever is gone does not need it.
        socket.send_to(&answer, asker).await.ok();
    }
}

/// The answer to a query with one question (RFC 1035, section 4).
fn named(query: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = query.split_at_checked(12)?;
    let name = rest.iter().position(|byte| *byte == 0)? + 1;
    let question = rest.get(..name + 4)?;
    let is_address = question[name..] == [0, 1, 0, 1];
    let mut answer =
        [&header[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0], question].concat();
    if is_address {
        // The name of the question, type A, class IN, no time to live, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

/// A domain that it gives no certificate for.
pub const BLOCKED: &str = "blocked.example";
const READY: &str = "ACME directory available at";
const START_BOUND: Duration = Duration::from_secs(30);

//! Receivers as people write them with other tools: see `benches/peers`.
//!
//! `tests/run --bench peers` installs what they stand on into `target/peers`; they are started from there.

use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lapin::ExchangeKind;
use lapin::types::{AMQPValue, FieldTable};

use crate::sheet::target;
use crate::support::broker::Node;
use crate::support::certs::Files;
use crate::support::daemon::SECRET;
use crate::support::ports;
use crate::support::queue::Amqp;

/// Which one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Make {
    /// express with amqplib.
    Express,
    /// FastAPI in uvicorn, with aio-pika.
    FastApi,
}

/// A running one, which may be several processes; they end when it is dropped, and with this process.
pub(crate) struct Peer {
    leash: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Make {
    /// Whether it can be started.
    pub(crate) fn is_installed(self) -> bool {
        self.place().join(self.program()).exists()
    }

    fn place(self) -> PathBuf {
        target().join("peers").join(match self {
            Self::Express => "express",
            Self::FastApi => "fastapi",
        })
    }

    fn program(self) -> &'static str {
        match self {
            Self::Express => "receiver.js",
            Self::FastApi => "receiver.py",
        }
    }

    fn command(self, port: u16, workers: usize, files: &Files) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        match self {
            Self::Express => words(&["node", self.program()]),
            Self::FastApi => {
                let (certificate, key) = (text(&files.certificate), text(&files.key));
                let (port, workers) = (port.to_string(), workers.to_string());
                let mut line = words(&["bin/python", "-m", "uvicorn", "receiver:app", "--no-access-log"]);
                line.extend(words(&["--port", &port, "--workers", &workers]));
                line.extend(words(&["--ssl-certfile", certificate, "--ssl-keyfile", key]));
                line
            }
        }
    }

    /// What each of its processes says when it is ready.
    fn ready(self) -> &'static str {
        match self {
            Self::Express => "listening on",
            Self::FastApi => "Application startup complete",
        }
    }
}

impl Peer {
    /// Declares what it publishes to, starts it, and waits until all of its processes are ready.
    pub(crate) async fn start(
        make: Make,
        workers: usize,
        files: &Files,
        exchange: &str,
        queue: &str,
    ) -> Self {
        declare(exchange, queue).await;
        let [port] = ports::free();
        let mut leash = Command::new("sh")
            .args(["-c", LEASH, "sh"])
            .args(make.command(port, workers, files))
            .current_dir(make.place())
            .env("PORT", port.to_string())
            .env("WORKERS", workers.to_string())
            .env("TLS_CERTIFICATE", &files.certificate)
            .env("TLS_KEY", &files.key)
            .env("CLIENT_STATE", SECRET)
            .env("BROKER", Node::shared().url())
            .env("EXCHANGE", exchange)
            .env("NODE_ENV", "production")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh can be started");
        let said = leash.stdout.take().expect("standard output is piped");
        wait_for(said, make, workers);
        Self { leash, address: (Ipv4Addr::LOCALHOST, port).into() }
    }

    /// The process that all of its own descend from.
    pub(crate) fn pid(&self) -> u32 {
        self.leash.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The shell takes the end of its input for the order to end what it has started.
        drop(self.leash.stdin.take());
        self.leash.wait().ok();
    }
}

async fn declare(exchange: &str, queue: &str) {
    let broker = Amqp::connect(&Node::shared().url()).await;
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    broker.declare_exchange(exchange, ExchangeKind::Topic).await;
    broker.declare_queue(queue, quorum).await;
    broker.bind(queue, exchange, "#").await;
}

/// Reads on for as long as there is something to read, so that nobody is held up by a full pipe.
fn wait_for(said: impl Read + Send + 'static, make: Make, workers: usize) {
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            if line.contains(make.ready()) {
                ready.send(()).ok();
            }
        }
    });
    for _ in 0..workers {
        let told = is_ready.recv_timeout(START_BOUND);
        told.unwrap_or_else(|_| panic!("{make:?} did not start with {workers} workers"));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

/// Ends what it has started when its input ends, for which this process has to do nothing.
const LEASH: &str = r#""$@" </dev/null 2>&1 & read -r _; kill "$!"; wait "$!""#;
const START_BOUND: Duration = Duration::from_secs(30);

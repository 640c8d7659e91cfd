//! Scenarios played against the daemon and a real broker, and against receivers that do not keep what they promise.

mod faulty;
mod kept;
mod looked;
mod usage;

use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use graphhook::deadline::Deadline;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::daemon::{Daemon, SECRET, run};
use crate::support::site::{Content, Site, answer};
use crate::support::started::Started;

/// A scenario in a file of its own, and what the program is told besides.
struct Play {
    directory: TempDir,
    arguments: Vec<String>,
}

impl Play {
    fn new(scenario: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("scenario.toml");
        std::fs::write(&file, scenario).expect("it can be written");
        let arguments =
            ["simulate", "run", file.to_str().expect("UTF-8"), "--client-state", "env:STATE", "--json"];
        let arguments = arguments.map(str::to_owned).into();
        Self { directory, arguments }
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// To a daemon, with a look at its broker.
    fn to(self, daemon: &Daemon) -> Self {
        let url = format!("https://{}/graph/notifications", daemon.public());
        let config = daemon.directory().join("config.toml").display().to_string();
        self.with(&[&url, "--ca", daemon.ca().to_str().expect("UTF-8"), "--config", &config])
    }

    fn start(&self) -> Started {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        Started::new(&arguments, &[("STATE", SECRET)])
    }

    async fn output(&self) -> Output {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let output = run(&arguments, &[("STATE", SECRET)]).await;
        for said in [&output.stdout, &output.stderr] {
            let said = String::from_utf8_lossy(said);
            assert!(!said.contains(SECRET) && !said.contains("guest:"), "{said}");
        }
        output
    }

    /// The report, once it has ended with this code.
    async fn report(&self, code: i32) -> Value {
        let output = self.output().await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}{complaint}");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{complaint}"))
    }
}

/// Somebody else's receiver, without TLS.
struct Receiver {
    site: Site,
    seen: Arc<Seen>,
}

/// How it answers, and what it got.
struct Seen {
    manner: Manner,
    many: AtomicU64,
    /// Bodies, in the order in which they came.
    bodies: Mutex<Vec<Bytes>>,
}

enum Manner {
    /// With this status at once.
    Status(u16),
    /// 202, so much later.
    Late(Duration),
    /// Never.
    Never,
    /// With 403 if something is forged.
    Wary,
}

impl Content for Seen {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        #[expect(
            clippy::disallowed_methods,
            reason = "our own program asks, and the test may hold what it says"
        )]
        let body = Limited::new(request.into_body(), 1 << 20).collect().await;
        let Ok(body) = body else { return answer(400, "") };
        self.many.fetch_add(1, Ordering::Relaxed);
        let body = body.to_bytes();
        let is_forged = body.windows(7).any(|window| window == b"forged-");
        self.bodies.lock().expect("nobody panics with it").push(body);
        match self.manner {
            Manner::Status(status) => answer(status, ""),
            Manner::Late(time) => {
                Deadline::after(time).passed().await;
                answer(202, "")
            }
            Manner::Never => std::future::pending().await,
            Manner::Wary => answer(if is_forged { 403 } else { 202 }, ""),
        }
    }
}

impl Receiver {
    async fn open(manner: Manner) -> Self {
        let seen = Arc::new(Seen { manner, many: AtomicU64::new(0), bodies: Mutex::default() });
        let site = Site::open(None, |_| Arc::clone(&seen)).await;
        Self { site, seen }
    }

    fn url(&self) -> String {
        format!("{}/hook", self.site.origin)
    }

    fn many(&self) -> u64 {
        self.seen.many.load(Ordering::Relaxed)
    }

    fn bodies(&self) -> Vec<Bytes> {
        self.seen.bodies.lock().expect("nobody panics with it").clone()
    }
}

/// A number of a report.
#[track_caller]
fn number(report: &Value, pointer: &str) -> u64 {
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} in {report:#}"))
}

#[track_caller]
fn check(report: &Value, expected: &[(&str, u64)]) {
    for (pointer, expected) in expected {
        assert_eq!(number(report, pointer), *expected, "{pointer} in {report:#}");
    }
}

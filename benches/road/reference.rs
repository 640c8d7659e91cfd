//! The least that a server can do: what the daemon is compared with.
//!
//! Each is a process of its own, this program started again with [`ARGUMENT`], so that its share of the processors can be
//! told from that of the load. All stand on the daemon's own stack: hyper over rustls with the cheapest order of suites, and
//! lapin with one connection, one channel and one task that publishes.
//!
//! They leave out what makes a daemon: limits, deadlines, a spool, a second connection, metrics, reloading, the judgement of
//! tokens, ids for what has none. So they are there to be measured against, and not to be run.

mod errand;
mod publish;
mod split;
mod tls;

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_blocking};
use tokio_rustls::TlsAcceptor;

pub(crate) use self::errand::{Errand, Publication};
use self::publish::Publisher;
use self::split::split;
use crate::support::certs::Files;

/// What a reference server does with a POST.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Kind {
    /// Reads it, and answers 202.
    Http,
    /// Publishes each genuine item to the queue, bare: persistent, and nothing else.
    Bare,
    /// Publishes each as the same message that the daemon makes of it: topic exchange, routing key, mandatory, properties
    /// and headers. The broker takes more than twice as long for it.
    Same,
}

/// What a reference server is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    pub(crate) url: String,
    pub(crate) exchange: String,
    pub(crate) queue: String,
    pub(crate) secret: String,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Serves nobody, but publishes this, and ends.
    pub(crate) publish: Option<Errand>,
}

/// A running one; it ends when dropped, and with this process.
pub(crate) struct Reference {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Reference {
    /// Starts one, and waits until it listens.
    pub(crate) fn start(settings: &Settings) -> Self {
        let mut child = settings.command().spawn().expect("this program can be started again");
        let mut said = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says where it listens");
        let address = line.trim().parse().unwrap_or_else(|_| panic!("the reference server said {line:?}"));
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Settings {
    /// What is shown to those who connect.
    pub(crate) fn shown(self, files: &Files) -> Self {
        Self { certificate: files.certificate.clone(), key: files.key.clone(), ..self }
    }

    /// Publishes in a process of its own; the messages stay in the queue.
    pub(crate) async fn publish(&self, errand: Errand) -> Publication {
        let mut command = Self { publish: Some(errand), ..self.clone() }.command();
        let output = spawn_blocking(move || command.output()).await.expect("it does not panic");
        let output = output.expect("this program can be started again");
        let said = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("the publisher said {said:?}"))
    }

    fn command(&self) -> Command {
        let program = std::env::current_exe().expect("the system knows where we are");
        let settings = serde_json::to_string(self).expect("settings are JSON");
        let mut command = Command::new(program);
        command
            .args([ARGUMENT, &settings])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        command
    }
}

/// Does what it is told; serves until standard input ends.
pub(crate) async fn serve(settings: &str) -> ExitCode {
    let settings: Settings = serde_json::from_str(settings).expect("we were started by ourselves");
    if let Some(errand) = settings.publish {
        // A task of its own, so that it runs where what it wakes does.
        let publication = JoinSet::from_iter([errand.run(settings)]).join_all().await;
        println!("{}", serde_json::to_string(&publication[0]).expect("numbers are JSON"));
        return ExitCode::SUCCESS;
    }
    let publisher = match settings.kind {
        Kind::Http => None,
        Kind::Bare | Kind::Same => Some(Publisher::connect(&settings).await),
    };
    let server = Arc::new(Server { secret: settings.secret.clone(), kind: settings.kind, publisher });
    let acceptor = tls::acceptor(Path::new(&settings.certificate), Path::new(&settings.key));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("an address"));
    std::io::stdout().flush().expect("somebody reads it");
    let leash = spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        () = accept(listener, acceptor, server) => {}
        _ = leash => {}
    }
    ExitCode::SUCCESS
}

struct Server {
    secret: String,
    kind: Kind,
    publisher: Option<Publisher>,
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&server)));
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, server: Arc<Server>) {
    stream.set_nodelay(true).ok();
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server.answer(request).await) }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Response<Empty<Bytes>> {
        let mut response = Response::new(Empty::new());
        *response.status_mut() = self.status(request).await;
        response
    }

    async fn status(&self, request: Request<Incoming>) -> StatusCode {
        #[expect(clippy::disallowed_methods, reason = "limits are what this server leaves out")]
        let Ok(body) = request.into_body().collect().await else { return StatusCode::BAD_REQUEST };
        let Some(publisher) = &self.publisher else { return StatusCode::ACCEPTED };
        let Some(parcels) = split(&body.to_bytes(), &self.secret, self.kind) else {
            return StatusCode::BAD_REQUEST;
        };
        match parcels.is_empty() || publisher.publish(parcels).await {
            true => StatusCode::ACCEPTED,
            false => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What makes this program a reference server; its settings follow, as JSON.
pub(crate) const ARGUMENT: &str = "--reference";

//! Those who are measured, each a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::peer::{Make, Peer};
use crate::process::{Usage, family};
use crate::reference::{Kind, Reference, Settings};
use crate::support::broker::Node;
use crate::support::certs::{Authority, Files};
use crate::support::daemon::{Configuration, Daemon, SECRET};
use crate::support::queue::unique;

/// One who takes notifications.
pub(crate) struct Contestant {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    /// Where its messages come out, if it publishes.
    pub(crate) queue: Option<String>,
    process: Process,
}

enum Process {
    Daemon(Box<Daemon>),
    Reference(
        Reference,
        Files,
        #[expect(dead_code, reason = "its files are there as long as it")] tempfile::TempDir,
    ),
    Peer(Peer, Files, #[expect(dead_code, reason = "its files are there as long as it")] tempfile::TempDir),
}

impl Contestant {
    /// The program itself, as it is installed, but for addresses and names.
    pub(crate) async fn graphhook() -> Self {
        Self::configured(|configuration| configuration).await
    }

    /// The program with a configuration of its own.
    pub(crate) async fn configured(change: impl FnOnce(Configuration) -> Configuration) -> Self {
        Self::of(change(Daemon::configure()).connected().await)
    }

    /// The program while its broker is away.
    pub(crate) async fn without_broker() -> Self {
        Self { queue: None, ..Self::of(Daemon::configure().without_broker().start().await) }
    }

    /// This daemon.
    pub(crate) fn of(daemon: Daemon) -> Self {
        let queue = Some(daemon.queue().to_owned());
        Self { name: "graphhook", queue, process: Process::Daemon(Box::new(daemon)) }
    }

    /// What a reference server is told, but for its certificate.
    pub(crate) fn settings(kind: Kind) -> Settings {
        let (exchange, queue) = (unique("reference.exchange"), unique("reference.queue"));
        let (url, secret) = (Node::shared().url(), SECRET.to_owned());
        let (certificate, key) = (PathBuf::new(), PathBuf::new());
        Settings { kind, url, exchange, queue, secret, certificate, key, publish: None }
    }

    /// A server that does only what must be done.
    pub(crate) fn reference(kind: Kind) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Authority::generate().write_into(directory.path());
        let settings = Self::settings(kind).shown(&files);
        let (name, queue) = match kind {
            Kind::Http => ("http", None),
            Kind::Bare => ("bare", Some(settings.queue.clone())),
            Kind::Same => ("reference", Some(settings.queue.clone())),
        };
        Self { name, queue, process: Process::Reference(Reference::start(&settings), files, directory) }
    }

    /// A receiver made with other tools, in so many processes.
    pub(crate) async fn peer(name: &'static str, make: Make, workers: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Authority::generate().write_into(directory.path());
        let (exchange, queue) = (unique("peer.exchange"), unique("peer.queue"));
        let peer = Peer::start(make, workers, &files, &exchange, &queue).await;
        Self { name, queue: Some(queue), process: Process::Peer(peer, files, directory) }
    }

    /// The daemon that it is.
    pub(crate) fn daemon(&self) -> &Daemon {
        match &self.process {
            Process::Daemon(daemon) => daemon,
            Process::Reference(..) | Process::Peer(..) => panic!("{} is no daemon", self.name),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        match &self.process {
            Process::Daemon(daemon) => daemon.public(),
            Process::Reference(reference, ..) => reference.address,
            Process::Peer(peer, ..) => peer.address,
        }
    }

    /// The authority behind its certificate.
    pub(crate) fn ca(&self) -> &Path {
        match &self.process {
            Process::Daemon(daemon) => daemon.ca(),
            Process::Reference(_, files, _) | Process::Peer(_, files, _) => &files.ca,
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        match &self.process {
            Process::Daemon(daemon) => daemon.pid(),
            Process::Reference(reference, ..) => reference.pid(),
            Process::Peer(peer, ..) => peer.pid(),
        }
    }

    /// What it has had so far, in all of its processes.
    pub(crate) fn usage(&self) -> Usage {
        family(self.pid()).into_iter().map(Usage::of).sum()
    }
}

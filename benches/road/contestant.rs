//! Those who are measured, each a process of its own.

use std::any::Any;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::peer::{Make, Peer};
use crate::process::{Usage, family};
use crate::reference::{Kind, Reference, Settings};
use crate::support::broker::Node;
use crate::support::certs::Authority;
use crate::support::daemon::{Configuration, Daemon, SECRET};
use crate::support::queue::unique;

/// One who takes notifications.
pub(crate) struct Contestant {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    /// Where its messages come out, if it publishes.
    pub(crate) queue: Option<String>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The authority behind its certificate.
    pub(crate) ca: PathBuf,
    /// Its process, from which those descend that it has started.
    pub(crate) pid: u32,
    /// What ends with it: the process, and the files that it was given.
    _alive: Option<Box<dyn Any>>,
}

impl Contestant {
    /// The program itself, as it is installed, but for addresses and names.
    pub(crate) async fn graphhook() -> Self {
        Self::configured(|configuration| configuration).await
    }

    /// The program with a configuration of its own.
    pub(crate) async fn configured(change: impl FnOnce(Configuration) -> Configuration) -> Self {
        Self::owning(change(Daemon::configure()).connected().await)
    }

    /// The program while its broker is away.
    pub(crate) async fn without_broker() -> Self {
        Self { queue: None, ..Self::owning(Daemon::configure().without_broker().start().await) }
    }

    /// This daemon, which is there as long as its owner wants.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        Self {
            name: "graphhook",
            queue: Some(daemon.queue().to_owned()),
            address: daemon.public(),
            ca: daemon.ca().to_owned(),
            pid: daemon.pid(),
            _alive: None,
        }
    }

    fn owning(daemon: Daemon) -> Self {
        let contestant = Self::of(&daemon);
        Self { _alive: Some(Box::new(daemon)), ..contestant }
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
        let reference = Reference::start(&settings);
        let (address, pid) = (reference.address, reference.pid());
        Self { name, queue, address, ca: files.ca, pid, _alive: Some(Box::new((reference, directory))) }
    }

    /// A receiver made with other tools, in so many processes.
    pub(crate) async fn peer(name: &'static str, make: Make, workers: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let files = Authority::generate().write_into(directory.path());
        let (exchange, queue) = (unique("peer.exchange"), unique("peer.queue"));
        let peer = Peer::start(make, workers, &files, &exchange, &queue).await;
        let (address, pid) = (peer.address, peer.pid());
        let alive: Box<dyn Any> = Box::new((peer, directory));
        Self { name, queue: Some(queue), address, ca: files.ca, pid, _alive: Some(alive) }
    }

    /// What it has had so far, in all of its processes.
    pub(crate) fn usage(&self) -> Usage {
        family(self.pid).into_iter().map(Usage::of).sum()
    }
}

/// One address may have as many connections as there are here, all at once.
pub(crate) fn unbounded(configuration: Configuration) -> Configuration {
    let bounds = ["connections_per_address", "connections", "handshakes"];
    bounds
        .into_iter()
        .fold(configuration, |configuration, bound| configuration.set("server.limits", bound, "5000"))
}

//! A balancer of TCP connections in front of several daemons.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Hands each connection to the next target in turn, or to one after it that takes it; until dropped.
pub struct Balance {
    address: SocketAddr,
    targets: watch::Sender<Vec<SocketAddr>>,
    passed_over: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl Balance {
    /// A balancer between these, on a free port of the loopback.
    pub async fn between(targets: impl Into<Vec<SocketAddr>>) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let targets = watch::Sender::new(targets.into());
        let passed_over = Arc::<AtomicUsize>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, targets.subscribe(), Arc::clone(&passed_over)));
        Self { address, targets, passed_over, _accepting: accepting }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to these from now on.
    pub fn change(&self, targets: impl Into<Vec<SocketAddr>>) {
        self.targets.send_replace(targets.into());
    }

    /// How often a target did not take a connection.
    pub fn passed_over(&self) -> usize {
        self.passed_over.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    targets: watch::Receiver<Vec<SocketAddr>>,
    passed_over: Arc<AtomicUsize>,
) {
    let mut carried = JoinSet::new();
    for turn in 0_usize.. {
        let (client, _) = listener.accept().await.expect("the test does not run out of files");
        while carried.try_join_next().is_some() {}
        let mut targets = targets.borrow().clone();
        let first = turn % targets.len();
        targets.rotate_left(first);
        carried.spawn(carry(client, targets, Arc::clone(&passed_over)));
    }
}

async fn carry(mut client: TcpStream, targets: Vec<SocketAddr>, passed_over: Arc<AtomicUsize>) {
    for target in targets {
        match TcpStream::connect(target).await {
            Ok(mut server) => {
                // How it ends is for its two ends to know.
                drop(copy_bidirectional(&mut client, &mut server).await);
                return;
            }
            Err(_) => {
                passed_over.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

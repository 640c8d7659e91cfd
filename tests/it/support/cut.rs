//! A cable that a test can pinch and cut: a TCP proxy with faults on demand.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A proxy to one address; it ends, with its connections, when dropped.
pub struct Cut {
    address: SocketAddr,
    state: watch::Sender<State>,
    counters: Arc<Counters>,
    _accepting: JoinSet<()>,
}

/// What passed and what did not, so that a test can prove that its fault took place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Connections that clients opened.
    pub connections: u64,
    /// Of these, closed at once by [`Cut::refuse`].
    pub refused: u64,
    /// Of these, held in silence by [`Cut::swallow`].
    pub swallowed: u64,
    /// Of these, reset by [`Cut::cut`].
    pub reset: u64,
    /// Bytes handed on to the server.
    pub up: u64,
    /// Bytes handed on to the client.
    pub down: u64,
    /// Bytes that arrived during a stall and had to wait (at most one read for each connection and direction).
    pub held: u64,
    /// Bytes that arrived on swallowed connections, and nobody saw.
    pub dropped: u64,
}

impl Cut {
    /// A healthy proxy to `target`, on a free port of the loopback.
    pub async fn to(target: SocketAddr) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (state, watched) = watch::channel(State { way: Way::Open, cuts: 0 });
        let counters = Arc::new(Counters::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, watched, Arc::clone(&counters)));
        Self { address, state, counters, _accepting: accepting }
    }

    /// A healthy proxy to a port of the loopback.
    pub async fn to_port(port: u16) -> Self {
        Self::to((Ipv4Addr::LOCALHOST, port).into()).await
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port where clients connect.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on nothing passes in either direction, though every connection stays open.
    pub fn stall(&self) {
        self.turn(Way::Stalled);
    }

    /// From now on what the client says arrives, and what the server answers does not.
    pub fn stall_answers(&self) {
        self.turn(Way::AnswersStalled);
    }

    /// From now on new connections are reset at once; those that stand are left alone.
    pub fn refuse(&self) {
        self.turn(Way::Refusing);
    }

    /// From now on new connections are accepted and nothing is ever said on them; those that stand are left alone.
    pub fn swallow(&self) {
        self.turn(Way::Swallowing);
    }

    /// From now on all is well, and what was stalled goes on; what was swallowed stays so until [`Cut::cut`].
    pub fn heal(&self) {
        self.turn(Way::Open);
    }

    /// Resets every connection that stands, at both ends; new ones fare as before.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// What passed so far.
    pub fn seen(&self) -> Seen {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counters { connections, refused, swallowed, reset, up, down, held, dropped } = &*self.counters;
        Seen {
            connections: read(connections),
            refused: read(refused),
            swallowed: read(swallowed),
            reset: read(reset),
            up: read(up),
            down: read(down),
            held: read(held),
            dropped: read(dropped),
        }
    }

    fn turn(&self, way: Way) {
        self.state.send_modify(|state| state.way = way);
    }
}

#[derive(Clone, Copy)]
struct State {
    way: Way,
    /// Grows by one with each cut.
    cuts: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Open,
    Stalled,
    AnswersStalled,
    Refusing,
    Swallowing,
}

impl Way {
    fn holds_questions(self) -> bool {
        self == Self::Stalled
    }

    fn holds_answers(self) -> bool {
        matches!(self, Self::Stalled | Self::AnswersStalled)
    }
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    refused: AtomicU64,
    swallowed: AtomicU64,
    reset: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    held: AtomicU64,
    dropped: AtomicU64,
}

/// Accepts until aborted; its connections end with it.
async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    state: watch::Receiver<State>,
    counters: Arc<Counters>,
) {
    let mut carried = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.expect("the test does not run out of files");
        while carried.try_join_next().is_some() {}
        add(&counters.connections, 1);
        carried.spawn(carry(client, target, state.clone(), Arc::clone(&counters)));
    }
}

/// One connection, from what it meets at its start to its end or the next cut.
async fn carry(
    mut client: TcpStream,
    target: SocketAddr,
    state: watch::Receiver<State>,
    counters: Arc<Counters>,
) {
    let State { way, cuts } = *state.borrow();
    match way {
        Way::Refusing => {
            add(&counters.refused, 1);
            reset(&client);
        }
        Way::Swallowing => {
            add(&counters.swallowed, 1);
            if cut_short(state, cuts, swallow(&mut client, &counters)).await {
                add(&counters.reset, 1);
                reset(&client);
            }
        }
        Way::Open | Way::Stalled | Way::AnswersStalled => {
            // To the client it is as if it had come to the target itself.
            let Ok(mut server) = TcpStream::connect(target).await else {
                return reset(&client);
            };
            let joined = join(&mut client, &mut server, &state, &counters);
            if cut_short(state.clone(), cuts, joined).await {
                add(&counters.reset, 1);
                reset(&client);
                reset(&server);
            }
        }
    }
}

/// Runs `flow` to its end, or to the first cut after number `cuts`; `true` when it was cut.
async fn cut_short(
    mut state: watch::Receiver<State>,
    cuts: u64,
    flow: impl Future<Output = io::Result<()>>,
) -> bool {
    tokio::select! {
        // An error means that the proxy is gone, and then this task is being aborted too.
        cut = state.wait_for(|state| state.cuts > cuts) => cut.is_ok(),
        // How a connection ended is for its two ends to know.
        _ended = flow => false,
    }
}

/// Takes what comes, until the client gives up.
async fn swallow(client: &mut TcpStream, counters: &Counters) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        match client.read(&mut buffer).await? {
            0 => return Ok(()),
            count => add(&counters.dropped, count),
        }
    }
}

/// Carries both directions until both have ended, or one has failed.
async fn join(
    client: &mut TcpStream,
    server: &mut TcpStream,
    state: &watch::Receiver<State>,
    counters: &Counters,
) -> io::Result<()> {
    let (questions, answers_out) = client.split();
    let (answers, questions_out) = server.split();
    let up =
        pump(questions, questions_out, state.clone(), Way::holds_questions, &counters.up, &counters.held);
    let down = pump(answers, answers_out, state.clone(), Way::holds_answers, &counters.down, &counters.held);
    tokio::try_join!(up, down)?;
    Ok(())
}

/// Carries one direction to its end; what arrives while the way holds it, the end included, waits.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    holds: fn(Way) -> bool,
    passed: &AtomicU64,
    held: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = [0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        if holds(state.borrow().way) {
            add(held, count);
        }
        state.wait_for(|state| !holds(state.way)).await.map_err(io::Error::other)?;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
        add(passed, count);
    }
}

/// Lets the connection end with a reset when its stream is dropped.
fn reset(stream: &TcpStream) {
    // Fails only on a connection that has ended already.
    stream.set_zero_linger().ok();
}

fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(u64::try_from(count).expect("a count fits"), Ordering::Relaxed);
}

const CHUNK: usize = 16 * 1024;

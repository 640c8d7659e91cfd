//! A broker that does what a test says, for all that a real one will not do on command.
//!
//! It speaks as much AMQP 0-9-1 as the daemon does. Each message that comes on a channel with confirms is shown to
//! the script, which says what is done; commands go to all connections at any time.

mod peer;
#[cfg(test)]
mod tests;
mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use self::peer::Peer;

/// A scripted broker on a port of the loopback. It ends, with its connections, when dropped.
pub struct Scripted {
    address: SocketAddr,
    stage: Arc<Stage>,
    _accepting: JoinSet<()>,
}

/// What a new connection meets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Greeting {
    /// A broker.
    Broker,
    /// TCP, and not a byte.
    Silence,
    /// Bytes that are no AMQP.
    Garbage,
    /// A broker that closes when the client asks for its virtual host, with a code such as 530.
    Refusal(u16),
}

/// What is done about a message; a script returns several to be done in turn, or none for never.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// basic.ack of this message.
    Ack,
    /// basic.nack of this message.
    Nack,
    /// basic.ack of this message and all before it.
    AckAll,
    /// basic.nack of this message and all before it.
    NackAll,
    /// basic.return of this message.
    Return,
    /// basic.return of a message with this id, which the client may never have sent.
    ReturnOther(&'static str),
    /// Keeps it until [`Scripted::ack_held`].
    Hold,
    /// Does the rest later; others are served meanwhile.
    Wait(Duration),
    /// channel.close with this code.
    CloseChannel(u16),
    /// connection.close with this code.
    CloseConnection(u16),
    /// Bytes that are no AMQP.
    Garbage,
    /// Never again says anything on this connection.
    Silence,
    /// Resets the connection.
    Reset,
}

/// In which order messages that were kept are acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// One by one, as they came.
    Forwards,
    /// One by one, the last first.
    Backwards,
    /// All at once, channel by channel.
    Together,
}

/// A message that came.
#[derive(Clone, Debug)]
pub struct Publish {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// On which channel.
    pub channel: u16,
    /// Its delivery tag; 0 on a channel without confirms.
    pub tag: u64,
    /// Exchange.
    pub exchange: String,
    /// Routing key.
    pub routing_key: String,
    /// Whether it wants to be returned when there is no queue for it.
    pub mandatory: bool,
    /// Property `message_id`, or nothing.
    pub message_id: String,
    /// Property `delivery_mode`.
    pub delivery_mode: Option<u8>,
    /// The body.
    pub body: Bytes,
    /// When.
    pub at: Instant,
    /// The header frame, for sending it back.
    header: Bytes,
}

/// What took place, so that a test can prove it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Seen {
    /// When each connection came.
    pub connections: Vec<Instant>,
    /// Connections on which a virtual host was opened.
    pub opened: u64,
    /// Heartbeats that came.
    pub heartbeats: u64,
    /// basic.ack that were sent.
    pub acks: u64,
    /// basic.nack that were sent.
    pub nacks: u64,
    /// basic.return that were sent.
    pub returns: u64,
    /// channel.close and connection.close that were sent.
    pub closes: u64,
    /// Times that garbage was sent.
    pub garbage: u64,
    /// connection.blocked and connection.unblocked that were sent.
    pub blocks: u64,
    /// Exchanges and queues that the client declared.
    pub declared: Vec<String>,
}

impl Scripted {
    /// A broker that acknowledges everything.
    pub async fn start() -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let stage = Arc::new(Stage::new());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&stage)));
        Self { address, stage, _accepting: accepting }
    }

    /// Its URL; `?heartbeat=2` may follow.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }

    /// What connections meet from now on.
    pub fn greet(&self, greeting: Greeting) {
        *self.stage.greeting.lock().expect(NO_PANIC) = greeting;
    }

    /// What is done about messages from now on.
    pub fn script(&self, decide: impl FnMut(&Publish) -> Vec<Action> + Send + 'static) {
        *self.stage.script.lock().expect(NO_PANIC) = Box::new(decide);
    }

    /// The same is done about all messages from now on.
    pub fn always(&self, actions: &[Action]) {
        let actions = actions.to_vec();
        self.script(move |_| actions.clone());
    }

    /// Acknowledges all that was kept by [`Action::Hold`].
    pub fn ack_held(&self, order: Order) {
        self.command(Command::AckHeld(order));
    }

    /// connection.blocked.
    pub fn block(&self) {
        self.command(Command::Block);
    }

    /// connection.unblocked.
    pub fn unblock(&self) {
        self.command(Command::Unblock);
    }

    /// Reads no more on the connections that stand, until [`Scripted::read_on`].
    pub fn stop_reading(&self) {
        self.command(Command::Read(false));
    }

    /// Reads again.
    pub fn read_on(&self) {
        self.command(Command::Read(true));
    }

    /// connection.close with this code on every connection that stands.
    pub fn close(&self, code: u16) {
        self.command(Command::CloseConnection(code));
    }

    /// Bytes that are no AMQP, on every connection that stands.
    pub fn garbage(&self) {
        self.command(Command::Garbage);
    }

    /// Says nothing more, heartbeats included, on any connection that stands.
    pub fn fall_silent(&self) {
        self.command(Command::Silence);
    }

    /// Resets every connection that stands.
    pub fn reset(&self) {
        self.command(Command::Reset);
    }

    /// The messages so far, in the order in which they came.
    pub fn publishes(&self) -> Vec<Publish> {
        self.stage.publishes.lock().expect(NO_PANIC).clone()
    }

    /// What took place so far.
    pub fn seen(&self) -> Seen {
        self.stage.seen().clone()
    }

    fn command(&self, command: Command) {
        // Without connections nobody listens.
        self.stage.commands.send(command).ok();
    }
}

/// What all connections share.
struct Stage {
    greeting: Mutex<Greeting>,
    script: Mutex<Script>,
    commands: broadcast::Sender<Command>,
    publishes: Mutex<Vec<Publish>>,
    seen: Mutex<Seen>,
}

type Script = Box<dyn FnMut(&Publish) -> Vec<Action> + Send>;

#[derive(Clone, Debug)]
enum Command {
    AckHeld(Order),
    Block,
    Unblock,
    Read(bool),
    CloseConnection(u16),
    Garbage,
    Silence,
    Reset,
}

impl Stage {
    fn new() -> Self {
        Self {
            greeting: Mutex::new(Greeting::Broker),
            script: Mutex::new(Box::new(|_| vec![Action::Ack])),
            commands: broadcast::channel(COMMANDS).0,
            publishes: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect(NO_PANIC)
    }

    /// Writes a message down, and asks the script about it.
    fn decide(&self, publish: &Publish) -> Vec<Action> {
        self.publishes.lock().expect(NO_PANIC).push(publish.clone());
        if publish.tag == 0 {
            return Vec::new();
        }
        (self.script.lock().expect(NO_PANIC))(publish)
    }
}

/// Accepts until aborted; its connections end with it.
async fn accept(listener: TcpListener, stage: Arc<Stage>) {
    let mut served = JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.expect("the test does not run out of files");
        while served.try_join_next().is_some() {}
        stage.seen().connections.push(Instant::now());
        let greeting = *stage.greeting.lock().expect(NO_PANIC);
        let peer = Peer::new(stream, number, greeting, Arc::clone(&stage));
        // How a connection ended is for the test to see at the other end.
        served.spawn(async { drop(peer.serve().await) });
    }
}

const NO_PANIC: &str = "no test panics with it held";
/// Commands that a connection has not yet heard of; more than any test gives.
const COMMANDS: usize = 64;

//! A connection's bytes: lapin's, and beside them the messages and their confirms, in frames of our own.
//!
//! Lapin makes the connection, keeps it alive, declares and locks. It would publish, too, but each message takes several of
//! its promises, and goes through a thread of its own: more time than all the rest of its way (docs/performance.md). So
//! lapin is given one [`end`](super::kit::End) of a pipe, and the [`Wire`] that holds the other one and the socket lets its
//! frames pass in both directions, except for the frames of channels where a [`Station`] publishes. Whole frames of
//! different channels may stand in any order, and nothing else is asked of whoever shares a connection (AMQP 0-9-1, 2.3.5).

pub(super) mod frame;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    fmt,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream},
    sync::mpsc,
    task::yield_now,
    time::Instant,
};
use tokio_util::{
    compat::TokioAsyncReadCompatExt,
    io::{poll_read_buf, poll_write_buf},
    sync::CancellationToken,
    task::TaskTracker,
};

use self::frame::{Frame, GREETING_BYTES, HEARTBEAT};
use super::kit::End;

/// A socket, with or without TLS.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A connection's bytes on their way between the socket, lapin and a station.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    lapin: DuplexStream,
    /// From the socket: the next frame, as far as it is there.
    incoming: BytesMut,
    /// For lapin.
    upward: BytesMut,
    /// From lapin: the next frame, as far as it is there.
    downward: BytesMut,
    /// For the socket: whole frames.
    outgoing: BytesMut,
    /// Lapin has said which protocol it speaks, which is no frame.
    has_greeted: bool,
    /// What comes is no AMQP, which is lapin's to say.
    is_garbled: bool,
    /// When something has last gone to lapin.
    fed: Instant,
    /// Others have had the time to add to what is written next.
    has_waited: bool,
}

/// Whoever publishes on channels of a connection.
pub(super) trait Station {
    /// Why it cannot go on.
    type Error;

    /// Writes the frames that it wants to send, up to a bound of its own; wakes the task when there is more.
    fn fill(&mut self, context: &mut Context<'_>, into: &mut BytesMut);

    /// More has been read just now, and is heard next.
    fn listen(&mut self);

    /// Hears a frame, and says for whom it is.
    fn hear(&mut self, frame: Frame<'_>) -> Result<Whose, Self::Error>;
}

/// For whom a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Whose {
    /// The station's, which has heard it.
    Stations,
    /// For lapin to hear.
    Lapins,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The broker has closed it.
    #[error("the broker has closed it")]
    Ended,
    /// It broke.
    #[error("it broke")]
    Broken(#[source] io::Error),
    /// Lapin has closed it.
    #[error("it was closed")]
    Closed,
}

/// How the carrying of a connection's bytes ends.
pub(super) enum Carried<E> {
    /// With the connection.
    Lost(Lost),
    /// With an error of the station's.
    Failed(E),
}

impl Wire {
    /// A wire from this socket to the end that lapin is given.
    pub(super) fn new(socket: Box<dyn Socket>) -> (Self, End) {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let wire = Self {
            socket,
            lapin: near,
            incoming: BytesMut::new(),
            upward: BytesMut::new(),
            downward: BytesMut::new(),
            outgoing: BytesMut::new(),
            has_greeted: false,
            is_garbled: false,
            fed: Instant::now(),
            has_waited: false,
        };
        (wire, far.compat())
    }

    /// Carries what there is to be carried, until the connection ends.
    pub(super) fn poll_carry<S: Station>(
        &mut self,
        context: &mut Context<'_>,
        station: &mut S,
    ) -> Poll<Carried<S::Error>> {
        for _ in 0..TURNS_MAX {
            match self.turn(context, station) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(carried) => return Poll::Ready(carried),
            }
        }
        // Others on this thread have their turn, too.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Tells lapin that there is nothing more.
    pub(super) async fn end(&mut self) {
        // It may have gone before.
        drop(self.lapin.shutdown().await);
    }

    /// Whether something has moved.
    fn turn<S: Station>(
        &mut self,
        context: &mut Context<'_>,
        station: &mut S,
    ) -> Result<bool, Carried<S::Error>> {
        let mut has_moved = false;
        if self.outgoing.len() < OUTGOING_BYTES {
            has_moved |= self.take_from_lapin(context).map_err(Carried::Lost)?;
            station.fill(context, &mut self.outgoing);
        }
        if !self.hold_back(context) {
            has_moved |= self.write(context).map_err(Carried::Lost)?;
        }
        if self.upward.len() < UPWARD_BYTES {
            let has_read = self.read(context).map_err(Carried::Lost)?;
            if has_read {
                self.hear(station).map_err(Carried::Failed)?;
            }
            has_moved |= has_read;
        }
        has_moved |= self.give_to_lapin(context).map_err(Carried::Lost)?;
        Ok(has_moved)
    }

    /// Bytes from lapin, of which whole frames go on.
    fn take_from_lapin(&mut self, context: &mut Context<'_>) -> Result<bool, Lost> {
        self.downward.reserve(READ_BYTES);
        match poll_read_buf(Pin::new(&mut self.lapin), context, &mut self.downward) {
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0) | Err(_)) => {
                // Its last words are on their way as far as the socket takes them.
                return self.write(context).and(Err(Lost::Closed));
            }
            Poll::Pending => return Ok(false),
        }
        if !self.has_greeted {
            if self.downward.len() < GREETING_BYTES {
                return Ok(true);
            }
            self.outgoing.extend_from_slice(&self.downward.split_to(GREETING_BYTES));
            self.has_greeted = true;
        }
        while let Ok(Some(frame)) = Frame::first(&self.downward) {
            self.outgoing.extend_from_slice(frame.bytes);
            self.downward.advance(frame.bytes.len());
        }
        Ok(true)
    }

    /// Waits a turn before it writes, so that those who are ready to add something have the time to do so; says whether it does.
    /// Requests come together, and so do confirms that let their senders send the next ones: what is written together costs the
    /// broker a quarter less (docs/performance.md).
    fn hold_back(&mut self, context: &mut Context<'_>) -> bool {
        if self.outgoing.is_empty() {
            return false;
        }
        self.has_waited = !self.has_waited;
        // Wakes this task when whatever is ready by now has had its turn.
        self.has_waited && pin!(yield_now()).poll(context).is_pending()
    }

    fn write(&mut self, context: &mut Context<'_>) -> Result<bool, Lost> {
        let mut has_moved = false;
        while !self.outgoing.is_empty() {
            match poll_write_buf(Pin::new(&mut self.socket), context, &mut self.outgoing) {
                Poll::Ready(Ok(1..)) => has_moved = true,
                Poll::Ready(Ok(0)) => return Err(Lost::Broken(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => return Err(Lost::Broken(error)),
                Poll::Pending => break,
            }
        }
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.socket).poll_flush(context) {
            return Err(Lost::Broken(error));
        }
        Ok(has_moved)
    }

    fn read(&mut self, context: &mut Context<'_>) -> Result<bool, Lost> {
        self.incoming.reserve(READ_BYTES);
        match poll_read_buf(Pin::new(&mut self.socket), context, &mut self.incoming) {
            // Lapin hears the last words first.
            Poll::Ready(Ok(0)) if !self.upward.is_empty() => Ok(false),
            Poll::Ready(Ok(0)) => Err(Lost::Ended),
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(Lost::Broken(error)),
            Poll::Pending => Ok(false),
        }
    }

    /// Shows the station whole frames; what it does not want is for lapin.
    fn hear<S: Station>(&mut self, station: &mut S) -> Result<(), S::Error> {
        let mut has_kept = false;
        station.listen();
        while !self.is_garbled {
            match Frame::first(&self.incoming) {
                Ok(Some(frame)) => {
                    match station.hear(frame)? {
                        Whose::Stations => has_kept = true,
                        Whose::Lapins => self.upward.extend_from_slice(frame.bytes),
                    }
                    let length = frame.bytes.len();
                    self.incoming.advance(length);
                }
                Ok(None) => break,
                Err(_) => self.is_garbled = true,
            }
        }
        if self.is_garbled {
            self.upward.extend_from_slice(&self.incoming.split());
        } else if has_kept && self.upward.is_empty() && self.fed.elapsed() > FED_EVERY {
            // A broker that has something to say sends no heartbeats, and lapin would take it for dead.
            self.upward.extend_from_slice(HEARTBEAT);
        }
        Ok(())
    }

    fn give_to_lapin(&mut self, context: &mut Context<'_>) -> Result<bool, Lost> {
        let mut has_moved = false;
        while !self.upward.is_empty() {
            match poll_write_buf(Pin::new(&mut self.lapin), context, &mut self.upward) {
                Poll::Ready(Ok(1..)) => {
                    has_moved = true;
                    self.fed = Instant::now();
                }
                Poll::Ready(Ok(0) | Err(_)) => return Err(Lost::Closed),
                Poll::Pending => break,
            }
        }
        Ok(has_moved)
    }
}

/// A station where nobody publishes.
struct Nobody;

impl Station for Nobody {
    type Error = Infallible;

    fn fill(&mut self, _: &mut Context<'_>, _: &mut BytesMut) {}

    fn listen(&mut self) {}

    fn hear(&mut self, _: Frame<'_>) -> Result<Whose, Self::Error> {
        Ok(Whose::Lapins)
    }
}

/// Where the wire of a connection that is being made is put. A task of its own carries it from then on.
#[derive(Clone, Debug)]
pub(super) struct Giver {
    wanted: CancellationToken,
    wires: mpsc::Sender<Wire>,
    /// They end with their connections, whoever uses these.
    carrying: TaskTracker,
}

/// Where a wire is to be had, once its connection stands.
#[derive(Debug)]
pub(super) struct Taker {
    wanted: CancellationToken,
    wires: mpsc::Receiver<Wire>,
}

/// A place where the wire of a connection is handed over.
pub(super) fn handover() -> (Giver, Taker) {
    let (given, wires) = mpsc::channel(1);
    let wanted = CancellationToken::new();
    let giver = Giver { wanted: wanted.clone(), wires: given, carrying: TaskTracker::new() };
    (giver, Taker { wanted, wires })
}

impl Giver {
    /// Carries a wire on which nobody publishes: until it is wanted, or to the end of its connection.
    pub(super) fn carry(&self, mut wire: Wire) {
        let Self { wanted, wires, carrying } = self.clone();
        carrying.spawn(async move {
            let carried = poll_fn(|context| wire.poll_carry(context, &mut Nobody));
            if wanted.run_until_cancelled(carried).await.is_none() {
                // Whoever wanted it may have given up meanwhile.
                drop(wires.try_send(wire));
            }
        });
    }
}

impl Taker {
    /// The wire, unless its connection has ended meanwhile. From now on it must be carried by whoever has it.
    pub(super) async fn take(mut self) -> Option<Wire> {
        self.wanted.cancel();
        self.wires.recv().await
    }
}

/// Bytes between lapin and its wire.
const PIPE_BYTES: usize = 64 << 10;
/// Read at once.
const READ_BYTES: usize = 16 << 10;
/// Bytes that wait for the socket, over which nothing is added.
const OUTGOING_BYTES: usize = 256 << 10;
/// Bytes that wait for lapin, over which nothing more is read.
const UPWARD_BYTES: usize = 1 << 20;
/// Lapin takes a broker for dead that has said nothing to it for two heartbeats.
const FED_EVERY: Duration = Duration::from_secs(1);
/// Turns before others on the same thread have theirs.
const TURNS_MAX: usize = 32;

//! HTTP/1 by the letter, before hyper reads it.
//!
//! hyper takes a bare line feed for the end of a line, as RFC 9112 allows (2.2). A proxy in front may not, and then
//! the two cut a connection into requests at different places: the way in for smuggled requests. So heads and
//! the lines between chunks pass here first. In place of what is not by the letter hyper reads a zero byte, which it
//! refuses with 400 wherever it stands; and then the end.
//!
//! A body whose length is plain passes along with its head. What follows it waits until hyper has read the same length out of
//! that head; should it have read another one, the request is refused and the connection ends.

mod scanner;

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use self::scanner::{Body, Scanned, Scanner};
use super::activity::Activity;

/// A connection whose heads are read by the letter.
pub(super) struct Strict<S> {
    stream: S,
    framing: Framing,
    /// Read, and not passed on yet: what comes after a head, before it is known what it is.
    ahead: BytesMut,
    /// Nothing passes any more.
    is_spoilt: bool,
}

/// Where in its messages a connection is. The service that is called for a head has to say what follows it.
#[derive(Clone)]
pub(super) struct Framing {
    shared: Arc<Mutex<Shared>>,
    activity: Activity,
}

#[derive(Default)]
struct Shared {
    scanner: Scanner,
    waker: Option<Waker>,
}

impl Framing {
    /// At the begin of a connection; `activity` is told when heads begin.
    pub(super) fn new(activity: Activity) -> Self {
        Self { shared: Arc::default(), activity }
    }

    /// Says what follows the head that was read last. Returns false when the head was never seen here: then the
    /// connection cannot go on.
    pub(super) fn follows(&self, body: Body) -> bool {
        let mut shared = self.lock();
        let fits = shared.scanner.follows(body);
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
        fits
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Strict<S> {
    /// Reads `stream` by the letter; `framing` is to be told what follows each head.
    pub(super) fn new(stream: S, framing: Framing) -> Self {
        Self { stream, framing, ahead: BytesMut::new(), is_spoilt: false }
    }

    /// Lets what was read last, from `start` on, pass as far as it may.
    fn judge(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>, start: usize) -> Poll<()> {
        let mut shared = self.framing.lock();
        let fresh = &buffer.filled()[start..];
        let mut passed = 0;
        loop {
            match shared.scanner.scan(&fresh[passed..]) {
                Scanned::Passes(0) => break,
                Scanned::Passes(more) => passed += more,
                Scanned::WrongAt(at) => {
                    buffer.set_filled(start + passed + at);
                    let (now, later) = SPOILT.split_at(SPOILT.len().min(buffer.remaining()));
                    buffer.put_slice(now);
                    (self.ahead, self.is_spoilt) = (BytesMut::from(later), true);
                    return Poll::Ready(());
                }
            }
        }
        if shared.scanner.is_in_head() {
            self.framing.activity.head();
        }
        if passed < fresh.len() {
            let mut ahead = BytesMut::from(&fresh[passed..]);
            ahead.unsplit(std::mem::take(&mut self.ahead));
            self.ahead = ahead;
            buffer.set_filled(start + passed);
        }
        if passed == 0 && !self.ahead.is_empty() {
            // Nothing may pass, and an empty read would mean the end.
            shared.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let start = buffer.filled().len();
        if self.ahead.is_empty() && !self.is_spoilt {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let taken = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..taken]);
            self.ahead.advance(taken);
        }
        if self.is_spoilt || buffer.filled().len() == start {
            return Poll::Ready(Ok(()));
        }
        self.judge(context, buffer, start).map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What hyper is given instead: it looks at a head only when that has an end. In the extension of a chunk it is the line
/// feed that it refuses.
const SPOILT: &[u8] = b"\0\n\r\n\r\n";

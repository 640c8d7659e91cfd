//! A connection of one sender, kept alive from one POST to the next.
//!
//! hyper's client is made for many requests and many users of a connection: it has a task for each and hands requests and
//! answers over by channels, which costs more than all the rest of a POST. A sender has one request at a time, always of the
//! same form, and wants nothing of an answer but its status.
//!
//! How far a POST has come is kept here and not in the futures, so that these can be dropped, and the answer waited for by
//! somebody else.

use std::{
    fmt::Write,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, BytesMut};
use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::{
    answer::{Read, read},
    post::End,
};
use crate::simulate::receiver::Stream;

/// A connection, and what is under way on it.
pub(super) struct Lane {
    stream: Box<dyn Stream>,
    /// What is still to be sent.
    out: BytesMut,
    /// What has come.
    came: BytesMut,
    /// Another POST can be sent.
    is_free: bool,
}

impl Lane {
    /// A new connection.
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, out: BytesMut::new(), came: BytesMut::with_capacity(CAME_BYTES), is_free: true }
    }

    /// Whether another POST can be sent: the last answer was whole, and nothing but silence has come since.
    pub(super) fn is_free(&mut self) -> bool {
        self.is_free && self.came.is_empty() && self.is_silent()
    }

    /// One POST, which ends with an answer, or because the connection does. Dropped, it goes on with [`Lane::answer`].
    pub(super) async fn post(&mut self, head: &str, body: &str) -> Result<StatusCode, End> {
        self.is_free = false;
        self.out.reserve(head.len() + body.len() + LENGTH_BYTES);
        self.out.extend_from_slice(head.as_bytes());
        write!(self.out, "{}\r\n\r\n", body.len()).expect("a buffer takes every text");
        self.out.extend_from_slice(body.as_bytes());
        self.answer().await
    }

    /// Sends what is left of a POST, and waits for its answer; some answer before they have read all.
    pub(super) async fn answer(&mut self) -> Result<StatusCode, End> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<StatusCode, End>> {
        let mut is_over = false;
        let is_sent = match self.poll_send(context) {
            Poll::Ready(Ok(())) => true,
            // What the receiver said before it went may have come all the same.
            Poll::Ready(Err(_)) | Poll::Pending => false,
        };
        loop {
            match read(&self.came, is_over) {
                Read::Answer { status, length, is_kept } => {
                    self.came.advance(length);
                    self.is_free = is_kept && is_sent && !is_over;
                    return Poll::Ready(Ok(status));
                }
                Read::More if !is_over => {}
                Read::More | Read::Broken => return Poll::Ready(Err(End::Broken)),
            }
            is_over = ready!(self.poll_read(context)).map_or(true, |many| many == 0);
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, &self.out))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(sent);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let reading = pin!(self.stream.read_buf(&mut self.came));
        reading.poll(context)
    }

    /// Whether there is nothing to be read, not even the end.
    fn is_silent(&mut self) -> bool {
        let (mut one, mut context) = ([0], Context::from_waker(Waker::noop()));
        let mut looked = ReadBuf::new(&mut one);
        Pin::new(&mut self.stream).poll_read(&mut context, &mut looked).is_pending()
    }
}

/// Of the longest number, and the two ends of lines behind it.
const LENGTH_BYTES: usize = 24;
/// More than an answer usually has.
const CAME_BYTES: usize = 1 << 10;

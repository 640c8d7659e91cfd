//! Reading a request's body: no more than the limit, no later than the deadline, and without a copy when it
//! comes in one piece.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

use crate::{config::Limits, deadline::Deadline};

/// Why there is no body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BodyError {
    /// More than the limit.
    TooLarge,
    /// Not complete in time.
    TooSlow,
    /// Other bodies take all the memory there is for them.
    NoRoom,
    /// Broken off, broken framing, or fields behind it.
    Broken,
}

/// The bytes of all bodies that are being read or delivered. Handshakes need none.
#[derive(Debug, Default)]
pub(super) struct Memory(Arc<AtomicUsize>);

/// The bytes of one body, taken from the room for all of them until this is dropped.
#[derive(Debug)]
struct Held {
    taken: usize,
    all: Arc<AtomicUsize>,
}

/// A whole body, with the room it takes until this is dropped.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _held: Held,
}

impl Memory {
    fn hold(&self) -> Held {
        Held { taken: 0, all: Arc::clone(&self.0) }
    }
}

impl Held {
    /// Takes room for bytes that have arrived: who announces much and sends little takes little. The bound is the
    /// request's own, since a reload may change it.
    fn take(&mut self, bytes: usize, bytes_max: usize) -> Result<(), BodyError> {
        let more = |all: usize| all.checked_add(bytes).filter(|&all| all <= bytes_max);
        let taken = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map_err(|_| BodyError::NoRoom)?;
        self.taken += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// Reads the whole body. One that comes in one piece is not copied.
pub(super) async fn read(
    body: &mut Incoming,
    limits: &Limits,
    memory: &Memory,
    owed: Deadline,
) -> Result<Whole, BodyError> {
    if body.size_hint().lower() > limits.body_bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    let gathered = gather(Limited::new(body, limits.body_bytes_max), memory.hold(), limits.bytes_in_flight);
    owed.or_after(limits.body_within).limit(gathered).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn gather(
    mut body: Limited<&mut Incoming>,
    mut held: Held,
    bytes_in_flight: usize,
) -> Result<Whole, BodyError> {
    let mut first = Bytes::new();
    // Put together at once: a body of single bytes must not cost a handle, and the buffer behind it, for each.
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Fields behind a body: Graph sends none, and some servers read them where others do not.
        let piece = frame.map_err(failure)?.into_data().map_err(|_| BodyError::Broken)?;
        held.take(piece.len(), bytes_in_flight)?;
        if first.is_empty() && more.is_empty() {
            first = piece;
        } else {
            more.extend_from_slice(&std::mem::take(&mut first));
            more.extend_from_slice(&piece);
        }
    }
    let bytes = if more.is_empty() { first } else { more.freeze() };
    Ok(Whole { bytes, _held: held })
}

fn failure(error: Box<dyn Error + Send + Sync>) -> BodyError {
    if error.is::<LengthLimitError>() { BodyError::TooLarge } else { BodyError::Broken }
}

/// Reads on for a while after a body was refused. A sender that is still writing when the connection closes
/// would get a reset, and never see the answer.
pub(super) async fn drain(body: &mut Incoming, owed: Deadline) {
    let mut left = DRAINED_BYTES_MAX;
    let discard = async {
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(read) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // Too slow a sender gets its answer all the same; whether it can read it is its own affair.
    let (Ok(()) | Err(_)) = owed.limit(discard).await;
}

/// Most that is read and thrown away after a refusal.
const DRAINED_BYTES_MAX: usize = 16 << 20;

//! Reading a request's body: no more than the limit, no later than the deadline, and without a copy when it
//! comes in one piece.

use std::{error::Error, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::deadline::Deadline;

/// Why there is no body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BodyError {
    /// More than the limit.
    TooLarge,
    /// Not complete in time.
    TooSlow,
    /// Other bodies take all the memory there is for them.
    NoRoom,
    /// Broken off, or broken framing.
    Broken,
}

/// Room for the bytes of all bodies that are being read or delivered. Handshakes need none.
#[derive(Debug)]
pub(super) struct Memory(Arc<Semaphore>);

/// A whole body, with the room it takes until this is dropped.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Room for bytes that have arrived: who announces much and sends little takes little.
    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let bytes = u32::try_from(bytes).map_err(|_| BodyError::TooLarge)?;
        Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_| BodyError::NoRoom)
    }
}

/// Reads the whole body. One that comes in one piece is not copied.
pub(super) async fn read(
    body: &mut Incoming,
    bytes_max: usize,
    memory: &Memory,
    owed: Deadline,
) -> Result<Whole, BodyError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    owed.limit(gather(Limited::new(body, bytes_max), memory)).await.unwrap_or(Err(BodyError::TooSlow))
}

async fn gather(mut body: Limited<&mut Incoming>, memory: &Memory) -> Result<Whole, BodyError> {
    let mut first = Bytes::new();
    // Put together at once: a body of single bytes must not cost a handle, and the buffer behind it, for each.
    let mut more = BytesMut::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(failure)?.into_data() else { continue };
        let room = memory.take(piece.len())?;
        match &mut held {
            Some(held) => held.merge(room),
            None => held = Some(room),
        }
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

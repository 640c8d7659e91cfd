//! Reading a request's body: no more than the limit, no later than the deadline, and without a copy when it
//! comes in one piece.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

use crate::deadline::{Deadline, Elapsed};

/// Why there is no body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BodyError {
    /// More than the limit.
    TooLarge,
    /// Not complete in time.
    TooSlow,
    /// Broken off, or broken framing.
    Broken,
}

/// Reads the whole body. One that comes in one piece is not copied.
pub(super) async fn read(body: &mut Incoming, bytes_max: usize, owed: Deadline) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    #[expect(clippy::disallowed_methods, reason = "this is the place that bounds it, in bytes and in time")]
    let whole = Limited::new(body, bytes_max).collect();
    match owed.limit(whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(Elapsed) => Err(BodyError::TooSlow),
    }
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
    let (Ok(()) | Err(Elapsed)) = owed.limit(discard).await;
}

/// Most that is read and thrown away after a refusal.
const DRAINED_BYTES_MAX: usize = 16 << 20;

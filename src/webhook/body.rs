//! Reading a request's body: no more than the limit, no later than the deadline, and without a copy when it
//! comes in one piece.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
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

/// Reads the whole body.
pub(super) async fn read(body: &mut Incoming, bytes_max: usize, owed: Deadline) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    owed.limit(gather(body, bytes_max)).await.unwrap_or_else(|Elapsed| Err(BodyError::TooSlow))
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

async fn gather(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(bytes_max).min(bytes_max);
    let mut whole = Whole::Nothing;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        whole = whole.and(data, announced);
        if whole.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
    }
    Ok(whole.into_bytes())
}

/// What has been read so far: most bodies come in one piece, and are never copied.
enum Whole {
    Nothing,
    Piece(Bytes),
    Pieces(BytesMut),
}

impl Whole {
    fn and(self, data: Bytes, announced: usize) -> Self {
        match self {
            Self::Nothing => Self::Piece(data),
            Self::Piece(first) => {
                let mut pieces = BytesMut::with_capacity(announced.max(first.len() + data.len()));
                pieces.extend_from_slice(&first);
                pieces.extend_from_slice(&data);
                Self::Pieces(pieces)
            }
            Self::Pieces(mut pieces) => {
                pieces.extend_from_slice(&data);
                Self::Pieces(pieces)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Piece(piece) => piece.len(),
            Self::Pieces(pieces) => pieces.len(),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::Piece(piece) => piece,
            Self::Pieces(pieces) => pieces.freeze(),
        }
    }
}

/// Most that is read and thrown away after a refusal.
const DRAINED_BYTES_MAX: usize = 16 << 20;

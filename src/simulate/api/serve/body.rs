//! The body of an answer; of one that is cut, half.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::{Cut, Severed};

/// Bytes, and perhaps a sudden end.
#[derive(Debug)]
pub(in crate::simulate) struct Body {
    rest: Option<Bytes>,
    is_cut: bool,
    /// What the head promises.
    length: u64,
    /// Whether what there is has had its time to go out.
    is_flushed: bool,
}

impl Body {
    pub(super) fn new(bytes: Bytes, cut: Option<Cut>) -> Self {
        let is_cut = cut == Some(Cut::During);
        // Of nothing there is no half: the head then promises what never comes.
        let length = bytes.len().max(usize::from(is_cut));
        let kept = if is_cut { bytes.slice(..bytes.len() / 2) } else { bytes };
        let rest = Some(kept).filter(|kept| !kept.is_empty());
        Self { rest, is_cut, length: u64::try_from(length).unwrap_or(u64::MAX), is_flushed: false }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Severed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Severed>>> {
        if let Some(bytes) = self.rest.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if !self.is_cut {
            return Poll::Ready(None);
        }
        if !self.is_flushed {
            // hyper writes out what it has while it waits for more.
            self.is_flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(Severed)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && !self.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

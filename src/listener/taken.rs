//! A request's share of memory, held until its answer has been taken.

use std::{
    pin::Pin,
    sync::Arc,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use hyper::body::{Body, Frame, SizeHint};

use super::door::Guest;

/// A place among the requests that are open at once. It is given back when this is dropped.
pub(super) struct Place(Arc<Guest>);

/// The body of an answer, which keeps the place of its request until the client takes it, or the connection ends.
pub(super) struct Taken<B> {
    body: B,
    _place: Option<Place>,
}

impl Place {
    /// A place for a request of this guest, if it has not its share already.
    pub(super) fn take(guest: &Arc<Guest>) -> Option<Self> {
        let before = guest.requests.fetch_add(1, Ordering::Relaxed);
        // From here on it is given back in any case.
        let place = Self(Arc::clone(guest));
        (before < guest.requests_max()).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B> Taken<B> {
    /// This body, for a request with this place.
    pub(super) fn new(body: B, place: Option<Place>) -> Self {
        Self { body, _place: place }
    }
}

impl<B: Body + Unpin> Body for Taken<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

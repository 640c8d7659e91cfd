//! What connections to the stand-in lead to.

mod body;
mod visit;

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, http::request::Parts};
use tokio_util::task::TaskTracker;

use self::{body::Body, visit::Visit};
use super::{faults::Cut, world::World};
use crate::simulate::serve::{self, Severed};

/// What is behind an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Door {
    /// Everything.
    Main,
    /// The identity endpoints of machines alone.
    Machines,
}

/// What connections lead to.
#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) door: Door,
    pub(super) world: Arc<World>,
    /// What has been begun for a caller is done whether they wait or not.
    pub(super) tracker: TaskTracker,
}

impl serve::Inside for Inside {
    type Body = Body;

    async fn answer(self, head: Parts, body: Bytes) -> Result<Response<Body>, Severed> {
        let Self { door, world, tracker } = self;
        let work = tracker.spawn(async move { Visit::new(&world, &head).answer(door, &head, &body).await });
        work.await.unwrap_or(Err(Severed))
    }
}

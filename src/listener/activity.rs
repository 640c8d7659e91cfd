//! What a connection is doing, seen from outside of it, and for how long.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use crate::deadline::Deadline;

/// What a connection is doing. Clones speak of the same connection.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<watch::Sender<Doing>>);

/// What, and since when.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    /// Nothing that we know of: pings, window updates, silence.
    Idle(Instant),
    /// The head of a request has begun, and not ended.
    Head(Instant),
    /// So many requests are being answered.
    Busy(usize),
}

/// One request, open until this is dropped.
pub(super) struct OpenRequest(Activity);

impl Activity {
    /// A connection that has not said anything yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Doing::Idle(Instant::now()))))
    }

    /// A request has arrived.
    pub(super) fn request(&self) -> OpenRequest {
        self.0.send_modify(|doing| {
            *doing = match *doing {
                Doing::Idle(_) | Doing::Head(_) => Doing::Busy(1),
                Doing::Busy(open) => Doing::Busy(open + 1),
            }
        });
        OpenRequest(self.clone())
    }

    /// The head of a request is being read. It counts from the first time that this is said of it.
    pub(super) fn head(&self) {
        self.0.send_if_modified(|doing| {
            let is_new = matches!(doing, Doing::Idle(_));
            if is_new {
                *doing = Doing::Head(Instant::now());
            }
            is_new
        });
    }

    /// Since when no request is being answered; `None` if one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match *self.0.borrow() {
            Doing::Idle(since) | Doing::Head(since) => Some(since),
            Doing::Busy(_) => None,
        }
    }

    /// Waits until a request is being answered.
    pub(super) async fn busy(&self) {
        // The sender lives as long as `self`, so that the wait cannot fail.
        drop(self.0.subscribe().wait_for(|doing| matches!(doing, Doing::Busy(_))).await);
    }

    /// Waits until the connection has carried no request for `idle`, or has been reading one head for `head`.
    pub(super) async fn overdue(&self, idle: Duration, head: Duration) {
        let mut doing = self.0.subscribe();
        loop {
            let due = match *doing.borrow_and_update() {
                Doing::Idle(since) => Some(Deadline::at(since + idle)),
                Doing::Head(since) => Some(Deadline::at(since + head)),
                Doing::Busy(_) => None,
            };
            // The sender lives as long as `self`, so that no wait for a change can fail.
            match due {
                Some(due) if due.limit(doing.changed()).await.is_err() => return,
                Some(_) => {}
                None => drop(doing.changed().await),
            }
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.0.send_modify(|doing| {
            *doing = match *doing {
                Doing::Busy(open @ 2..) => Doing::Busy(open - 1),
                Doing::Busy(_) | Doing::Idle(_) | Doing::Head(_) => Doing::Idle(Instant::now()),
            }
        });
    }
}

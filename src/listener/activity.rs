//! What a connection is doing, seen from outside of it, and for how long.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::deadline::Deadline;

/// What a connection is doing. Clones speak of the same connection.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    doing: Mutex<Doing>,
    /// A request has arrived where none was being answered.
    became_busy: Notify,
}

/// What, and since when.
#[derive(Clone, Copy, Debug)]
enum Doing {
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
        let doing = Mutex::new(Doing::Idle(Instant::now()));
        Self(Arc::new(Shared { doing, became_busy: Notify::new() }))
    }

    /// A request has arrived.
    pub(super) fn request(&self) -> OpenRequest {
        let mut doing = self.doing();
        let (open, is_first) = match *doing {
            Doing::Idle(_) | Doing::Head(_) => (1, true),
            Doing::Busy(open) => (open + 1, false),
        };
        *doing = Doing::Busy(open);
        drop(doing);
        if is_first {
            self.0.became_busy.notify_waiters();
        }
        OpenRequest(self.clone())
    }

    /// The head of a request is being read. It counts from the first time that this is said of it.
    pub(super) fn head(&self) {
        let mut doing = self.doing();
        if let Doing::Idle(_) = *doing {
            *doing = Doing::Head(Instant::now());
        }
    }

    /// Since when no request is being answered; `None` if one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        match *self.doing() {
            Doing::Idle(since) | Doing::Head(since) => Some(since),
            Doing::Busy(_) => None,
        }
    }

    /// Waits until a request is being answered.
    pub(super) async fn busy(&self) {
        loop {
            // Made before the look, so that what comes in between is not missed.
            let became_busy = self.0.became_busy.notified();
            if let Doing::Busy(_) = *self.doing() {
                return;
            }
            became_busy.await;
        }
    }

    /// Waits until the connection has carried no request for `idle`, or has been reading one head for `head`.
    ///
    /// It looks by itself, at the latest when something that begins now could be overdue: requests, of which there are
    /// many, need not tell it of their begins and ends.
    pub(super) async fn overdue(&self, idle: Duration, head: Duration) {
        loop {
            let now = Instant::now();
            let due = match *self.doing() {
                Doing::Idle(since) => Some(since + idle),
                Doing::Head(since) => Some(since + head),
                Doing::Busy(_) => None,
            };
            if due.is_some_and(|due| due <= now) {
                return;
            }
            let soonest = now + idle.min(head);
            Deadline::at(due.map_or(soonest, |due| due.min(soonest))).passed().await;
        }
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        self.0.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut doing = self.0.doing();
        *doing = match *doing {
            Doing::Busy(open @ 2..) => Doing::Busy(open - 1),
            Doing::Busy(_) | Doing::Idle(_) | Doing::Head(_) => Doing::Idle(Instant::now()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);
    const HEAD: Duration = Duration::from_secs(10);

    /// After how many seconds the connection is overdue.
    async fn overdue(activity: &Activity) -> u64 {
        let begun = Instant::now();
        activity.overdue(IDLE, HEAD).await;
        begun.elapsed().as_secs()
    }

    async fn after(seconds: u64) {
        Deadline::after(Duration::from_secs(seconds)).passed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_slow_heads_are_overdue_to_the_second() {
        let activity = Activity::new();
        assert_eq!(overdue(&activity).await, 60);
        assert_eq!(overdue(&activity).await, 0);
        let activity = Activity::new();
        let begins = async {
            after(33).await;
            activity.head();
            after(7).await;
            activity.head();
        };
        assert_eq!(tokio::join!(overdue(&activity), begins).0, 43);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_not_and_after_it_the_silence_counts_anew() {
        let activity = Activity::new();
        let requests = async {
            after(59).await;
            let (one, two) = (activity.request(), activity.request());
            after(100).await;
            drop(one);
            after(100).await;
            drop(two);
        };
        assert_eq!(tokio::join!(overdue(&activity), requests).0, 59 + 200 + 60);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_request_is_told_of_the_next_one() {
        let activity = Activity::new();
        let requests = async {
            after(5).await;
            let _open = activity.request();
            after(5).await;
        };
        let begun = Instant::now();
        let waits = async {
            activity.busy().await;
            begun.elapsed().as_secs()
        };
        assert_eq!(tokio::join!(waits, requests).0, 5);
        let _open = activity.request();
        activity.busy().await;
    }
}

//! Graph's own limits, kept on our side: who stays under them is not throttled ("Microsoft Graph service-specific
//! throttling limits", <https://learn.microsoft.com/graph/throttling-limits>, subscriptions, per app and tenant).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::operation::Operation;
use crate::deadline::Deadline;

/// What was sent lately.
#[derive(Debug)]
pub(super) struct Limits {
    list: Bucket,
    get: Bucket,
    write: Bucket,
    reauthorize: Bucket,
}

/// Requests of one sort. A full bucket lets half of the limit through at once, and fills up by the other half in the
/// window: no window of that length ever holds more than the limit.
#[derive(Debug)]
struct Bucket {
    /// Half of the limit.
    burst: u32,
    /// When the bucket would be full again.
    full_at: Mutex<Option<Instant>>,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            list: Bucket::new(25),
            get: Bucket::new(500),
            write: Bucket::new(500),
            reauthorize: Bucket::new(1_000),
        }
    }

    /// Waits until this request may be sent.
    ///
    /// # Errors
    ///
    /// The time that it would take, if that is too long; then no room is taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the room taken.
    pub(super) async fn room(&self, operation: Operation) -> Result<(), Duration> {
        let bucket = match operation {
            Operation::List => &self.list,
            Operation::Get => &self.get,
            Operation::Create | Operation::Update | Operation::Delete => &self.write,
            Operation::Reauthorize => &self.reauthorize,
        };
        let wait = bucket.take(Instant::now())?;
        if !wait.is_zero() {
            Deadline::after(wait).passed().await;
        }
        Ok(())
    }
}

impl Bucket {
    fn new(limit: u32) -> Self {
        Self { burst: limit / 2, full_at: Mutex::new(None) }
    }

    /// Takes room for one request; how long that has to wait.
    fn take(&self, now: Instant) -> Result<Duration, Duration> {
        let each = WINDOW / self.burst;
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = full_at.map_or(Duration::ZERO, |full| full.saturating_duration_since(now));
        let wait = (missing + each).saturating_sub(WINDOW);
        if wait > WAIT_MAX {
            return Err(wait);
        }
        *full_at = Some(now + missing + each);
        Ok(wait)
    }
}

const WINDOW: Duration = Duration::from_secs(20);
/// Two windows: whoever has so much to do may as well do it later.
const WAIT_MAX: Duration = Duration::from_secs(40);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as fast as it may, and counts the fullest window.
    #[track_caller]
    fn fullest(limit: u32) -> usize {
        let (bucket, start) = (Bucket::new(limit), Instant::now());
        let mut sent = Vec::new();
        // From a quiet time, and from a bucket that was half empty.
        for begin in [0, 3, 61, 70] {
            let begin = start + Duration::from_secs(begin);
            while let Ok(wait) = bucket.take(begin) {
                sent.push(begin + wait);
            }
        }
        sent.sort_unstable();
        assert!(sent.len() > 2 * limit as usize, "{}", sent.len());
        let in_window = |first: &Instant| {
            sent.iter().filter(|&moment| first <= moment && *moment < *first + WINDOW).count()
        };
        sent.iter().map(in_window).max().unwrap_or_default()
    }

    #[test]
    fn no_window_holds_more_than_the_limit() {
        for limit in [25, 500, 1_000] {
            let fullest = fullest(limit);
            assert!(fullest <= limit as usize, "{fullest} of {limit}");
            assert!(fullest + 2 >= limit as usize, "{fullest} of {limit}: more is allowed");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_what_is_too_much_is_not_waited_for() {
        let (limits, start) = (Limits::new(), Instant::now());
        for _ in 0..12 {
            limits.room(Operation::List).await.expect("there is room");
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        limits.room(Operation::List).await.expect("there is room soon");
        assert!(start.elapsed() > Duration::from_secs(1));
        // Another sort of requests has room of its own.
        limits.room(Operation::Get).await.expect("there is room");
        let now = Instant::now();
        while limits.list.take(now).is_ok() {}
        let wait = limits.room(Operation::List).await.expect_err("there is too much to do");
        assert!(wait > WAIT_MAX && wait < WAIT_MAX + WINDOW, "{wait:?}");
        assert_eq!(now.elapsed(), Duration::ZERO);
    }
}

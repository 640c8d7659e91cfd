//! The moment at which an answer is owed, made once for a request and handed down.

use std::{future::Future, time::Duration};

use futures_util::TryFutureExt;
use tokio::time::Instant;

/// A moment on the monotonic clock after which nobody waits any more.
///
/// A request's deadline is made once, when its head has arrived, and every stage takes what is left of it, so
/// that no stage spends another's time.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

/// The deadline passed before the work was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not done in time")]
pub struct Elapsed;

impl Deadline {
    /// The moment `time` from now.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// This moment.
    pub fn at(moment: Instant) -> Self {
        Self(moment)
    }

    /// The earlier of this deadline and the moment `time` from now.
    #[must_use]
    pub fn or_after(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }

    /// Waits until the deadline.
    #[expect(
        clippy::disallowed_methods,
        reason = "with `Backoff`, the place where the program waits by the clock"
    )]
    pub async fn passed(self) {
        tokio::time::sleep_until(self.0).await;
    }

    /// Waits for `work`, but not past the deadline.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] when the deadline came first; `work` is dropped then.
    pub fn limit<F: Future>(self, work: F) -> impl Future<Output = Result<F::Output, Elapsed>> {
        // An async function would hold the work twice, and requests are moved about. Work that is done at once sets no timer.
        tokio::time::timeout_at(self.0, work).map_err(|_| Elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_in_time_is_returned_and_late_work_is_not() {
        let owed = Deadline::after(Duration::from_millis(100));
        assert_eq!(owed.limit(std::future::ready(7)).await, Ok(7));
        assert_eq!(owed.limit(std::future::pending::<()>()).await, Err(Elapsed));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_moment_counts() {
        let start = Instant::now();
        let owed = Deadline::after(Duration::from_secs(9)).or_after(Duration::from_secs(1));
        assert_eq!(owed.limit(std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}

//! The one way a test waits: for a state, with a bound.
//!
//! A fixed pause is either too short on a busy machine or a waste on an idle one. Here a state is looked at
//! until it holds; the bound is only how long a broken program may keep a test.

use std::fmt::{Debug, Display};
use std::panic::Location;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

/// Waits until `look` sees the state called `what`, at most ten seconds; panics with `what` when it does not.
#[track_caller]
pub fn eventually<T>(what: impl Display, look: impl AsyncFnMut() -> Option<T>) -> impl Future<Output = T> {
    eventually_within(BOUND, what, look)
}

/// As [`eventually`], with another bound.
#[track_caller]
pub fn eventually_within<T>(
    bound: Duration,
    what: impl Display,
    look: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    // Caught here and not in the future, which is polled from anywhere.
    let caller = Location::caller();
    async move {
        match seen_within(bound, look).await {
            Some(state) => state,
            None => panic!("not within {bound:?}: {what} (waited for at {caller})"),
        }
    }
}

/// Ends with the output of `future`, or panics with `what` after `bound`.
#[track_caller]
pub fn within<T>(
    bound: Duration,
    what: impl Display,
    future: impl Future<Output = T>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        match timeout(bound, future).await {
            Ok(output) => output,
            Err(_) => panic!("not within {bound:?}: {what} (waited for at {caller})"),
        }
    }
}

/// Waits until `look` yields `wanted`, and says what it yielded last when it never does.
#[track_caller]
pub fn eventually_equals<T: PartialEq + Debug>(
    what: impl Display,
    wanted: T,
    mut look: impl AsyncFnMut() -> T,
) -> impl Future<Output = ()> {
    let caller = Location::caller();
    async move {
        let mut last = None;
        let matched = seen_within(BOUND, async || {
            let now = look().await;
            let equal = now == wanted;
            last = Some(now);
            equal.then_some(())
        });
        if matched.await.is_none() {
            panic!("{what} was {last:?}, not {wanted:?}, for {BOUND:?} (waited for at {caller})");
        }
    }
}

/// The state, or `None` after `bound`; a look that hangs counts against the bound too.
pub async fn seen_within<T>(bound: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        let mut tick = interval(BETWEEN_LOOKS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Some(state) = look().await {
                return state;
            }
        }
    };
    timeout(bound, looking).await.ok()
}

const BOUND: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

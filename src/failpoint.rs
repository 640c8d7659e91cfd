//! Places where a test can have the process die. Only builds with the feature `fail-points` know them.

/// A place on the way of a notification.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Point {
    /// The spool begins a transaction.
    SpoolBeforeWrite,
    /// Messages are written, what was delivered is not removed yet.
    SpoolMidWrite,
    /// Everything is written, nothing is promised.
    SpoolBeforeCommit,
    /// It is on disk; nobody has been told.
    SpoolAfterCommit,
    /// A request is told that its messages are safe.
    SpoolBeforeReply,
    /// A spooled message was confirmed; the spool does not know.
    ReplayBeforeRemove,
    /// A damaged file is being moved away.
    SpoolBeforeAside,
    /// It is moved; there is no new one yet.
    SpoolAfterAside,
    /// Some of what was saved from it is in the new one.
    SpoolMidSalvage,
    /// Free pages are given back.
    SpoolBeforeGiveBack,
    /// The request's messages are at the broker, unconfirmed.
    PublishBeforeConfirm,
    /// A new certificate is served and nowhere kept.
    AcmeBeforeSave,
    /// A file of the ACME cache is written beside the old one.
    AcmeMidSave,
    /// An answer 202 is about to be written.
    AnswerBefore,
}

/// Does nothing, unless a test has named this point.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub(crate) fn reached(_: Point) {}

/// Ends the process at the point that `FAIL_POINT` names (`SpoolMidWrite`, or `SpoolMidWrite:3` for the third
/// time it is reached), as SIGKILL would; or panics there (`SpoolMidWrite:3:panic`).
#[cfg(feature = "fail-points")]
pub(crate) fn reached(point: Point) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };
    struct Armed {
        point: String,
        left: AtomicU32,
        panics: bool,
    }
    #[expect(clippy::disallowed_methods, reason = "no setting of the program: it is not there in earnest")]
    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let named = std::env::var("FAIL_POINT").ok()?;
        let mut parts = named.split(':');
        let point = parts.next()?.to_owned();
        let left = AtomicU32::new(parts.next().and_then(|times| times.parse().ok()).unwrap_or(1));
        Some(Armed { point, left, panics: parts.next() == Some("panic") })
    });
    let Some(armed) = &*ARMED else { return };
    if armed.point == format!("{point:?}") && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        if armed.panics {
            panic!("fail point {point:?}");
        }
        std::process::abort();
    }
}

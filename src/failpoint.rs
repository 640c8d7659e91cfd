//! Places where a test can have the process die, or a part of it hang. Only builds with the feature `fail-points` know them.

use std::path::Path;

/// A place on the way of a notification, or in the life of a part.
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
    /// A loop that accepts connections turns.
    ListenerTurns,
    /// The loop of the publisher of a channel turns.
    PublisherTurns,
    /// The loop that keeps the connection to the broker turns.
    ConnectorTurns,
    /// The loop that empties the spool turns.
    ReplayTurns,
    /// The loop of the spool's thread turns.
    SpoolTurns,
}

/// Does nothing, unless a test has named this point.
#[cfg(not(feature = "fail-points"))]
#[inline(always)]
pub(crate) fn reached(_: Point) {}

/// Ends the process at the point that `FAIL_POINT` names (`SpoolMidWrite`, or `SpoolMidWrite:3` for the third
/// time it is reached), as SIGKILL would; or panics there (`SpoolMidWrite:3:panic`), or hangs (`SpoolTurns:3:hang`)
/// for this time and for ever.
#[cfg(feature = "fail-points")]
pub(crate) fn reached(point: Point) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };
    struct Armed {
        point: String,
        left: AtomicU32,
        then: Then,
    }
    enum Then {
        Die,
        Panic,
        Hang,
    }
    #[expect(clippy::disallowed_methods, reason = "no setting of the program: it is not there in earnest")]
    static ARMED: LazyLock<Option<Armed>> = LazyLock::new(|| {
        let named = std::env::var("FAIL_POINT").ok()?;
        let mut parts = named.split(':');
        let point = parts.next()?.to_owned();
        let left = AtomicU32::new(parts.next().and_then(|times| times.parse().ok()).unwrap_or(1));
        let then = match parts.next() {
            Some("panic") => Then::Panic,
            Some("hang") => Then::Hang,
            _ => Then::Die,
        };
        Some(Armed { point, left, then })
    });
    let Some(armed) = &*ARMED else { return };
    if armed.point == format!("{point:?}") && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        match armed.then {
            Then::Die => std::process::abort(),
            Then::Panic => panic!("fail point {point:?}"),
            Then::Hang => loop {
                std::thread::park();
            },
        }
    }
}

/// Journald's socket.
#[cfg(not(feature = "fail-points"))]
pub(crate) fn journal() -> &'static Path {
    Path::new(JOURNAL)
}

/// Journald's socket, or the one that `JOURNAL_SOCKET` names.
#[cfg(feature = "fail-points")]
pub(crate) fn journal() -> &'static Path {
    #[expect(clippy::disallowed_methods, reason = "no setting of the program: it is not there in earnest")]
    static SOCKET: std::sync::LazyLock<std::path::PathBuf> =
        std::sync::LazyLock::new(|| std::env::var("JOURNAL_SOCKET").map_or(JOURNAL.into(), Into::into));
    &SOCKET
}

/// Where journald listens (systemd-journald.service(8)).
const JOURNAL: &str = "/run/systemd/journal/socket";

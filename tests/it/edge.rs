//! Strangers at the public listener: whatever bytes they send, nothing hidden in them is believed, nothing grows without
//! a bound, and Graph goes on.
//!
//! Names such as N6 stand for the fault tests in `docs/evidence.md`.

mod bodies;
mod floods;
mod http1;
mod http2;
mod json;
mod senders;
mod slow;
mod tls;

use crate::support::daemon::Daemon;
use crate::support::graph::{PATH, collection, created};

/// A daemon that takes whatever is genuine: without a broker it goes to the spool.
async fn daemon() -> Daemon {
    Daemon::configure().without_broker().start().await
}

/// A genuine request that hides in, or behind, another one, and asks for the end of the connection so that no test
/// waits for it.
fn hidden() -> String {
    let body = collection([created("hidden")]);
    let length = body.len();
    format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Nothing that hid in anything has been seen, and the daemon stands.
async fn check_nothing_was_seen(daemon: &Daemon) {
    let received = daemon.metrics().await.sum("graphhook_notifications_received_total");
    assert_eq!(received, 0.0, "a hidden request was seen");
    assert_eq!(daemon.exited(), None);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

/// The daemon's memory before a test.
struct Memory(f64);

impl Memory {
    async fn of(daemon: &Daemon) -> Self {
        Self(resident(daemon).await)
    }

    /// It has not grown by more than a few bodies of the largest size.
    async fn check(self, daemon: &Daemon) {
        let grown = resident(daemon).await - self.0;
        assert!(grown < 32.0 * 1048576.0, "it grew by {grown} bytes");
    }
}

async fn resident(daemon: &Daemon) -> f64 {
    daemon.metrics().await.get("process_resident_memory_bytes")
}

/// A good body of twelve bytes.
const BODY: &str = r#"{"value":[]}"#;

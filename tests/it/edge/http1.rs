//! HTTP/1.1, byte for byte (N6): what two servers might cut apart at different places is refused, and the connection
//! with it.

mod framing;
mod heads;

use super::{check_nothing_was_seen, daemon, hidden};
use crate::support::daemon::Daemon;
use crate::support::https::statuses;

/// What becomes of a request and of its connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    /// 400, and the connection is closed.
    Refused,
    /// This status, and the connection is closed.
    Closes(u16),
    /// This status, and the next request is answered.
    GoesOn(u16),
    /// This status; hyper goes on if it has the unread body at hand.
    MayGoOn(u16),
}

/// Sends each request, in one piece and byte by byte, with another one behind it; tells of all that went wrong.
async fn check(cases: impl IntoIterator<Item = (Vec<u8>, Then)>) {
    let daemon = daemon().await;
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (request, then) in cases {
        let expected = match then {
            Then::Refused => vec![400],
            Then::Closes(status) => vec![status],
            Then::GoesOn(status) | Then::MayGoOn(status) => vec![status, 200],
        };
        let behind = match then {
            Then::Refused | Then::Closes(_) => hidden(),
            Then::GoesOn(_) | Then::MayGoOn(_) => LAST.to_owned(),
        };
        let bytes = [&request, behind.as_bytes()].concat();
        // In one piece, and byte by byte or at least in a great many.
        for pieces in [bytes.len(), bytes.len().div_ceil(5000)] {
            let answer = answer(&daemon, bytes.chunks(pieces)).await;
            let got: Vec<u16> = statuses(&answer).into_iter().filter(|status| *status >= 200).collect();
            let may_end = matches!(then, Then::MayGoOn(_)) && got == expected[..1];
            if got != expected && !may_end {
                wrong.push(format!("{got:?}, not {expected:?}, for {:?}", String::from_utf8_lossy(&request)));
                break;
            }
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 0);
    check_nothing_was_seen(&daemon).await;
}

/// All that is answered until the server closes the connection.
async fn answer(daemon: &Daemon, pieces: impl IntoIterator<Item = &[u8]>) -> Vec<u8> {
    let mut raw = daemon.client().raw().await;
    for piece in pieces {
        if raw.try_send(piece).await.is_err() {
            break;
        }
    }
    raw.read_to_end().await
}

/// Asks for the end of the connection, so that no test waits for it.
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

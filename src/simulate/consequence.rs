//! What Graph does with an answer to a notification.
//!
//! "Receive change notifications through webhooks" (April 2026): any 2xx within 3 s is a delivery; everything else, and no
//! answer within that time, is sent again with growing pauses for up to four hours, each time with 10 s for the answer.

use std::{fmt, time::Duration};

use hyper::StatusCode;

use super::receiver::{Answer, Unreached};

/// What follows from an answer, or from none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consequence {
    /// A 2xx in time.
    Delivered,
    /// An answer in time that is no 2xx.
    Refused(StatusCode),
    /// A 2xx, but Graph had given up waiting: it is sent again, and comes twice.
    Late,
    /// No answer within the time that Graph waits.
    Silence,
    /// No connection, or one that broke.
    Unreached,
    /// Nobody has waited for an answer as long as Graph does.
    Unknown {
        /// How long somebody has.
        waited: Duration,
        /// How long Graph does.
        allowance: Duration,
    },
}

impl Consequence {
    /// What follows when Graph waits so long.
    pub fn of(answer: &Result<Answer, Unreached>, allowance: Duration) -> Self {
        match answer {
            Ok(answer) if !answer.status.is_success() => Self::Refused(answer.status),
            Ok(answer) if answer.took > allowance => Self::Late,
            Ok(_) => Self::Delivered,
            Err(Unreached::Late(waited)) if *waited < allowance => {
                Self::Unknown { waited: *waited, allowance }
            }
            Err(Unreached::Late(_)) => Self::Silence,
            Err(
                Unreached::Connect(_)
                | Unreached::Tls(_)
                | Unreached::Http(_)
                | Unreached::Url
                | Unreached::Answer,
            ) => Self::Unreached,
        }
    }

    /// Whether Graph is done with it.
    pub fn is_delivered(self) -> bool {
        self == Self::Delivered
    }
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::Refused(status) if status.is_redirection() => f.write_str(
                "not delivered: nothing says that Graph follows redirects; it sends it again for up to 4 h",
            ),
            Self::Refused(_) => f.write_str("not delivered: Graph sends it again for up to 4 h"),
            Self::Late => f.write_str("too late: Graph sends it again, so that it comes twice"),
            Self::Silence => {
                f.write_str("no answer in time: Graph sends it again for up to 4 h, and counts you as slow")
            }
            Self::Unreached => f.write_str("not reached: Graph tries again for up to 4 h"),
            Self::Unknown { waited, allowance } => {
                write!(f, "no answer in {} s; Graph waits {} s", waited.as_secs_f64(), allowance.as_secs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hyper::HeaderMap;

    use super::*;
    use crate::simulate::receiver::PROMPT;

    #[test]
    fn graph_waits_as_long_as_graph_waits() {
        let answer = |status: u16, seconds| Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            reason: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            took: Duration::from_secs(seconds),
        };
        let late = |seconds| Err(Unreached::Late(Duration::from_secs(seconds)));
        for (answer, words) in [
            (Ok(answer(202, 3)), "delivered"),
            (Ok(answer(202, 4)), "too late: Graph sends it again, so that it comes twice"),
            (Ok(answer(403, 4)), "not delivered: Graph sends it again for up to 4 h"),
            (late(20), "no answer in time: Graph sends it again for up to 4 h, and counts you as slow"),
            (late(3), "no answer in time: Graph sends it again for up to 4 h, and counts you as slow"),
            (late(2), "no answer in 2 s; Graph waits 3 s"),
        ] {
            let consequence = Consequence::of(&answer, PROMPT);
            assert_eq!(consequence.to_string(), words);
            assert_eq!(consequence.is_delivered(), words == "delivered");
        }
    }
}

//! File descriptors: raised to what the system allows, and shared out beforehand.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// How many connections there are file descriptors for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Files {
    /// Connections of the public listener.
    pub public: usize,
    /// Connections of the admin listener.
    pub admin: usize,
}

impl Files {
    /// Raises the soft limit to the hard one, and keeps back what broker, spool and admin listener need.
    pub fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let mut limit = current;
        if current != maximum {
            match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
                Ok(()) => limit = maximum,
                Err(error) => {
                    warn!(event = "file_limit_stays", %error, "the limit of file descriptors stays as it is")
                }
            }
        }
        Self::within(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }

    /// What [`Files::raise`] would come to, and nothing is raised.
    pub fn possible() -> Self {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        Self::within(maximum.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)))
    }

    fn within(limit: usize) -> Self {
        let kept = KEPT.min(limit / 2);
        Self { public: (limit - kept).max(1), admin: (kept / 4).max(1) }
    }
}

/// Broker connections that come and go, the spool's file with its log, index and lock, certificates while they are read,
/// the runtime, the admin listener; with room to spare.
const KEPT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_and_spool_keep_theirs() {
        assert_eq!(Files::within(1024), Files { public: 896, admin: 32 });
        assert_eq!(Files::within(64), Files { public: 32, admin: 8 });
        assert_eq!(Files::within(0), Files { public: 1, admin: 1 });
        assert!(Files::within(usize::MAX).public > 1 << 40);
    }
}

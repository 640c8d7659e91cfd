//! Sign-ins that have begun on another device. Pure, but for the code that people type.

use std::time::SystemTime;

use super::denial::{DECLINED, Denial, EXPIRED, PENDING, STALE};
use crate::{
    secret::Secret,
    simulate::api::{clock::unix, tokens::Grant},
};

/// A sign-in that has begun on another device.
#[derive(Debug)]
pub(in crate::simulate::api) struct Device {
    pub(in crate::simulate::api) code: Secret,
    pub(in crate::simulate::api) user_code: String,
    pub(in crate::simulate::api) grant: Grant,
    pub(in crate::simulate::api) until: u64,
    /// Questions that get "not yet", if it is not the user who ends it.
    pub(in crate::simulate::api) polls: Option<u32>,
    /// What the user has said.
    pub(in crate::simulate::api) is_approved: Option<bool>,
}

/// Why there is no token for a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::simulate::api) enum Waiting {
    Pending,
    Declined,
    Expired,
    Unknown,
}

impl Waiting {
    pub(super) fn denial(self) -> Denial {
        match self {
            Self::Pending => PENDING,
            Self::Declined => DECLINED,
            Self::Expired => EXPIRED,
            Self::Unknown => STALE,
        }
    }
}

impl Device {
    pub(in crate::simulate::api) fn new(
        code: &str,
        user_code: &str,
        grant: Grant,
        polls: Option<u32>,
        now: SystemTime,
    ) -> Self {
        let until = unix(now) + DEVICE_SECONDS;
        let (code, user_code) = (Secret::new(code.to_owned()), user_code.to_owned());
        Self { code, user_code, grant, until, polls, is_approved: None }
    }

    /// Whether the user has signed in by now.
    pub(in crate::simulate::api) fn ask(&mut self, now: SystemTime) -> Result<(), Waiting> {
        if self.until <= unix(now) {
            return Err(Waiting::Expired);
        }
        match (self.is_approved, self.polls) {
            (Some(true), _) | (None, Some(0)) => Ok(()),
            (Some(false), _) => Err(Waiting::Declined),
            (None, Some(polls)) => {
                self.polls = Some(polls - 1);
                Err(Waiting::Pending)
            }
            (None, None) => Err(Waiting::Pending),
        }
    }
}

/// Nine letters that people can type.
pub(super) fn user_code() -> Option<String> {
    let mut bytes = [0; 9];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let letter = |byte: &u8| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]);
    Some(bytes.iter().map(letter).collect())
}

/// Without those that look like others.
const LETTERS: &[u8; 23] = b"ABCDEFGHJKLMNPQRSTUVWXY";
/// How long a code is good for.
pub(super) const DEVICE_SECONDS: u64 = 900;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sign_in_elsewhere_ends_as_it_is_told() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let [app, tenant, audience] = [(); 3].map(|()| String::new());
        let grant = Grant { app, tenant, audience, scopes: None };
        let device = |polls| Device::new("c", "u", grant.clone(), polls, now);
        let mut counted = device(Some(2));
        let answers = [(); 4].map(|()| counted.ask(now));
        assert_eq!(answers, [Err(Waiting::Pending), Err(Waiting::Pending), Ok(()), Ok(())]);
        let mut told = device(None);
        assert_eq!(told.ask(now), Err(Waiting::Pending));
        told.is_approved = Some(true);
        assert_eq!(told.ask(now), Ok(()));
        told.is_approved = Some(false);
        assert_eq!(told.ask(now), Err(Waiting::Declined));
        assert_eq!(told.ask(now + Duration::from_secs(DEVICE_SECONDS)), Err(Waiting::Expired));
    }
}

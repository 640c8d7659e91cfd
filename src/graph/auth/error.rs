//! Why there is no token.

use std::{fmt, time::Duration};

use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::super::{answer::retry_after, envelope::cleaned, error::Cause};
use crate::secret::Secret;

/// Why there is no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    /// The settings cannot be used.
    #[error("cannot ask for a token")]
    Setup(#[source] Cause),
    /// A token was refused: the app, its secret, certificate or permissions are not what they should be.
    #[error("{0}")]
    Refused(OAuthError),
    /// The user must sign in, for the first time or again.
    #[error("nobody is signed in: run `graphhook subscriptions sign-in`{}", because(why.as_ref()))]
    SignInAgain {
        /// What was said of the refresh token that there was.
        why: Option<OAuthError>,
    },
    /// The platform has a fault of its own, or wants fewer requests.
    #[error("no token now: {said}")]
    Busy {
        /// What it said.
        said: OAuthError,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// No answer.
    #[error("no token")]
    Unanswered(#[source] Cause),
    /// An answer that is none.
    #[error("cannot use the answer: {0}")]
    Answer(&'static str),
    /// Nothing can be signed with the private key.
    #[error("cannot sign with graph.private_key")]
    Key(#[source] Cause),
    /// The refresh token cannot be read or kept.
    #[error("cannot {doing} the refresh token in graph.directory")]
    Keep {
        /// Read or keep.
        doing: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The program could not be run to its end.
    #[error("cannot run the program of graph.command")]
    Program(#[source] Cause),
    /// The program failed.
    #[error("the program of graph.command failed: {0}")]
    Exit(String),
    /// The program prints nothing that is a token.
    #[error("what the program of graph.command prints is no token: {0}")]
    Output(&'static str),
    /// The user has not signed in in time.
    #[error("nobody has signed in in time")]
    Expired,
    /// The user did not want to.
    #[error("the sign-in was declined")]
    Declined,
    /// No user signs in by these settings.
    #[error("graph.sign_in is not \"device_code\": no user signs in")]
    NoUser,
}

/// What the identity platform says of an error (RFC 6749, section 5.2; "Microsoft identity platform and the OAuth 2.0
/// client credentials flow", <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>):
/// bounded, and without what was sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OAuthError {
    /// Status code.
    pub status: u16,
    /// `error`, such as `invalid_client`; empty where the answer is of another form.
    pub error: String,
    /// `error_description`: for people.
    pub description: String,
    /// `error_codes`: the numbers after `AADSTS`.
    pub codes: Vec<u64>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_description: Option<String>,
    #[serde(default)]
    error_codes: Option<Vec<u64>>,
}

impl AuthError {
    /// Whether asking again a little later may help, without anybody changing anything.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Busy { .. } | Self::Unanswered(_) | Self::Keep { .. } => true,
            Self::Setup(_) | Self::Refused(_) | Self::SignInAgain { .. } | Self::Answer(_) => false,
            Self::Key(_) | Self::Program(_) | Self::Exit(_) | Self::Output(_) => false,
            Self::Expired | Self::Declined | Self::NoUser => false,
        }
    }

    /// How long to wait before that, if it was said.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Busy { retry_after, .. } = self { *retry_after } else { None }
    }

    /// What an answer without a token says.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8], secrets: &[&Secret]) -> Self {
        let said = OAuthError::read(status.as_u16(), body, secrets);
        let is_busy = status == StatusCode::TOO_MANY_REQUESTS
            || status.is_server_error()
            || said.error == "temporarily_unavailable";
        if is_busy { Self::Busy { said, retry_after: retry_after(headers) } } else { Self::Refused(said) }
    }
}

impl OAuthError {
    /// Reads a body.
    pub(super) fn read(status: u16, body: &[u8], secrets: &[&Secret]) -> Self {
        let body: Option<Body> = serde_json::from_slice(body).ok();
        let Some(Body { error, error_description, error_codes }) = body else {
            return Self { status, ..Self::default() };
        };
        let text = |text: Option<String>, max| cleaned(&text.unwrap_or_default(), max, secrets);
        let mut codes = error_codes.unwrap_or_default();
        codes.truncate(CODES_MAX);
        Self {
            status,
            error: text(error, ERROR_CHARS_MAX),
            description: text(error_description, DESCRIPTION_CHARS_MAX),
            codes,
        }
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.error.is_empty() {
            write!(f, " {}", self.error)?;
        }
        if !self.description.is_empty() {
            write!(f, ", {:?}", self.description)?;
        }
        Ok(())
    }
}

fn because(why: Option<&OAuthError>) -> String {
    why.map_or_else(String::new, |why| format!(" ({why})"))
}

const ERROR_CHARS_MAX: usize = 64;
/// Descriptions of Entra name what is wrong in the first two hundred, and their request after that.
const DESCRIPTION_CHARS_MAX: usize = 600;
const CODES_MAX: usize = 8;

#[cfg(test)]
mod tests;

//! Why Graph did not do what it was asked to, named for what the caller can do about it.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use super::{
    auth::AuthError,
    envelope::{ErrorEnvelope, RequestIds},
    operation::Operation,
};
use crate::notification::id::SubscriptionId;

/// Why there is no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GraphError {
    /// The settings cannot be used: a file of authorities that is gone, or none in the system.
    #[error("cannot ask Graph")]
    Setup(#[source] Cause),
    /// There is no token.
    #[error("cannot sign in to Graph")]
    SignIn(#[source] AuthError),
    /// The token is not one that Graph takes, nor was the next.
    #[error("Graph does not take our token: {0}")]
    Unauthorized(Box<Refusal>),
    /// A permission is missing; or one of the quotas is used up, which Graph says by the same status.
    #[error("Graph does not allow it: {0}")]
    Forbidden(Box<Refusal>),
    /// One of the quotas is used up, as far as the message can be understood.
    #[error("Graph allows no more subscriptions of this kind: {0}")]
    Quota(Box<Refusal>),
    /// There is no such subscription (any more).
    #[error("there is no such subscription: {0}")]
    Gone(Box<Refusal>),
    /// There is one like it already.
    #[error("there is such a subscription already: {refusal}")]
    Conflict {
        /// Its id, if it was named.
        id: Option<SubscriptionId<'static>>,
        /// What Graph said.
        refusal: Box<Refusal>,
    },
    /// The request is wrong, or our endpoint did not answer the handshake well: trying again changes nothing.
    #[error("Graph refuses it: {0}")]
    Refused(Box<Refusal>),
    /// Too many requests.
    #[error("Graph wants fewer requests: {0}")]
    Throttled(Box<Refusal>),
    /// Graph has a fault of its own.
    #[error("Graph is not available: {0}")]
    Unavailable(Box<Refusal>),
    /// Graph's limits would be passed: nothing was sent.
    #[error("too many requests of ours: the next one may be sent in {} s", wait.as_secs())]
    Crowded {
        /// When there is room.
        wait: Duration,
    },
    /// No connection: nothing was sent.
    #[error("cannot reach Graph")]
    Unreached(#[source] Cause),
    /// The connection broke, or there was no answer in time: nobody knows whether the request was read.
    #[error("no answer from Graph")]
    Unanswered {
        /// Why.
        #[source]
        source: Cause,
        /// Ours.
        ids: RequestIds,
    },
    /// An answer that cannot be read.
    #[error("cannot use Graph's answer: {what} (client-request-id {})", ids.ours)]
    Answer {
        /// What is wrong with it.
        what: &'static str,
        /// The request's.
        ids: RequestIds,
    },
    /// It may have been created, and could not be looked for: look before it is created again.
    #[error("nobody knows whether the subscription was created")]
    Uncertain {
        /// What befell the request.
        #[source]
        source: Arc<GraphError>,
    },
    /// What was given as the id of a subscription cannot be one: nothing was sent.
    #[error("that is no id of a subscription")]
    NoId,
    /// The access token is none that can be read. Graph may take it nevertheless.
    #[error("the access token cannot be read")]
    Opaque,
}

/// An error of others, as a source of ours.
#[derive(Clone, Debug)]
pub struct Cause(Arc<dyn Error + Send + Sync>);

/// An answer that is no success.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Status code.
    pub status: u16,
    /// What its body says; empty where it says nothing that can be read.
    pub envelope: ErrorEnvelope,
    /// Of request and answer.
    pub ids: RequestIds,
    /// How long Graph wants us to wait.
    pub retry_after: Option<Duration>,
}

impl GraphError {
    /// Whether the same call may succeed a little later, without anybody changing anything.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Throttled(_) | Self::Unavailable(_) | Self::Crowded { .. } => true,
            Self::Unreached(_) | Self::Unanswered { .. } | Self::Uncertain { .. } => true,
            Self::SignIn(error) => error.is_worth_a_retry(),
            Self::Setup(_) | Self::Unauthorized(_) | Self::Forbidden(_) | Self::Quota(_) => false,
            Self::Gone(_) | Self::Conflict { .. } | Self::Refused(_) => false,
            Self::Answer { .. } | Self::Opaque | Self::NoId => false,
        }
    }

    /// How long to wait before that, if it was said.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Crowded { wait } = self {
            return Some(*wait);
        }
        if let Self::SignIn(error) = self {
            return error.retry_after();
        }
        self.refusal()?.retry_after
    }

    /// Names of the request in Graph's logs and ours.
    pub fn request_ids(&self) -> Option<&RequestIds> {
        if let Self::Unanswered { ids, .. } | Self::Answer { ids, .. } = self {
            return Some(ids);
        }
        if let Self::Uncertain { source } = self {
            return source.request_ids();
        }
        Some(&self.refusal()?.ids)
    }

    /// What Graph answered.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Unauthorized(refusal) | Self::Forbidden(refusal) | Self::Quota(refusal) => Some(refusal),
            Self::Gone(refusal) | Self::Conflict { refusal, .. } | Self::Refused(refusal) => Some(refusal),
            Self::Throttled(refusal) | Self::Unavailable(refusal) => Some(refusal),
            Self::Uncertain { source } => source.refusal(),
            Self::Setup(_) | Self::SignIn(_) | Self::Crowded { .. } | Self::Unreached(_) => None,
            Self::Unanswered { .. } | Self::Answer { .. } | Self::Opaque | Self::NoId => None,
        }
    }
}

impl Cause {
    pub(super) fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Refusal {
    /// What an answer with this status means for this operation.
    pub(super) fn judged(self, operation: Operation) -> GraphError {
        let refusal = Box::new(self);
        match refusal.status {
            401 => GraphError::Unauthorized(refusal),
            403 if refusal.envelope.is_quota() => GraphError::Quota(refusal),
            403 => GraphError::Forbidden(refusal),
            404 if operation.names_one() => GraphError::Gone(refusal),
            409 => GraphError::Conflict { id: refusal.envelope.named(), refusal },
            429 => GraphError::Throttled(refusal),
            408 | 500..=599 => GraphError::Unavailable(refusal),
            _ => GraphError::Refused(refusal),
        }
    }

    /// Whether Graph may have done what was asked for nevertheless. Who says when to come again has done nothing.
    pub(super) fn is_uncertain(&self) -> bool {
        match self.status {
            503 | 504 => self.retry_after.is_none(),
            408 | 500..=599 => true,
            _ => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.envelope.code.is_empty() {
            write!(f, " {}", self.envelope.code)?;
        }
        if !self.envelope.message.is_empty() {
            write!(f, ", {:?}", self.envelope.message)?;
        }
        write!(f, " ({})", self.ids)
    }
}

#[cfg(test)]
mod tests;

//! Label values: closed sets, each a type.

use prometheus_client::encoding::EncodeLabelSet;

use crate::{
    envelope::gap::GapReason,
    graph::{GraphError, auth::AuthError, operation::Operation},
    notification::lifecycle::{Event, Kind},
    verify::{Reason, TokenFault},
};

/// Where a request went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Route {
    /// A validation handshake.
    Handshake,
    /// A POST of notifications.
    Notifications,
    /// `/healthz` of the public listener.
    Health,
    /// Anything else.
    Other,
}

/// How a validation handshake ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handshake {
    /// The token was echoed.
    Echoed,
    /// The token was not one that Graph sends.
    Refused,
}

/// What became of an item. At all times received = published + spooled + refused + unavailable + in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Confirmed by the broker.
    Published,
    /// Fsynced in the spool.
    Spooled,
    /// Not believed.
    Refused,
    /// Answered 503, or the client was gone before the answer: Graph will repeat it.
    Unavailable,
}

/// How a publish ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Publish {
    /// Confirmed in time.
    Ack,
    /// The broker could not take it.
    Nack,
    /// No queue was bound for it.
    Returned,
    /// The channel or connection went away first.
    Closed,
    /// Not confirmed within `broker.confirm_within`.
    Late,
    /// Not tried, because the broker had blocked us.
    Blocked,
}

/// What became of an item offered to the quarantine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quarantined {
    /// Sent to the quarantine exchange.
    Sent,
    /// Only counted: over the rate, no room, or no broker.
    Dropped,
}

/// How an attempt to connect to a broker ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Connect {
    /// Channels, confirms and topology stand.
    Ready,
    /// They do not.
    Failed,
}

/// Why a connection of the public listener carried no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectionFailure {
    /// The TLS handshake failed.
    Tls,
    /// The TLS handshake took too long.
    TlsTimeout,
    /// The PROXY header was absent, garbled, or from nobody that is trusted.
    Proxy,
    /// The client is not one of `server.sources`.
    Source,
    /// The client has too many connections.
    AddressLimit,
}

/// What became of an order of a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// It brought a certificate.
    Issued,
    /// It did not; the certificate before goes on being served.
    Failed,
}

/// What became of a new pair of certificate and key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsReload {
    /// New connections are shown it.
    Taken,
    /// It cannot be shown to anybody; the one before stays.
    Refused,
}

/// How a TLS handshake of the public listener ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsHandshake {
    /// It succeeded with TLS 1.2.
    Tls12,
    /// It succeeded with TLS 1.3.
    Tls13,
    /// It failed.
    Failed,
    /// It took too long.
    Timeout,
}

/// Why the broker closed a channel: the codes of AMQP 0-9-1 that leave the connection open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChannelClose {
    /// 311: a message was too large.
    ContentTooLarge,
    /// 313: nobody consumes.
    NoConsumers,
    /// 403: a permission is missing.
    AccessRefused,
    /// 404: exchange or queue is gone.
    NotFound,
    /// 405: a queue is somebody else's.
    ResourceLocked,
    /// 406: an argument differs, or a message is not allowed.
    PreconditionFailed,
    /// Another code, or none.
    Other,
}

/// What became of a message that was to be spooled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SpoolWrite {
    /// It is on disk.
    Written,
    /// There was no room.
    Full,
    /// There was no file to be trusted.
    Broken,
    /// It was not on disk when the answer was owed; it may have come there since.
    Slow,
}

/// What Graph will do to our endpoint, by its ten-minute rules.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Throttled {
    /// New notifications are delayed.
    Slow,
    /// New notifications are dropped.
    Drop,
}

/// A label value of a closed set.
pub trait Label: Copy + Eq + 'static {
    /// Label names.
    type Labels: EncodeLabelSet + Clone + std::hash::Hash + Eq + Send + Sync + std::fmt::Debug + 'static;
    /// The whole set.
    fn all() -> Vec<Self>;
    /// This value as labels.
    fn labels(self) -> Self::Labels;
}

macro_rules! label {
    ($type:ident, $name:literal, { $($variant:ident => $text:literal),* $(,)? }) => {
        impl Label for $type {
            type Labels = [(&'static str, &'static str); 1];
            fn all() -> Vec<Self> {
                vec![$(Self::$variant),*]
            }
            fn labels(self) -> Self::Labels {
                [($name, match self { $(Self::$variant => $text),* })]
            }
        }
    };
}

label!(Route, "route", {
    Handshake => "handshake", Notifications => "notifications", Health => "health", Other => "other",
});
label!(Handshake, "result", { Echoed => "echoed", Refused => "refused" });
label!(Outcome, "outcome", {
    Published => "published", Spooled => "spooled", Refused => "refused", Unavailable => "unavailable",
});
label!(Publish, "result", {
    Ack => "ack", Nack => "nack", Returned => "returned", Closed => "closed", Late => "late", Blocked => "blocked",
});
label!(Quarantined, "result", { Sent => "sent", Dropped => "dropped" });
label!(Connect, "result", { Ready => "ready", Failed => "failed" });
label!(Order, "result", { Issued => "issued", Failed => "failed" });
label!(TlsReload, "result", { Taken => "taken", Refused => "refused" });
label!(ConnectionFailure, "reason", {
    Tls => "tls_error", TlsTimeout => "tls_timeout", Proxy => "proxy_header", Source => "source",
    AddressLimit => "address_limit",
});

label!(ChannelClose, "code", {
    ContentTooLarge => "311", NoConsumers => "313", AccessRefused => "403", NotFound => "404",
    ResourceLocked => "405", PreconditionFailed => "406", Other => "other",
});
label!(SpoolWrite, "result", { Written => "written", Full => "full", Broken => "broken", Slow => "slow" });
label!(Throttled, "state", { Slow => "slow", Drop => "drop" });

impl Label for TlsHandshake {
    type Labels = [(&'static str, &'static str); 2];
    fn all() -> Vec<Self> {
        vec![Self::Tls12, Self::Tls13, Self::Failed, Self::Timeout]
    }
    fn labels(self) -> Self::Labels {
        let (result, version) = match self {
            Self::Tls12 => ("ok", "1.2"),
            Self::Tls13 => ("ok", "1.3"),
            Self::Failed => ("failed", "none"),
            Self::Timeout => ("timeout", "none"),
        };
        [("result", result), ("version", version)]
    }
}

/// Attempts to fetch a document of keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyFetch {
    /// It brought keys.
    Ok,
    /// No answer, or none with a document.
    Unanswered,
    /// An answer without keys that we can use.
    Unusable,
}

impl Label for KeyFetch {
    type Labels = [(&'static str, &'static str); 1];
    fn all() -> Vec<Self> {
        vec![Self::Ok, Self::Unanswered, Self::Unusable]
    }
    fn labels(self) -> Self::Labels {
        let result = match self {
            Self::Ok => "ok",
            Self::Unanswered => "unanswered",
            Self::Unusable => "unusable",
        };
        [("result", result)]
    }
}

/// How a request to Graph ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GraphAnswer {
    /// It was done.
    Ok,
    /// 400, 403, 409 and the like.
    Refused,
    /// 404: there is no such subscription.
    Gone,
    /// 401.
    Unauthorized,
    /// 429.
    Throttled,
    /// 5xx.
    Unavailable,
    /// No connection, no answer in time, or one that cannot be used.
    Unanswered,
}

impl GraphAnswer {
    /// Of the error that a try has ended with; none where nothing was sent.
    pub fn of(error: &GraphError) -> Option<Self> {
        match error {
            GraphError::Unauthorized(_) => Some(Self::Unauthorized),
            GraphError::Forbidden(_) | GraphError::Quota(_) => Some(Self::Refused),
            GraphError::Conflict { .. } | GraphError::Refused(_) => Some(Self::Refused),
            GraphError::Gone(_) => Some(Self::Gone),
            GraphError::Throttled(_) => Some(Self::Throttled),
            GraphError::Unavailable(_) => Some(Self::Unavailable),
            GraphError::Unreached(_) | GraphError::Unanswered { .. } => Some(Self::Unanswered),
            GraphError::Answer { .. } => Some(Self::Unanswered),
            GraphError::Setup(_) | GraphError::SignIn(_) | GraphError::Crowded { .. } => None,
            GraphError::Uncertain { .. } | GraphError::Opaque | GraphError::NoId => None,
        }
    }
}

impl Label for (Operation, GraphAnswer) {
    type Labels = [(&'static str, &'static str); 2];
    fn all() -> Vec<Self> {
        let answers = GraphAnswer::all();
        Operation::ALL
            .iter()
            .flat_map(|&operation| answers.iter().map(move |&answer| (operation, answer)))
            .collect()
    }
    fn labels(self) -> Self::Labels {
        let [result] = self.1.labels();
        [("operation", self.0.as_str()), result]
    }
}

label!(GraphAnswer, "result", {
    Ok => "ok", Refused => "refused", Gone => "gone", Unauthorized => "unauthorized", Throttled => "throttled",
    Unavailable => "unavailable", Unanswered => "unanswered",
});

/// How a fetch of an access token ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenFetch {
    /// There is one.
    Ok,
    /// It was refused: somebody must do something about it.
    Refused,
    /// No answer, or none that is of use: it may work the next time.
    Unanswered,
}

impl TokenFetch {
    /// Of the error that it has ended with.
    pub fn of(error: &AuthError) -> Self {
        if error.is_worth_a_retry() { Self::Unanswered } else { Self::Refused }
    }
}

label!(TokenFetch, "result", { Ok => "ok", Refused => "refused", Unanswered => "unanswered" });

impl Label for Option<TokenFault> {
    type Labels = [(&'static str, &'static str); 1];
    fn all() -> Vec<Self> {
        std::iter::once(None).chain(TokenFault::ALL.map(Some)).collect()
    }
    fn labels(self) -> Self::Labels {
        [("result", self.map_or("valid", TokenFault::as_str))]
    }
}

impl Label for Event {
    type Labels = [(&'static str, &'static str); 1];
    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
    fn labels(self) -> Self::Labels {
        [("event", self.as_str())]
    }
}

impl Label for Kind {
    type Labels = [(&'static str, &'static str); 1];
    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
    fn labels(self) -> Self::Labels {
        [("kind", self.as_str())]
    }
}

/// What is counted of subscriptions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubscriptionState {
    /// The configuration wants them.
    Wanted,
    /// Wanted, and there.
    Live,
    /// Wanted, and still to be made.
    Pending,
    /// Something with them did not succeed, and was not made up for yet.
    Failing,
    /// None of ours.
    Stranger,
}

label!(SubscriptionState, "state", {
    Wanted => "wanted", Live => "live", Pending => "pending", Failing => "failing", Stranger => "stranger",
});

/// A step of the management of subscriptions for which Graph is called, and whether it succeeded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SubscriptionCall {
    /// POST.
    Create,
    /// PATCH of the end.
    Renew,
    /// PATCH of the URL.
    Move,
    /// PATCH of the certificate.
    Rotate,
    /// POST reauthorize.
    Reauthorize,
    /// DELETE.
    Delete,
}

impl SubscriptionCall {
    const ALL: [Self; 6] =
        [Self::Create, Self::Renew, Self::Move, Self::Rotate, Self::Reauthorize, Self::Delete];

    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Renew => "renew",
            Self::Move => "move",
            Self::Rotate => "rotate",
            Self::Reauthorize => "reauthorize",
            Self::Delete => "delete",
        }
    }
}

/// Whether it succeeded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StepResult {
    /// It did.
    Ok,
    /// It did not; it is tried again.
    Failed,
}

impl Label for (SubscriptionCall, StepResult) {
    type Labels = [(&'static str, &'static str); 2];
    fn all() -> Vec<Self> {
        let both = |call| [(call, StepResult::Ok), (call, StepResult::Failed)];
        SubscriptionCall::ALL.into_iter().flat_map(both).collect()
    }
    fn labels(self) -> Self::Labels {
        let result = match self.1 {
            StepResult::Ok => "ok",
            StepResult::Failed => "failed",
        };
        [("step", self.0.as_str()), ("result", result)]
    }
}

impl Label for GapReason {
    type Labels = [(&'static str, &'static str); 1];
    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
    fn labels(self) -> Self::Labels {
        [("reason", self.as_str())]
    }
}

impl Label for Reason {
    type Labels = [(&'static str, &'static str); 1];
    fn all() -> Vec<Self> {
        Self::ALL.to_vec()
    }
    fn labels(self) -> Self::Labels {
        [("reason", self.as_str())]
    }
}

impl Label for (Route, u16) {
    type Labels = [(&'static str, String); 2];
    fn all() -> Vec<Self> {
        Route::all()
            .into_iter()
            .flat_map(|route| route.statuses().iter().map(move |&status| (route, status)))
            .collect()
    }
    fn labels(self) -> Self::Labels {
        let [(name, route)] = self.0.labels();
        [(name, route.to_owned()), ("status", self.1.to_string())]
    }
}

impl Route {
    /// Every status that the route answers with.
    fn statuses(self) -> &'static [u16] {
        match self {
            Self::Handshake => &[200, 400],
            Self::Notifications => &[202, 400, 408, 413, 415, 503],
            Self::Health => &[200],
            Self::Other => &[400, 403, 404, 405, 500, 503],
        }
    }
}

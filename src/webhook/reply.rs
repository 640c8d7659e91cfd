//! From what happened to an HTTP answer: the only place with status codes.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode, Version,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
    },
};

use tracing::debug;

use super::{Answer, body::BodyError, handshake::Token};
use crate::{
    delivery::{Receipts, Undeliverable},
    notification::{BatchError, id::RequestId},
    verify::rich::UndecidedReason,
};

/// What the public listener has to say.
#[derive(Debug)]
pub(super) enum Reply {
    /// The handshake's token, decoded.
    Echo(Token),
    /// Every item is safe or refused, and here is the proof. Genuine and forged items get the same answer.
    Accepted(Receipts),
    /// The process is alive.
    Healthy,
    /// Something else.
    Refusal(Refusal),
}

/// Why a request is not accepted. The words stay in the log; the sender sees the status.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request is not by the letter of HTTP")]
    Garbled,
    #[error("its connection has too many requests open")]
    Crowding,
    #[error("the client is not one of server.sources")]
    Stranger,
    #[error("no such path")]
    NotFound,
    #[error("this path has no such method")]
    MethodNotAllowed(&'static str),
    #[error("the validation token is not one that Graph sends")]
    BadToken,
    #[error("the body is compressed or in another charset")]
    Unsupported,
    #[error("the body is too large")]
    TooLarge,
    #[error("the body came too slowly")]
    TooSlow,
    #[error("the body broke off")]
    Broken,
    #[error("other bodies take all the memory")]
    NoRoom,
    #[error("answering it failed by a mistake of ours")]
    Failed,
    #[error(transparent)]
    NoBatch(BatchError),
    #[error(transparent)]
    Unavailable(#[from] Undeliverable),
    #[error(transparent)]
    Undecided(#[from] UndecidedReason),
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::TooLarge,
            BodyError::TooSlow => Self::TooSlow,
            BodyError::Broken => Self::Broken,
            BodyError::NoRoom => Self::NoRoom,
        }
    }
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::TooManyItems => Self::TooLarge,
            BatchError::NotJson | BatchError::NoValue => Self::NoBatch(error),
        }
    }
}

impl Reply {
    /// The answer itself.
    pub(super) fn into_answer(self, request: RequestId, version: Version) -> Answer {
        let (closes, is_genuine) = (self.closes(), self.is_genuine());
        let mut response = match self {
            Self::Echo(token) => text(token.into_string()),
            Self::Healthy => text("ok\n".to_owned()),
            Self::Accepted(receipts) => {
                debug!(published = receipts.published(), "accepted");
                status(StatusCode::ACCEPTED, Bytes::new())
            }
            Self::Refusal(refusal) => problem(refusal, request),
        };
        if closes && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Answer { response, closes, is_genuine }
    }

    fn is_genuine(&self) -> bool {
        match self {
            Self::Accepted(receipts) => receipts.published() + receipts.spooled() > 0,
            Self::Echo(_) | Self::Healthy | Self::Refusal(_) => false,
        }
    }

    fn closes(&self) -> bool {
        match self {
            Self::Echo(_) | Self::Accepted(_) | Self::Healthy => false,
            Self::Refusal(refusal) => match refusal {
                Refusal::Garbled
                | Refusal::Crowding
                | Refusal::Unsupported
                | Refusal::TooLarge
                | Refusal::TooSlow
                | Refusal::Broken
                | Refusal::NoRoom
                | Refusal::Failed => true,
                Refusal::Stranger
                | Refusal::NotFound
                | Refusal::MethodNotAllowed(_)
                | Refusal::BadToken
                | Refusal::NoBatch(_)
                | Refusal::Unavailable(_)
                | Refusal::Undecided(_) => false,
            },
        }
    }
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Stranger => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Garbled | Self::BadToken | Self::Broken | Self::NoBatch(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable(_) | Self::Undecided(_) | Self::NoRoom | Self::Crowding => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

fn text(text: String) -> Response<Full<Bytes>> {
    let mut response = status(StatusCode::OK, Bytes::from(text));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// RFC 9457, without details: whoever forges learns nothing, and the operator finds the request id in the log.
fn problem(refusal: Refusal, request: RequestId) -> Response<Full<Bytes>> {
    let code = refusal.status();
    let title = code.canonical_reason().unwrap_or_default();
    let body = format!(r#"{{"title":"{title}","status":{},"request_id":"{request}"}}"#, code.as_u16());
    let mut response = status(code, Bytes::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    match refusal {
        Refusal::MethodNotAllowed(methods) => {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        Refusal::Unavailable(_) | Refusal::Undecided(_) | Refusal::NoRoom | Refusal::Crowding => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        Refusal::Garbled
        | Refusal::Stranger
        | Refusal::NotFound
        | Refusal::BadToken
        | Refusal::Unsupported
        | Refusal::TooLarge
        | Refusal::TooSlow
        | Refusal::Broken
        | Refusal::Failed
        | Refusal::NoBatch(_) => {}
    }
    response
}

fn status(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

/// Graph has its own schedule of repetitions; this is for everybody else.
const RETRY_AFTER_SECONDS: &str = "10";

//! Requests to the authority, and when it wants to be asked again.

use std::{
    path::PathBuf,
    pin::Pin,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{HeaderValue, RETRY_AFTER},
};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use crate::client::{self, Unanswered};

/// Asks one authority, over HTTPS; made anew for each try, so that it believes what is believed today.
#[derive(Clone)]
pub(crate) struct Client {
    http: client::Client,
    /// When the authority wants to be asked again, by the last answer that was a failure.
    told: Arc<Mutex<Option<SystemTime>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// There is none.
    #[error(transparent)]
    None(#[from] Unanswered),
    /// An answer that is not of ACME.
    #[error("{url} answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status code.
        status: StatusCode,
    },
}

impl RequestError {
    /// Whether the authority has not heard of the request, as far as is known: then asking again soon costs it nothing.
    pub(super) fn is_unheard(&self) -> bool {
        match self {
            Self::None(unanswered) => match unanswered {
                Unanswered::Trust { .. } | Unanswered::NoTrust { .. } | Unanswered::Connect { .. } => true,
                Unanswered::Http { .. } | Unanswered::Late { .. } | Unanswered::Answer { .. } => true,
                Unanswered::Url(_) => false,
            },
            Self::Status { .. } => false,
        }
    }
}

impl Client {
    /// A client that believes the authorities in this PEM file, or those that the system names.
    pub(crate) async fn new(ca_file: Option<PathBuf>) -> Result<Self, RequestError> {
        Ok(Self { http: client::Client::https(ca_file, "server.tls.ca_file").await?, told: Arc::default() })
    }

    /// When the authority wants to be asked again, if it has just refused something and said so.
    pub(super) fn told(&self) -> Option<SystemTime> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// GET of a URL: the answer's body, and when to ask again.
    pub(crate) async fn get(&self, url: &str) -> Result<(Bytes, Option<SystemTime>), RequestError> {
        let (head, body) = self.fetch(url).await?.into_parts();
        Ok((body, retry_after(head.headers.get(RETRY_AFTER), SystemTime::now())))
    }

    /// GET of a URL: the whole answer.
    pub(super) async fn fetch(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        let request = Request::get(url).body(BodyWrapper::default());
        self.send(request.map_err(|_| Unanswered::Url(url.to_owned()))?).await
    }

    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, RequestError> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let answer = self.http.send(request, REQUEST_WITHIN).await?;
        let status = answer.status();
        let told = retry_after(answer.headers().get(RETRY_AFTER), SystemTime::now());
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) =
            if status.is_success() { None } else { told };
        // What fails in an ACME server, fails with a JSON problem; all else speaks for somebody in between.
        let is_refusal = method == Method::POST && answer.body().first() == Some(&b'{');
        if status.is_success() || is_refusal {
            Ok(answer)
        } else {
            Err(RequestError::Status { url: uri.to_string(), status })
        }
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let answer = client.send(request).await;
            let (parts, body) =
                answer.map_err(|error| instant_acme::Error::Other(Box::new(error)))?.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

/// Seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(value: Option<&HeaderValue>, now: SystemTime) -> Option<SystemTime> {
    let value = value?.to_str().ok()?.trim();
    match u64::from_str(value) {
        // A sum over the end of time would panic.
        Ok(seconds) => now.checked_add(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok(),
    }
}

/// An authority may be slow under load, but not that slow.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
        let read = |value: &'static str| {
            let then = retry_after(Some(&HeaderValue::from_static(value)), now)?;
            then.duration_since(now).ok()
        };
        assert_eq!(read(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(77)));
        assert_eq!(read("18446744073709551615"), None);
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(None, now), None);
    }
}

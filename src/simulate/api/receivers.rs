//! Receivers: what subscriptions point at, and how a URL proves that it wants notifications ("Receive change notifications
//! through webhooks", <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>).

use std::sync::Arc;

use bytes::Bytes;
use hyper::StatusCode;
use rustls::ClientConfig;
use url::Url;

use super::refusal::Refusal;
use crate::simulate::{
    handshake_token,
    receiver::{Answer, PATIENT, Receiver, Unreached},
    trust::{Trust, TrustError},
};

/// The way to all of them: a connection for each POST.
#[derive(Clone, Debug)]
pub(super) struct Receivers(Arc<ClientConfig>);

impl Receivers {
    pub(super) fn new(trust: &Trust) -> Result<Self, TrustError> {
        trust.config().map(Self)
    }

    fn at(&self, url: &Url) -> Receiver {
        Receiver::new(url.clone(), Arc::clone(&self.0), None)
    }

    /// POSTs notifications.
    pub(super) async fn notify(&self, url: &Url, body: Bytes) -> Result<Answer, Unreached> {
        let receiver = self.at(url);
        receiver.post(&receiver.notification(body), PATIENT).await
    }

    /// Has a URL prove that it wants notifications. `Ok` is the status that proved it.
    pub(super) async fn shake_hands(
        &self,
        url: &Url,
        request_id: &str,
    ) -> (Result<u16, Unreached>, Result<(), Refusal>) {
        let (token, encoded) = handshake_token(request_id);
        let receiver = self.at(url);
        match receiver.post(&receiver.handshake(&encoded), PATIENT).await {
            Ok(answer) => (Ok(answer.status.as_u16()), judge(&answer, &token)),
            Err(error) => {
                let refusal = unreached(&error);
                (Err(error), Err(refusal))
            }
        }
    }
}

/// 200, text/plain, and the token as it was before it was encoded.
fn judge(answer: &Answer, token: &str) -> Result<(), Refusal> {
    if answer.status != StatusCode::OK {
        let status = answer.status;
        let name: String = status.canonical_reason().unwrap_or("Unknown").split([' ', '-']).collect();
        return Err(failed(&format!("HTTP status code is '{name}'. {MUST}")));
    }
    if answer.body != token.as_bytes() {
        let said: String = String::from_utf8_lossy(&answer.body).chars().take(SAID_CHARACTERS_MAX).collect();
        return Err(if said.is_empty() { failed(MUST) } else { invalid(said) });
    }
    let media_type = answer.content_type().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("text/plain") { Ok(()) } else { Err(failed(MUST)) }
}

/// In the words of the service.
fn unreached(error: &Unreached) -> Refusal {
    match error {
        Unreached::Late(_) => Refusal::invalid("Subscription validation request timed out."),
        Unreached::Tls(_) => invalid(
            "HttpRequestException: An error occurred while sending the request. WebException: The request was \
             aborted: Could not create SSL/TLS secure channel."
                .to_owned(),
        ),
        Unreached::Connect(_) | Unreached::Http(_) | Unreached::Url | Unreached::Answer => failed(MUST),
    }
}

fn failed(words: &str) -> Refusal {
    invalid(format!("Subscription validation request failed. {words}"))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "ValidationError", message)
}

const MUST: &str = "Notification endpoint must respond with 200 OK to validation request.";
/// Of an answer that is quoted.
const SAID_CHARACTERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::{HeaderMap, header::CONTENT_TYPE};

    use super::*;

    fn answer(status: u16, media_type: &str, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            reason: None,
            headers: HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().expect("a value"))]),
            body: Bytes::from(body.to_owned()),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_url_proves_itself_by_the_letter() {
        for (answer, refused) in [
            (answer(200, "text/plain", "a token"), None),
            (answer(200, "Text/Plain; charset=utf-8", "a token"), None),
            (answer(202, "text/plain", "a token"), Some("HTTP status code is 'Accepted'")),
            (answer(302, "text/plain", "a token"), Some("HTTP status code is 'Found'")),
            (answer(404, "text/plain", ""), Some("HTTP status code is 'NotFound'")),
            (answer(500, "text/plain", ""), Some("HTTP status code is 'InternalServerError'")),
            (answer(200, "text/html", "a token"), Some(MUST)),
            (answer(200, "text/plain", ""), Some(MUST)),
            (answer(200, "text/plain", "a+token"), Some("a+token")),
            (answer(200, "text/plain", "\"a token\""), Some("\"a token\"")),
            (answer(200, "text/plain", "OK"), Some("OK")),
        ] {
            let judged = judge(&answer, "a token").map_err(|refusal| refusal.message);
            match refused {
                None => assert_eq!(judged, Ok(()), "{answer:?}"),
                Some(words) => assert!(judged.expect_err(words).contains(words), "{answer:?}"),
            }
        }
    }
}

//! The way to receivers: the handshake, and POSTs of notifications ("Receive change notifications through webhooks",
//! <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>).

use std::{fs, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    header::{CONTENT_TYPE, HOST},
};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, ServerName, UnixTime, pem},
};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use url::{Host, Position, Url};

use super::{ApiError, Trust, refusal::Refusal};
use crate::{
    client::{converse, dial, roots, system_roots, tls},
    deadline::Deadline,
    simulate::handshake_token,
};

/// Whom we believe on the way out.
#[derive(Clone, Debug)]
pub(super) struct Receiver(Arc<ClientConfig>);

/// Why a receiver has not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreached {
    #[error("no answer in {} s", WITHIN.as_secs())]
    Late,
    #[error("no connection")]
    Connect(#[source] io::Error),
    #[error("no TLS")]
    Tls(#[source] io::Error),
    #[error("no HTTP answer")]
    Http,
}

impl Receiver {
    pub(super) fn new(trust: &Trust) -> Result<Self, ApiError> {
        let config = match trust {
            Trust::System => tls(system_roots()),
            Trust::File(path) => {
                let read = fs::read(path).map_err(pem::Error::Io).and_then(|pem| roots(&pem));
                tls(read.map_err(|source| ApiError::Trust { path: path.clone(), source })?)
            }
            Trust::Anybody => {
                let mut config = tls(rustls::RootCertStore::empty());
                config.dangerous().set_certificate_verifier(Arc::new(Believer(default_provider())));
                config
            }
        };
        Ok(Self(Arc::new(config)))
    }

    /// Has a URL prove that it wants notifications. `Ok` is the status that proved it.
    pub(super) async fn shake_hands(
        &self,
        url: &Url,
        request_id: &str,
    ) -> (Result<u16, Unreached>, Result<(), Refusal>) {
        let (token, encoded) = handshake_token(request_id);
        let mut target = url.clone();
        let query = match url.query() {
            Some(own) if !own.is_empty() => format!("{own}&validationToken={encoded}"),
            Some(_) | None => format!("validationToken={encoded}"),
        };
        target.set_query(Some(&query));
        match self.post(&target, "text/plain; charset=utf-8", Bytes::new()).await {
            Ok(answer) => (Ok(answer.status().as_u16()), judge(&answer, &token)),
            Err(error) => {
                let refusal = unreached(&error);
                (Err(error), Err(refusal))
            }
        }
    }

    /// POSTs as Graph does: HTTP/1.1, a connection for each.
    pub(super) async fn post(
        &self,
        url: &Url,
        media_type: &str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Unreached> {
        let posting = self.exchange(url, media_type, body);
        Deadline::after(WITHIN).limit(posting).await.map_err(|_| Unreached::Late)?
    }

    async fn exchange(&self, url: &Url, media_type: &str, body: Bytes) -> Result<Response<Bytes>, Unreached> {
        let request = Request::post(&url[Position::BeforePath..Position::AfterQuery])
            .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
            .header(CONTENT_TYPE, media_type)
            .body(Full::new(body))
            .map_err(|_| Unreached::Http)?;
        let stream = connect(url).await.map_err(Unreached::Connect)?;
        let answer = if url.scheme() == "https" {
            let name =
                ServerName::try_from(bare(url)).map_err(|error| Unreached::Tls(io::Error::other(error)))?;
            let connecting = TlsConnector::from(Arc::clone(&self.0)).connect(name, stream);
            converse(connecting.await.map_err(Unreached::Tls)?, request, ANSWER_BYTES_MAX).await
        } else {
            converse(stream, request, ANSWER_BYTES_MAX).await
        };
        answer.map_err(|_| Unreached::Http)
    }
}

async fn connect(url: &Url) -> io::Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses = lookup_host((bare(url), port)).await?;
    let none = || io::Error::other("the name has no address");
    dial(addresses, WITHIN).await.map_err(|last| last.map_or_else(none, |(_, error)| error))
}

/// The host, without the brackets of an IPv6 address.
fn bare(url: &Url) -> String {
    match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    }
}

/// 200, text/plain, and the token as it was before it was encoded.
fn judge(answer: &Response<Bytes>, token: &str) -> Result<(), Refusal> {
    if answer.status() != StatusCode::OK {
        let status = answer.status();
        let name: String = status.canonical_reason().unwrap_or("Unknown").split([' ', '-']).collect();
        return Err(failed(&format!("HTTP status code is '{name}'. {MUST}")));
    }
    if answer.body() != token.as_bytes() {
        let said: String = String::from_utf8_lossy(answer.body()).chars().take(SAID_CHARACTERS_MAX).collect();
        return Err(if said.is_empty() { failed(MUST) } else { invalid(said) });
    }
    let media_type =
        answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("text/plain") { Ok(()) } else { Err(failed(MUST)) }
}

/// In the words of the service.
fn unreached(error: &Unreached) -> Refusal {
    match error {
        Unreached::Late => Refusal::invalid("Subscription validation request timed out."),
        Unreached::Tls(_) => invalid(
            "HttpRequestException: An error occurred while sending the request. WebException: The request was \
             aborted: Could not create SSL/TLS secure channel."
                .to_owned(),
        ),
        Unreached::Connect(_) | Unreached::Http => failed(MUST),
    }
}

fn failed(words: &str) -> Refusal {
    invalid(format!("Subscription validation request failed. {words}"))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "ValidationError", message)
}

/// Checks that the receiver has the key of its certificate, and nothing else.
#[derive(Debug)]
struct Believer(CryptoProvider);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

const MUST: &str = "Notification endpoint must respond with 200 OK to validation request.";
/// Graph gives a receiver ten seconds.
const WITHIN: Duration = Duration::from_secs(10);
/// A receiver has nothing long to say.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Of an answer that is quoted.
const SAID_CHARACTERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, media_type: &str, body: &str) -> Response<Bytes> {
        let response = Response::builder().status(status).header(CONTENT_TYPE, media_type);
        response.body(Bytes::from(body.to_owned())).expect("an answer")
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

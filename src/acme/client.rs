//! Requests to the authority: a connection for each, everything under one deadline, nothing read without limit.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    pin::{Pin, pin},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::Body,
    client::conn::http1,
    header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, pem, pem::PemObject},
};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{blocking::off_thread, deadline::Deadline};

/// Asks one authority, over HTTPS; made anew for each try, so that it believes what is believed today.
#[derive(Clone)]
pub(crate) struct Client {
    tls: Arc<ClientConfig>,
    /// When the authority wants to be asked again, by the last answer that was a failure.
    told: Arc<Mutex<Option<SystemTime>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// `ca_file` cannot be used.
    #[error("cannot use {} of server.tls.ca_file", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The system names no authorities to trust.
    #[error("no authorities to trust: install the package ca-certificates, or set server.tls.ca_file")]
    NoTrust,
    /// The authority's own links lead nowhere.
    #[error("{0} is no https:// URL")]
    Url(String),
    /// No address, no connection, or no TLS.
    #[error("cannot connect to {host}")]
    Connect {
        /// Whom to.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("no answer from {host}")]
    Http {
        /// Whose.
        host: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// It took too long.
    #[error("no answer from {host} in {} s", REQUEST_WITHIN.as_secs())]
    Late {
        /// Whose.
        host: String,
    },
    /// The answer has no end, or breaks off.
    #[error("the answer of {host} is too long or breaks off")]
    Answer {
        /// Whose.
        host: String,
    },
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
            Self::Trust { .. } | Self::NoTrust | Self::Connect { .. } => true,
            Self::Http { .. } | Self::Late { .. } | Self::Answer { .. } => true,
            Self::Url(_) | Self::Status { .. } => false,
        }
    }
}

impl Client {
    /// A client that believes the authorities in this PEM file, or those that the system names.
    pub(crate) async fn new(ca_file: Option<PathBuf>) -> Result<Self, RequestError> {
        let roots = off_thread(move || roots(ca_file.as_deref())).await?;
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), told: Arc::default() })
    }

    /// When the authority wants to be asked again, if it has just refused something and said so.
    pub(super) fn told(&self) -> Option<SystemTime> {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// GET of a URL: the answer's body, and when to ask again.
    pub(super) async fn get(&self, url: &str) -> Result<(Bytes, Option<SystemTime>), RequestError> {
        let (head, body) = self.fetch(url).await?.into_parts();
        Ok((body, retry_after(head.headers.get(RETRY_AFTER), SystemTime::now())))
    }

    /// GET of a URL: the whole answer.
    pub(super) async fn fetch(&self, url: &str) -> Result<Response<Bytes>, RequestError> {
        let request = Request::get(url).body(BodyWrapper::default());
        self.send(request.map_err(|_| RequestError::Url(url.to_owned()))?).await
    }

    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<Response<Bytes>, RequestError> {
        let (uri, method) = (request.uri().clone(), request.method().clone());
        let host = uri.host().unwrap_or_default().to_owned();
        let answer = Deadline::after(REQUEST_WITHIN).limit(self.exchange(request)).await;
        let answer = answer.map_err(|_| RequestError::Late { host })??;
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

    async fn exchange(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, RequestError> {
        let uri = request.uri().clone();
        let (Some("https"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(RequestError::Url(uri.to_string()));
        };
        let stream = self
            .connect(host, uri.port_u16().unwrap_or(443))
            .await
            .map_err(|source| RequestError::Connect { host: host.to_owned(), source })?;
        *request.uri_mut() = target(&uri);
        let headers = request.headers_mut();
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let authority = HeaderValue::from_str(authority).map_err(|_| RequestError::Url(uri.to_string()))?;
        headers.insert(HOST, authority);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(US));
        converse(host, stream, request).await
    }

    async fn connect(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut failed = io::Error::other("the name has no address");
        for address in lookup_host((host, port)).await? {
            // One address that swallows packets shall not use up the time of the others.
            match Deadline::after(CONNECT_WITHIN).limit(TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    return TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
                }
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
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

/// One request on a connection of its own, which is driven and dropped here.
async fn converse(
    host: &str,
    stream: TlsStream<TcpStream>,
    request: Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static>,
) -> Result<Response<Bytes>, RequestError> {
    let broken = |source| RequestError::Http { host: host.to_owned(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let exchange = pin!(async {
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| RequestError::Answer { host: host.to_owned() })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    });
    match select(exchange, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // The connection has ended; what it brought is still to be read.
        Either::Right((_, exchange)) => exchange.await,
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, RequestError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(path) => {
            let failed = |source| RequestError::Trust { path: path.to_owned(), source };
            let file = CertificateDer::pem_file_iter(path).map_err(failed)?;
            roots.add_parsable_certificates(file.collect::<Result<Vec<_>, _>>().map_err(failed)?);
            if roots.is_empty() {
                return Err(failed(pem::Error::NoItemsFound));
            }
        }
    }
    if roots.is_empty() { Err(RequestError::NoTrust) } else { Ok(roots) }
}

/// Path and query: what stands in the first line of a request that goes to no proxy.
fn target(uri: &Uri) -> Uri {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    target.parse().expect("it was part of a URI")
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

const US: &str = concat!("graphhook/", env!("CARGO_PKG_VERSION"));
/// An authority may be slow under load, but not that slow.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A chain of certificates, the longest thing an authority has to say, is some 10 KiB.
const ANSWER_BYTES_MAX: usize = 256 << 10;

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

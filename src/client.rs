//! HTTP requests of our own: a connection for each, everything under one deadline, nothing read without limit.

use std::{convert::Infallible, fs, io, net::SocketAddr, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, Response, Uri,
    body::Body,
    client::conn::http1,
    header::{CONNECTION, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, ServerName, pem, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::TlsConnector;

use crate::{blocking::off_thread, deadline::Deadline};

/// Asks others, all of them over HTTPS or all of them without.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    tls: Option<Arc<ClientConfig>>,
    answer_bytes_max: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// The file of authorities cannot be used.
    #[error("cannot use {} of {key}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// The system names no authorities to trust.
    #[error("no authorities to trust: install the package ca-certificates, or set {key}")]
    NoTrust {
        /// The setting.
        key: &'static str,
    },
    /// Nobody can be asked there.
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
    #[error("no answer from {host} in {} s", within.as_secs())]
    Late {
        /// Whose.
        host: String,
        /// How long we waited.
        within: Duration,
    },
    /// The answer has no end, or breaks off.
    #[error("the answer of {host} is too long or breaks off")]
    Answer {
        /// Whose.
        host: String,
    },
}

/// Why a conversation ended without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The connection broke.
    #[error("no answer")]
    Http(#[source] hyper::Error),
    /// The answer has no end, or breaks off.
    #[error("the answer is too long or breaks off")]
    Answer,
}

impl Client {
    /// A client for `https://` that believes the authorities in this file, or those that the system names; `key` is the
    /// setting that would name one.
    pub(crate) async fn https(ca_file: Option<PathBuf>, key: &'static str) -> Result<Self, Unanswered> {
        let roots = off_thread(move || match ca_file {
            None => Ok(system_roots()),
            Some(path) => {
                let pem = fs::read(&path).map_err(pem::Error::Io);
                pem.and_then(|pem| roots(&pem)).map_err(|source| Unanswered::Trust { path, key, source })
            }
        });
        let roots = roots.await?;
        if roots.is_empty() {
            return Err(Unanswered::NoTrust { key });
        }
        Ok(Self { tls: Some(Arc::new(tls(roots))), answer_bytes_max: ANSWER_BYTES_MAX })
    }

    /// A client for `http://`.
    pub(crate) fn http() -> Self {
        Self { tls: None, answer_bytes_max: ANSWER_BYTES_MAX }
    }

    /// The same for longer answers.
    pub(crate) fn answers_up_to(self, bytes: usize) -> Self {
        Self { answer_bytes_max: bytes, ..self }
    }

    /// One request and its whole answer, whatever its status.
    pub(crate) async fn send(
        &self,
        request: Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static>,
        within: Duration,
    ) -> Result<Response<Bytes>, Unanswered> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answer = Deadline::after(within).limit(self.exchange(request)).await;
        answer.map_err(|_| Unanswered::Late { host, within })?
    }

    async fn exchange(
        &self,
        mut request: Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static>,
    ) -> Result<Response<Bytes>, Unanswered> {
        let uri = request.uri().clone();
        let wrong = || Unanswered::Url(uri.to_string());
        let host = uri.host().ok_or_else(wrong)?;
        let failed = |source| Unanswered::Connect { host: host.to_owned(), source };
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let authority = HeaderValue::from_str(authority).map_err(|_| wrong())?;
        *request.uri_mut() = target(&uri);
        let headers = request.headers_mut();
        headers.insert(HOST, authority);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(USER_AGENT, HeaderValue::from_static(US));
        match (&self.tls, uri.scheme_str()) {
            (Some(tls), Some("https")) => {
                let stream = connect(host, uri.port_u16().unwrap_or(443)).await.map_err(failed)?;
                let name = ServerName::try_from(bare(host).to_owned());
                let name = name.map_err(|error| failed(io::Error::other(error)))?;
                let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
                answer(host, stream.map_err(failed)?, request, self.answer_bytes_max).await
            }
            (None, Some("http")) => {
                let stream = connect(host, uri.port_u16().unwrap_or(80)).await.map_err(failed)?;
                answer(host, stream, request, self.answer_bytes_max).await
            }
            (Some(_) | None, _) => Err(wrong()),
        }
    }
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let addresses = lookup_host((bare(host), port)).await?;
    let none = || io::Error::other("the name has no address");
    dial(addresses, CONNECT_WITHIN).await.map_err(|last| last.map_or_else(none, |(_, error)| error))
}

/// Connects to the first address that takes it; or else says which was the last one, and why it did not. Those that
/// swallow packets do not use up the time of the others: each has its own.
pub(crate) async fn dial(
    addresses: impl IntoIterator<Item = SocketAddr>,
    within: Duration,
) -> Result<TcpStream, Option<(SocketAddr, io::Error)>> {
    let mut last = None;
    for address in addresses {
        let connected = Deadline::after(within).limit(TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some((address, error)),
        }
    }
    Err(last)
}

/// An IPv6 address stands in brackets in URLs only.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

async fn answer(
    host: &str,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static>,
    answer_bytes_max: usize,
) -> Result<Response<Bytes>, Unanswered> {
    let host = || host.to_owned();
    converse(stream, request, answer_bytes_max).await.map_err(|broken| match broken {
        Broken::Http(source) => Unanswered::Http { host: host(), source },
        Broken::Answer => Unanswered::Answer { host: host() },
    })
}

/// One request on a connection of its own, which is driven and dropped here.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static>,
    answer_bytes_max: usize,
) -> Result<Response<Bytes>, Broken> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Broken::Http)?;
    let exchange = pin!(async {
        let (head, body) = sender.send_request(request).await.map_err(Broken::Http)?.into_parts();
        #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
        let body = Limited::new(body, answer_bytes_max).collect().await.map_err(|_| Broken::Answer)?;
        Ok(Response::from_parts(head, body.to_bytes()))
    });
    match select(exchange, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // The connection has ended; what it brought is still to be read.
        Either::Right((_, exchange)) => exchange.await,
    }
}

/// TLS as we speak it to those whom these authorities vouch for.
pub(crate) fn tls(roots: RootCertStore) -> ClientConfig {
    tls_of(roots, rustls::DEFAULT_VERSIONS)
}

/// The same in these versions of TLS alone.
pub(crate) fn tls_of(
    roots: RootCertStore,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The authorities that the system trusts; perhaps none.
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The authorities in this PEM text; at least one.
pub(crate) fn roots(pem: &[u8]) -> Result<RootCertStore, pem::Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?);
    if roots.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(roots) }
}

/// Path and query: what stands in the first line of a request that goes to no proxy. A URL need not have a path.
fn target(uri: &Uri) -> Uri {
    let (path, query) = (uri.path(), uri.query());
    let target = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    // An empty path is read as "/" by Uri::path.
    target.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

const US: &str = concat!("graphhook/", env!("CARGO_PKG_VERSION"));
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// What we ask for is a few KiB long at most; of most askers the longest is a chain of certificates.
const ANSWER_BYTES_MAX: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_has_a_target() {
        for (url, expected) in [
            ("https://a", "/"),
            ("https://a/", "/"),
            ("https://a/b?c=d", "/b?c=d"),
            ("https://a?c=d", "/?c=d"),
            ("https://a:1?c", "/?c"),
            ("https://a?", "/?"),
            ("https://a/b?c?d/e", "/b?c?d/e"),
        ] {
            assert_eq!(target(&url.parse().expect("a URL")), expected, "{url}");
        }
    }
}

//! HTTP requests of our own: a connection for each, everything under one deadline, nothing read without limit.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

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
}

/// Authorities to be trusted instead of the system's, in a PEM file that a setting names.
#[derive(Clone, Debug)]
pub(crate) struct CaFile {
    /// The file.
    pub(crate) path: PathBuf,
    /// The setting.
    pub(crate) key: &'static str,
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

impl Client {
    /// A client for `https://` that believes the authorities in this file, or those that the system names; `key` is the
    /// setting that would name one.
    pub(crate) async fn https(ca_file: Option<PathBuf>, key: &'static str) -> Result<Self, Unanswered> {
        let ca_file = ca_file.map(|path| CaFile { path, key });
        let roots = off_thread(move || roots(ca_file.as_ref())).await?;
        if roots.is_empty() {
            return Err(Unanswered::NoTrust { key });
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Some(Arc::new(tls)) })
    }

    /// A client for `http://`.
    pub(crate) fn http() -> Self {
        Self { tls: None }
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
                converse(host, stream.map_err(failed)?, request).await
            }
            (None, Some("http")) => {
                let stream = connect(host, uri.port_u16().unwrap_or(80)).await.map_err(failed)?;
                converse(host, stream, request).await
            }
            (Some(_) | None, _) => Err(wrong()),
        }
    }
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("the name has no address");
    for address in lookup_host((bare(host), port)).await? {
        // One address that swallows packets shall not use up the time of the others.
        match Deadline::after(CONNECT_WITHIN).limit(TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// An IPv6 address stands in brackets in URLs only.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// One request on a connection of its own, which is driven and dropped here.
async fn converse(
    host: &str,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<impl Body<Data = Bytes, Error = Infallible> + Send + 'static>,
) -> Result<Response<Bytes>, Unanswered> {
    let broken = |source| Unanswered::Http { host: host.to_owned(), source };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let exchange = pin!(async {
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Unanswered::Answer { host: host.to_owned() })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    });
    match select(exchange, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // The connection has ended; what it brought is still to be read.
        Either::Right((_, exchange)) => exchange.await,
    }
}

/// Everything that can be trusted; perhaps nothing, if the system names none.
fn roots(ca_file: Option<&CaFile>) -> Result<RootCertStore, Unanswered> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(CaFile { path, key }) => {
            let failed = |source| Unanswered::Trust { path: path.to_owned(), key, source };
            roots.add_parsable_certificates(certificates(path).map_err(failed)?);
            if roots.is_empty() {
                return Err(failed(pem::Error::NoItemsFound));
            }
        }
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_file_iter(path)?.collect()
}

/// Path and query: what stands in the first line of a request that goes to no proxy.
fn target(uri: &Uri) -> Uri {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    target.parse().expect("it was part of a URI")
}

const US: &str = concat!("graphhook/", env!("CARGO_PKG_VERSION"));
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// What we ask for is a few KiB long at most; the longest is a chain of certificates.
const ANSWER_BYTES_MAX: usize = 256 << 10;

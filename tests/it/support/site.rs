//! A web site of the tests' own, on a free port of this machine.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::certs::Files;

/// What a site says.
pub trait Content: Send + Sync + 'static {
    /// Answers a request, or never.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// A site, until dropped.
pub struct Site {
    /// `http://` or `https://`, host and port.
    pub origin: String,
    _serving: JoinSet<()>,
}

impl Site {
    /// Serves this content; over TLS with a server's pair, if there are files.
    pub async fn open<C: Content>(files: Option<&Files>, content: impl FnOnce(&str) -> Arc<C>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let scheme = if files.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://127.0.0.1:{port}");
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, files.map(acceptor), content(&origin)));
        Self { origin, _serving: serving }
    }
}

fn acceptor(files: &Files) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&files.certificate).expect("a certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("suites").with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.expect("a pair")))
}

async fn accept<C: Content>(listener: TcpListener, tls: Option<TlsAcceptor>, content: Arc<C>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("connections come");
        let (tls, content) = (tls.clone(), Arc::clone(&content));
        connections.spawn(async move {
            match tls {
                None => serve(stream, content).await,
                Some(tls) => {
                    // Who does not believe us ends the handshake.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, content).await;
                    }
                }
            }
        });
    }
}

async fn serve<C: Content>(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, content: Arc<C>) {
    let service = service_fn(|request| {
        let content = Arc::clone(&content);
        async move { Ok::<_, Infallible>(content.answer(request).await) }
    });
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

/// An answer with this status and body.
pub fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status code");
    response
}

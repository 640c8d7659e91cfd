//! A client as Graph is one: TLS 1.3 or 1.2, HTTP/1.1 or HTTP/2, connections kept.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::header::HOST;
use hyper::http::uri::{Authority, Scheme};
use hyper::{HeaderMap, Method, Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::eventually::within;

/// A client of one server. Its connection is kept from request to request, as long as the server keeps it.
pub struct Client {
    address: SocketAddr,
    roots: RootCertStore,
    protocols: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Sent before anything else, each piece on its own.
    preamble: Vec<Vec<u8>>,
    kept: Mutex<Option<Sender>>,
    drivers: Mutex<JoinSet<()>>,
    opened: Arc<AtomicU64>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The version of HTTP.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A TLS connection for bytes written by hand (ALPN `http/1.1`).
pub struct Raw {
    stream: TlsStream<TcpStream>,
}

impl Client {
    /// A client that believes the authority in the file `ca` and leaves the choice of HTTP to the server.
    pub fn new(address: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(ca).expect("the authority's file holds a certificate");
        roots.add(ca).expect("the authority's certificate is one");
        Self {
            address,
            roots,
            protocols: vec![H2.to_vec(), HTTP1.to_vec()],
            versions: vec![&TLS13, &TLS12],
            preamble: Vec::new(),
            kept: Mutex::default(),
            drivers: Mutex::default(),
            opened: Arc::default(),
        }
    }

    /// Counts its connections here.
    pub fn counted(self, opened: &Arc<AtomicU64>) -> Self {
        Self { opened: Arc::clone(opened), ..self }
    }

    /// How many connections it has made.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Speaks HTTP/1.1 only.
    pub fn http1(self) -> Self {
        Self { protocols: vec![HTTP1.to_vec()], ..self }
    }

    /// Speaks HTTP/2 only.
    pub fn http2(self) -> Self {
        Self { protocols: vec![H2.to_vec()], ..self }
    }

    /// Speaks TLS 1.2 only.
    pub fn tls12(self) -> Self {
        Self { versions: vec![&TLS12], ..self }
    }

    /// Sends these pieces before TLS, as a proxy does.
    pub fn saying<P: AsRef<[u8]>>(self, pieces: impl IntoIterator<Item = P>) -> Self {
        Self { preamble: pieces.into_iter().map(|piece| piece.as_ref().to_vec()).collect(), ..self }
    }

    /// The same client without the kept connection.
    pub fn fresh(&self) -> Self {
        Self {
            address: self.address,
            roots: self.roots.clone(),
            protocols: self.protocols.clone(),
            versions: self.versions.clone(),
            preamble: self.preamble.clone(),
            kept: Mutex::default(),
            drivers: Mutex::default(),
            opened: Arc::default(),
        }
    }

    /// POST to a path with query.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
        self.send(request(Method::POST, path, headers, body)).await
    }

    /// GET of a path with query.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(request(Method::GET, path, &[], "")).await
    }

    /// Sends a request whose URI is a path with query; panics when there is no answer.
    pub async fn send(&self, request: Request<Bytes>) -> Reply {
        let what = format!("{} {}", request.method(), request.uri());
        self.try_send(request).await.unwrap_or_else(|error| panic!("no answer to {what}: {error}"))
    }

    /// As [`Client::send`], for when the connection may be refused, broken or dropped.
    pub async fn try_send(&self, request: Request<Bytes>) -> io::Result<Reply> {
        within(REPLY_BOUND, "an answer to an HTTP request", self.exchange(request)).await
    }

    /// A TLS connection for bytes written by hand.
    pub async fn raw(&self) -> Raw {
        let client = self.fresh().http1();
        client.raw_with(client.tls()).await
    }

    /// The same with a configuration of [`Client::tls`], which remembers sessions.
    pub async fn raw_with(&self, config: Arc<ClientConfig>) -> Raw {
        Raw { stream: self.connect_with(config).await.expect("the server takes connections") }
    }

    /// A new connection, through the TLS handshake; its certificate and version can be asked of it.
    pub async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        self.connect_with(self.tls()).await
    }

    /// What it tells rustls, with an empty memory of sessions.
    pub fn tls(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("the provider knows both versions")
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols.clone_from(&self.protocols);
        Arc::new(config)
    }

    async fn connect_with(&self, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let connecting = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            for piece in &self.preamble {
                stream.write_all(piece).await?;
                tokio::task::yield_now().await;
            }
            let name = ServerName::try_from(HOST_NAME).expect("localhost is a name");
            TlsConnector::from(config).connect(name, stream).await
        };
        within(REPLY_BOUND, "a TLS connection", connecting).await
    }

    async fn exchange(&self, request: Request<Bytes>) -> io::Result<Reply> {
        let mut sender = match self.kept().await {
            Some(sender) => sender,
            None => self.open().await?,
        };
        let reply = sender.exchange(self.address, request).await?;
        *self.kept.lock().expect("no test panics with it held") = Some(sender);
        Ok(reply)
    }

    /// The kept connection if it still takes requests; of two requests at once only one gets it.
    async fn kept(&self) -> Option<Sender> {
        let mut sender = self.kept.lock().expect("no test panics with it held").take()?;
        sender.ready().await.then_some(sender)
    }

    async fn open(&self) -> io::Result<Sender> {
        let stream = self.connect().await?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        let stream = TokioIo::new(stream);
        if h2 {
            let (sender, driver) =
                http2::handshake(TokioExecutor::new(), stream).await.map_err(io::Error::other)?;
            self.drive(driver);
            Ok(Sender::Http2(sender))
        } else {
            let (sender, driver) = http1::handshake(stream).await.map_err(io::Error::other)?;
            self.drive(driver);
            Ok(Sender::Http1(sender))
        }
    }

    /// Runs a connection until this client is dropped.
    fn drive(&self, connection: impl Future<Output = hyper::Result<()>> + Send + 'static) {
        let mut drivers = self.drivers.lock().expect("no test panics with it held");
        // How it ended is told to whoever waits for an answer on it.
        drivers.spawn(async { drop(connection.await) });
    }
}

/// One request over a connection without TLS, such as the admin listener's.
pub async fn plain(address: SocketAddr, request: Request<Bytes>) -> io::Result<Reply> {
    plain_over(TcpStream::connect(address).await?, address, request).await
}

/// One request over a Unix socket.
pub async fn plain_unix(path: &Path, request: Request<Bytes>) -> io::Result<Reply> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 80));
    plain_over(UnixStream::connect(path).await?, anywhere, request).await
}

async fn plain_over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: SocketAddr,
    request: Request<Bytes>,
) -> io::Result<Reply> {
    let exchanging = async {
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let mut driving = JoinSet::new();
        driving.spawn(async { drop(driver.await) });
        Sender::Http1(sender).exchange(address, request).await
    };
    within(REPLY_BOUND, "an answer to a plain HTTP request", exchanging).await
}

/// The status codes of all answers of HTTP/1.1 among these bytes, interim ones too; panics on what is no answer.
pub fn statuses(mut answers: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(end) = answers.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
        let head =
            std::str::from_utf8(&answers[..end]).expect("the head of an answer is text").to_ascii_lowercase();
        let status = head.strip_prefix("http/1.1 ").or_else(|| head.strip_prefix("http/1.0 "));
        let status = status.and_then(|rest| rest.get(..3)?.parse().ok());
        statuses.push(status.unwrap_or_else(|| panic!("no answer: {head}")));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().expect("a length is a number"));
        answers = answers.get(end + 4 + length..).expect("an answer comes whole");
    }
    assert!(answers.is_empty(), "half an answer: {:?}", String::from_utf8_lossy(answers));
    statuses
}

/// A request for [`Client::send`].
pub fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Bytes> {
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body.into()).expect("the path and the headers are well formed")
}

impl Reply {
    /// The value of a header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

impl Raw {
    /// Writes these bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the server reads on");
    }

    /// Writes these bytes, or tells that the connection is gone.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let writing = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        within(REPLY_BOUND, "room to write", writing).await
    }

    /// What comes until the server ends the connection, properly or not.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        self.read_until(|_| false).await
    }

    /// What comes until `needle` has been read, or the server ends the connection.
    pub async fn read_past(&mut self, needle: &str) -> Vec<u8> {
        self.read_until(|read| read.windows(needle.len()).any(|bytes| bytes == needle.as_bytes())).await
    }

    /// Ends our side of the connection; the server's can still be read.
    pub async fn finish(&mut self) {
        self.stream.shutdown().await.expect("the connection stands");
    }

    /// Whether TLS went on from an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The connection itself.
    pub fn into_stream(self) -> TlsStream<TcpStream> {
        self.stream
    }

    async fn read_until(&mut self, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut read = Vec::new();
        let reading = async {
            while !enough(&read) {
                match self.stream.read_buf(&mut read).await {
                    Ok(1..) => {}
                    // A reset, or an end without close_notify, is an end like any other here.
                    Ok(0) => break,
                    Err(error) if ENDS.contains(&error.kind()) => break,
                    Err(error) => panic!("the connection cannot be read: {error}"),
                }
            }
        };
        within(REPLY_BOUND, "the answer's end", reading).await;
        read
    }
}

/// The sending half of a connection.
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn exchange(&mut self, address: SocketAddr, request: Request<Bytes>) -> io::Result<Reply> {
        let authority = format!("{HOST_NAME}:{}", address.port());
        let mut request = request.map(Full::new);
        let answer = match self {
            Self::Http1(sender) => {
                let host = authority.parse().expect("a host and a port are a header value");
                request.headers_mut().entry(HOST).or_insert(host);
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                let mut parts = request.uri().clone().into_parts();
                parts.scheme = Some(Scheme::HTTPS);
                parts.authority = Some(authority.parse::<Authority>().expect("a host and a port"));
                *request.uri_mut() = Uri::from_parts(parts).expect("the path was well formed before");
                sender.send_request(request).await
            }
        };
        whole(answer.map_err(io::Error::other)?).await
    }
}

#[expect(clippy::disallowed_methods, reason = "our own program answers, and the test may hold what it says")]
async fn whole(answer: Response<hyper::body::Incoming>) -> io::Result<Reply> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Reply { status: head.status.as_u16(), version: head.version, headers: head.headers, body })
}

const HOST_NAME: &str = "localhost";
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// Far beyond any time limit of the daemon's: this ends a test that hangs, and judges nothing.
const REPLY_BOUND: Duration = Duration::from_secs(60);
const ENDS: [ErrorKind; 3] = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];

//! The way to a receiver, as Graph takes it: POST over HTTP/1.1 and TLS, with `Host`, `Content-Type`, `Content-Length` and
//! no other field ("Receive change notifications through webhooks",
//! <https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>; an access log in the documentation of
//! abraunegg/onedrive shows neither `User-Agent` nor `Referer`).

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, StatusCode,
    body::Incoming,
    client::conn::http1,
    ext::{ReasonPhrase, on_informational},
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, ProtocolVersion, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;
use url::{Host, Position, Url};

use crate::{client::dial, deadline::Deadline};

/// A URL that takes notifications, and how it is reached.
#[derive(Clone, Debug)]
pub struct Receiver {
    url: Url,
    tls: Arc<ClientConfig>,
    connect: Option<SocketAddr>,
}

/// A connection to a receiver, kept alive from one POST to the next.
#[derive(Debug)]
pub struct Line {
    requests: http1::SendRequest<Body>,
    host: HeaderValue,
    /// Something of the last answer is left unread.
    is_spent: bool,
    _connection: JoinSet<()>,
}

/// A body, in one piece or in many.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Post {
    /// Path and query.
    pub target: String,
    /// `Content-Type`.
    pub media_type: &'static str,
    /// Body.
    pub body: Bytes,
}

/// What a receiver says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// The words behind it, if they are not the usual ones.
    pub reason: Option<String>,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body; of one that is far too long, the beginning.
    pub body: Bytes,
    /// From the first byte of the request to the last of the answer.
    pub took: Duration,
}

/// Why a receiver has not answered.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// Graph would wait no longer.
    #[error("no answer in {} s", .0.as_secs_f64())]
    Late(Duration),
    /// No address, or nobody there.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// No trust in its certificate, or no common ground.
    #[error("no TLS")]
    Tls(#[source] io::Error),
    /// The connection broke, or it speaks no HTTP.
    #[error("no HTTP answer")]
    Http(#[source] hyper::Error),
    /// Target or host cannot stand in a request.
    #[error("the URL cannot be asked for")]
    Url,
    /// The answer breaks off, or never gets beyond interim ones.
    #[error("the answer breaks off")]
    Answer,
}

/// Bytes to and from a receiver, TLS already taken off.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Receiver {
    /// The receiver at this `http://` or `https://` URL; `connect` is where its host is to be looked for instead.
    pub fn new(url: Url, tls: Arc<ClientConfig>, connect: Option<SocketAddr>) -> Self {
        Self { url, tls, connect }
    }

    /// The URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Path and query, as notifications ask for them.
    pub fn target(&self) -> String {
        self.url[Position::BeforePath..Position::AfterQuery].to_owned()
    }

    /// Path and query of a handshake: the URL's own query is kept, and the token stands behind it, encoded already.
    pub fn handshake_target(&self, encoded_token: &str) -> String {
        let path = &self.url[Position::BeforePath..Position::AfterPath];
        match self.url.query() {
            Some(own) if !own.is_empty() => format!("{path}?{own}&validationToken={encoded_token}"),
            Some(_) | None => format!("{path}?validationToken={encoded_token}"),
        }
    }

    /// What `Host` says.
    pub fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// The same receiver, spoken to in another way.
    #[must_use]
    pub fn with_tls(&self, tls: Arc<ClientConfig>) -> Self {
        Self { tls, ..self.clone() }
    }

    /// Connects, and leaves everything else to the caller. What the caller waits for is the caller's to bound.
    ///
    /// # Errors
    ///
    /// [`Unreached::Connect`], [`Unreached::Tls`]
    pub async fn stream(&self) -> Result<Box<dyn Stream>, Unreached> {
        let stream = self.dial().await.map_err(Unreached::Connect)?;
        stream.set_nodelay(true).map_err(Unreached::Connect)?;
        if self.url.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        Ok(Box::new(self.encrypt(stream).await?))
    }

    async fn encrypt(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, Unreached> {
        let name = ServerName::try_from(bare(&self.url));
        let name = name.map_err(|error| Unreached::Tls(io::Error::other(error)))?;
        let connecting = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        connecting.await.map_err(Unreached::Tls)
    }

    /// The version of TLS that is agreed on with the receiver; `None` without TLS. The caller bounds the wait.
    ///
    /// # Errors
    ///
    /// [`Unreached::Connect`], [`Unreached::Tls`]
    pub async fn tls_version(&self) -> Result<Option<ProtocolVersion>, Unreached> {
        let stream = self.dial().await.map_err(Unreached::Connect)?;
        if self.url.scheme() != "https" {
            return Ok(None);
        }
        Ok(self.encrypt(stream).await?.get_ref().1.protocol_version())
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let addresses: Vec<SocketAddr> = match self.connect {
            Some(address) => vec![address],
            None => {
                let port = self.url.port_or_known_default().unwrap_or(443);
                lookup_host((bare(&self.url), port)).await?.collect()
            }
        };
        let none = || io::Error::other("the name has no address");
        dial(addresses, CONNECT_WITHIN).await.map_err(|last| last.map_or_else(none, |(_, error)| error))
    }

    /// A connection for several POSTs.
    ///
    /// # Errors
    ///
    /// [`Unreached`]
    pub async fn open(&self) -> Result<Line, Unreached> {
        self.open_as(&http1::Builder::new()).await
    }

    /// The connection of the last POST, if it is of use for another one, or a new one.
    ///
    /// An answer can be read before it is known that the connection ends with it: only who waits until it is ready for
    /// another request is told. What the caller waits for is the caller's to bound.
    ///
    /// # Errors
    ///
    /// [`Unreached`]
    pub async fn line(&self, kept: Option<Line>) -> Result<Line, Unreached> {
        if let Some(mut line) = kept
            && !line.is_spent
            && line.requests.ready().await.is_ok()
        {
            return Ok(line);
        }
        self.open().await
    }

    /// A connection for several requests that speaks HTTP/1.1 in this manner.
    ///
    /// # Errors
    ///
    /// [`Unreached`]
    pub async fn open_as(&self, manner: &http1::Builder) -> Result<Line, Unreached> {
        let host = HeaderValue::from_str(self.authority()).map_err(|_| Unreached::Url)?;
        let stream = TokioIo::new(self.stream().await?);
        let (requests, connection) = manner.handshake(stream).await.map_err(Unreached::Http)?;
        let mut tasks = JoinSet::new();
        // How the connection ends, the next request tells.
        tasks.spawn(async move { drop(connection.await) });
        Ok(Line { requests, host, is_spent: false, _connection: tasks })
    }

    /// One POST on a connection of its own; all of it, from the name to the answer, within this time.
    ///
    /// # Errors
    ///
    /// [`Unreached`]
    pub async fn post(&self, post: &Post, within: Duration) -> Result<Answer, Unreached> {
        let posting = async { self.open().await?.exchange(post).await };
        Deadline::after(within).limit(posting).await.map_err(|_| Unreached::Late(within))?
    }

    /// A POST of notifications to this receiver.
    pub fn notification(&self, body: Bytes) -> Post {
        Post { target: self.target(), media_type: NOTIFICATION, body }
    }

    /// The POST with which Graph asks whether a URL wants notifications.
    pub fn handshake(&self, encoded_token: &str) -> Post {
        Post { target: self.handshake_target(encoded_token), media_type: HANDSHAKE, body: Bytes::new() }
    }
}

impl Line {
    /// One POST. After an error the line is of no further use.
    ///
    /// # Errors
    ///
    /// [`Unreached`]
    pub async fn post(&mut self, post: &Post, within: Duration) -> Result<Answer, Unreached> {
        let posting = self.exchange(post);
        Deadline::after(within).limit(posting).await.map_err(|_| Unreached::Late(within))?
    }

    /// Whether something of the last answer is left unread, and stands before the next one.
    pub fn is_spent(&self) -> bool {
        self.is_spent
    }

    pub(super) async fn exchange(&mut self, post: &Post) -> Result<Answer, Unreached> {
        let request = Request::post(&post.target)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, post.media_type)
            .body(Full::new(post.body.clone()).boxed_unsync())
            .map_err(|_| Unreached::Url)?;
        self.send(request).await
    }

    /// What `Host` says.
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// A request of any form. What the caller waits for is the caller's to bound; after an error the line is of no
    /// further use.
    ///
    /// # Errors
    ///
    /// [`Unreached`]
    pub async fn send(&mut self, request: Request<Body>) -> Result<Answer, Unreached> {
        self.send_hearing(request, || {}).await
    }

    /// The same; `heard` is called for each interim answer. Whoever sends nothing but those has no answer to give.
    ///
    /// # Errors
    ///
    /// [`Unreached`]
    pub async fn send_hearing(
        &mut self,
        mut request: Request<Body>,
        heard: impl Fn() + Send + Sync + 'static,
    ) -> Result<Answer, Unreached> {
        let (flood, interim) = (CancellationToken::new(), AtomicUsize::new(0));
        let flooded = flood.clone();
        on_informational(&mut request, move |_| {
            heard();
            if interim.fetch_add(1, Ordering::Relaxed) >= INTERIM_MAX {
                flooded.cancel();
            }
        });
        flood.run_until_cancelled(self.answer(request)).await.unwrap_or(Err(Unreached::Answer))
    }

    async fn answer(&mut self, request: Request<Body>) -> Result<Answer, Unreached> {
        self.requests.ready().await.map_err(Unreached::Http)?;
        let begin = Instant::now();
        let (head, body) = self.requests.send_request(request).await.map_err(Unreached::Http)?.into_parts();
        let (body, is_whole) = beginning(body).await?;
        self.is_spent = !is_whole;
        let reason = head.extensions.get::<ReasonPhrase>();
        Ok(Answer {
            status: head.status,
            reason: reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned()),
            headers: head.headers,
            body,
            took: begin.elapsed(),
        })
    }
}

/// As much of a body as anybody wants to read, and whether that is all of it. What Graph makes of an answer, its status
/// has said.
async fn beginning(mut body: Incoming) -> Result<(Bytes, bool), Unreached> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unreached::Answer)?.into_data() else { continue };
        let room = ANSWER_BYTES_MAX - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((read.freeze(), false));
        }
    }
    Ok((read.freeze(), true))
}

impl Answer {
    /// `Content-Type`, if it is text.
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok())
    }

    /// Whether it names several types: which of them counts, nobody knows.
    pub fn is_of_two_types(&self) -> bool {
        self.headers.get_all(CONTENT_TYPE).iter().count() > 1
    }
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

/// `Content-Type` of notifications.
pub const NOTIFICATION: &str = "application/json; charset=utf-8";
/// `Content-Type` of handshakes.
pub const HANDSHAKE: &str = "text/plain; charset=utf-8";
/// How long Graph waits for the answer to a handshake, and to what it sends again.
pub const PATIENT: Duration = Duration::from_secs(10);
/// How long Graph waits for the answer to what it sends for the first time.
pub const PROMPT: Duration = Duration::from_secs(3);
const CONNECT_WITHIN: Duration = PATIENT;
/// A receiver says "continue", and perhaps "early hints".
const INTERIM_MAX: usize = 100;
/// Longest answer that is read; a receiver has nothing long to say.
const ANSWER_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::trust::Trust;

    fn receiver(url: &str) -> Receiver {
        Receiver::new(url.parse().expect("a URL"), Trust::Anybody.config().expect("TLS"), None)
    }

    #[test]
    fn a_url_keeps_its_query_in_everything_that_graph_asks_for() {
        for (url, target, handshake) in [
            ("https://a", "/", "/?validationToken=t"),
            ("https://a:1/b", "/b", "/b?validationToken=t"),
            ("https://a/b?c=d&e", "/b?c=d&e", "/b?c=d&e&validationToken=t"),
            ("https://a/b?", "/b?", "/b?validationToken=t"),
        ] {
            let receiver = receiver(url);
            assert_eq!(receiver.target(), target, "{url}");
            assert_eq!(receiver.handshake_target("t"), handshake, "{url}");
        }
    }

    #[test]
    fn hosts_are_named_as_they_stand_in_the_url_and_looked_up_without_brackets() {
        for (url, authority, host) in [
            ("https://a:1/b", "a:1", "a"),
            ("https://a:443/b", "a", "a"),
            ("http://[::1]:80/", "[::1]", "::1"),
            ("https://127.0.0.1:8443", "127.0.0.1:8443", "127.0.0.1"),
        ] {
            let receiver = receiver(url);
            assert_eq!((receiver.authority(), bare(receiver.url()).as_str()), (authority, host));
        }
    }
}

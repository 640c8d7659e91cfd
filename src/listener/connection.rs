//! One connection: whom it is for, the TLS handshake by a deadline, HTTP/1.1 or HTTP/2, a graceful end.

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hyper::{
    HeaderMap, Request, Version,
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, sync::CancellationToken};
use tracing::{debug, warn};

use super::{
    Shared,
    activity::Activity,
    door::{Guest, TurnedAway},
    forwarded::{self, FORWARDED, X_FORWARDED_FOR},
    proxy::{self, Header},
    socket::{Peer, Stream},
    strict::{Body, Framing, Strict},
    taken::{Place, Taken},
    tls::is_challenge,
};
use crate::{
    backoff::jittered,
    config::{ClientAddress, Limits},
    deadline::{Deadline, Elapsed},
    metrics::{ConnectionFailure, TlsHandshake},
    webhook::{Caller, Standing, Webhook},
};

/// Serves a connection to its end. Until it carries requests, nobody waits for it.
pub(super) async fn serve(
    stream: Stream,
    peer: Peer,
    guest: Guest,
    shared: &Shared,
    stop: CancellationToken,
) {
    let guest = Arc::new(guest);
    let owed = Deadline::after(guest.terms.limits.handshake_within);
    let begun = tokio::select! {
        begun = begin(stream, peer, owed, &guest, shared) => begun,
        // Whoever has been let in is served, also while we stop: nobody is turned away by an upgrade.
        () = lingered(&stop) => return,
        () = guest.shown_out.cancelled() => return,
    };
    let failure = match begun {
        Ok((stream, client)) => {
            let builder = builder(&guest.terms.limits, spoken(&stream));
            return http(stream, builder, client, &guest, shared, stop).await;
        }
        Err(Failure::TurnedAway | Failure::Challenge) => return,
        Err(Failure::NoProxy(error)) => {
            if let Some(others) = shared.no_proxy.pass(Instant::now()) {
                warn!(event = "proxy_header_wrong", client = peer.address().map(display), %error, others, "no connection: its PROXY header is missing or wrong");
            }
            ConnectionFailure::Proxy
        }
        Err(Failure::Tls(error)) => {
            debug!(client = peer.address().map(display), %error, "no TLS handshake");
            shared.metrics.tls_handshakes.count(TlsHandshake::Failed);
            ConnectionFailure::Tls
        }
        Err(Failure::SlowTls) => {
            debug!(client = peer.address().map(display), "the TLS handshake took too long");
            shared.metrics.tls_handshakes.count(TlsHandshake::Timeout);
            ConnectionFailure::TlsTimeout
        }
    };
    shared.metrics.connections_failed.count(failure);
}

/// Why a connection does not come to carry requests.
enum Failure {
    TurnedAway,
    /// It did what it was made for.
    Challenge,
    NoProxy(io::Error),
    Tls(io::Error),
    SlowTls,
}

/// What the requests of a connection share.
struct Common {
    webhook: Arc<Webhook>,
    guest: Arc<Guest>,
    closing: CancellationToken,
}

/// For whom a connection is.
#[derive(Clone, Copy)]
struct Client {
    address: Option<IpAddr>,
    /// Its peer is believed about the clients of its requests.
    is_proxy: bool,
}

/// What comes before the first request, all of it by one deadline.
async fn begin(
    mut stream: Stream,
    peer: Peer,
    owed: Deadline,
    guest: &Guest,
    shared: &Shared,
) -> Result<(Either<Box<TlsStream<Stream>>, Stream>, Client), Failure> {
    let client = owed.limit(client(&mut stream, peer, guest)).await;
    let client = client.unwrap_or_else(|Elapsed| Err(Failure::NoProxy(io::ErrorKind::TimedOut.into())))?;
    let Some(tls) = &shared.tls else { return Ok((Either::Right(stream), client)) };
    guest.begins_handshake();
    let accepted = owed.limit(tls.accept(stream)).await.map_err(|Elapsed| Failure::SlowTls)?;
    let stream = accepted.map_err(Failure::Tls)?;
    guest.ends_handshake();
    shared.metrics.tls_handshakes.count(match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsHandshake::Tls12,
        // We offer no others.
        Some(_) | None => TlsHandshake::Tls13,
    });
    if is_challenge(&stream) {
        return Err(Failure::Challenge);
    }
    Ok((Either::Left(Box::new(stream)), client))
}

async fn client(stream: &mut Stream, peer: Peer, guest: &Guest) -> Result<Client, Failure> {
    let is_trusted = guest.terms.trusts(peer);
    match guest.terms.client_address {
        ClientAddress::Connection => Ok(Client { address: peer.address(), is_proxy: false }),
        ClientAddress::Forwarded | ClientAddress::XForwardedFor => {
            Ok(Client { address: peer.address(), is_proxy: is_trusted })
        }
        ClientAddress::ProxyProtocol if !is_trusted => {
            Err(Failure::NoProxy(io::Error::new(io::ErrorKind::PermissionDenied, "not a trusted proxy")))
        }
        ClientAddress::ProxyProtocol => {
            let address = match proxy::read(stream).await.map_err(Failure::NoProxy)? {
                Header::Client(client) => {
                    guest.announce(client).map_err(|TurnedAway| Failure::TurnedAway)?;
                    Some(client)
                }
                // It is trusted, and need not be one of the sources: its health checks pass.
                Header::Itself => peer.address(),
            };
            Ok(Client { address, is_proxy: false })
        }
    }
}

async fn http<S>(
    stream: S,
    builder: auto::Builder<TokioExecutor>,
    client: Client,
    guest: &Arc<Guest>,
    shared: &Shared,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (activity, limits) = (&guest.activity, &guest.terms.limits);
    let framing = Framing::new(activity.clone());
    let has_begun = AtomicBool::new(false);
    let common = Arc::new(Common {
        // Cancelled by the daemon's stop, or by an answer that ends the connection.
        closing: stop.child_token(),
        webhook: Arc::clone(&shared.webhook),
        guest: Arc::clone(guest),
    });
    let service = service_fn(|request: Request<Incoming>| {
        let body = request.body().size_hint().exact().map_or(Body::Chunked, Body::Length);
        let is_by_the_letter = framing.follows(body);
        let place = Place::take(guest);
        let mut caller = caller(request.headers(), client, guest, is_by_the_letter);
        if place.is_none() && caller.standing == Standing::Welcome {
            caller.standing = Standing::Crowding;
        }
        let request_is_open = activity.request();
        has_begun.store(true, Ordering::Relaxed);
        let common = Arc::clone(&common);
        async move {
            let answer = common.webhook.answer(request, caller).await;
            if answer.is_genuine {
                common.guest.becomes_known();
            }
            if answer.closes {
                common.closing.cancel();
            }
            drop(request_is_open);
            Ok::<_, Infallible>(answer.response.map(|body| Taken::new(body, place)))
        }
    });
    let io = TokioIo::new(Strict::new(stream, framing.clone()));
    let mut connection = pin!(builder.serve_connection(io, service));
    let parting = async {
        common.closing.cancelled().await;
        // A client that has only just come has its first request on its lips.
        if !has_begun.load(Ordering::Relaxed) {
            let (Ok(()) | Err(Elapsed)) = Deadline::after(LINGER).limit(activity.busy()).await;
        }
    };
    let end = async {
        tokio::select! {
            () = parting => LINGER,
            () = aged(activity, limits) => LINGER,
            // Whatever the peer does meanwhile (silence, half a head, pings, not reading): it is not a request.
            () = activity.overdue(limits.idle_within, limits.header_within) => LINGER,
            () = guest.shown_out.cancelled() => Duration::ZERO,
        }
    };
    // It is looked at when it has something to say itself, and not whenever the connection has.
    let mut end: FuturesUnordered<_> = [end].into_iter().collect();
    let ended = tokio::select! {
        ended = connection.as_mut() => Ok(ended),
        Some(linger) = end.next() => Err(linger),
    };
    let ended = match ended {
        Ok(ended) => ended,
        Err(linger) => {
            // Open requests are answered; HTTP/1.1 then closes, HTTP/2 has said GOAWAY. A client may pass over that and go
            // on with requests: it gets the time that one takes.
            let within = match guest.overstays() {
                true => Duration::ZERO,
                false => shared.webhook.answer_within() + LINGER,
            };
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                // First of all: else the GOAWAY may never be written.
                biased;
                ended = connection.as_mut() => ended,
                () = activity.overdue(linger, linger) => Ok(()),
                () = Deadline::after(within).passed() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke");
    }
}

/// The daemon stops, and has done so for a while.
async fn lingered(stop: &CancellationToken) {
    stop.cancelled().await;
    Deadline::after(LINGER).passed().await;
}

/// Waits until a connection is old, and has a request whose answer can say that it was the last: to close it between two
/// requests would cross with the next one. One that stays idle ends for that reason.
async fn aged(activity: &Activity, limits: &Limits) {
    Deadline::after(jittered(limits.connection_within)).passed().await;
    activity.busy().await;
}

/// Who makes a request.
fn caller(headers: &HeaderMap, client: Client, guest: &Guest, is_by_the_letter: bool) -> Caller {
    if !is_by_the_letter {
        return Caller { address: client.address, standing: Standing::Garbled };
    }
    if !client.is_proxy {
        return Caller { address: client.address, standing: Standing::Welcome };
    }
    let terms = &guest.terms;
    let named = match terms.client_address {
        ClientAddress::Forwarded if headers.contains_key(FORWARDED) => {
            forwarded::by_forwarded(headers, &terms.trusted_proxies).ok()
        }
        ClientAddress::XForwardedFor if headers.contains_key(X_FORWARDED_FOR) => {
            forwarded::by_x_forwarded_for(headers, &terms.trusted_proxies).ok()
        }
        // A request of the proxy's own, such as a health check.
        ClientAddress::Forwarded
        | ClientAddress::XForwardedFor
        | ClientAddress::Connection
        | ClientAddress::ProxyProtocol => client.address,
    };
    let standing = if guest.admits(named) { Standing::Welcome } else { Standing::Stranger };
    Caller { address: named, standing }
}

/// The version that TLS has agreed on; without TLS the bytes say it.
fn spoken(stream: &Either<Box<TlsStream<Stream>>, Stream>) -> Option<Version> {
    match stream {
        Either::Left(tls) if tls.get_ref().1.alpn_protocol() == Some(b"h2") => Some(Version::HTTP_2),
        Either::Left(_) => Some(Version::HTTP_11),
        Either::Right(_) => None,
    }
}

fn builder(limits: &Limits, version: Option<Version>) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Heads have a clock of ours, which begins with their first byte.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(2 * STREAM_WINDOW)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(limits.idle_within)
        .keep_alive_timeout(limits.handshake_within);
    // Who stands between may go by what was agreed on.
    match version {
        Some(Version::HTTP_2) => builder.http2_only(),
        Some(_) => builder.http1_only(),
        None => builder,
    }
}

/// Time for the last answers of a connection to be read before it is dropped; also for one that has just come, when the
/// daemon stops, to say what it wants.
const LINGER: Duration = Duration::from_secs(1);
/// Longest head of a request; also the largest piece in which a body is read. Holds the longest token that is
/// echoed when all of it is percent-encoded.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of a body that may be on their way before we read on. Graph's bodies are smaller.
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes of an answer that wait to be sent; the longest is the echo of a token.
const SEND_BYTES_MAX: usize = 16 << 10;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

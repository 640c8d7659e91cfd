//! A web server in front of an ACME server, where a test decides what gets through.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::certs::Files;
use super::https::Client;
use super::pebble::Pebble;

/// The server in front, until dropped.
pub struct Front {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _accepting: JoinSet<()>,
}

/// What happens to a request.
#[derive(Clone, Debug, Default)]
pub enum Weather {
    /// It gets through.
    #[default]
    Fair,
    /// Its connection is closed before TLS.
    Down,
    /// Its connection stays open, and nothing comes.
    Silent,
    /// An order is refused for a rate limit, with this Retry-After; all else gets through.
    Limited(u64),
    /// The server suggests to renew between these dates, and whether it takes up what an order `replaces`.
    Suggesting(String, String, bool),
}

#[derive(Default)]
struct State {
    weather: Weather,
    seen: Vec<(String, Instant)>,
    closed: usize,
    bad_nonces: usize,
}

impl Front {
    /// One in front of this server.
    pub async fn of(pebble: &Pebble) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("the loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let behind = Arc::new(Client::new(pebble.address(), pebble.ca()).http1());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, acceptor(pebble.certificates()), behind, Arc::clone(&state)));
        Self { address, state, _accepting: accepting }
    }

    /// The URL of the directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}{DIRECTORY}", self.address.port())
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        self.open().weather = weather;
    }

    /// When orders were placed, or tried to be.
    pub fn orders(&self) -> Vec<Instant> {
        self.open().seen.iter().filter(|(path, _)| path == ORDER).map(|(_, at)| *at).collect()
    }

    /// How often the directory was asked for.
    pub fn directories(&self) -> usize {
        self.open().seen.iter().filter(|(path, _)| path == DIRECTORY).count()
    }

    /// How many accounts were registered, or tried to be.
    pub fn registrations(&self) -> usize {
        self.open().seen.iter().filter(|(path, _)| path == ACCOUNT).count()
    }

    /// How many connections were closed because the server was down.
    pub fn closed(&self) -> usize {
        self.open().closed
    }

    /// How many requests were refused for their nonces.
    pub fn bad_nonces(&self) -> usize {
        self.open().bad_nonces
    }

    fn open(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it held")
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, behind: Arc<Client>, state: Arc<Mutex<State>>) {
    let (mut serving, mut silent) = (JoinSet::new(), Vec::new());
    while let Ok((stream, _)) = listener.accept().await {
        {
            let mut state = state.lock().expect("nobody panics with it held");
            match state.weather {
                Weather::Down => {
                    state.closed += 1;
                    continue;
                }
                Weather::Silent => {
                    silent.push(stream);
                    continue;
                }
                Weather::Fair | Weather::Limited(_) | Weather::Suggesting(..) => {}
            }
        }
        serving.spawn(serve(stream, acceptor.clone(), Arc::clone(&behind), Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, behind: Arc<Client>, state: Arc<Mutex<State>>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request: Request<Incoming>| {
        let (behind, state) = (Arc::clone(&behind), Arc::clone(&state));
        async move { Ok::<_, Infallible>(answer(request, &behind, &state).await) }
    });
    // A client that goes away is no matter of ours.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

#[expect(clippy::disallowed_methods, reason = "our own program asks, and the test may hold what it says")]
async fn answer(request: Request<Incoming>, behind: &Client, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let weather = {
        let mut state = state.lock().expect("nobody panics with it held");
        state.seen.push((head.uri.path().to_owned(), Instant::now()));
        state.weather.clone()
    };
    let path = head.uri.path().to_owned();
    match &weather {
        Weather::Limited(seconds) if path == ORDER => return limited(*seconds),
        Weather::Suggesting(start, end, _) if path.starts_with(SUGGESTION) => return suggestion(start, end),
        Weather::Fair | Weather::Down | Weather::Silent | Weather::Limited(_) | Weather::Suggesting(..) => {}
    }
    head.headers.remove(CONNECTION);
    head.headers.remove(CONTENT_LENGTH);
    let host = head.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let behind = match behind.fresh().try_send(Request::from_parts(head.clone(), body.clone())).await {
        Ok(reply) => reply,
        Err(_) => return plain(StatusCode::BAD_GATEWAY),
    };
    let mut text = behind.body;
    if text.windows(BAD_NONCE.len()).any(|words| words == BAD_NONCE) {
        state.lock().expect("nobody panics with it held").bad_nonces += 1;
    }
    if let Weather::Suggesting(_, _, takes_up) = weather {
        if path == DIRECTORY {
            text = with(&text, "renewalInfo", json!(format!("https://{host}{SUGGESTION}")));
        } else if let Some(replaced) = replaced(&body).filter(|_| takes_up && head.method == Method::POST) {
            text = with(&text, "replaces", replaced);
        }
    }
    let mut response = Response::new(Full::new(text));
    *response.status_mut() = StatusCode::from_u16(behind.status).expect("it was a status");
    *response.headers_mut() = behind.headers;
    for header in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION] {
        response.headers_mut().remove(header);
    }
    response
}

/// As Let's Encrypt says it.
fn limited(seconds: u64) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    *response.body_mut() = Full::new(
        json!({
            "type": "urn:ietf:params:acme:error:rateLimited",
            "detail": "too many certificates already issued",
            "status": 429,
        })
        .to_string()
        .into(),
    );
    response
}

fn suggestion(start: &str, end: &str) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::OK);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("21600"));
    *response.body_mut() =
        Full::new(json!({ "suggestedWindow": { "start": start, "end": end } }).to_string().into());
    response
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// A JSON object with one more member.
fn with(object: &[u8], name: &str, value: Value) -> Bytes {
    let mut object: Value = serde_json::from_slice(object).expect("pebble speaks JSON");
    object[name] = value;
    object.to_string().into()
}

/// What an order wants to replace: part of the payload of a JSON web signature.
fn replaced(signed: &[u8]) -> Option<Value> {
    let signed: Value = serde_json::from_slice(signed).ok()?;
    let payload: Value = serde_json::from_slice(&decoded(signed["payload"].as_str()?)).ok()?;
    payload.get("replaces").cloned()
}

/// Base64 without padding, with the alphabet for URLs (RFC 4648, section 5).
fn decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for letter in text.chars() {
        let value = ALPHABET.find(letter).expect("it is of the alphabet");
        (bits, held) = (bits << 6 | u32::try_from(value).expect("under 64"), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}

fn acceptor(files: &Files) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(&files.certificate).expect("the file holds a certificate");
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("the file holds a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows both versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

const BAD_NONCE: &[u8] = b"urn:ietf:params:acme:error:badNonce";
/// Pebble's paths.
const DIRECTORY: &str = "/dir";
const ACCOUNT: &str = "/sign-me-up";
const ORDER: &str = "/order-plz";
const SUGGESTION: &str = "/renewal-info";

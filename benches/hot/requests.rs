//! Whole requests to the real listener, over plain HTTP on one thread: so that their cost is always the same.

use std::{path::Path, rc::Rc, sync::Arc};

use bytes::Bytes;
use graphhook::{
    config::{self, Config, Listen},
    delivery::{Delivery, spool::Spool},
    listener::{Listener, door::Door, socket::Socket},
    metrics::Metrics,
    secret::Secret,
    sightings::Sightings,
    trace::export::Tracer,
    verify::keys::Keys,
    webhook::Webhook,
};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
};
use tokio_util::sync::CancellationToken;

use crate::inputs::SECRET;

/// A listener, and what turns it.
pub(crate) struct Server {
    runtime: Rc<Runtime>,
    address: String,
    _spool: Rc<TempDir>,
}

/// A connection on which one request is made again and again.
pub(crate) struct Visit {
    runtime: Rc<Runtime>,
    stream: TcpStream,
    request: Vec<u8>,
    /// As long as the answer.
    answer: Vec<u8>,
    _spool: Rc<TempDir>,
}

impl Server {
    /// Listens somewhere. Nothing is delivered: what these requests bring is not.
    pub(crate) fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let spool = tempfile::tempdir().expect("a directory");
        let address = runtime.block_on(listen(spool.path()));
        Self { runtime: Rc::new(runtime), address, _spool: Rc::new(spool) }
    }

    /// What hyper takes by itself: it reads the body, whatever it is, and answers 202.
    pub(crate) fn bare() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let address = listener.local_addr().expect("an address").to_string();
        drop(runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(accept));
                drop(connection.await);
            }
        }));
        let spool = tempfile::tempdir().expect("a directory");
        Self { runtime: Rc::new(runtime), address, _spool: Rc::new(spool) }
    }

    /// Connects, and makes the request for the first time.
    pub(crate) fn visit(&self, request: Vec<u8>) -> Visit {
        let runtime = Rc::clone(&self.runtime);
        let (stream, answer) = runtime.block_on(async {
            let mut stream = TcpStream::connect(&self.address).await.expect("a connection");
            stream.set_nodelay(true).expect("an option");
            stream.write_all(&request).await.expect("a request");
            let answer = first_answer(&mut stream).await;
            (stream, answer)
        });
        let _spool = Rc::clone(&self._spool);
        Visit { runtime, stream, request, answer: vec![0; answer], _spool }
    }
}

impl Visit {
    /// Makes the request, and reads its answer.
    pub(crate) fn once(&mut self) {
        let Self { runtime, stream, request, answer, .. } = self;
        runtime.block_on(async {
            stream.write_all(request).await.expect("a request");
            stream.read_exact(answer).await.expect("an answer");
        });
        assert!(self.answer.starts_with(b"HTTP/1.1 20"), "refused");
    }
}

async fn accept(request: Request<Incoming>) -> hyper::Result<Response<Empty<Bytes>>> {
    let mut body = request.into_body();
    while let Some(piece) = body.frame().await {
        piece?;
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

async fn listen(spool: &Path) -> String {
    let mut config = config::dev(&Secret::new(SECRET.to_owned()), spool);
    config.server.listen = vec![Listen::Address(([127, 0, 0, 1], 0).into())];
    let socket = Socket::bind(&config.server.listen[0], "public").await.expect("a port is free");
    let address = socket.address();
    let listener = listener(&config, socket);
    #[expect(clippy::disallowed_methods, reason = "its owner is the runtime, until the program ends")]
    drop(tokio::spawn(listener.run(CancellationToken::new())));
    address
}

fn listener(config: &Config, socket: Socket) -> Listener {
    let metrics = Metrics::new();
    let (spool, _) = Spool::open(config.spool.clone(), Arc::clone(&metrics)).expect("a spool");
    let tracer = Tracer::idle(config.traces.sample);
    let delivery = Arc::new(Delivery::without_broker(spool, tracer.clone()));
    let sightings = Sightings::unsaved(Arc::clone(&metrics));
    let (keys, _) = Keys::new(&metrics);
    let webhook = Webhook::new(config, delivery, sightings, keys, tracer, Arc::clone(&metrics));
    let door = Door::new(config, usize::MAX, Arc::clone(&metrics));
    Listener::new(vec![socket], None, door, Arc::new(webhook), metrics)
}

/// Reads the answer to a first request; says how long it was.
async fn first_answer(stream: &mut TcpStream) -> usize {
    let mut answer = Vec::new();
    loop {
        stream.read_buf(&mut answer).await.expect("an answer");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.map_or(0, |length| length.parse().expect("a number")) {
            return answer.len();
        }
    }
}

/// As Graph's servers write it.
pub(crate) fn post(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /graph/notifications HTTP/1.1\r\nHost: hooks.example.com\r\nContent-Type: application/json; charset=utf-8\r\n\
         Accept: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Graph's question whether we are there, while a subscription is being made.
pub(crate) fn handshake() -> Vec<u8> {
    b"POST /graph/notifications?validationToken=Validation%3a+Testing+client+application+reachability+for+subscription+\
      Request-Id%3a+522a8e7e-096a-494c-aaf1-ac0dcfca45b7 HTTP/1.1\r\nHost: hooks.example.com\r\n\
      Content-Type: text/plain; charset=utf-8\r\nContent-Length: 0\r\n\r\n"
        .to_vec()
}

pub(crate) fn health() -> Vec<u8> {
    b"GET /healthz HTTP/1.1\r\nHost: hooks.example.com\r\n\r\n".to_vec()
}

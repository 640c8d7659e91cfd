//! Plays Microsoft Graph against a receiver, over TLS, and says what came of it.
//!
//! Bodies have the shapes that Graph sends today: see `tests/data/README.md` for where each was seen.

pub mod api;

use std::{fmt::Write, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::TlsConnector;

/// A connection like Graph's: HTTP/1.1 over TLS, kept alive.
#[derive(Debug)]
pub struct Graph {
    requests: SendRequest<Full<Bytes>>,
    host: String,
    _connection: JoinSet<()>,
}

/// An answer of the receiver.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// Media type, if it said one.
    pub content_type: Option<String>,
    /// Body, if it is text.
    pub body: String,
}

/// The receiver could not be reached, or did not speak HTTP.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// No TCP connection.
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    /// The certificate to trust is none.
    #[error("the certificate to trust cannot be used")]
    Trust(#[source] rustls::Error),
    /// No trust in the certificate of the receiver, or no common ground in TLS.
    #[error("no TLS")]
    Tls(#[source] std::io::Error),
    /// The connection broke.
    #[error("no HTTP answer")]
    Http(#[source] hyper::Error),
    /// The answer is no text, or far too long.
    #[error("the answer cannot be read")]
    Answer,
}

impl Graph {
    /// Connects to a receiver whose certificate is `trusted` or signed by it.
    ///
    /// # Errors
    ///
    /// [`SimulateError`]
    pub async fn connect(
        address: SocketAddr,
        trusted: CertificateDer<'static>,
    ) -> Result<Self, SimulateError> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted).map_err(SimulateError::Trust)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(address).await.map_err(SimulateError::Connect)?;
        let name = ServerName::from(address.ip());
        let stream =
            TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(SimulateError::Tls)?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await.map_err(SimulateError::Http)?;
        let mut tasks = JoinSet::new();
        // How the connection ends, the next request tells.
        tasks.spawn(async move { drop(connection.await) });
        Ok(Self { requests, host: address.to_string(), _connection: tasks })
    }

    /// POSTs a body the way Graph does.
    ///
    /// # Errors
    ///
    /// [`SimulateError::Http`], [`SimulateError::Answer`]
    pub async fn post(
        &mut self,
        target: &str,
        media_type: &str,
        body: String,
    ) -> Result<Answer, SimulateError> {
        let request = Request::post(target)
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, media_type)
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| SimulateError::Answer)?;
        self.requests.ready().await.map_err(SimulateError::Http)?;
        let response = self.requests.send_request(request).await.map_err(SimulateError::Http)?;
        let (head, body) = response.into_parts();
        #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| SimulateError::Answer)?;
        let content_type =
            head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = String::from_utf8(body.to_bytes().to_vec()).map_err(|_| SimulateError::Answer)?;
        Ok(Answer { status: head.status, content_type, body })
    }
}

/// Today's form of the validation token, and how Graph writes it into the query.
pub fn handshake_token(id: &str) -> (String, String) {
    let token =
        format!("Validation: Testing client application reachability for subscription Request-Id: {id}");
    let encoded = token.replace(':', "%3a").replace(' ', "+");
    (token, encoded)
}

/// An item to send.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Unique id of the notification.
    pub id: &'a str,
    /// `subscriptionId`
    pub subscription: &'a str,
    /// `tenantId`, or `organizationId` of lifecycle items, which is what Graph really sends.
    pub tenant: &'a str,
    /// `clientState`, if any.
    pub client_state: Option<&'a str>,
    /// What it tells of.
    pub event: Event<'a>,
}

/// What an item tells of.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// `changeType` of a mail message.
    Message(&'a str),
    /// `lifecycleEvent`.
    Lifecycle(&'a str),
}

/// The body of a POST with these items.
pub fn collection(items: &[Item<'_>]) -> String {
    let items: Vec<String> = items.iter().map(item).collect();
    format!(r#"{{"value":[{}]}}"#, items.join(","))
}

fn item(item: &Item<'_>) -> String {
    let Item { id, subscription, tenant, client_state, event } = *item;
    let mut json = format!(
        r#"{{"id":"{id}","subscriptionId":"{subscription}","subscriptionExpirationDateTime":"2030-01-01T11:00:00.0000000Z","#,
    );
    if let Some(client_state) = client_state {
        write!(json, r#""clientState":"{client_state}","#).expect("a String takes every text");
    }
    match event {
        Event::Message(change) => write!(
            json,
            r##""changeType":"{change}","resource":"Users/aaaaaaa1-1111-4222-8333-444444444444/Messages/{id}","resourceData":{{"@odata.type":"#Microsoft.Graph.Message","@odata.id":"Users/aaaaaaa1-1111-4222-8333-444444444444/Messages/{id}","id":"{id}"}},"tenantId":"{tenant}"}}"##,
        ),
        Event::Lifecycle(event) => write!(
            json,
            r##""lifecycleEvent":"{event}","resource":"Subscriptions/{subscription}","resourceData":{{"@odata.type":"#microsoft.graph.subscription","id":"{subscription}"}},"encryptedContent":null,"organizationId":"{tenant}"}}"##,
        ),
    }
    .expect("a String takes every text");
    json
}

/// Longest answer that is read; a receiver has nothing long to say.
const ANSWER_BYTES_MAX: usize = 64 << 10;

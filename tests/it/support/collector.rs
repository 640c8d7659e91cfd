//! A collector of spans: takes OTLP over HTTP, and reads it with OpenTelemetry's own definitions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1;

use super::certs::Files;
use super::eventually::eventually;
use super::site::{Content, Site, answer};

/// A collector on a port of its own, until dropped.
pub struct Collector {
    site: Site,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    manner: Mutex<Manner>,
    taken: Mutex<Taken>,
}

/// How it answers.
#[derive(Clone, Debug, Default)]
pub enum Manner {
    /// It takes everything.
    #[default]
    Takes,
    /// It answers so, and takes nothing.
    Answers(u16),
    /// It takes all but so many spans of each request.
    Rejects(u64),
    /// It does not answer.
    Hangs,
}

#[derive(Default)]
struct Taken {
    requests: usize,
    headers: HeaderMap,
    spans: Vec<Span>,
}

/// A span as the collector has read it.
#[derive(Clone, Debug)]
pub struct Span {
    /// 32 digits.
    pub trace: String,
    /// 16 digits.
    pub id: String,
    /// 16 digits, or none.
    pub parent: String,
    /// The whole of it.
    pub whole: v1::Span,
    /// Its attributes, and after "resource." those of who sent it; numbers as Rust prints them.
    pub attributes: BTreeMap<String, String>,
}

impl Collector {
    /// A collector that speaks plain HTTP.
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// One that speaks HTTPS with these.
    pub async fn start_tls(files: &Files) -> Self {
        Self::listen(Some(files)).await
    }

    async fn listen(files: Option<&Files>) -> Self {
        let shared = Arc::<Shared>::default();
        let site = Site::open(files, |_| Arc::clone(&shared)).await;
        Self { site, shared }
    }

    /// `traces.endpoint`, as TOML.
    pub fn endpoint(&self) -> String {
        format!("\"{}/v1/traces\"", self.site.origin)
    }

    /// Answers so from now on.
    pub fn behaves(&self, manner: Manner) {
        *self.shared.manner.lock().expect("nobody panics with it held") = manner;
    }

    /// Requests so far, answered or not.
    pub fn requests(&self) -> usize {
        self.taken().requests
    }

    /// The headers of the last request.
    pub fn headers(&self) -> HeaderMap {
        self.taken().headers.clone()
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Span> {
        self.taken().spans.clone()
    }

    /// Waits until so many spans of a trace are there.
    pub fn eventually_has(&self, trace: &str, count: usize) -> impl Future<Output = Vec<Span>> {
        let trace = trace.to_owned();
        eventually(format!("{count} spans of the trace {trace}"), async move || {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.trace == trace).collect();
            (spans.len() >= count).then_some(spans)
        })
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.shared.taken.lock().expect("nobody panics with it held")
    }
}

impl Span {
    /// An attribute; empty if it has none of this name.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

impl Content for Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/v1/traces"));
        let (head, body) = request.into_parts();
        #[expect(clippy::disallowed_methods, reason = "the daemon's own requests are bounded")]
        let body = body.collect().await.expect("a whole body").to_bytes();
        let manner = self.manner.lock().expect("nobody panics with it held").clone();
        {
            let mut taken = self.taken.lock().expect("nobody panics with it held");
            taken.requests += 1;
            taken.headers = head.headers;
            if matches!(manner, Manner::Takes | Manner::Rejects(_)) {
                taken.spans.extend(read(&body));
            }
        }
        match manner {
            Manner::Takes => answer(200, "{}".to_owned()),
            Manner::Answers(status) => answer(status, String::new()),
            Manner::Rejects(spans) => {
                answer(200, format!(r#"{{"partialSuccess":{{"rejectedSpans":"{spans}"}}}}"#))
            }
            Manner::Hangs => std::future::pending().await,
        }
    }
}

/// Reads a request as OpenTelemetry's own crate has it.
fn read(body: &[u8]) -> Vec<Span> {
    let request: ExportTraceServiceRequest = serde_json::from_slice(body).expect("OTLP in JSON");
    let mut spans = Vec::new();
    for resource in request.resource_spans {
        let sender = attributes(&resource.resource.expect("a resource").attributes, "resource.");
        for scope in resource.scope_spans {
            assert_eq!(scope.scope.expect("a scope").name, "graphhook");
            for whole in scope.spans {
                let mut attributes = attributes(&whole.attributes, "");
                attributes.extend(sender.clone());
                let (trace, id) = (hexadecimal(&whole.trace_id), hexadecimal(&whole.span_id));
                assert_eq!((trace.len(), id.len()), (32, 16));
                assert!(whole.start_time_unix_nano > 1_700_000_000_000_000_000, "{whole:?}");
                assert!(whole.end_time_unix_nano >= whole.start_time_unix_nano, "{whole:?}");
                spans.push(Span { trace, id, parent: hexadecimal(&whole.parent_span_id), whole, attributes });
            }
        }
    }
    spans
}

fn attributes(attributes: &[KeyValue], prefix: &str) -> BTreeMap<String, String> {
    let printed = |value: &any_value::Value| {
        if let any_value::Value::StringValue(text) = value {
            text.clone()
        } else if let any_value::Value::IntValue(number) = value {
            number.to_string()
        } else {
            panic!("an attribute of no kind that we send: {value:?}")
        }
    };
    let pairs = attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref()).expect("a value");
        (format!("{prefix}{}", attribute.key), printed(value))
    });
    pairs.collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

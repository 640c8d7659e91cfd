//! Spans as OTLP's JSON (opentelemetry-proto 1.x, "JSON Protobuf Encoding"): ids in hexadecimal digits, numbers of 64 bits
//! as strings, enumerations as numbers.

use serde::Serialize;

use super::span::{Span, Value};

/// The body of a request to `/v1/traces`.
pub(super) fn request(spans: &[Span], host: Option<&str>) -> Vec<u8> {
    let mut resource = vec![text("service.name", NAME), text("service.version", VERSION)];
    resource.extend(host.map(|host| text("host.name", host)));
    let export = Export {
        resource_spans: [ResourceSpans {
            resource: Resource { attributes: resource },
            scope_spans: [ScopeSpans {
                scope: Scope { name: NAME, version: VERSION },
                spans: spans.iter().map(written).collect(),
            }],
        }],
    };
    serde_json::to_vec(&export).expect("strings and numbers are always JSON")
}

/// What a collector did not take of a request that it has answered well.
pub(super) fn rejected(answer: &[u8]) -> usize {
    let answer: Option<Answer> = serde_json::from_slice(answer).ok();
    let count = answer.and_then(|answer| answer.partial_success?.rejected_spans);
    count.and_then(|count| count.to_string().trim_matches('"').parse().ok()).unwrap_or(0)
}

fn written(span: &Span) -> Written<'_> {
    Written {
        trace_id: span.trace.to_string(),
        span_id: span.id.to_string(),
        trace_state: span.state.as_deref(),
        parent_span_id: span.parent.map(|parent| parent.to_string()),
        flags: SAMPLED | IS_TOLD | if span.parent_is_elsewhere { IS_ELSEWHERE } else { 0 },
        name: &span.name,
        kind: span.kind as u8,
        start_time_unix_nano: span.start.as_nanos().to_string(),
        end_time_unix_nano: span.end.as_nanos().to_string(),
        attributes: span.attributes.iter().map(|(key, value)| attribute(key, value)).collect(),
        status: Status { code: if span.is_error { ERROR } else { UNSET } },
    }
}

fn attribute<'a>(key: &'static str, value: &'a Value) -> Attribute<'a> {
    match value {
        Value::Word(word) => text(key, word),
        Value::Text(words) => text(key, words),
        Value::Number(number) => Attribute { key, value: Any::IntValue(number.to_string()) },
    }
}

fn text<'a>(key: &'static str, text: &'a str) -> Attribute<'a> {
    Attribute { key, value: Any::StringValue(text) }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Export<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Written<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    flags: u32,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute<'a>>,
    status: Status,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'static str,
    value: Any<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Any<'a> {
    StringValue(&'a str),
    IntValue(String),
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    partial_success: Option<PartialSuccess>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartialSuccess {
    /// A number, or a string of one.
    rejected_spans: Option<serde_json::Value>,
}

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// `Span.flags`: those of the trace, then whether it is told where the parent is, and where.
const SAMPLED: u32 = 1;
const IS_TOLD: u32 = 1 << 8;
const IS_ELSEWHERE: u32 = 1 << 9;
/// `Status.code`
const UNSET: u8 = 0;
const ERROR: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_rejected_is_a_number_or_a_string_of_one() {
        for (answer, expected) in [
            ("", 0),
            ("{}", 0),
            (r#"{"partialSuccess":{}}"#, 0),
            (r#"{"partialSuccess":{"rejectedSpans":"12","errorMessage":"no"}}"#, 12),
            (r#"{"partialSuccess":{"rejectedSpans":7}}"#, 7),
            (r#"{"partialSuccess":{"rejectedSpans":-7}}"#, 0),
            ("\u{a}\u{0}", 0),
        ] {
            assert_eq!(rejected(answer.as_bytes()), expected, "{answer}");
        }
    }
}

//! Somebody else's receiver: a good one, and what can be wrong with it.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each receiver is wrong in one way, and right in all others"
)]

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use hyper::{Method, Request, Response};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::support::daemon::SECRET;
use crate::support::site::{Content, Site, answer};

/// What is wrong with a receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// The token comes back as it stands in the query.
    EchoesRaw,
    /// The token is decoded, but for `+`.
    LeavesPlus,
    /// The token is decoded twice.
    DecodesTwice,
    /// The token stands in quotation marks, as JSON.
    Quotes,
    /// A newline stands behind the token.
    AddsNewline,
    /// Handshakes are answered with 202.
    Accepts,
    /// The token comes back as a page.
    IsHtml,
    /// Everything is somewhere else.
    Redirects,
    /// A wrong clientState is answered with 403.
    Forbids,
    /// Forged items are answered with another text than genuine ones.
    Tells,
    /// What is not understood is answered with 500.
    Fails,
    /// Items without `changeType` or `tenantId` are answered with 400.
    IsStrict,
    /// Many items are never answered.
    IsSlow,
    /// The connection breaks when resource data comes.
    Breaks,
    /// Nothing is ever answered.
    Hangs,
    /// Answers are longer than anybody wants to read.
    Babbles,
    /// Answers to handshakes hold control characters, markup, and what was received.
    Rants,
}

pub(super) struct Receiver(Fault);

/// Serves one, over plain HTTP; its URL.
pub(super) async fn receiver(fault: Fault) -> (Site, String) {
    let site = Site::open(None, |_| Arc::new(Receiver(fault))).await;
    let url = format!("{}/hook", site.origin);
    (site, url)
}

impl Content for Receiver {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Self(fault) = *self;
        match fault {
            Fault::Hangs => std::future::pending().await,
            Fault::Babbles => return answer(200, vec![b'a'; 100_000]),
            Fault::Redirects => return with(answer(307, ""), LOCATION, "/elsewhere"),
            _ => {}
        }
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return answer(405, "");
        }
        if head.headers.contains_key("content-encoding") {
            return answer(415, "");
        }
        #[expect(clippy::disallowed_methods, reason = "our own program asks, and it has a limit")]
        let Ok(body) = Limited::new(body, 8 << 20).collect().await else { return answer(413, "") };
        let query = head.uri.query().unwrap_or_default();
        match token(query) {
            Some(token) => self.handshake(query, token),
            None => self.notified(&body.to_bytes()).await,
        }
    }
}

impl Receiver {
    fn handshake(&self, query: &str, token: Option<String>) -> Response<Full<Bytes>> {
        let Self(fault) = *self;
        let raw = || query.split("validationToken=").last().unwrap_or_default().to_owned();
        let Some(token) = token.filter(|token| !token.contains(|c: char| c == '<' || c.is_control())) else {
            return answer(400, "");
        };
        let token = match fault {
            Fault::EchoesRaw => raw(),
            Fault::LeavesPlus => decoded(&raw().replace('+', "%2B")),
            Fault::DecodesTwice => decoded(&token),
            Fault::Quotes => Value::from(token).to_string(),
            Fault::AddsNewline => token + "\n",
            Fault::Rants => format!("\u{1b}[31m]]>&<script>\0{SECRET}{token}"),
            _ => token,
        };
        let response = answer(if fault == Fault::Accepts { 202 } else { 200 }, token);
        let response = with(response, HeaderName::from_static("x-content-type-options"), "nosniff");
        with(response, CONTENT_TYPE, if fault == Fault::IsHtml { "text/html" } else { "text/plain" })
    }

    async fn notified(&self, body: &[u8]) -> Response<Full<Bytes>> {
        #[derive(Deserialize)]
        struct Collection<'a> {
            #[serde(borrow)]
            value: Vec<&'a RawValue>,
        }
        let Self(fault) = *self;
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        let Ok(Collection { value }) = serde_json::from_slice(body) else {
            return answer(if fault == Fault::Fails { 500 } else { 400 }, "");
        };
        let items: Vec<Value> =
            value.iter().map(|item| serde_json::from_str(item.get()).unwrap_or_default()).collect();
        let has = |name: &str| items.iter().all(|item| item.get(name).is_some());
        let is_genuine = items.iter().all(|item| item["clientState"] == SECRET);
        match fault {
            Fault::IsSlow if items.len() > 50 => std::future::pending().await,
            Fault::Breaks if !items.iter().all(|item| item["encryptedContent"].is_null()) => {
                panic!("on purpose")
            }
            Fault::Forbids if !is_genuine => answer(403, "who are you?"),
            Fault::Tells if !is_genuine => answer(200, "forged"),
            Fault::IsStrict if !has("tenantId") || !has("changeType") => answer(400, ""),
            _ => answer(200, ""),
        }
    }
}

fn with(mut response: Response<Full<Bytes>>, name: HeaderName, value: &'static str) -> Response<Full<Bytes>> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

/// The token, decoded; `Some(None)` if there is one that cannot be.
fn token(query: &str) -> Option<Option<String>> {
    let values: Vec<&str> =
        query.split('&').filter_map(|pair| pair.strip_prefix("validationToken=")).collect();
    match values[..] {
        [] | [""] => None,
        [value] => {
            let is_broken = value.split('%').skip(1).any(|rest| {
                !rest.get(..2).is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            });
            let token = decoded(value);
            Some((!is_broken && !token.contains('\u{fffd}')).then_some(token))
        }
        _ => Some(None),
    }
}

fn decoded(text: &str) -> String {
    let pair = format!("t={}", text.replace('&', "%26"));
    url::form_urlencoded::parse(pair.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

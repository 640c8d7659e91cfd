//! The public URL, called as Graph does before it makes a subscription.

use std::{
    path::Path,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, DATE, HOST},
};
use uuid::Uuid;

use super::{
    report::{Check, Finding},
    visit::{Resolved, VisitError, connect, in_time, resolve, roots_of},
};
use crate::{
    client::converse, config::PublicUrl, error::Chain, listener::tls::Identity, simulate::handshake_token,
};

/// What was found, and what time the answer bore.
pub(super) async fn call(
    url: &PublicUrl,
    ours: &[Identity],
    ca: Option<&Path>,
) -> (Vec<Finding>, Option<SystemTime>) {
    let begun = Instant::now();
    match visit(url, ca).await {
        Ok(Seen { resolved, version, certificate, answer, date }) => {
            let mut findings = Vec::new();
            if !ours.is_empty() && !ours.iter().any(|identity| identity.leaf() == certificate) {
                let words = format!("{url} shows another certificate than the files hold");
                let advice = "does a proxy in between terminate TLS? Or does another machine have this name?";
                findings.push(Finding::warning(CHECK, words, advice));
            }
            let took = begun.elapsed().as_millis();
            let (address, dns) = (resolved.addresses[0].ip(), resolved.took.as_millis());
            findings.push(match answer {
                Ok(()) => {
                    let words = format!(
                        "{url}: at {address} (DNS {dns} ms), {version}, token echoed, {took} ms in all"
                    );
                    Finding::ok(CHECK, words)
                }
                Err((words, advice)) => Finding::failed(CHECK, format!("{url}: {words}"), advice),
            });
            (findings, date)
        }
        Err(error) => {
            let words = format!("{url}: {}", Chain(&error));
            (vec![Finding::failed(CHECK, words, advice(&error))], None)
        }
    }
}

/// What a visitor saw.
struct Seen {
    resolved: Resolved,
    version: &'static str,
    certificate: Vec<u8>,
    /// The handshake came out right, or else: how, and what to do.
    answer: Result<(), (String, &'static str)>,
    date: Option<SystemTime>,
}

async fn visit(url: &PublicUrl, ca: Option<&Path>) -> Result<Seen, VisitError> {
    let resolved = resolve(url.host(), url.port()).await?;
    let stream = connect(&resolved.addresses, url.host(), roots_of(ca)?).await?;
    let (_, tls) = stream.get_ref();
    let version = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(_) | None => "TLS 1.2",
    };
    let certificate =
        tls.peer_certificates().and_then(<[_]>::first).map(|der| der.to_vec()).unwrap_or_default();
    let (token, encoded) = handshake_token(&Uuid::now_v7().to_string());
    let request = Request::post(format!("{}?validationToken={encoded}", url.path()))
        .header(HOST, url.authority())
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .expect("a URL has a path and an authority");
    let (answer, date) = match in_time("the answer", converse(stream, request, ANSWER_BYTES_MAX)).await? {
        Ok(answer) => {
            let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
            (judge(&answer, &token), date.and_then(|date| httpdate::parse_http_date(date).ok()))
        }
        Err(broken) => (Err((Chain(&broken).to_string(), ASK_THE_LOG)), None),
    };
    Ok(Seen { resolved, version, certificate, answer, date })
}

/// 200, plain text, the token and nothing else: all of it is what Graph demands.
fn judge(answer: &Response<Bytes>, token: &str) -> Result<(), (String, &'static str)> {
    let status = answer.status();
    let media = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if status == StatusCode::NOT_FOUND {
        Err(("the answer is 404".to_owned(), "let its path be one of server.paths"))
    } else if status != StatusCode::OK {
        Err((format!("the answer is {status}"), ASK_THE_LOG))
    } else if !media.starts_with("text/plain") {
        Err((format!("the answer is {media:?}, not text/plain"), SOMEBODY_ELSE))
    } else if answer.body() != token.as_bytes() {
        Err(("the answer is not the token".to_owned(), SOMEBODY_ELSE))
    } else {
        Ok(())
    }
}

fn advice(error: &VisitError) -> &'static str {
    match error {
        VisitError::Name { .. } => "have the name entered in DNS, or mend server.public_url",
        VisitError::Connect { .. } => "it takes a running daemon, and a way from here to it and back in",
        VisitError::Late { .. } => "does a firewall swallow the packets? Some routers do not lead back in",
        VisitError::Trust(_) => "install the package ca-certificates, or name a PEM file with --ca",
        VisitError::Tls(error) => {
            let words = error.to_string();
            if words.contains("UnknownIssuer") {
                "Graph trusts public authorities only; for another, here, name it with --ca FILE"
            } else if words.contains("NotValidForName") {
                "have a certificate made for this host"
            } else if words.contains("Expired") {
                "renew the certificate"
            } else {
                ASK_THE_LOG
            }
        }
    }
}

const CHECK: Check = Check::PublicUrl;
const ASK_THE_LOG: &str =
    "is it graphhook that answers? Its log may tell why, or server.sources keeps you out";
const SOMEBODY_ELSE: &str = "something else answers at this URL: a proxy, or another program";
/// A token has some hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, media: &str, body: &'static str, words: Option<&str>) {
        let answer = Response::builder().status(status).header(CONTENT_TYPE, media);
        let answer = answer.body(Bytes::from_static(body.as_bytes())).expect("an answer");
        let judged = judge(&answer, "a b:c");
        match words {
            None => assert_eq!(judged, Ok(())),
            Some(words) => {
                assert!(judged.as_ref().is_err_and(|(said, _)| said.contains(words)), "{judged:?}")
            }
        }
    }

    #[test]
    fn only_the_token_alone_is_right() {
        check(200, "text/plain; charset=utf-8", "a b:c", None);
        check(200, "text/html", "a b:c", Some("not text/plain"));
        check(200, "text/plain", "a+b%3ac", Some("not the token"));
        check(200, "text/plain", "a b:c\n", Some("not the token"));
        check(404, "text/plain", "a b:c", Some("404"));
        check(503, "text/plain", "a b:c", Some("503"));
    }
}

//! Somebody else's receivers, which do not what Graph wants.

use std::fs;
use std::future::pending;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, LOCATION};
use hyper::{Request, Response};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Desk, everything, objects, said};
use crate::support::certs::{Authority, Files};
use crate::support::daemon::run;
use crate::support::ports::free;
use crate::support::site::{Content, Site, answer};

/// How a receiver answers.
#[derive(Clone, Copy)]
enum Manner {
    /// 202 to everything, over a connection for each POST.
    Closes,
    /// With this status.
    Status(u16),
    /// Never.
    Hangs,
    /// With something far too long.
    Babbles,
    /// With the token as it stands in the query, and this media type.
    Echoes(&'static str),
    /// With the token, decoded, in quotes.
    Quotes,
    /// With the token, and two types.
    Twice,
    /// Rightly.
    Proves,
}

impl Content for Manner {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let query = request.uri().query().unwrap_or_default();
        let raw = query.rsplit_once("validationToken=").map(|(_, raw)| raw.to_owned()).unwrap_or_default();
        let decoded = url::form_urlencoded::parse(query.as_bytes())
            .find_map(|(name, value)| (name == "validationToken").then(|| value.into_owned()))
            .unwrap_or_default();
        let typed = |media_type: &str, body: String| {
            let mut response = answer(200, body);
            response.headers_mut().insert(CONTENT_TYPE, media_type.parse().expect("a value"));
            response
        };
        match *self {
            Self::Closes => {
                let mut response = answer(202, "");
                response.headers_mut().insert(CONNECTION, "close".parse().expect("a value"));
                response
            }
            Self::Status(status) => {
                let mut response = answer(status, "");
                response.headers_mut().insert(LOCATION, "/elsewhere".parse().expect("a value"));
                response
            }
            Self::Hangs => pending().await,
            Self::Babbles => answer(200, vec![b'a'; 1 << 20]),
            Self::Echoes(media_type) => typed(media_type, raw),
            Self::Twice => {
                let mut response = typed("text/plain", decoded);
                response.headers_mut().append(CONTENT_TYPE, "text/html".parse().expect("a value"));
                response
            }
            Self::Quotes => typed("text/plain", format!("{decoded:?}\n")),
            Self::Proves => {
                // The URL's own query stands before the token.
                let body = if query.starts_with("a=b&") { decoded } else { String::new() };
                typed("text/plain; charset=utf-8", body)
            }
        }
    }
}

async fn notify(manner: Manner, more: &[&str]) -> (Option<i32>, String) {
    let site = Site::open(None, |_| Arc::new(manner)).await;
    let whom = ["simulate", "notify", &site.origin, "--no-client-state"];
    let output = run(&[&whom, more].concat(), &[]).await;
    (output.status.code(), said(&output))
}

#[tokio::test]
async fn each_wrong_answer_has_its_consequence() {
    let (code, told) = notify(Manner::Closes, &["--count", "3"]).await;
    assert!(code == Some(0) && told.ends_with("3 POSTs: all delivered\n"), "{told}");
    for (manner, more, words) in [
        (Manner::Status(500), &[][..], "500  "),
        (Manner::Status(500), &[], "not delivered: Graph sends it again for up to 4 h"),
        (Manner::Status(401), &[], "401  "),
        (Manner::Status(302), &[], "nothing says that Graph follows redirects"),
        (Manner::Hangs, &["--within", "300ms"], "no answer in 0.3 s; Graph waits 3 s\n"),
    ] {
        let (code, told) = notify(manner, more).await;
        assert_eq!(code, Some(1), "{words}: {told}");
        assert!(told.contains(words) && told.ends_with("1 POST: 0 delivered, 1 not\n"), "{words}: {told}");
    }
    // The status has said all that counts.
    let (code, told) = notify(Manner::Babbles, &["--count", "2"]).await;
    assert!(code == Some(0) && told.ends_with("2 POSTs: all delivered\n"), "{told}");
    let (_, told) = notify(Manner::Status(503), &["--json", "--items", "2"]).await;
    let post = &objects(&told)[0];
    assert_eq!(
        (&post["status"], &post["delivered"], &post["items"]),
        (&503.into(), &false.into(), &2.into())
    );
    let (_, told) = notify(Manner::Hangs, &["--json", "--within", "300ms"]).await;
    let post = &objects(&told)[0];
    assert_eq!((&post["status"], &post["took_ms"]), (&Value::Null, &Value::Null));
    assert_eq!(post["error"], "no answer in 0.3 s");
}

#[tokio::test]
async fn nobody_there_is_told_and_so_is_who_cannot_be_believed() {
    let [port] = free();
    let url = format!("https://127.0.0.1:{port}/");
    for verb in ["notify", "batch", "lifecycle", "rich", "storm"] {
        let output = run(&["simulate", verb, &url, "--no-client-state"], &[]).await;
        let told = everything(&output);
        assert_eq!(output.status.code(), Some(1), "{verb}: {told}");
        assert!(told.contains("no connection"), "{verb}: {told}");
    }
    let desk = Desk::open().await;
    let other = tempfile::tempdir().expect("a directory");
    let other = Authority::generate().write_into(other.path()).ca;
    let told = desk.simulate("notify", &["--insecure"]).await;
    assert_eq!(told.status.code(), Some(2), "--ca and --insecure contradict each other");
    let url = format!("https://{}/graph/notifications", desk.daemon.public());
    let ca = other.to_str().expect("UTF-8");
    let output = run(&["simulate", "notify", &url, "--no-client-state", "--ca", ca], &[]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("(no TLS: "), "{}", said(&output));
}

/// A server that shows an authority's own certificate: beginners sign one with `openssl req -x509`.
fn self_signed(directory: &Path) -> Files {
    let mut files = Authority::generate().write_into(directory);
    let mut parameters = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    parameters.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    fs::write(&files.certificate, certificate.pem()).expect("written");
    fs::write(&files.key, key.serialize_pem()).expect("written");
    files.ca = files.certificate.clone();
    files
}

#[tokio::test]
async fn the_first_errors_come_with_advice() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let files = Authority::generate().write_into(one.path());
    let own = self_signed(other.path());
    let [plain, tls, selfish] =
        [None, Some(&files), Some(&own)].map(|files| Site::open(files, |_| Arc::new(Manner::Status(202))));
    let (plain, tls, selfish) = (plain.await, tls.await, selfish.await);
    let [wrong, right] = [&own.ca, &files.ca].map(|ca| ca.to_str().expect("UTF-8"));
    let swapped = |origin: &str, from: &str, to: &str| origin.replacen(from, to, 1);
    let named = swapped(&tls.origin, "127.0.0.1", "127.0.0.3");
    let address = tls.origin.trim_start_matches("https://");
    for (url, more, words) in [
        (tls.origin.clone(), &[][..], "with --ca FILE, or believe every certificate with --insecure"),
        (tls.origin.clone(), &["--ca", wrong], "with --ca FILE, or believe"),
        (selfish.origin.clone(), &["--ca", wrong], "certificate of an authority (CA:TRUE) as its own"),
        (named, &["--ca", right, "--connect", address], "the certificate is for another name"),
        (swapped(&plain.origin, "http:", "https:"), &["--insecure"], "does it speak TLS there?"),
        (swapped(&tls.origin, "https:", "http:"), &[], "the URL begins with https://"),
        ("http://127.0.0.1:1/".to_owned(), &[], "nobody listens there"),
    ] {
        for verb in ["handshake", "notify", "conformance"] {
            let state: &[&str] = if verb == "handshake" { &[] } else { &["--no-client-state"] };
            let only: &[&str] = if verb == "conformance" { &["--only", "post/message"] } else { &[] };
            let count: &[&str] = if verb == "notify" { &["--count", "2"] } else { &[] };
            let output = run(&[&["simulate", verb, &url], more, state, only, count].concat(), &[]).await;
            let told = everything(&output);
            assert_eq!(output.status.code(), Some(1), "{verb} {url}: {told}");
            assert_eq!(told.matches(words).count(), 1, "{verb} {url}: {told}");
        }
    }
}

#[tokio::test]
async fn each_thing_that_is_wrong_with_a_handshake_is_named() {
    for (manner, words) in [
        (Manner::Proves, &["passed: the token came back after"][..]),
        (Manner::Echoes("text/plain"), &["the token came back encoded"]),
        (Manner::Echoes("text/html"), &["Content-Type is text/html", "came back encoded"]),
        (Manner::Quotes, &["in quotes"]),
        (Manner::Status(202), &["202 Accepted, not 200", "Content-Type is not there", "is empty"]),
        (Manner::Status(302), &["a redirect proves nothing"]),
        (Manner::Babbles, &["the answer is not the token"]),
        (Manner::Twice, &["the answer has two Content-Types"]),
    ] {
        let site = Site::open(None, |_| Arc::new(manner)).await;
        let url = format!("{}/hook?a=b", site.origin);
        let output = run(&["simulate", "handshake", &url, "--count", "2"], &[]).await;
        let told = said(&output);
        let is_good = words[0].starts_with("passed");
        assert_eq!(output.status.code(), Some(i32::from(!is_good)), "{told}");
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(words.iter().all(|words| told.contains(words)), "{words:?}: {told}");
    }
    let site = Site::open(None, |_| Arc::new(Manner::Hangs)).await;
    let output = run(&["simulate", "handshake", &site.origin, "--within", "200ms", "--json"], &[]).await;
    let told = &objects(&said(&output))[0];
    let wrong = "no answer in 0.2 s; Graph waits 10 s";
    assert_eq!((&told["passed"], &told["wrong"][0]), (&false.into(), &wrong.into()));
    let output = run(&["simulate", "handshake", &site.origin, "--within", "200ms"], &[]).await;
    assert_eq!((output.status.code(), said(&output)), (Some(1), format!("failed: {wrong}\n")));
}

#[tokio::test]
async fn a_token_of_ones_own_comes_back_as_it_was() {
    let desk = Desk::open().await;
    let ca = desk.daemon.ca().to_str().expect("UTF-8");
    let url = format!("https://{}/graph/notifications?own=1", desk.daemon.public());
    for token in ["a+b %41 %2541", "Grüße & mehr=1"] {
        let output = run(&["simulate", "handshake", &url, "--ca", ca, "--token", token, "--json"], &[]).await;
        assert_eq!(output.status.code(), Some(0), "{token}: {}", everything(&output));
        assert_eq!(objects(&said(&output))[0]["passed"], true);
    }
}

/// Answers everything with "early hints", on and on; the connection tells when it is gone.
async fn flood(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    // What comes before a request is no answer to it.
    stream.read_exact(&mut [0; 4]).await.expect("a request");
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
    while stream.write_all(hints.as_bytes()).await.is_ok() {}
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let mut floods = JoinSet::new();
    floods.spawn(flood(listener));
    let output = run(&["simulate", "notify", &url, "--no-client-state", "--within", "1h"], &[]).await;
    let told = everything(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("not reached: Graph tries again for up to 4 h (the answer breaks off)"), "{told}");
    floods.join_all().await;
}

//! N13: proxies say whom they speak for, and nobody else is believed.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{behind_proxy, failed, header};
use crate::support::daemon::Daemon;
use crate::support::graph::{PATH, collection, created, post};

const VERSION_2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x00\x01\x01\xbb";

#[tokio::test]
async fn both_versions_of_the_header_name_the_client() {
    let daemon = behind_proxy(Daemon::configure().without_broker(), "proxy_protocol")
        .set("log", "level", "\"debug\"")
        .start()
        .await;
    let first = daemon.client().saying(header("203.0.113.9"));
    assert_eq!(post(&first, [created("v1")]).await.status, 202);
    daemon.eventually_logs("203.0.113.9").await;
    let second = daemon.client().saying(VERSION_2.chunks(5));
    assert_eq!(post(&second, [created("v2")]).await.status, 202);
    daemon.eventually_logs("192.0.2.7").await;
    let bytes = daemon.client().saying(VERSION_2.chunks(1));
    assert_eq!(post(&bytes, [created("byte by byte")]).await.status, 202);
    let local = daemon.client().saying([b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"]);
    assert_eq!(post(&local, [created("a health check")]).await.status, 202);
}

/// The list of sources is for clients, and the proxy speaks for none.
#[tokio::test]
async fn health_checks_of_a_proxy_pass_whatever_the_sources() {
    let configuration = behind_proxy(Daemon::configure().without_broker(), "proxy_protocol")
        .set("server.sources", "mode", "\"enforce\"")
        .set("server.sources", "networks", r#"["203.0.113.0/24"]"#);
    let daemon = configuration.start().await;
    for itself in [&b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"[..], b"PROXY UNKNOWN\r\n"] {
        assert!(daemon.client().saying([itself]).connect().await.is_ok(), "{}", itself.escape_ascii());
    }
    assert!(daemon.client().saying(header("203.0.113.9")).connect().await.is_ok());
    assert!(daemon.client().saying(header("192.0.2.7")).connect().await.is_err());
}

#[tokio::test]
async fn without_a_good_header_there_is_no_connection() {
    let daemon = behind_proxy(Daemon::configure().without_broker(), "proxy_protocol").start().await;
    let mut wrong: Vec<Vec<u8>> = [
        "PROXY TCP4 nobody 198.51.100.1 1 2\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 1 2\nGET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    // Version 2 with a length that leaves no room for its addresses, and with one beyond all measure.
    wrong.push([&VERSION_2[..15], b"\x04\x01\x02\x03\x04"].concat());
    wrong.push([&VERSION_2[..14], b"\xff\xff"].concat());
    let count = wrong.len();
    for header in wrong {
        let refused = daemon.client().saying([&header]).connect().await;
        assert!(refused.is_err(), "{}", header.escape_ascii());
    }
    // Without any header, TLS is none.
    assert!(daemon.client().connect().await.is_err());
    daemon.eventually_metric(&failed("proxy_header"), |failed| failed == count as f64 + 1.0).await;
}

/// What is slow is named by what it is slow with.
#[tokio::test]
async fn a_slow_header_is_no_slow_handshake() {
    let daemon = behind_proxy(Daemon::configure().without_broker(), "proxy_protocol")
        .set("server.limits", "handshake_within", "\"1s\"")
        .start()
        .await;
    let timeout = r#"graphhook_tls_handshakes_total{result="timeout",version="none"}"#;
    let mut header_is_slow = TcpStream::connect(daemon.public()).await.expect("a connection");
    header_is_slow.write_all(b"PROXY TCP4 ").await.expect("a connection");
    daemon.eventually_metric(&failed("proxy_header"), |failed| failed == 1.0).await;
    let metrics = daemon.metrics().await;
    assert_eq!((metrics.sum(timeout), metrics.sum(&failed("tls_timeout"))), (0.0, 0.0));
    let mut handshake_is_slow = TcpStream::connect(daemon.public()).await.expect("a connection");
    handshake_is_slow.write_all(header("203.0.113.9")[0].as_bytes()).await.expect("a connection");
    daemon.eventually_metric(&failed("tls_timeout"), |failed| failed == 1.0).await;
    let metrics = daemon.metrics().await;
    assert_eq!((metrics.sum(timeout), metrics.sum(&failed("proxy_header"))), (1.0, 1.0));
}

#[tokio::test]
async fn strangers_cannot_speak_for_others() {
    let configuration = behind_proxy(Daemon::configure().without_broker(), "proxy_protocol").set(
        "server",
        "trusted_proxies",
        r#"["10.0.0.0/8"]"#,
    );
    let daemon = configuration.start().await;
    assert!(daemon.client().saying(header("203.0.113.9")).connect().await.is_err());
    daemon.eventually_metric(&failed("proxy_header"), |failed| failed == 1.0).await;
}

/// N6 behind a proxy: what comes after the header is read as strictly as without.
#[tokio::test]
async fn nothing_is_smuggled_behind_a_header() {
    let daemon = behind_proxy(Daemon::configure().without_broker(), "proxy_protocol").start().await;
    let hidden = collection([created("hidden")]);
    let length = hidden.len();
    let mut raw = daemon.client().saying(header("203.0.113.9")).raw().await;
    raw.send(format!("POST {PATH} HTTP/1.1\nHost: h\r\nContent-Length: {length}\r\n\r\n{hidden}")).await;
    let answer = raw.read_to_end().await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", answer.escape_ascii());
}

#[tokio::test]
async fn headers_of_requests_are_believed_of_trusted_proxies_only() {
    for (client_address, name, value) in [
        ("x_forwarded_for", "x-forwarded-for", "198.51.100.200, 203.0.113.9, 127.0.0.1"),
        ("forwarded", "forwarded", "for=198.51.100.200, for=203.0.113.9;proto=https, for=127.0.0.1"),
    ] {
        let configuration = behind_proxy(Daemon::configure().without_broker(), client_address)
            .set("server.sources", "mode", "\"enforce\"")
            .set("server.sources", "networks", r#"["203.0.113.0/24"]"#);
        let daemon = configuration.start().await;
        let client = daemon.client();
        let send = async |headers: &[(&str, &str)]| {
            client.post(PATH, headers, collection([created("x")])).await.status
        };
        assert_eq!(send(&[(name, value)]).await, 202, "{name}");
        assert_eq!(send(&[(name, "198.51.100.200")]).await, 403, "{name}");
        assert_eq!(send(&[(name, "203.0.113.9, for=garbage, 127.0.0.1")]).await, 403, "{name}");
        assert_eq!(send(&[]).await, 403, "{name}: nobody is named");
    }
}

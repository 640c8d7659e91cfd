//! What is no TLS, or none that we speak, or half of it (N3, N5).

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{check_nothing_was_seen, daemon, hidden};
use crate::support::daemon::Daemon;
use crate::support::eventually::within;
use crate::support::frames::PREFACE;
use crate::support::process;

/// Connections whose handshake failed, and those that took too long for it.
const FAILED: &str = r#"graphhook_connections_failed_total{reason="tls_error"}"#;
const LATE: &str = r#"graphhook_connections_failed_total{reason="tls_timeout"}"#;

/// The first words of a good handshake.
fn hello(daemon: &Daemon) -> Vec<u8> {
    let name = ServerName::try_from("localhost").expect("it is a name");
    let mut connection = ClientConnection::new(daemon.client().tls(), name).expect("the name is enough");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).expect("a vector takes all");
    hello
}

/// The first words of a handshake of this version, from before there were extensions.
fn old_hello(version: [u8; 2]) -> Vec<u8> {
    let suites = [0x00, 0x2f, 0x00, 0x35, 0x00, 0x0a];
    let hello = [&version, [7; 32].as_slice(), &[0, 0, 6], &suites, &[1, 0]].concat();
    record(version, &[&[1, 0, 0, u8::try_from(hello.len()).expect("short")], hello.as_slice()].concat())
}

/// A record of the handshake.
fn record(version: [u8; 2], content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("a record is short").to_be_bytes();
    [&[0x16], version.as_slice(), &length, content].concat()
}

/// Sends these bytes and reads until the server closes the connection, which must not wait for us.
async fn answer(daemon: &Daemon, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(daemon.public()).await.expect("the server takes connections");
    // The server may be gone before the last byte.
    stream.write_all(bytes).await.ok();
    let mut answer = Vec::new();
    within(Duration::from_secs(60), "the end of a connection", stream.read_to_end(&mut answer)).await.ok();
    answer
}

/// What the log says, but for the broker that is not there.
fn said(daemon: &Daemon) -> usize {
    daemon.log().lines().filter(|line| !line.contains("broker not connected")).count()
}

#[tokio::test]
async fn what_is_no_tls_is_closed_and_counted() {
    let configuration = Daemon::configure().without_broker();
    let daemon = configuration.set("server.limits", "handshake_within", "\"60s\"").start().await;
    let (v3, v10, v11, v12) = ([3, 0], [3, 1], [3, 2], [3, 3]);
    let sslv2 = [&[0x80, 0x1c, 1, 0, 2, 0, 3, 0, 0, 0, 0x10, 1, 0, 0x80], [7; 16].as_slice()].concat();
    let sslv2_frame = [&[0x80, 0x1c, 1, 3, 1, 0, 3, 0, 0, 0, 0x10, 0, 0, 0x2f], [7; 16].as_slice()].concat();
    let huge = [vec![1, 0xff, 0xff, 0xff], vec![0; 12_000]].concat();
    let extensions = [&v12, [7; 32].as_slice(), &[0, 0, 2, 0x13, 1, 1, 0, 0xff, 0xff], &[0; 9000]].concat();
    let extensions = [&[1, 0, 0x23, 0x53], extensions.as_slice()].concat();
    let cases = [
        ("plain HTTP", hidden().into_bytes()),
        ("plain HTTP/2", PREFACE.to_vec()),
        ("another protocol", b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()),
        ("a PROXY header", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n".to_vec()),
        ("zeros", vec![0; 1000]),
        ("ones", vec![0xff; 1000]),
        ("noise", (0..1000_u32).map(|number| (number * number % 251) as u8).collect()),
        ("SSLv2", sslv2),
        ("TLS 1.0 as SSLv2 said it", sslv2_frame),
        ("SSLv3", old_hello(v3)),
        ("TLS 1.0", old_hello(v10)),
        ("TLS 1.1", old_hello(v11)),
        ("TLS 1.2 without a suite in common", old_hello(v12)),
        ("a record without measure", [[0x16, 3, 1, 0xff, 0xff].as_slice(), &[0; 1000]].concat()),
        ("a hello without measure", record(v10, &huge).repeat(20)),
        ("extensions without measure", record(v10, &extensions)),
        ("data first", [0x17, 3, 3, 0, 1, 0].repeat(10)),
        ("an alert first", vec![0x15, 3, 3, 0, 2, 2, 40]),
        ("a heartbeat first", vec![0x18, 3, 3, 0, 3, 1, 0xff, 0xff]),
        ("nothing but empty records", record(v12, &[]).repeat(1000)),
        ("nothing but changes of cipher", [0x14, 3, 3, 0, 1, 1].repeat(1000)),
        ("an answer instead of a question", record(v12, &[2, 0, 0, 4, 3, 3, 0, 0])),
        ("a hello, and then another", [hello(&daemon), hello(&daemon)].concat()),
    ];
    daemon.eventually_logs("graphhook is serving").await;
    let before = said(&daemon);
    for (what, bytes) in &cases {
        let answer = answer(&daemon, bytes).await;
        assert!(!answer.windows(5).any(|bytes| bytes == b"HTTP/"), "{what}");
    }
    daemon.eventually_metric(FAILED, |failed| failed == cases.len() as f64).await;
    assert_eq!(said(&daemon), before, "the log does not fill with strangers: {}", daemon.log());
    check_nothing_was_seen(&daemon).await;
}

#[tokio::test]
async fn names_that_are_none_do_no_harm() {
    let daemon = daemon().await;
    let hello = hello(&daemon);
    let at = hello.windows(9).position(|bytes| bytes == b"localhost").expect("it asks for the name");
    for name in [
        b"local\0ost",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"LOCALHOST",
        b"a..b...c.",
        b"127.0.0.1",
        b"[::1]:443",
        b"../../etc",
    ] {
        let mut patched = hello.clone();
        patched[at..at + 9].copy_from_slice(name);
        let mut stream = TcpStream::connect(daemon.public()).await.expect("the server takes connections");
        stream.write_all(&patched).await.expect("the server reads");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert!(matches!(answer, [0x15 | 0x16, 3, ..]), "neither a hello nor an alert: {answer:?}");
    }
    check_nothing_was_seen(&daemon).await;
}

/// N3: whoever stops in the middle of it has its time, and no more.
#[tokio::test]
async fn half_a_handshake_has_its_time() {
    let configuration = Daemon::configure().without_broker();
    let daemon = configuration.set("server.limits", "handshake_within", "\"500ms\"").start().await;
    let hello = hello(&daemon);
    let mut halves = JoinSet::new();
    let lengths = [0, 1, 5, 6, hello.len() / 2, hello.len() - 1, hello.len()];
    for length in lengths {
        let mut stream = TcpStream::connect(daemon.public()).await.expect("the server takes connections");
        stream.write_all(&hello[..length]).await.expect("the server reads");
        halves.spawn(async move { stream.read_to_end(&mut Vec::new()).await.ok() });
    }
    within(Duration::from_secs(60), "the ends of all", halves.join_all()).await;
    daemon.eventually_metric(LATE, |late| late == lengths.len() as f64).await;
}

/// A handshake within a connection (TLS 1.2) is not begun, and costs nothing but that connection.
#[tokio::test]
async fn nothing_is_negotiated_again() {
    let daemon = daemon().await;
    let mut client = Command::new("openssl");
    client.args(["s_client", "-tls1_2", "-connect", &daemon.public().to_string()]);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = client.spawn().expect("openssl can be started");
    // Its command to begin again. It would end with its input.
    client.stdin.as_mut().expect("it is piped").write_all(b"R\n").expect("openssl reads");
    let ended = process::exit_within(&mut client, Duration::from_secs(60)).await;
    assert_eq!(ended.map(|status| status.success()), Some(false));
    let output = client.wait_with_output().expect("it has ended");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
    check_nothing_was_seen(&daemon).await;
}

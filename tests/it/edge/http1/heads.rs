//! The head of a request: its first line, its fields, its ends of lines.

use super::Then::{Closes, GoesOn, Refused};
use super::{Then, check};
use crate::edge::BODY;
use crate::support::graph::PATH;

/// A good POST but for its first line; `PATH` stands for the path.
fn line(line: &str, then: Then) -> (Vec<u8>, Then) {
    whole(&format!("{line}\r\nHost: h\r\nContent-Length: 12\r\n\r\n{BODY}"), then)
}

/// The same without a body: one that nobody reads ends the connection if it has not come by then.
fn bare(line: &str, then: Then) -> (Vec<u8>, Then) {
    whole(&format!("{line}\r\nHost: h\r\n\r\n"), then)
}

/// A good POST with these bytes among its fields.
fn field(field: impl AsRef<[u8]>, then: Then) -> (Vec<u8>, Then) {
    let begin = format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n");
    let end = format!("\r\nContent-Length: 12\r\n\r\n{BODY}");
    ([begin.as_bytes(), field.as_ref(), end.as_bytes()].concat(), then)
}

/// All bytes of a request.
fn whole(request: &str, then: Then) -> (Vec<u8>, Then) {
    (request.replace("PATH", PATH).into_bytes(), then)
}

#[tokio::test]
async fn a_first_line_has_three_words() {
    check([
        line("POST PATH HTTP/1.1", GoesOn(202)),
        line("POST PATH?a=b&c HTTP/1.1", GoesOn(202)),
        line("POST  PATH HTTP/1.1", Refused),
        line("POST PATH  HTTP/1.1", Refused),
        line("POST\tPATH HTTP/1.1", Refused),
        line("POST PATH\tHTTP/1.1", Refused),
        line("POST\u{b}PATH HTTP/1.1", Refused),
        line("POST PATH HTTP/1.1 ", Refused),
        line(" POST PATH HTTP/1.1", Refused),
        line("\tPOST PATH HTTP/1.1", Refused),
        line("POST PATH x HTTP/1.1", Refused),
        line("POST PATH", Refused),
        line("POST HTTP/1.1", Refused),
        line("POST", Refused),
        line("PATH", Refused),
        line("HTTP/1.1 200 OK", Refused),
        line("\0POST PATH HTTP/1.1", Refused),
        line("PO\0ST PATH HTTP/1.1", Refused),
        line("P\u{f6}ST PATH HTTP/1.1", Refused),
        line("POST\r PATH HTTP/1.1", Refused),
        line("POST PATH\r HTTP/1.1", Refused),
        line("POST PATH HTTP/1.1\r", Refused),
    ])
    .await;
}

#[tokio::test]
async fn a_version_is_one_that_we_speak() {
    check([
        line("POST PATH HTTP/1.0", Closes(202)),
        line("POST PATH HTTP/1.0\r\nConnection: keep-alive", GoesOn(202)),
        line("POST PATH HTTP/1.0\r\nTransfer-Encoding: chunked", Refused),
        line("POST PATH HTTP/1.1\r\nConnection: close", Closes(202)),
        line("POST PATH HTTP/1.1\r\nConnection: keep-alive, close", Closes(202)),
        line("POST PATH HTTP/1.1\r\nConnection: close\r\nConnection: keep-alive", Closes(202)),
        whole("GET /healthz HTTP/1.0\r\n\r\n", Closes(200)),
        whole("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", GoesOn(200)),
        whole("GET /healthz\r\n", Refused),
        whole("GET /healthz\r\n\r\n", Refused),
        line("POST PATH HTTP/0.9", Refused),
        line("POST PATH HTTP/1.2", Refused),
        line("POST PATH HTTP/1.10", Refused),
        line("POST PATH HTTP/1.01", Refused),
        line("POST PATH HTTP/01.1", Refused),
        line("POST PATH HTTP/1", Refused),
        line("POST PATH HTTP/1.", Refused),
        line("POST PATH HTTP/1,1", Refused),
        line("POST PATH HTTP/11", Refused),
        line("POST PATH HTTP/-1.1", Refused),
        line("POST PATH HTTP/2.0", Refused),
        line("POST PATH HTTP/2", Refused),
        line("POST PATH HTTP/3", Refused),
        line("POST PATH http/1.1", Refused),
        line("POST PATH HTTP /1.1", Refused),
        line("POST PATH HTTP/ 1.1", Refused),
        line("POST PATH HTTPS/1.1", Refused),
        line("POST PATH ICAP/1.0", Refused),
        line("POST PATH HTTP/1.1x", Refused),
        line("POST PATH HTTP/1.1\0", Refused),
    ])
    .await;
}

#[tokio::test]
async fn methods_that_we_do_not_know_are_told_so() {
    let (long, far_too_long) = ("A".repeat(1000), "A".repeat(200 << 10));
    check([
        bare("post PATH HTTP/1.1", GoesOn(405)),
        bare("Post PATH HTTP/1.1", GoesOn(405)),
        bare("POSTS PATH HTTP/1.1", GoesOn(405)),
        bare("TRACE PATH HTTP/1.1", GoesOn(405)),
        bare("TRACK PATH HTTP/1.1", GoesOn(405)),
        bare("DEBUG PATH HTTP/1.1", GoesOn(405)),
        bare("PRI PATH HTTP/1.1", GoesOn(405)),
        bare("!#$%&'*+-.^_`|~ PATH HTTP/1.1", GoesOn(405)),
        bare(&format!("{long} PATH HTTP/1.1"), GoesOn(405)),
        line(&format!("{far_too_long} PATH HTTP/1.1"), Closes(431)),
        line("PO(ST PATH HTTP/1.1", Refused),
        line("PO:ST PATH HTTP/1.1", Refused),
        line("\"POST\" PATH HTTP/1.1", Refused),
        whole("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", GoesOn(404)),
        bare("CONNECT PATH HTTP/1.1", GoesOn(405)),
        bare("PRI * HTTP/1.1", GoesOn(404)),
    ])
    .await;
}

#[tokio::test]
async fn targets_are_paths() {
    check([
        line("POST https://h/graph/notifications HTTP/1.1", GoesOn(202)),
        line("POST HTTPS://H:443/graph/notifications HTTP/1.1", GoesOn(202)),
        line("POST http://other/graph/notifications HTTP/1.1", GoesOn(202)),
        bare("POST https://h HTTP/1.1", GoesOn(404)),
        line("POST https:///graph/notifications HTTP/1.1", Refused),
        bare("POST h:443 HTTP/1.1", GoesOn(404)),
        bare("POST h HTTP/1.1", GoesOn(404)),
        bare("POST * HTTP/1.1", GoesOn(404)),
        bare("OPTIONS * HTTP/1.1", GoesOn(404)),
        line("POST graph/notifications HTTP/1.1", Refused),
        line("POST ?validationToken=x HTTP/1.1", Refused),
        bare("POST //graph/notifications HTTP/1.1", GoesOn(404)),
        bare("POST /./graph/notifications HTTP/1.1", GoesOn(404)),
        bare("POST /x/../graph/notifications HTTP/1.1", GoesOn(404)),
        bare("POST /%67raph/notifications HTTP/1.1", GoesOn(404)),
        bare("POST /graph%2fnotifications HTTP/1.1", GoesOn(404)),
        line("POST \\graph\\notifications HTTP/1.1", Refused),
        bare("POST PATH;x HTTP/1.1", GoesOn(404)),
        bare("POST PATH%00 HTTP/1.1", GoesOn(404)),
        line("POST PATH\0 HTTP/1.1", Refused),
        line("POST PATH\u{1} HTTP/1.1", Refused),
        line("POST PATH\u{7f} HTTP/1.1", Refused),
        // Hyper drops these without a word; the request is cut in the same place all the same.
        line("POST PATH#x HTTP/1.1", GoesOn(202)),
        line("POST ://h/graph/notifications HTTP/1.1", GoesOn(202)),
    ])
    .await;
}

#[tokio::test]
async fn fields_are_a_name_a_colon_and_text() {
    check([
        field("X: y", GoesOn(202)),
        field("X:", GoesOn(202)),
        field("X: a\tb", GoesOn(202)),
        field(b"X: \x80\xff", GoesOn(202)),
        field("!#$%&'*+-.^_`|~: y", GoesOn(202)),
        field("X", Refused),
        field("X y", Refused),
        field(":", Refused),
        field(": y", Refused),
        field("X : y", Refused),
        field("X\t: y", Refused),
        field("X y: z", Refused),
        field(" X: y", Refused),
        field("\tX: y", Refused),
        field("X: y\r\n z", Refused),
        field("X: y\r\n\tz", Refused),
        field("X: y\r\n \r\nZ: z", Refused),
        field("X:\r\n y", Refused),
        field("(X): y", Refused),
        field("X/Y: z", Refused),
        field("X=Y: z", Refused),
        field("\"X\": y", Refused),
        field("X\0: y", Refused),
        field("X\u{1}: y", Refused),
        field("X\u{7f}: y", Refused),
        field("X\u{e9}: y", Refused),
        field(b"X\xff: y", Refused),
        field("X: a\0b", Refused),
        field("X: a\u{1}b", Refused),
        field("X: a\u{b}b", Refused),
        field("X: a\u{1b}b", Refused),
        field("X: a\u{7f}b", Refused),
        field("X: a\rb", Refused),
        field("X: a\r", Refused),
        field("X: a\r\r", Refused),
        field("X\r: y", Refused),
        field("\rX: y", Refused),
        field("X: y\r\n".repeat(90) + "X: y", GoesOn(202)),
        field("X: y\r\n".repeat(100) + "X: y", Closes(431)),
        field(format!("X: {}", "y".repeat(200 << 10)), Closes(431)),
        field(format!("{}: y", "x".repeat(200 << 10)), Closes(431)),
    ])
    .await;
}

#[tokio::test]
async fn wishes_are_granted_or_ignored() {
    check([
        field("Expect: 100-continue", GoesOn(202)),
        field("Expect: 100-Continue", GoesOn(202)),
        field("Expect: a miracle", GoesOn(202)),
        field("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13", GoesOn(202)),
        field("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", GoesOn(202)),
        field("Upgrade: TLS/1.0", GoesOn(202)),
        field("Connection: content-length", GoesOn(202)),
        field("TE: trailers", GoesOn(202)),
        field("X-HTTP-Method-Override: DELETE", GoesOn(202)),
        field("X-Original-URL: /healthz", GoesOn(202)),
        line("\r\nPOST PATH HTTP/1.1", GoesOn(202)),
        line("\r\n\r\n\r\nPOST PATH HTTP/1.1", GoesOn(202)),
    ])
    .await;
}

#[tokio::test]
async fn a_host_that_may_be_absent_is_not_asked_for() {
    check([
        whole("POST PATH HTTP/1.0\r\nContent-Length: 12\r\n\r\n{\"value\":[]}", Closes(202)),
        whole("GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", GoesOn(200)),
        whole("GET /healthz HTTP/1.1\r\nHost: h:443\r\n\r\n", GoesOn(200)),
        whole("GET /healthz HTTP/1.1\r\nHost: [::1]:443\r\n\r\n", GoesOn(200)),
        whole("GET /healthz HTTP/1.1\r\nhOST:h\r\n\r\n", GoesOn(200)),
    ])
    .await;
}

/// What hyper takes for good, or does not show us.
#[tokio::test]
async fn what_others_might_read_otherwise_is_refused() {
    check([
        // Ends of lines without CR.
        whole("\nPOST PATH HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\r\n{\"value\":[]}", Refused),
        line("POST PATH HTTP/1.1\n", Refused),
        line("POST PATH HTTP/1.1\nX: y", Refused),
        field("X: y\nZ: z", Refused),
        field("X: y\n", Refused),
        field("\n", Refused),
        whole("POST PATH HTTP/1.1\r\nHost: h\r\nContent-Length: 12\n\r\n{\"value\":[]}", Refused),
        whole("POST PATH HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\n\n{\"value\":[]}", Refused),
        whole("POST PATH HTTP/1.1\nHost: h\nContent-Length: 12\n\n{\"value\":[]}", Refused),
        // No host, and two.
        whole("GET /healthz HTTP/1.1\r\n\r\n", Refused),
        whole("GET https://h/healthz HTTP/1.1\r\n\r\n", Refused),
        field("Host: h", Refused),
        field("Host: other", Refused),
        field("host:", Refused),
        // Two lengths, even if one is what we go by.
        field("Content-Length: 12", Refused),
        whole("POST PATH HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 22\r\n\r\nc\r\n{\"value\":[]}\r\n0\r\n\r\n", Refused),
        whole("POST PATH HTTP/1.1\r\nHost: h\r\nContent-Length: 22\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{\"value\":[]}\r\n0\r\n\r\n", Refused),
        whole("POST PATH HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{\"value\":[]}\r\n0\r\n\r\n", Refused),
        whole("POST PATH HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: x\r\n\r\nc\r\n{\"value\":[]}\r\n0\r\n\r\n", Refused),
    ])
    .await;
}

/// Names of hosts that cannot be any.
#[tokio::test]
async fn hosts_that_cannot_be_are_refused() {
    let host = |host: &str| whole(&format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"), Refused);
    check(
        ["a b", "a/b", "a@b", "h:port", "h:99999999", "[::1", "a\tb", "a?b", "a#b", "<h>", "\u{e9}"]
            .map(host),
    )
    .await;
}

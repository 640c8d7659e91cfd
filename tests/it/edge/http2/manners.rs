//! How a connection begins, and how it ends.

use super::{body, check_nothing_was_seen, daemon, head, health, hidden};
use crate::support::daemon::Daemon;
use crate::support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, MAX_FRAME_SIZE, PING, PREFACE, SETTINGS,
    frame, setting,
};
use crate::support::graph::{collection, created};

/// Section 3.4. That SETTINGS come next is not insisted on by h2.
#[tokio::test]
async fn who_does_not_begin_as_one_must_is_not_heard() {
    let configuration = Daemon::configure().without_broker();
    let daemon = configuration.set("server.limits", "header_within", "\"1s\"").start().await;
    let asks = [head(1), hidden(1)].concat();
    let settings = frame(SETTINGS, 0, 0, "");
    let wrong = b"PRI * HTTP/2.0\r\n\r\nSM\n\r\n\r".as_slice();
    for (what, bytes) in [
        ("no preface", [&settings, asks.as_slice()].concat()),
        ("half a preface", [&PREFACE[..18], &settings, &asks].concat()),
        ("two prefaces", [PREFACE, PREFACE, &settings, &asks].concat()),
        ("a wrong preface", [wrong, &settings, &asks].concat()),
    ] {
        for pieces in [bytes.len(), 1] {
            let mut frames = Frames::silent(&daemon.client()).await;
            for piece in bytes.chunks(pieces) {
                if !frames.try_send(piece).await {
                    break;
                }
            }
            frames.bytes_to_end().await;
            let received = daemon.metrics().await.sum("graphhook_notifications_received_total");
            assert_eq!(received, 0.0, "{what}");
        }
    }
}

/// The version is what TLS agreed on (ALPN), whatever the bytes look like: who stands between may go by that.
#[tokio::test]
async fn the_version_is_the_one_agreed_on() {
    let daemon = daemon().await;
    let mut frames = Frames::silent(&daemon.client()).await;
    frames.try_send(crate::edge::hidden()).await;
    frames.bytes_to_end().await;
    let mut raw = daemon.client().raw().await;
    raw.try_send([PREFACE, &frame(SETTINGS, 0, 0, ""), &head(1), &hidden(1)].concat()).await.ok();
    raw.read_to_end().await;
    check_nothing_was_seen(&daemon).await;
}

/// Sections 6.5.3 and 6.7.
#[tokio::test]
async fn settings_and_pings_are_acknowledged() {
    let daemon = daemon().await;
    let mut frames = Frames::open(&daemon.client()).await;
    frames.send(setting(MAX_FRAME_SIZE, 1 << 20)).await;
    frames.send(frame(PING, 0, 0, "12345678")).await;
    let mut acknowledged = 0;
    let pong = loop {
        let frame = frames.next().await.expect("the connection goes on");
        match (frame.kind, frame.flags) {
            (SETTINGS, ACK) => acknowledged += 1,
            (PING, ACK) => break frame,
            _ => {}
        }
    };
    assert_eq!((pong.payload.as_slice(), acknowledged), (b"12345678".as_slice(), 2));
}

/// Section 6.8: who says that it goes away still gets its answer, and then the connection ends.
#[tokio::test]
async fn who_goes_away_gets_the_answers_it_waits_for() {
    let daemon = daemon().await;
    let mut frames = Frames::open(&daemon.client()).await;
    frames.send([head(1), frame(GOAWAY, 0, 0, [0; 8]), body(1)].concat()).await;
    assert_eq!(frames.next_of(HEADERS).await.map(|frame| frame.status()), Some(202));
    assert!(frames.to_end().await.iter().all(|code| *code == 0), "that was no error");
}

/// What comes in pieces of any size is one request.
#[tokio::test]
async fn a_body_in_many_frames_is_one_body() {
    let daemon = daemon().await;
    let mut frames = Frames::open(&daemon.client()).await;
    let whole = collection([created("whole")]);
    let mut bytes = head(1);
    for piece in whole.as_bytes().chunks(7) {
        bytes.extend(frame(DATA, 0, 1, piece));
        bytes.extend(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            u32::try_from(bytes.len() * 2 + 1).expect("small"),
            health(),
        ));
    }
    bytes.extend(frame(DATA, END_STREAM, 1, ""));
    frames.send(bytes).await;
    let answer = loop {
        let frame = frames.next_of(HEADERS).await.expect("the connection goes on");
        if frame.stream == 1 {
            break frame.status();
        }
    };
    assert_eq!(answer, 202);
    assert_eq!(daemon.metrics().await.sum("graphhook_notifications_received_total"), 1.0);
}

//! Frames where they do not belong, of wrong sizes, or with wrong contents.

use super::Then::{Answered, Gone, Ignored, Refused, RefusedBehind};
use super::{BODY, body, check, head, health, hidden, post};
use crate::support::frames::{
    ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE, PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY,
    frame, setting,
};

/// Sections 5.1 and 6.1 to 6.3.
#[tokio::test]
async fn streams_begin_and_end_in_order() {
    let whole = HEADERS_AND_END;
    check([
        ("a good request", [head(1), body(1)].concat(), Answered(202)),
        ("one that ends with its head", frame(HEADERS, whole, 1, post()), Answered(400)),
        (
            "an empty end",
            [head(1), frame(DATA, 0, 1, BODY), frame(DATA, END_STREAM, 1, "")].concat(),
            Answered(202),
        ),
        ("DATA on stream 0", frame(DATA, END_STREAM, 0, BODY), Gone),
        ("DATA on an idle stream", hidden(1), Gone),
        ("DATA on an idle stream of ours", hidden(2), Gone),
        ("DATA behind the end", [head(1), body(1), frame(DATA, 0, 1, BODY)].concat(), RefusedBehind),
        (
            "DATA behind a head that was the end",
            [frame(HEADERS, whole, 1, post()), hidden(1)].concat(),
            Refused,
        ),
        ("DATA behind a reset", [head(1), frame(RST_STREAM, 0, 1, [0; 4]), hidden(1)].concat(), Refused),
        ("HEADERS on stream 0", frame(HEADERS, whole, 0, health()), Gone),
        ("HEADERS on a stream of ours", [head(2), hidden(2)].concat(), Gone),
        ("HEADERS on an earlier stream", [head(5), head(3), hidden(3)].concat(), Gone),
        ("HEADERS behind the end", [head(1), body(1), head(1), hidden(1)].concat(), RefusedBehind),
        (
            "HEADERS behind a reset",
            [head(1), frame(RST_STREAM, 0, 1, [0; 4]), head(1), hidden(1)].concat(),
            Refused,
        ),
        ("HEADERS in a body", [head(1), frame(DATA, 0, 1, BODY), head(1), hidden(1)].concat(), Refused),
        ("RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, [0; 4]), Gone),
        ("RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, [0; 4]), Gone),
        ("RST_STREAM of 3 bytes", [head(1), frame(RST_STREAM, 0, 1, [0; 3]), hidden(1)].concat(), Gone),
        ("RST_STREAM of 5 bytes", [head(1), frame(RST_STREAM, 0, 1, [0; 5]), hidden(1)].concat(), Gone),
        ("RST_STREAM", [head(1), frame(RST_STREAM, 0, 1, [0; 4])].concat(), Ignored),
        ("PRIORITY on stream 0", frame(PRIORITY, 0, 0, [0, 0, 0, 0, 1]), Gone),
        ("PRIORITY of 4 bytes", [head(1), frame(PRIORITY, 0, 1, [0; 4]), hidden(1)].concat(), Refused),
        ("PRIORITY of 6 bytes", [head(1), frame(PRIORITY, 0, 1, [0; 6]), hidden(1)].concat(), Refused),
        ("PRIORITY on an idle stream", frame(PRIORITY, 0, 7, [0, 0, 0, 1, 1]), Ignored),
        (
            "PUSH_PROMISE",
            frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2], post().as_slice()].concat()),
            Gone,
        ),
        ("a reserved bit", [head(1 | 1 << 31), body(1)].concat(), Answered(202)),
    ])
    .await;
}

/// Sections 4.2, 6.1, 6.2 and 6.10.
#[tokio::test]
async fn frames_have_their_size_and_their_place() {
    let large = [post(), vec![0x20; 16385 - post().len()]].concat();
    let padded = |pad: u8, rest: &[u8]| [&[pad], rest].concat();
    let half = &post()[..20];
    let rest = &post()[20..];
    let begun = frame(HEADERS, 0, 1, half);
    check([
        ("DATA of 16384 bytes", [head(1), frame(DATA, END_STREAM, 1, [b' '; 16384])].concat(), Answered(400)),
        ("DATA of 16385 bytes", [head(1), frame(DATA, END_STREAM, 1, [b' '; 16385])].concat(), Refused),
        ("HEADERS of 16385 bytes", frame(HEADERS, HEADERS_AND_END, 1, large), Gone),
        ("SETTINGS of 16386 bytes", frame(SETTINGS, 0, 0, [0; 16386]), Gone),
        ("an unknown frame of 16385 bytes", frame(0xbb, 0, 0, [0; 16385]), Gone),
        ("an unknown frame", frame(0xbb, 0xff, 0, "?"), Ignored),
        (
            "an unknown frame on a stream",
            [head(1), frame(0xbb, 0xff, 1, "?"), body(1)].concat(),
            Answered(202),
        ),
        ("an empty unknown frame", frame(0xff, 0, 3, ""), Ignored),
        (
            "flags that do not exist",
            [frame(HEADERS, END_HEADERS | 0xd2, 1, post()), body(1)].concat(),
            Answered(202),
        ),
        (
            "padding",
            [head(1), frame(DATA, PADDED | END_STREAM, 1, padded(2, b"{\"value\":[]}\0\0"))].concat(),
            Answered(202),
        ),
        ("only padding", [head(1), frame(DATA, PADDED, 1, [3, 0, 0, 0]), body(1)].concat(), Answered(202)),
        (
            "DATA of too much padding",
            [head(1), frame(DATA, PADDED, 1, padded(13, BODY.as_bytes())), hidden(1)].concat(),
            Gone,
        ),
        ("DATA without the padding", [head(1), frame(DATA, PADDED, 1, ""), hidden(1)].concat(), Gone),
        (
            "HEADERS of too much padding",
            frame(HEADERS, HEADERS_AND_END | PADDED, 1, padded(255, &post())),
            Gone,
        ),
        ("HEADERS without the padding", frame(HEADERS, HEADERS_AND_END | PADDED, 1, ""), Gone),
        (
            "HEADERS with a priority",
            [
                frame(
                    HEADERS,
                    END_HEADERS | WITH_PRIORITY,
                    1,
                    [&[0, 0, 0, 0, 9], post().as_slice()].concat(),
                ),
                body(1),
            ]
            .concat(),
            Answered(202),
        ),
        (
            "HEADERS too short for a priority",
            frame(HEADERS, HEADERS_AND_END | WITH_PRIORITY, 1, [0; 4]),
            Gone,
        ),
        (
            "CONTINUATION",
            [begun.clone(), frame(CONTINUATION, END_HEADERS, 1, rest), body(1)].concat(),
            Answered(202),
        ),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, post()), Gone),
        (
            "CONTINUATION on stream 0",
            [begun.clone(), frame(CONTINUATION, END_HEADERS, 0, rest)].concat(),
            Gone,
        ),
        ("CONTINUATION elsewhere", [begun.clone(), frame(CONTINUATION, END_HEADERS, 3, rest)].concat(), Gone),
        (
            "CONTINUATION behind the end",
            [head(1), frame(CONTINUATION, END_HEADERS, 1, post())].concat(),
            Gone,
        ),
        ("DATA within a head", [begun.clone(), hidden(1)].concat(), Gone),
        ("PING within a head", [begun.clone(), frame(PING, 0, 0, [0; 8])].concat(), Gone),
        (
            "an unknown frame within a head",
            [begun.clone(), frame(0xbb, 0, 1, ""), frame(CONTINUATION, END_HEADERS, 1, rest)].concat(),
            Gone,
        ),
        ("another head within a head", [begun, head(3), hidden(3)].concat(), Gone),
    ])
    .await;
}

/// Sections 6.5 and 6.7 to 6.9.
#[tokio::test]
async fn what_is_said_of_the_connection_makes_sense() {
    let update = |stream: u32, by: u32| frame(WINDOW_UPDATE, 0, stream, by.to_be_bytes());
    let most = (1 << 31) - 1;
    check([
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, ""), Gone),
        ("SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, [0; 5]), Gone),
        ("SETTINGS of 7 bytes", frame(SETTINGS, 0, 0, [0; 7]), Gone),
        ("no SETTINGS at all", frame(SETTINGS, 0, 0, ""), Ignored),
        ("SETTINGS that do not exist", setting(0xff, 7), Ignored),
        ("an acknowledgement with SETTINGS", frame(SETTINGS, ACK, 0, [0; 6]), Gone),
        ("a push that is neither on nor off", setting(ENABLE_PUSH, 2), Gone),
        ("windows of 2^31", setting(INITIAL_WINDOW_SIZE, 1 << 31), Gone),
        ("frames of 16383 bytes", setting(MAX_FRAME_SIZE, 16383), Gone),
        ("frames of 2^24 bytes", setting(MAX_FRAME_SIZE, 1 << 24), Gone),
        (
            "windows that overflow by SETTINGS",
            [head(1), update(1, most - 65535), setting(INITIAL_WINDOW_SIZE, 65536)].concat(),
            Gone,
        ),
        ("PING on a stream", frame(PING, 0, 1, [0; 8]), Gone),
        ("PING of 7 bytes", frame(PING, 0, 0, [0; 7]), Gone),
        ("PING of 9 bytes", frame(PING, 0, 0, [0; 9]), Gone),
        ("an answer to no PING", frame(PING, ACK, 0, [7; 8]), Ignored),
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, [0; 8]), Gone),
        ("GOAWAY of 7 bytes", frame(GOAWAY, 0, 0, [0; 7]), Gone),
        ("a window of 3 bytes", frame(WINDOW_UPDATE, 0, 0, [0, 0, 1]), Gone),
        ("a window of 5 bytes", frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 0, 1]), Gone),
        ("a window that grows by nothing", update(0, 0), Gone),
        ("a stream's window that grows by nothing", [head(1), update(1, 0), hidden(1)].concat(), Refused),
        ("a window that grows too large", update(0, most), Gone),
        ("a stream's window that grows too large", [head(1), update(1, most), hidden(1)].concat(), Refused),
        ("the window of an idle stream", update(1, 1), Gone),
        (
            "the window of a stream that has ended",
            [frame(HEADERS, HEADERS_AND_END, 1, post()), update(1, 1)].concat(),
            Answered(400),
        ),
    ])
    .await;
}

const HEADERS_AND_END: u8 = END_HEADERS | END_STREAM;

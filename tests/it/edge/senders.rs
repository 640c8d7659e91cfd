//! Senders that hang up (N11, N12), and connections that are kept while the daemon goes (N15).

use super::http2::{head, post as fields};
use super::{check_nothing_was_seen, daemon};
use crate::faults::check_books;
use crate::support::broker::Node;
use crate::support::cut::Cut;
use crate::support::daemon::Daemon;
use crate::support::frames::{
    ACK, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, RST_STREAM, frame,
};
use crate::support::graph::{PATH, collection, created, post};
use crate::support::https::Raw;
use crate::support::queue::Amqp;

/// Messages given to the broker and not confirmed.
const IN_FLIGHT: &str = "graphhook_amqp_in_flight";

/// A daemon behind a proxy to the broker, connected.
async fn started() -> (Daemon, Cut) {
    let cut = Cut::to_port(Node::shared().port()).await;
    let configuration = Daemon::configure().broker(Node::shared().url_by(cut.port()));
    let patient =
        configuration.set("server", "answer_within", "\"10s\"").set("broker", "confirm_within", "\"8s\"");
    (patient.connected().await, cut)
}

/// A POST of these items, kept alive.
fn request(items: &[String]) -> String {
    let body = collection(items);
    format!("POST {PATH} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Ends a connection by a reset.
fn reset(raw: Raw) {
    raw.into_stream().into_inner().0.set_zero_linger().expect("a socket knows this option");
}

/// N11: what a sender did not wait for is under way all the same; when it sends it again, it has the same ids.
#[tokio::test]
async fn a_sender_that_hangs_up_before_the_answer_doubles_at_most_what_it_repeats() {
    let (daemon, cut) = started().await;
    // The second has no id, as with many of Graph's resources.
    let nameless = created("left").replacen(r#""id":"left","#, "", 1).replacen(
        r#""id""#,
        r#""@odata.etag":"e","id""#,
        1,
    );
    let items = [created("left"), nameless];
    for by_reset in [false, true] {
        cut.stall_answers();
        let mut raw = daemon.client().raw().await;
        raw.send(request(&items)).await;
        daemon.eventually_metric(IN_FLIGHT, |open| open == 2.0).await;
        if by_reset {
            reset(raw);
        } else {
            drop(raw);
        }
        daemon.eventually_metric("graphhook_connections", |open| open == 0.0).await;
        cut.heal();
        daemon.eventually_metric(IN_FLIGHT, |open| open == 0.0).await;
    }
    assert_eq!(post(&daemon.client(), &items).await.status, 202);
    check_books(&daemon).await;
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    queue.eventually_holds(&["left"]).await;
    let mut messages = queue.drain().await;
    assert!((2..=6).contains(&messages.len()), "{} messages of three times two", messages.len());
    messages.sort_by(|one, other| one.message_id.cmp(&other.message_id));
    messages.dedup_by(|one, other| one.message_id == other.message_id);
    assert_eq!(messages.len(), 2, "an id for each item, whoever often it came: {messages:?}");
}

/// N12: half a body is none, however much of it can be read.
#[tokio::test]
async fn half_a_body_is_not_accepted() {
    let daemon = daemon().await;
    let whole = collection([created("first"), created("second")]);
    let half = &whole[..whole.len() - 20];
    let length = format!("Content-Length: {}\r\n\r\n{half}", whole.len());
    let chunk = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{half}\r\n", half.len());
    let all_but_the_end = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{whole}\r\n0\r\n", whole.len());
    for rest in [length, chunk, all_but_the_end] {
        for end in ["reset", "close", "finish"] {
            let mut raw = daemon.client().raw().await;
            raw.send(format!("POST {PATH} HTTP/1.1\r\nHost: h\r\n{rest}")).await;
            match end {
                "reset" => reset(raw),
                "close" => drop(raw),
                _ => {
                    raw.finish().await;
                    assert!(!raw.read_to_end().await.starts_with(b"HTTP/1.1 2"));
                }
            }
        }
    }
    // In HTTP/2 the request ends alone: the connection goes on.
    let mut frames = Frames::open(&daemon.client()).await;
    frames.send([head(1), frame(DATA, 0, 1, &whole), frame(RST_STREAM, 0, 1, [0, 0, 0, 8])].concat()).await;
    frames.send([frame(HEADERS, END_HEADERS, 3, fields()), frame(DATA, END_STREAM, 3, half)].concat()).await;
    assert_eq!(frames.next_of(HEADERS).await.map(|frame| (frame.stream, frame.status())), Some((3, 400)));
    drop(frames);
    daemon.eventually_metric("graphhook_connections", |open| open == 0.0).await;
    check_nothing_was_seen(&daemon).await;
}

/// N15: the last answers say that they are the last, and idle connections are told.
#[tokio::test]
async fn the_last_answer_of_a_stop_says_so() {
    let (daemon, cut) = started().await;
    let mut idle = Frames::open(&daemon.client()).await;
    idle.send([head(1), frame(DATA, END_STREAM, 1, r#"{"value":[]}"#)].concat()).await;
    assert_eq!(idle.next_of(HEADERS).await.map(|frame| frame.status()), Some(202));
    cut.stall_answers();
    let mut raw = daemon.client().raw().await;
    raw.send(request(&[created("by HTTP/1.1")])).await;
    let mut frames = Frames::open(&daemon.client()).await;
    frames.send([head(1), frame(DATA, END_STREAM, 1, collection([created("by HTTP/2")]))].concat()).await;
    daemon.eventually_metric(IN_FLIGHT, |open| open == 2.0).await;
    daemon.signal("TERM");
    assert!(idle.to_end().await.contains(&0));
    // Told before the answer, so that nothing more is sent (RFC 9113, section 6.8: twice, with time between the two for
    // what is on its way). What is sent all the same is not begun.
    let first = frames.next_of(GOAWAY).await.expect("a word");
    let ping = frames.next_of(PING).await.expect("a question");
    frames.send(frame(PING, ACK, 0, ping.payload)).await;
    let last = frames.next_of(GOAWAY).await.expect("the last word");
    assert_eq!((first.code(), last.code(), &last.payload[..4]), (0, 0, [0, 0, 0, 1].as_slice()));
    frames.send([head(3), frame(DATA, END_STREAM, 3, collection([created("too late")]))].concat()).await;
    cut.heal();
    let answer = frames.next_of(HEADERS).await.expect("the answer");
    assert_eq!((answer.stream, answer.status()), (1, 202));
    let answer = String::from_utf8(raw.read_to_end().await).expect("text");
    assert!(answer.starts_with("HTTP/1.1 202 ") && answer.contains("connection: close"), "{answer}");
    assert_eq!(daemon.wait_exit().await.code(), Some(0));
    let queue = Amqp::connect(&Node::shared().url()).await.queue(daemon.queue());
    queue.eventually_holds(&["by HTTP/1.1", "by HTTP/2"]).await;
    assert_eq!(queue.drain().await.len(), 2);
}

//! HTTP/2 in masses (N10): who floods is sent away where there is a limit, costs little where there is none, and Graph
//! goes on.

use tokio::task::JoinSet;

use super::http2::{body, head, post};
use super::{Memory, daemon};
use crate::faults::{GRAPH_WAITS, Scene};
use crate::support::daemon::Daemon;
use crate::support::eventually::eventually;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, HEADERS, INITIAL_WINDOW_SIZE, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, fields, frame, integer, setting,
};
use crate::support::graph::PATH;

/// Bytes of one flood.
struct Flood(&'static str, Vec<u8>);

/// Floods that a limit ends.
fn ended() -> Vec<Flood> {
    let resets = (0..10_000)
        .flat_map(|number| [head(2 * number + 1), frame(RST_STREAM, 0, 2 * number + 1, [0; 4])].concat());
    let continued = (0..1000).flat_map(|_| frame(CONTINUATION, 0, 1, fields([("x", "y")])));
    let empty = (0..10_000).flat_map(|_| frame(DATA, 0, 1, ""));
    let malformed =
        (0..10_000).flat_map(|number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, ""));
    // A large field is put into the table once, and then called by one byte each.
    let large = [
        &[0x40],
        [integer(0, 7, 1), b"x".to_vec(), integer(0, 7, 3900), vec![b'y'; 3900]].concat().as_slice(),
    ]
    .concat();
    let bomb = [post(), large, vec![0xbe; 10_000]].concat();
    vec![
        Flood("rapid resets", resets.collect()),
        Flood("a head without an end", [frame(HEADERS, 0, 1, post()), continued.collect()].concat()),
        Flood("a body of nothing", [head(1), empty.collect()].concat()),
        Flood("requests that are none", malformed.collect()),
        Flood("a head that unpacks to 40 MB", frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb)),
    ]
}

/// Floods that cost a few bytes each way, and are not counted by anybody.
fn endured() -> Vec<Flood> {
    let many = |what, frame: Vec<u8>| Flood(what, frame.repeat(20_000));
    let priorities = (0..20_000).flat_map(|number| frame(PRIORITY, 0, 2 * number + 1, [0, 0, 0, 0, 9]));
    vec![
        many("SETTINGS", frame(SETTINGS, 0, 0, "")),
        many(
            "SETTINGS that change something",
            [setting(INITIAL_WINDOW_SIZE, 9), setting(INITIAL_WINDOW_SIZE, 99)].concat(),
        ),
        many("PING", frame(PING, 0, 0, [7; 8])),
        many("windows", frame(WINDOW_UPDATE, 0, 0, [0, 0, 0, 1])),
        many("unknown frames", frame(0xbb, 0, 0, "?")),
        Flood("priorities", priorities.collect()),
    ]
}

#[tokio::test]
async fn floods_end_their_connection() {
    let daemon = daemon().await;
    let memory = Memory::of(&daemon).await;
    for Flood(what, bytes) in ended() {
        for _ in 0..5 {
            let flooded = Frames::open(&daemon.client()).await.flood(&bytes).await;
            assert_eq!(flooded.gone, Some(ENHANCE_YOUR_CALM), "{what}");
            assert_eq!(flooded.answers, Vec::<u16>::new(), "{what}");
        }
    }
    memory.check(&daemon).await;
}

#[tokio::test]
async fn floods_of_small_talk_cost_little() {
    let daemon = daemon().await;
    let memory = Memory::of(&daemon).await;
    for Flood(what, bytes) in endured() {
        let flooded = Frames::open(&daemon.client()).await.flood(&bytes).await;
        assert_eq!(flooded.gone, None, "{what}");
    }
    // In small groups resets are none that h2 counts, or not at once.
    let mut frames = Frames::open(&daemon.client()).await;
    for group in 0..200 {
        let streams = (0..10).map(|number| 2 * (10 * group + number) + 1);
        let resets: Vec<u8> = streams
            .flat_map(|stream| [head(stream), frame(RST_STREAM, 0, stream, [0; 4])].concat())
            .collect();
        if frames.flood(&resets).await.gone.is_some() {
            frames = Frames::open(&daemon.client()).await;
        }
    }
    memory.check(&daemon).await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let daemon = daemon().await;
    let mut frames = Frames::open(&daemon.client()).await;
    let heads: Vec<u8> = (0..200).flat_map(|number| head(2 * number + 1)).collect();
    let flooded = frames.flood(&heads).await;
    assert_eq!((flooded.resets, flooded.gone), (vec![REFUSED_STREAM; 200 - 128], None));
    // Those that were taken are whole requests, and make room when they end.
    let bodies: Vec<u8> = (0..128).flat_map(|number| body(2 * number + 1)).collect();
    let mut answers = flooded.answers;
    answers.extend(frames.flood(&bodies).await.answers);
    while answers.len() < 128 {
        answers.push(frames.next_of(HEADERS).await.expect("the connection goes on").status());
    }
    assert_eq!(answers, [202; 128]);
    frames.send([head(1001), body(1001)].concat()).await;
    assert_eq!(frames.next_of(HEADERS).await.map(|frame| frame.status()), Some(202));
}

/// A client that asks and takes no answers, by its window or by not reading, holds little, and not for long.
#[tokio::test]
async fn answers_that_nobody_takes_are_let_go() {
    let configuration = Daemon::configure().without_broker();
    let daemon = configuration.set("server.limits", "idle_within", "\"2s\"").start().await;
    let memory = Memory::of(&daemon).await;
    let echo = format!("{PATH}?validationToken={}", "a".repeat(8 << 10));
    let echo = fields([(":method", "POST"), (":scheme", "https"), (":authority", "h"), (":path", &echo)]);
    let asks: Vec<u8> =
        (0..128).flat_map(|number| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &echo)).collect();
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut frames = Frames::open(&daemon.client()).await;
        frames.send(setting(INITIAL_WINDOW_SIZE, 0)).await;
        let flooded = frames.flood(&asks).await;
        assert_eq!((flooded.gone, flooded.resets.len()), (None, 0));
        open.push(frames);
        let mut frames = Frames::open(&daemon.client()).await;
        frames.send(&asks).await;
        open.push(frames);
    }
    daemon.eventually_metric("graphhook_connections", |open| open == 0.0).await;
    memory.check(&daemon).await;
}

/// Large heads are not kept while their bodies are waited for.
#[tokio::test]
async fn heads_that_wait_for_their_bodies_take_little() {
    let daemon = daemon().await;
    let memory = Memory::of(&daemon).await;
    let large = [post(), fields([("x", "y".repeat(60 << 10))])].concat();
    let begin = |stream: u32| {
        let (first, rest) = large.split_at(16 << 10);
        let mut frames = frame(HEADERS, 0, stream, first);
        let mut rest = rest.chunks(16 << 10).peekable();
        while let Some(more) = rest.next() {
            let flags = if rest.peek().is_some() { 0 } else { END_HEADERS };
            frames.extend(frame(CONTINUATION, flags, stream, more));
        }
        frames
    };
    let heads: Vec<u8> = (0..100).flat_map(|number| begin(2 * number + 1)).collect();
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut frames = Frames::open(&daemon.client()).await;
        let flooded = frames.flood(&heads).await;
        assert_eq!((flooded.gone, flooded.resets.len(), flooded.answers.len()), (None, 0, 0));
        open.push(frames);
    }
    memory.check(&daemon).await;
}

/// A client that passes over GOAWAY, does not answer the PING behind it and always has a request open.
#[tokio::test]
async fn who_goes_on_after_goaway_has_an_end() {
    let configuration = Daemon::configure().without_broker().set("server", "answer_within", "\"500ms\"");
    let daemon = configuration.set("server.limits", "connection_within", "\"1s\"").start().await;
    let mut frames = Frames::open(&daemon.client()).await;
    frames.send(head(1)).await;
    let mut streams = (3..).step_by(2);
    let ended = async || {
        let stream = streams.next()?;
        let goes_on = frames.try_send([head(stream), body(stream - 2)].concat()).await;
        (!goes_on).then_some(())
    };
    eventually("the end of the connection", ended).await;
}

/// All of it at once, again and again, while Graph goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_from_all_sides_cost_graph_nothing() {
    let scene = Scene::begin(Daemon::configure()).await;
    scene.connected().await;
    let memory = Memory::of(&scene.daemon).await;
    let mut flooding = JoinSet::new();
    for Flood(_, bytes) in ended().into_iter().chain(endured()) {
        let client = scene.daemon.client();
        flooding.spawn(async move {
            loop {
                Frames::open(&client).await.flood(&bytes).await;
            }
        });
    }
    scene.accepts(1000).await;
    assert_eq!(flooding.len(), ended().len() + endured().len());
    assert!(flooding.try_join_next().is_none(), "a flood has ended");
    flooding.shutdown().await;
    memory.check(&scene.daemon).await;
    let (_, verdict) = scene.judge().await;
    assert_eq!((verdict.report.unavailable, verdict.report.unanswered), (0, 0));
    verdict.check_times(GRAPH_WAITS);
}

/// Section 7 of RFC 9113.
const ENHANCE_YOUR_CALM: u32 = 0xb;
const REFUSED_STREAM: u32 = 0x7;

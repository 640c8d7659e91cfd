//! Answers in time, whatever else goes on.

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::io::AsyncWriteExt;

use super::{
    case::{
        Case, Play, must, should,
        sources::{HTTP_1, PROCESSING, THROTTLING},
    },
    judge::{DELIVERED, Judge},
    shot::{Reply, Shot},
    stage::Stage,
    wire,
};
use crate::{
    deadline::Deadline,
    simulate::receiver::{PROMPT, Stream, Unreached},
};

pub(super) const CASES: &[Case] = &[
    must(
        "deadlines/one-item",
        "2xx within 3 s, or it comes again",
        THROTTLING,
        Play::Each(|stage| vec![stage.good()]),
        DELIVERED,
    ),
    must(
        "deadlines/hundred-in-a-row",
        "a hundred POSTs on one connection; over a tenth of them late makes the URL slow",
        THROTTLING,
        Play::Line(|stage| (0..100).map(|_| stage.good()).collect()),
        DELIVERED,
    ),
    must(
        "deadlines/fifty-at-once",
        "fifty POSTs at once, each on a connection of its own",
        THROTTLING,
        Play::Together(|stage| (0..50).map(|_| stage.good()).collect()),
        DELIVERED,
    ),
    should(
        "deadlines/two-thousand-items",
        "ten POSTs with 200 items each at once",
        THROTTLING,
        Play::Together(heavy),
        DELIVERED,
    ),
    must(
        "deadlines/repeated-post",
        "the same POST again: Graph repeats what was answered too late",
        PROCESSING,
        Play::Each(repeated),
        DELIVERED,
    ),
    must(
        "deadlines/out-of-order",
        "the deletion comes before the creation: no order is promised",
        PROCESSING,
        Play::Each(out_of_order),
        DELIVERED,
    ),
    should(
        "deadlines/answer-has-an-end",
        "who reads the answer sees where it ends, and need not wait for the end of the connection",
        HTTP_1,
        Play::Each(|stage| vec![stage.good()]),
        &[Judge::Framed],
    ),
    must(
        "deadlines/after-a-hang-up",
        "a client hangs up before the answer, and the next one is answered",
        THROTTLING,
        Play::Own(after_hang_ups),
        DELIVERED,
    ),
    must(
        "deadlines/after-half-a-request",
        "a client hangs up in the middle of a body, and the next one is answered",
        THROTTLING,
        Play::Own(after_halves),
        DELIVERED,
    ),
    should(
        "deadlines/beside-slow-clients",
        "twenty clients have sent half a request and wait; the others are answered all the same",
        THROTTLING,
        Play::Own(beside_slow),
        &[Judge::TokenOrTwoXx],
    ),
];

fn heavy(stage: &Stage) -> Vec<Shot> {
    let items: Vec<String> = (0..200).map(|_| stage.message()).collect();
    (0..10).map(|_| stage.post(&items)).collect()
}

fn repeated(stage: &Stage) -> Vec<Shot> {
    vec![stage.good(); 3]
}

fn out_of_order(stage: &Stage) -> Vec<Shot> {
    ["deleted", "updated", "created"].map(|change| stage.post(&[stage.item("message", change)])).into()
}

fn after_hang_ups(stage: &Stage) -> BoxFuture<'_, Vec<Reply>> {
    interrupted(stage, usize::MAX).boxed()
}

fn after_halves(stage: &Stage) -> BoxFuture<'_, Vec<Reply>> {
    interrupted(stage, 200).boxed()
}

/// Three clients send no more than so many bytes of the body, and go; then somebody stays.
async fn interrupted(stage: &Stage, most: usize) -> Vec<Reply> {
    for _ in 0..3 {
        let shot = stage.good();
        match begun(stage, &shot, most).await {
            Ok(stream) => drop(stream),
            Err(error) => return vec![shot.reply(Err(error), false)],
        }
    }
    wire::each(stage, vec![stage.good(), stage.good()]).await
}

fn beside_slow(stage: &Stage) -> BoxFuture<'_, Vec<Reply>> {
    async move {
        let mut slow = Vec::with_capacity(SLOW);
        for _ in 0..SLOW {
            let shot = stage.good();
            match begun(stage, &shot, 10).await {
                Ok(stream) => slow.push(stream),
                Err(error) => return vec![shot.reply(Err(error), false)],
            }
        }
        let shots = vec![stage.good(), stage.good(), stage.good(), stage.today()];
        let replies = wire::together(stage, shots).await;
        drop(slow);
        replies
    }
    .boxed()
}

/// The beginning of a request, on a connection that stays open until it is dropped.
async fn begun(stage: &Stage, shot: &Shot, most: usize) -> Result<Box<dyn Stream>, Unreached> {
    let sending = async {
        let mut stream = stage.receiver.stream().await?;
        let body: &Bytes = &shot.body;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            shot.target,
            stage.receiver.authority(),
            body.len()
        );
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&body[..body.len().min(most)]);
        // Whoever does not want to hear it may close the connection.
        stream.write_all(&bytes).await.ok();
        stream.flush().await.ok();
        Ok(stream)
    };
    Deadline::after(PROMPT).limit(sending).await.map_err(|_| Unreached::Late(PROMPT))?
}

const SLOW: usize = 20;

//! How requests of cases go out: as Graph sends them, and in other ways that HTTP allows.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    Request,
    body::Frame,
    client::conn::http1,
    header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST},
};
use tokio::sync::watch;

use super::{
    shot::{Reply, Shot, Wire},
    stage::Stage,
};
use crate::{
    deadline::Deadline,
    simulate::receiver::{Answer, Body, Line, Receiver, Unreached},
};

/// One after another, each on a connection of its own, until one gets no answer.
pub(super) async fn each(stage: &Stage, shots: Vec<Shot>) -> Vec<Reply> {
    let mut replies = Vec::with_capacity(shots.len());
    for shot in &shots {
        let reply = fire(stage, shot).await;
        let is_last = reply.answer.is_err();
        replies.push(reply);
        if is_last {
            break;
        }
    }
    replies
}

/// All at once.
pub(super) async fn together(stage: &Stage, shots: Vec<Shot>) -> Vec<Reply> {
    join_all(shots.iter().map(|shot| fire(stage, shot))).await
}

/// One after another on one connection, or on the next when the receiver has closed it; until one gets no answer.
pub(super) async fn line(stage: &Stage, shots: Vec<Shot>) -> Vec<Reply> {
    let mut replies: Vec<Reply> = Vec::with_capacity(shots.len());
    let mut kept: Option<Line> = None;
    for shot in &shots {
        let within = shot.kind.allowance();
        let mut was_closed = false;
        let exchange = async {
            if let Some(mut line) = kept.take() {
                match say(&mut line, shot).await {
                    // Closed while nothing was asked: a client begins anew.
                    Err(Unreached::Http(_)) => was_closed = true,
                    said => return said.map(|answer| (answer, line)),
                }
            }
            let mut line = open(stage.receiver(shot.place), shot.wire).await?;
            Ok((say(&mut line, shot).await?, line))
        };
        let done = Deadline::after(within).limit(exchange).await;
        if was_closed && let Some(last) = replies.last_mut() {
            last.is_line_open = false;
        }
        let (answer, is_open) = match done.unwrap_or(Err(Unreached::Late(within))) {
            Ok((answer, line)) => {
                let is_open = says_kept(&answer);
                // What is left unread of an answer stands before the next one.
                kept = (is_open && !line.is_spent()).then_some(line);
                (Ok(answer), is_open)
            }
            Err(error) => (Err(error), false),
        };
        let is_last = answer.is_err();
        replies.push(shot.reply(answer, is_open));
        if is_last {
            break;
        }
    }
    replies
}

/// One request on a connection of its own.
pub(super) async fn fire(stage: &Stage, shot: &Shot) -> Reply {
    fire_at(stage.receiver(shot.place), shot).await
}

/// One request to this receiver.
pub(super) async fn fire_at(receiver: &Receiver, shot: &Shot) -> Reply {
    let within = shot.kind.allowance();
    let exchange = async { say(&mut open(receiver, shot.wire).await?, shot).await };
    let answer = match Deadline::after(within).limit(exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(Unreached::Late(within)),
    };
    let is_open = answer.as_ref().is_ok_and(says_kept);
    shot.reply(answer, is_open)
}

/// HTTP/1.1 keeps a connection unless somebody says otherwise (RFC 9112, section 9.3).
fn says_kept(answer: &Answer) -> bool {
    let says = answer.headers.get_all(hyper::header::CONNECTION);
    !says.iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

async fn open(receiver: &Receiver, wire: Wire) -> Result<Line, Unreached> {
    let mut manner = http1::Builder::new();
    manner.title_case_headers(wire == Wire::TitleCase);
    receiver.open_as(&manner).await
}

async fn say(line: &mut Line, shot: &Shot) -> Result<Answer, Unreached> {
    let mut request = Request::builder().method(&shot.method).uri(&shot.target).header(HOST, line.host());
    if let Some(media_type) = shot.media_type {
        request = request.header(CONTENT_TYPE, media_type);
    }
    if let Some((name, value)) = shot.header {
        request = request.header(name, value);
    }
    let body = &shot.body;
    let request = match shot.wire {
        Wire::Whole | Wire::TitleCase => request.body(Full::new(body.clone()).boxed_unsync()),
        Wire::Chunked => request.body(pieces(body, Duration::ZERO)),
        Wire::Slow => request.header(CONTENT_LENGTH, body.len()).body(pieces(body, PAUSE)),
        Wire::Expecting => {
            let (tell, told) = watch::channel(false);
            let request = request.header(CONTENT_LENGTH, body.len()).header(EXPECT, "100-continue");
            let request = request.body(awaited(body.clone(), told)).map_err(|_| Unreached::Url)?;
            let heard = move || {
                tell.send_replace(true);
            };
            return line.send_hearing(request, heard).await;
        }
    };
    line.send(request.map_err(|_| Unreached::Url)?).await
}

/// The body in a few pieces with pauses between them.
fn pieces(body: &Bytes, pause: Duration) -> Body {
    let size = body.len().div_ceil(PIECES).max(1);
    let pieces: Vec<Bytes> =
        (0..body.len()).step_by(size).map(|begin| body.slice(begin..body.len().min(begin + size))).collect();
    let frames = stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let piece = pieces.next()?;
        if !pause.is_zero() {
            Deadline::after(pause).passed().await;
        }
        Some((Ok::<_, Infallible>(Frame::data(piece)), pieces))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// The body once somebody has asked for it, or nobody has for a while.
fn awaited(body: Bytes, mut told: watch::Receiver<bool>) -> Body {
    let frame = stream::once(async move {
        // Whoever has not asked by then gets it all the same (RFC 9110, section 10.1.1).
        Deadline::after(UNASKED).limit(told.wait_for(|told| *told)).await.ok();
        Ok::<_, Infallible>(Frame::data(body))
    });
    StreamBody::new(frame).boxed_unsync()
}

const PIECES: usize = 8;
/// Eight of them are a little less than a second.
const PAUSE: Duration = Duration::from_millis(100);
const UNASKED: Duration = Duration::from_secs(1);

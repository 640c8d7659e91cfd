//! One POST after the other over a connection that is kept alive, and those that go wrong on purpose.

use std::{sync::Arc, time::Duration};

use hyper::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
    time::Instant,
};

use super::{
    answer,
    conductor::Desk,
    job::{Fault, Job},
    lane::Lane,
    stock::Stock,
};
use crate::{
    deadline::Deadline,
    simulate::receiver::{NOTIFICATION, PATIENT, Receiver, Unreached},
};

/// How a POST ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// An answer in time.
    Answered(StatusCode),
    /// None in time.
    Silence,
    /// The simulator itself was gone.
    HungUp,
    /// No connection.
    NoConnection,
    /// No TLS.
    NoTls,
    /// No answer, but an end of the connection, or no HTTP.
    Broken,
}

/// Sends what is due, one after the other.
pub(super) struct Sender {
    number: usize,
    receiver: Receiver,
    stock: Arc<Stock>,
    desk: Arc<Desk>,
    /// Of every POST, up to the value of `Content-Length`.
    head: String,
    body: String,
    lane: Option<Lane>,
    /// Those that wait for an answer longer than Graph does.
    listeners: JoinSet<()>,
}

impl Sender {
    pub(super) fn new(number: usize, receiver: Receiver, stock: Arc<Stock>, desk: Arc<Desk>) -> Self {
        let head = head(&receiver);
        let (body, lane, listeners) = (String::new(), None, JoinSet::new());
        Self { number, receiver, stock, desk, head, body, lane, listeners }
    }

    /// Works until there is nothing more: takes what is due when it has sent what was, and waits to be given something when
    /// nothing is.
    pub(super) async fn work(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(given) = jobs.recv().await {
            let mut next = Some(given);
            while let Some(job) = next {
                let begin = Instant::now();
                let end = self.attempt(job).await;
                next = self.desk.turn(self.number, job, end, begin.elapsed());
            }
        }
    }

    async fn attempt(&mut self, job: Job) -> End {
        self.body.clear();
        self.stock.write(job.first, job.items, job.moment, &mut self.body);
        match job.fault {
            Some(Fault::HangUp) => self.hang_up(job.allowance).await,
            Some(Fault::SlowReader) => self.slowly(job.allowance).await,
            None | Some(Fault::Duplicate | Fault::OutOfOrder) => self.send(job).await,
        }
    }

    async fn send(&mut self, job: Job) -> End {
        let due = Deadline::after(job.allowance);
        let mut lane = match self.kept() {
            Some(lane) => lane,
            None => match due.limit(self.receiver.stream()).await {
                Ok(Ok(stream)) => Lane::new(stream),
                Ok(Err(error)) => return end_of(&error),
                Err(_) => return End::Silence,
            },
        };
        match due.limit(lane.post(&self.head, &self.body)).await {
            Ok(Ok(status)) => {
                self.lane = Some(lane);
                End::Answered(status)
            }
            Ok(Err(end)) => end,
            Err(_) => {
                self.listen(job, lane);
                End::Silence
            }
        }
    }

    /// The connection of the last POST, if it is of use for another one.
    fn kept(&mut self) -> Option<Lane> {
        let mut lane = self.lane.take()?;
        lane.is_free().then_some(lane)
    }

    /// A 2xx that comes too late is worth a word: the receiver has it, and gets it again.
    fn listen(&mut self, job: Job, mut lane: Lane) {
        while self.listeners.try_join_next().is_some() {}
        if self.listeners.len() >= LISTENERS_MAX {
            return;
        }
        let (desk, due) = (Arc::clone(&self.desk), Deadline::after(LISTEN.saturating_sub(job.allowance)));
        self.listeners.spawn(async move {
            if let Ok(Ok(status)) = due.limit(lane.answer()).await
                && status.is_success()
            {
                desk.late(&job);
            }
        });
    }

    /// Sends all of it, and is gone.
    async fn hang_up(&mut self, allowance: Duration) -> End {
        let (receiver, head, body) = (&self.receiver, self.whole_head(), &self.body);
        let sending = async move {
            let mut stream = receiver.stream().await.map_err(|error| end_of(&error))?;
            let broken = |_| End::Broken;
            stream.write_all(head.as_bytes()).await.map_err(broken)?;
            stream.write_all(body.as_bytes()).await.map_err(broken)?;
            stream.flush().await.map_err(broken)
        };
        match Deadline::after(allowance).limit(sending).await {
            Ok(Ok(())) => End::HungUp,
            Ok(Err(end)) => end,
            Err(_) => End::Silence,
        }
    }

    /// Sends it piece by piece, and reads the answer byte by byte.
    async fn slowly(&mut self, allowance: Duration) -> End {
        let slow_for = self.stock.scenario().faults.slow_for;
        let (receiver, head, body) = (&self.receiver, self.whole_head(), self.body.as_bytes());
        let talking = async move {
            let mut stream = receiver.stream().await.map_err(|error| end_of(&error))?;
            let broken = |_| End::Broken;
            stream.write_all(head.as_bytes()).await.map_err(broken)?;
            for piece in body.chunks(body.len().div_ceil(PIECES).max(1)) {
                Deadline::after(slow_for / PIECES as u32).passed().await;
                stream.write_all(piece).await.map_err(broken)?;
                stream.flush().await.map_err(broken)?;
            }
            for _ in 0..HEADS_MAX {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
                    head.push(stream.read_u8().await.map_err(broken)?);
                    Deadline::after(BETWEEN_BYTES).passed().await;
                }
                let status = answer::status(&head).ok_or(End::Broken)?;
                if answer::is_answer(status) {
                    return Ok(End::Answered(status));
                }
            }
            Err(End::Broken)
        };
        match Deadline::after(allowance + slow_for).limit(talking).await {
            Ok(Ok(end) | Err(end)) => end,
            Err(_) => End::Silence,
        }
    }

    fn whole_head(&self) -> String {
        format!("{}{}\r\n\r\n", self.head, self.body.len())
    }
}

/// What a POST begins with, up to the value of `Content-Length`.
fn head(receiver: &Receiver) -> String {
    let (target, host) = (receiver.target(), receiver.authority());
    format!("POST {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {NOTIFICATION}\r\nContent-Length: ")
}

fn end_of(error: &Unreached) -> End {
    match error {
        Unreached::Late(_) => End::Silence,
        Unreached::Connect(_) => End::NoConnection,
        Unreached::Tls(_) => End::NoTls,
        Unreached::Http(_) | Unreached::Url | Unreached::Answer => End::Broken,
    }
}

/// How long an answer is listened for, all in all.
const LISTEN: Duration = PATIENT.saturating_mul(2);
const LISTENERS_MAX: usize = 8;
const PIECES: usize = 8;
const BETWEEN_BYTES: Duration = Duration::from_millis(1);
const HEAD_BYTES_MAX: usize = 4 << 10;
/// An answer, and what may come before it.
const HEADS_MAX: usize = 8;

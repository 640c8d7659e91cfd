//! The lock of the shared broker: of several daemons on one exchange, one at a time manages subscriptions.
//!
//! It is an exclusive queue, which lives and dies with the connection that declared it; to every other connection
//! RabbitMQ answers 405 RESOURCE_LOCKED, which closes the channel that asked and nothing else
//! (<https://www.rabbitmq.com/docs/queues#exclusive-queues>). So the lock has a channel of its own in the session of the
//! publishers, asks only when somebody wants it, and never ends that session. A broker that is cut off from its holder
//! gives it away when it misses the heartbeats, and the holder notices at about the same time, but not at the same moment:
//! what is done under the lock must bear to be done twice now and then.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use lapin::{
    Channel, Connection,
    options::{QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    amqp::{channel_close, short},
    publisher::Signs,
};
use crate::{
    backoff::{Backoff, jittered},
    deadline::Deadline,
    error::Chain,
    metrics::{ChannelClose, Metrics},
    telemetry::Sparse,
};

/// Who wants the lock, and who has it.
#[derive(Clone, Debug)]
pub struct Lock {
    wanted: watch::Sender<bool>,
    standing: watch::Sender<Standing>,
    /// There is no broker to share: who wants it has it.
    is_alone: bool,
}

/// How this daemon stands with the lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// Nobody here wants it.
    Unwanted,
    /// Another daemon has it, or there is no broker to ask.
    Waiting,
    /// It is ours, for as long as the connection lives.
    Held,
}

/// The side of the connection.
#[derive(Debug)]
pub(super) struct Candidate {
    name: String,
    wanted: watch::Receiver<bool>,
    standing: watch::Sender<Standing>,
    metrics: Arc<Metrics>,
    refusals: Sparse,
}

/// What an attempt brought.
enum Answer {
    /// It is ours.
    Ours,
    /// Another connection has it.
    Theirs,
    /// The broker does not let us ask.
    Refused(lapin::Error),
    /// The channel or the connection went away.
    Gone(lapin::Error),
}

impl Lock {
    /// A lock that is shared through a broker by all who use this exchange.
    pub(super) fn of_broker(exchange: &str, metrics: Arc<Metrics>) -> (Self, Candidate) {
        let (wanted, told) = watch::channel(false);
        let standing = watch::Sender::new(Standing::Unwanted);
        let candidate = Candidate {
            name: name(exchange),
            wanted: told,
            standing: standing.clone(),
            metrics,
            refusals: Sparse::every(STILL_REFUSED),
        };
        (Self { wanted, standing, is_alone: false }, candidate)
    }

    /// A lock that is shared with nobody.
    pub fn alone() -> Self {
        Self {
            wanted: watch::Sender::new(false),
            standing: watch::Sender::new(Standing::Unwanted),
            is_alone: true,
        }
    }

    /// Wants it, or wants it no more: then it is given up at once.
    pub fn want(&self, is_wanted: bool) {
        self.wanted.send_replace(is_wanted);
        self.standing.send_if_modified(|standing| {
            let next = match (is_wanted, *standing) {
                (false, _) => Standing::Unwanted,
                (true, _) if self.is_alone => Standing::Held,
                (true, Standing::Unwanted) => Standing::Waiting,
                (true, standing @ (Standing::Waiting | Standing::Held)) => standing,
            };
            std::mem::replace(standing, next) != next
        });
    }

    /// How it stands, and how it will.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }
}

impl Candidate {
    /// Asks for the lock whenever it is wanted and holds it, until `stop`; what is being asked then is answered first. A
    /// clone of its channel is in `channels` as long as it is open, because that must outlive the close of the connection.
    ///
    /// The broker's answers are waited for without a deadline, since nobody waits for this: a connection that is dead ends
    /// by its heartbeats.
    ///
    /// # Cancel safety
    ///
    /// The lock is lost, and shown to be.
    pub(super) async fn compete(
        &self,
        connection: &Connection,
        signs: &Signs,
        channels: &mut Vec<Channel>,
        stop: &CancellationToken,
    ) {
        let _until_then = Shown(self);
        let mut wanted = self.wanted.clone();
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        loop {
            if stop.run_until_cancelled(becomes(&mut wanted, true)).await.is_none() {
                return;
            }
            // A broker that blocks us would not read the question.
            let pause = if signs.blocked.load(Ordering::Relaxed) {
                PAUSE_FIRST
            } else {
                match self.hold(connection, channels, &mut wanted, stop).await {
                    Answer::Ours => {
                        backoff.reset();
                        continue;
                    }
                    Answer::Theirs => {
                        debug!(queue = self.name, "another daemon manages subscriptions");
                        backoff.next_pause()
                    }
                    Answer::Refused(error) => {
                        self.complain(&error);
                        jittered(PAUSE_REFUSED)
                    }
                    Answer::Gone(error) => {
                        debug!(error = %Chain(&error), "the lock's channel closed");
                        backoff.next_pause()
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = becomes(&mut wanted, false) => {}
                () = Deadline::after(pause).passed() => {}
            }
        }
    }

    /// Holds the lock for as long as it can and may; says `Ours` when it gave it up by itself.
    async fn hold(
        &self,
        connection: &Connection,
        channels: &mut Vec<Channel>,
        wanted: &mut watch::Receiver<bool>,
        stop: &CancellationToken,
    ) -> Answer {
        let channel = match connection.create_channel().await {
            Ok(channel) => channel,
            Err(error) => return Answer::Gone(error),
        };
        channels.push(channel.clone());
        loop {
            match self.ask(&channel).await {
                Answer::Ours => self.show(Standing::Held),
                lost @ (Answer::Theirs | Answer::Refused(_) | Answer::Gone(_)) => {
                    self.show(Standing::Waiting);
                    // The broker has closed it.
                    channels.pop();
                    return lost;
                }
            }
            tokio::select! {
                // It goes with the connection.
                () = stop.cancelled() => return Answer::Ours,
                () = becomes(wanted, false) => break,
                // Somebody may have deleted the queue, and then another daemon has it, or nobody.
                () = Deadline::after(ASK_AGAIN_AFTER).passed() => {}
            }
        }
        self.show(Standing::Unwanted);
        let given_up = async {
            channel.queue_delete(short(&self.name), QueueDeleteOptions::default()).await?;
            channel.close(200, "done".into()).await
        };
        if let Err(error) = given_up.await {
            debug!(error = %Chain(&error), "the lock's channel did not close politely");
        }
        channels.pop();
        Answer::Ours
    }

    /// Declares the queue, which does nothing if it is ours already.
    async fn ask(&self, channel: &Channel) -> Answer {
        let options =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        // The default of the virtual host may be a type that cannot be exclusive.
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        // Whatever strangers send there.
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(0));
        let Err(error) = channel.queue_declare(short(&self.name), options, arguments).await else {
            return Answer::Ours;
        };
        match channel_close(&error) {
            Some(ChannelClose::ResourceLocked) => Answer::Theirs,
            Some(ChannelClose::AccessRefused | ChannelClose::PreconditionFailed) => Answer::Refused(error),
            Some(
                ChannelClose::ContentTooLarge
                | ChannelClose::NoConsumers
                | ChannelClose::NotFound
                | ChannelClose::Other,
            )
            | None => Answer::Gone(error),
        }
    }

    /// Shows it, but nothing that nobody wants.
    fn show(&self, standing: Standing) {
        let next = if *self.wanted.borrow() { standing } else { Standing::Unwanted };
        let is_new = self.standing.send_if_modified(|shown| std::mem::replace(shown, next) != next);
        self.metrics.lock_held.set(i64::from(next == Standing::Held));
        if is_new && next == Standing::Held {
            debug!(queue = self.name, "the lock is ours");
        }
    }

    fn complain(&self, error: &lapin::Error) {
        if let Some(others) = self.refusals.pass(Instant::now()) {
            warn!(
                event = "subscriptions_lock_refused",
                queue = self.name,
                error = %Chain(error),
                others,
                "the broker refuses the queue that is the lock: no subscription is managed by this daemon"
            );
        }
    }
}

/// Waits until it is wanted, or is not; for ever once nobody is left who could want it.
async fn becomes(wanted: &mut watch::Receiver<bool>, is_wanted: bool) {
    let is_gone = wanted.wait_for(|wanted| *wanted == is_wanted).await.is_err();
    if is_gone {
        std::future::pending().await
    }
}

/// However it ends, the lock is not ours any more.
struct Shown<'a>(&'a Candidate);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.show(Standing::Waiting);
    }
}

/// The name of the queue that is the lock of this exchange's daemons; the digest of a name that is too long tells it from
/// others that begin alike.
pub fn name(exchange: &str) -> String {
    if exchange.len() + SUFFIX.len() <= NAME_BYTES_MAX {
        return format!("{exchange}{SUFFIX}");
    }
    let digest = digest(&SHA256, exchange.as_bytes());
    let digest: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let cut = exchange.floor_char_boundary(NAME_BYTES_MAX - SUFFIX.len() - digest.len() - 1);
    format!("{}-{digest}{SUFFIX}", &exchange[..cut])
}

/// What follows the exchange's name in the name of the queue.
const SUFFIX: &str = ".subscriptions";
/// AMQP 0-9-1, `shortstr`.
const NAME_BYTES_MAX: usize = 255;
/// Ceiling of the first pause of who waits.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
/// Ceiling of all later pauses: RabbitMQ writes a line into its log for each question that it refuses.
const PAUSE_LONGEST: Duration = Duration::from_secs(30);
/// Somebody has to change permissions first.
const PAUSE_REFUSED: Duration = Duration::from_secs(60);
/// Time between two words about that.
const STILL_REFUSED: Duration = Duration::from_secs(600);
/// Time between two questions of who holds it.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        assert_eq!(name("graph"), "graph.subscriptions");
        let fits = "e".repeat(241);
        assert_eq!(name(&fits), format!("{fits}.subscriptions"));
        for long in ["e".repeat(242), "é".repeat(123), "e".repeat(247)] {
            let name = name(&long);
            assert!(name.len() <= 255 && name.ends_with(SUFFIX), "{name}");
        }
        assert_ne!(name(&"e".repeat(246)), name(&"e".repeat(247)));
    }

    #[test]
    fn alone_it_is_had_at_once() {
        let lock = Lock::alone();
        let standing = lock.standing();
        assert_eq!(*standing.borrow(), Standing::Unwanted);
        lock.want(true);
        assert_eq!(*standing.borrow(), Standing::Held);
        lock.want(false);
        assert_eq!(*standing.borrow(), Standing::Unwanted);
    }

    #[tokio::test]
    async fn it_is_shown_only_to_who_wants_it_and_lost_with_the_session() {
        let (lock, candidate) = Lock::of_broker("graph", Metrics::new());
        let standing = lock.standing();
        let now = || *standing.borrow();
        candidate.show(Standing::Held);
        assert_eq!(now(), Standing::Unwanted);
        lock.want(true);
        assert_eq!(now(), Standing::Waiting);
        let session = Shown(&candidate);
        candidate.show(Standing::Held);
        lock.want(true);
        assert_eq!((now(), candidate.metrics.lock_held.get()), (Standing::Held, 1));
        drop(session);
        assert_eq!((now(), candidate.metrics.lock_held.get()), (Standing::Waiting, 0));
        candidate.show(Standing::Held);
        lock.want(false);
        assert_eq!(now(), Standing::Unwanted);
    }
}

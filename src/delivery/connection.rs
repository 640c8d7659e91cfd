//! One connection to a broker, kept alive for ever: connect, check the topology, publish, and begin again.
//!
//! Lapin's own recovery is not used: it gives up after some tries, knows one URL, and does not reopen a channel
//! closed by a soft error. Here any failure of a connection or a channel ends the session, everything in
//! flight is unsafe, and the next session is made anew, from the next URL, after a jittered pause.

use std::{
    mem,
    ops::ControlFlow,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use futures_util::stream::StreamExt;
use lapin::{Connection, Event};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    Link, Senders,
    dial::ConnectError,
    lock::Candidate,
    publisher::{PublisherError, Signs},
    session::{Ended, Session, topology},
};
use crate::{
    backoff::Backoff,
    config::{Broker, BrokerUrl},
    deadline::Deadline,
    error::Chain,
    failpoint::{self, Point},
    heart::{Heart, Hearts, Part},
    metrics::{Connect, Metrics},
    telemetry::Sparse,
};

/// The task that keeps a connection to one of the brokers.
#[derive(Debug)]
pub struct Connector {
    broker: Broker,
    link: watch::Sender<Link>,
    lock: Candidate,
    story: watch::Sender<Story>,
    metrics: Arc<Metrics>,
    returns: Sparse,
    /// These keep the log readable: losses of the connection, and failures to make one, by URL.
    losses: Sparse,
    failures: Vec<Sparse>,
    hearts: Hearts,
}

/// What has become of the connection so far, for the operator.
#[derive(Clone, Debug)]
pub struct Story {
    /// Since when it is up, blocked or down.
    pub since: SystemTime,
    /// The node that took us last, as it may be shown.
    pub url: Option<String>,
    /// What went wrong last, and when; never with a password.
    pub last_error: Option<(SystemTime, String)>,
}

/// How a session ended.
enum End {
    Stopped,
    Broken,
}

impl Connector {
    pub(super) fn new(
        broker: Broker,
        link: watch::Sender<Link>,
        lock: Candidate,
        metrics: Arc<Metrics>,
    ) -> (Self, watch::Receiver<Story>) {
        let story = Story { since: SystemTime::now(), url: None, last_error: None };
        let (story, told) = watch::channel(story);
        let connector = Self {
            failures: broker.urls.iter().map(|_| Sparse::every(STILL_AWAY)).collect(),
            broker,
            link,
            lock,
            story,
            metrics,
            returns: Sparse::default(),
            losses: Sparse::default(),
            hearts: Hearts::default(),
        };
        (connector, told)
    }

    /// Has its loop, and those of its publishers, watched.
    #[must_use]
    pub fn listened_to(self, hearts: &Hearts) -> Self {
        Self { hearts: hearts.clone(), ..self }
    }

    /// Keeps a connection until `stop`, then lets what is in flight be confirmed and closes politely.
    pub async fn run(self, stop: CancellationToken) {
        let mut backoff = Backoff::new(PAUSE_FIRST, PAUSE_LONGEST);
        let mut heart = self.hearts.heart(Part::Connector);
        for (url, failures) in self.broker.urls.iter().zip(&self.failures).cycle() {
            let begun = Instant::now();
            let session = tokio::select! {
                // Each of its steps has a deadline.
                session = Session::open(url, &self.broker, Arc::clone(&self.metrics), &self.hearts) => session,
                () = stop.cancelled() => return,
                never = heart.wait() => match never {},
            };
            match session {
                Ok(session) => {
                    self.metrics.connects.count(Connect::Ready);
                    let others: u64 = self.failures.iter().map(Sparse::renew).sum();
                    info!(broker = %url.shown, others, "broker connected");
                    self.story.send_modify(|story| story.url = Some(url.shown.clone()));
                    if let End::Stopped = self.keep(session, &mut heart, &stop).await {
                        return;
                    }
                    if begun.elapsed() > STABLE {
                        backoff.reset();
                    }
                }
                Err(error) => {
                    self.metrics.connects.count(Connect::Failed);
                    complain(url, &error, failures);
                    self.note(format!("{}: {}", url.shown, Chain(&error)));
                }
            }
            tokio::select! {
                () = backoff.pause() => {}
                () = stop.cancelled() => return,
                never = heart.wait() => match never {},
            }
        }
    }

    /// Offers a session to the requests until it breaks or the daemon stops.
    async fn keep(&self, mut session: Session, heart: &mut Heart, stop: &CancellationToken) -> End {
        self.show(Link::Up(Arc::clone(&session.senders)));
        let end = self.attend(&mut session, heart, stop).await;
        self.show(Link::Down);
        match end {
            // While the broker reads nothing from us, it would not hear a polite word either.
            End::Stopped if !session.signs.blocked.load(Ordering::Relaxed) => session.close().await,
            End::Stopped | End::Broken => session.cut(),
        }
        end
    }

    /// Hears of all that happens to a session, until it breaks or the daemon stops.
    async fn attend(&self, session: &mut Session, heart: &mut Heart, stop: &CancellationToken) -> End {
        let Session { connection, events, carrier, senders, channels, signs, .. } = session;
        let mut topology = pin!(self.watch_topology(connection, signs));
        let mut lock = pin!(self.lock.compete(connection, signs, channels, stop));
        loop {
            heart.beat();
            failpoint::reached(Point::ConnectorTurns);
            tokio::select! {
                event = events.next() => {
                    if let ControlFlow::Break(end) = self.hear(event, connection, senders, signs) {
                        return end;
                    }
                }
                Some(ended) = carrier.join_next() => {
                    if let Ok(Ended { why, .. }) = &ended {
                        self.tell_end(why);
                    }
                    return End::Broken;
                }
                error = topology.as_mut() => {
                    warn!(event = "topology_gone", error = %Chain(&error), "the topology is gone");
                    self.note(format!("the topology is gone: {}", Chain(&error)));
                    return End::Broken;
                }
                // It ends when the daemon stops, between two questions to the broker.
                () = lock.as_mut() => return End::Stopped,
                () = stop.cancelled() => {
                    // A channel that is just opening keeps the connection from closing politely.
                    Deadline::after(LOCK_SETTLES_WITHIN).limit(lock.as_mut()).await.ok();
                    return End::Stopped;
                }
                () = heart.idle() => {}
            }
        }
    }

    /// What lapin tells of the connection; nothing more once it has ended.
    fn hear(
        &self,
        event: Option<Event>,
        connection: &Connection,
        senders: &Arc<Senders>,
        signs: &Signs,
    ) -> ControlFlow<End> {
        match event {
            Some(Event::ConnectionBlocked(reason)) => {
                warn!(event = "broker_blocked", %reason, "the broker blocks publishing");
                self.note(format!("the broker blocks publishing: {reason}"));
                signs.blocked.store(true, Ordering::Relaxed);
                self.show(Link::Blocked);
            }
            Some(Event::ConnectionUnblocked) => {
                info!("the broker takes messages again");
                signs.blocked.store(false, Ordering::Relaxed);
                self.show(Link::Up(Arc::clone(senders)));
            }
            // A channel that closed reports here too; if it was a publisher's, that one ends by itself.
            Some(Event::Error(error)) if connection.status().connected() => {
                debug!(error = %Chain(&error), "a channel closed");
            }
            Some(Event::Error(error)) => {
                if let Some(others) = self.losses.pass(Instant::now().into_std()) {
                    warn!(event = "broker_connection_lost", error = %Chain(&error), others, "broker connection lost");
                }
                self.note(format!("connection lost: {}", Chain(&error)));
                return ControlFlow::Break(End::Broken);
            }
            Some(event) => debug!(?event, "broker connection"),
            None => return ControlFlow::Break(End::Broken),
        }
        ControlFlow::Continue(())
    }

    /// Why a publisher has ended; with it goes the connection.
    fn tell_end(&self, why: &PublisherError) {
        if let Some(code) = why.channel_close() {
            self.metrics.channel_closes.count(code);
        }
        self.note(format!("a publisher gave up its channel: {}", Chain(why)));
        let Some(others) = self.losses.pass(Instant::now().into_std()) else { return };
        if matches!(why, PublisherError::Panicked) {
            error!(event = "publisher_panicked", others, "a publisher panicked");
        } else {
            warn!(event = "publisher_gave_up", error = %Chain(why), others, "a publisher gave up its channel");
        }
    }

    /// Looks at the topology when messages come back; returns when it is gone and cannot be made again.
    async fn watch_topology(&self, connection: &Connection, signs: &Signs) -> ConnectError {
        let mut checked = Deadline::after(RECHECK_AFTER);
        loop {
            checked.passed().await;
            signs.unroutable.notified().await;
            if let Some(others) = self.returns.pass(Instant::now().into_std()) {
                warn!(
                    event = "messages_returned",
                    others, "the broker returns messages: no queue is bound for them"
                );
            }
            match topology(connection, &self.broker, &self.metrics).await {
                Err(error) if !signs.blocked.load(Ordering::Relaxed) => return error,
                Ok(()) | Err(_) => checked = Deadline::after(RECHECK_AFTER),
            }
        }
    }

    fn note(&self, error: String) {
        self.story.send_modify(|story| story.last_error = Some((SystemTime::now(), error)));
    }

    fn show(&self, link: Link) {
        if mem::discriminant(&*self.link.borrow()) != mem::discriminant(&link) {
            self.story.send_modify(|story| story.since = SystemTime::now());
        }
        self.metrics.connection_up.set(i64::from(matches!(link, Link::Up(_))));
        let is_blocked = matches!(link, Link::Blocked);
        self.metrics.connection_blocked.set(i64::from(is_blocked));
        self.metrics.blocked.set(is_blocked, Instant::now().into_std());
        self.link.send_replace(link);
    }
}

/// Says it once when the broker is away, and then from time to time.
fn complain(url: &BrokerUrl, error: &ConnectError, failures: &Sparse) {
    let (broker, error) = (&url.shown, Chain(error));
    match failures.pass(Instant::now().into_std()) {
        Some(others) => {
            warn!(event = "broker_not_connected", %broker, %error, others, "broker not connected")
        }
        None => debug!(%broker, %error, "broker not connected"),
    }
}

/// Ceiling of the first pause between two tries.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Ceiling of all later pauses: a broker that is back is found within this time.
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// A session that lasted this long was a success, and the pauses begin anew.
const STABLE: Duration = Duration::from_secs(30);
/// Time between two words about a broker that is still away.
const STILL_AWAY: Duration = Duration::from_secs(60);
/// Returned messages have the topology looked at, but no more often than this.
const RECHECK_AFTER: Duration = Duration::from_secs(1);
/// Time for the broker's answer about the lock when the daemon stops.
const LOCK_SETTLES_WITHIN: Duration = Duration::from_millis(500);

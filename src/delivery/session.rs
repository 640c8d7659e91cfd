//! One connection with everything that runs on it: a few publishers, the quarantine.

use std::{future::poll_fn, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    stream::{BoxStream, StreamExt},
};
use lapin::{Channel, Connection, Event};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinSet, coop::unconstrained},
};
use tracing::{info, warn};

use super::{
    Senders,
    amqp::short,
    crew::Crew,
    dial::{ConnectError, Fuse, channel, confirming_channel, dial, timely},
    publisher::{Parcel, Publisher, PublisherError, Signs},
    quarantine,
    topology::{TopologyError, establish, establish_quarantine, quarantine_name},
    wire::{Carried, Taker, Wire},
};
use crate::{
    config::{Broker, BrokerUrl},
    deadline::Deadline,
    error::Chain,
    failpoint::{self, Point},
    heart::{Heart, Hearts, Part},
    metrics::Metrics,
};

/// A connection with everything that runs on it.
pub(super) struct Session {
    pub(super) connection: Connection,
    fuse: Fuse,
    pub(super) events: BoxStream<'static, Event>,
    pub(super) senders: Arc<Senders>,
    /// The task that carries the wire with all publishers on it.
    pub(super) carrier: JoinSet<Ended>,
    /// Told when nobody can reach the publishers any more, and nothing is in flight.
    settled: oneshot::Receiver<()>,
    quarantine: JoinSet<()>,
    pub(super) signs: Arc<Signs>,
    /// Whether refused items have somewhere to go.
    pub(super) has_quarantine: bool,
    /// Clones that are never used: lapin closes a channel when its last clone goes, and a channel that is just
    /// closing keeps the connection from closing politely.
    pub(super) channels: Vec<Channel>,
}

impl Session {
    /// Connects and opens everything; each step has a deadline.
    pub(super) async fn open(
        url: &BrokerUrl,
        broker: &Broker,
        metrics: Arc<Metrics>,
        hearts: &Hearts,
    ) -> Result<Self, ConnectError> {
        let fuse = Fuse::default();
        let opened = Self::on(fuse.clone(), url, broker, metrics, hearts).await;
        opened.inspect_err(|_| fuse.blow())
    }

    async fn on(
        fuse: Fuse,
        url: &BrokerUrl,
        broker: &Broker,
        metrics: Arc<Metrics>,
        hearts: &Hearts,
    ) -> Result<Self, ConnectError> {
        let (connection, taker) = dial(url, broker, &fuse).await?;
        let events = connection.events_listener().boxed();
        let frame_max = connection.configuration().frame_max();
        topology(&connection, broker, &metrics).await?;
        let signs = Arc::<Signs>::default();
        let Opened { crew, mut ways, mut channels } =
            open_publishers(&connection, frame_max, broker, &metrics, &signs).await?;
        let wire = take(taker, broker.connect_within).await?;
        let heart = hearts.heart(Part::Publisher);
        let (done, settled) = oneshot::channel();
        let mut carrier = JoinSet::new();
        // Out of budget, tokio's channels and sockets would say that there is nothing although there is.
        carrier.spawn(unconstrained(publish(wire, crew, heart, done)));
        let (way, quarantine) = open_quarantine(&connection, broker, metrics, &mut channels).await;
        let has_quarantine = way.is_some();
        let replay = ways.pop().expect("there is always one");
        let senders = Arc::new(Senders { publishers: ways, replay, quarantine: way });
        Ok(Self {
            connection,
            fuse,
            events,
            senders,
            carrier,
            settled,
            quarantine,
            signs,
            channels,
            has_quarantine,
        })
    }

    /// Waits for what is in flight, then closes politely. The daemon's stop bounds the waiting.
    pub(super) async fn close(self) {
        let Self { connection, fuse, senders, carrier, settled, mut quarantine, channels, .. } = self;
        drop(senders);
        // It is told nothing more when they are gone.
        settled.await.ok();
        while quarantine.join_next().await.is_some() {}
        let closed = tokio::time::timeout(CLOSE_WITHIN, connection.close(200, "shutdown".into())).await;
        match closed {
            Ok(Ok(())) => info!("broker connection closed"),
            Ok(Err(error)) => {
                warn!(event = "broker_close_failed", error = %Chain(&error), "the broker connection did not close politely")
            }
            Err(_) => warn!(event = "broker_close_late", "the broker did not close the connection in time"),
        }
        drop((channels, carrier));
        fuse.blow();
    }

    /// Ends everything at once.
    pub(super) fn cut(self) {
        self.fuse.blow();
    }
}

/// The end of the publishers. Their wire outlives them until the Connector has heard of it: lapin would complain first.
pub(super) struct Ended {
    pub(super) why: PublisherError,
    _wire: Wire,
}

/// Carries the wire, with the publishers on it, until the connection is gone or one of them gives up its channel.
async fn publish(mut wire: Wire, crew: Crew, heart: Heart, done: oneshot::Sender<()>) -> Ended {
    let carrying = AssertUnwindSafe(carry(&mut wire, crew, heart, done)).catch_unwind();
    // The hook has logged where, and such words of the panic as may be logged.
    let why = carrying.await.unwrap_or(PublisherError::Panicked);
    Ended { why, _wire: wire }
}

async fn carry(
    wire: &mut Wire,
    mut crew: Crew,
    mut heart: Heart,
    done: oneshot::Sender<()>,
) -> PublisherError {
    let mut done = Some(done);
    let mut look = pin!(Deadline::after(LOOK_EVERY).passed());
    loop {
        heart.beat();
        let carried = poll_fn(|context| {
            failpoint::reached(Point::PublisherTurns);
            let carried = wire.poll_carry(context, &mut crew);
            if crew.is_done()
                && let Some(done) = done.take()
            {
                done.send(()).ok();
            }
            carried
        });
        tokio::select! {
            biased;
            carried = carried => match carried {
                Carried::Failed(error) => return error,
                Carried::Lost(lost) => {
                    drop(crew);
                    // Lapin knows more of it, and tells the Connector, who then ends this task.
                    wire.end().await;
                    Deadline::after(LAPIN_TELLS_WITHIN).passed().await;
                    return PublisherError::Lost(lost);
                }
            },
            () = look.as_mut() => {
                if let Err(error) = crew.look() {
                    return error;
                }
                look.set(Deadline::after(LOOK_EVERY).passed());
            }
            () = heart.idle() => {}
        }
    }
}

/// Declares or checks the topology, on a channel of its own: a failure would close any other.
pub(super) async fn topology(
    connection: &Connection,
    broker: &Broker,
    metrics: &Metrics,
) -> Result<(), ConnectError> {
    let channel = channel(connection, broker.connect_within).await?;
    let established = timely(broker.connect_within, "the topology", establish(&channel, broker)).await?;
    // A connection that broke says nothing of what lies behind it.
    if let Err(Some(code)) = established.as_ref().map_err(TopologyError::channel_close) {
        metrics.channel_closes.count(code);
        metrics.topology_ok.set(0);
    }
    established?;
    metrics.topology_ok.set(1);
    Ok(())
}

/// All publishers of a connection, and what leads to them.
struct Opened {
    crew: Crew,
    /// The last one is the replay's.
    ways: Vec<mpsc::Sender<Parcel>>,
    channels: Vec<Channel>,
}

/// Opens a channel for each publisher.
async fn open_publishers(
    connection: &Connection,
    frame_max: u32,
    broker: &Broker,
    metrics: &Arc<Metrics>,
    signs: &Arc<Signs>,
) -> Result<Opened, ConnectError> {
    let (mut publishers, mut ways, mut channels) = (Vec::new(), Vec::new(), Vec::new());
    // One more for the replay.
    for _ in 0..=broker.channels {
        let channel = confirming_channel(connection, broker.connect_within).await?;
        let (metrics, signs) = (Arc::clone(metrics), Arc::clone(signs));
        let (way, publisher) = Publisher::new(channel.id(), frame_max, broker, metrics, signs);
        publishers.push(publisher);
        ways.push(way);
        channels.push(channel);
    }
    Ok(Opened { crew: Crew::new(publishers, Arc::clone(signs)), ways, channels })
}

/// The connection's wire, from whoever has carried it so far.
async fn take(taker: Taker, within: Duration) -> Result<Wire, ConnectError> {
    timely(within, "taking the wire over", taker.take()).await?.ok_or(ConnectError::Lost)
}

/// The quarantine never keeps the road closed: without its exchange, refused items are only counted.
async fn open_quarantine(
    connection: &Connection,
    broker: &Broker,
    metrics: Arc<Metrics>,
    channels: &mut Vec<Channel>,
) -> (Option<mpsc::Sender<quarantine::Parcel>>, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    if !broker.quarantine {
        return (None, tasks);
    }
    let opened = async {
        let channel = channel(connection, broker.connect_within).await?;
        establish_quarantine(&channel, broker).await?;
        Ok::<_, ConnectError>(channel)
    };
    let opened = timely(broker.connect_within, "the quarantine's topology", opened).await;
    match opened.flatten() {
        Ok(channel) => {
            channels.push(channel.clone());
            let (way, parcels) = quarantine::way();
            tasks.spawn(quarantine::run(channel, short(&quarantine_name(broker)), parcels, metrics));
            (Some(way), tasks)
        }
        Err(error) => {
            warn!(event = "quarantine_unavailable", error = %Chain(&error), "no quarantine: refused items are only counted");
            (None, tasks)
        }
    }
}

/// Time between two looks for confirms that are waited for in vain.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time for lapin's word of a connection that is gone.
const LAPIN_TELLS_WITHIN: Duration = Duration::from_secs(1);
/// Time for the close handshake.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::wire::handover;

    #[tokio::test(start_paused = true)]
    async fn a_wire_that_nobody_hands_over_is_not_waited_for_for_ever() {
        let (_giver, taker) = handover();
        let taken = take(taker, Duration::from_secs(5)).await;
        assert!(matches!(taken, Err(ConnectError::Slow { .. })));
    }
}

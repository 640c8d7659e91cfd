//! One connection with everything that runs on it: a few publishers, the quarantine.

use std::{sync::Arc, time::Duration};

use futures_util::stream::{BoxStream, StreamExt};
use lapin::{Channel, Connection, Event, options::ConfirmSelectOptions};
use tokio::{
    sync::mpsc,
    task::{JoinSet, coop::unconstrained},
};
use tracing::{info, warn};

use super::{
    Senders,
    dial::{ConnectError, Fuse, dial, step},
    publisher::{Publisher, PublisherError, Signs, short},
    quarantine,
    topology::{establish, establish_quarantine, quarantine_name},
};
use crate::{
    config::{Broker, BrokerUrl},
    error::Chain,
    heart::{Hearts, Part},
    metrics::Metrics,
};

/// A connection with everything that runs on it.
pub(super) struct Session {
    pub(super) connection: Connection,
    fuse: Fuse,
    pub(super) events: BoxStream<'static, Event>,
    pub(super) senders: Arc<Senders>,
    pub(super) publishers: JoinSet<Result<(), PublisherError>>,
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
        let within = broker.connect_within;
        let fuse = Fuse::default();
        let opened = async {
            let connection = dial(url, broker, &fuse).await?;
            let events = connection.events_listener().boxed();
            topology(&connection, broker, &metrics).await?;
            let signs = Arc::<Signs>::default();
            let mut channels = Vec::with_capacity(broker.channels + 2);
            let mut publishers = JoinSet::new();
            let mut ways = Vec::with_capacity(broker.channels + 1);
            // One more for the replay.
            for _ in 0..=broker.channels {
                let channel = confirming_channel(&connection, within).await?;
                channels.push(channel.clone());
                let heart = hearts.heart(Part::Publisher);
                let (way, publisher) =
                    Publisher::new(channel, broker, Arc::clone(&metrics), Arc::clone(&signs), heart);
                // Out of budget, tokio's timers wake whoever polls them: a publisher that takes all that is ready
                // would never come to an end. Its loops end without a budget, for what is in flight is bounded.
                publishers.spawn(unconstrained(publisher.run()));
                ways.push(way);
            }
            let (way, quarantine) =
                open_quarantine(&connection, broker, Arc::clone(&metrics), &mut channels).await;
            let has_quarantine = way.is_some();
            let replay = ways.pop().expect("there is always one");
            let senders = Arc::new(Senders { publishers: ways, replay, quarantine: way });
            Ok(Self {
                connection,
                fuse: fuse.clone(),
                events,
                senders,
                publishers,
                quarantine,
                signs,
                channels,
                has_quarantine,
            })
        };
        opened.await.inspect_err(|_| fuse.blow())
    }

    /// Waits for what is in flight, then closes politely. The daemon's stop bounds the waiting.
    pub(super) async fn close(self) {
        let Self { connection, fuse, senders, mut publishers, mut quarantine, channels, .. } = self;
        // Publishers end when nobody can reach them any more and all they have in flight is confirmed.
        drop(senders);
        while publishers.join_next().await.is_some() {}
        while quarantine.join_next().await.is_some() {}
        let closed = tokio::time::timeout(CLOSE_WITHIN, connection.close(200, "shutdown".into())).await;
        match closed {
            Ok(Ok(())) => info!("broker connection closed"),
            Ok(Err(error)) => {
                warn!(event = "broker_close_failed", error = %Chain(&error), "the broker connection did not close politely")
            }
            Err(_) => warn!(event = "broker_close_late", "the broker did not close the connection in time"),
        }
        drop(channels);
        fuse.blow();
    }

    /// Ends everything at once.
    pub(super) fn cut(self) {
        self.fuse.blow();
    }
}

/// Declares or checks the topology, on a channel of its own: a failure would close any other.
pub(super) async fn topology(
    connection: &Connection,
    broker: &Broker,
    metrics: &Metrics,
) -> Result<(), ConnectError> {
    let channel = step(broker.connect_within, "opening a channel", connection.create_channel()).await?;
    match tokio::time::timeout(broker.connect_within, establish(&channel, broker)).await {
        Ok(Ok(())) => {
            metrics.topology_ok.set(1);
            Ok(())
        }
        Ok(Err(error)) => {
            // A connection that broke says nothing of what lies behind it.
            if let Some(code) = error.channel_close() {
                metrics.channel_closes.count(code);
                metrics.topology_ok.set(0);
            }
            Err(error.into())
        }
        Err(_) => Err(ConnectError::Slow { step: "the topology" }),
    }
}

async fn confirming_channel(connection: &Connection, within: Duration) -> Result<Channel, ConnectError> {
    let channel = step(within, "opening a channel", connection.create_channel()).await?;
    step(within, "asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    Ok(channel)
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
        let channel = step(broker.connect_within, "opening a channel", connection.create_channel()).await?;
        establish_quarantine(&channel, broker).await?;
        Ok::<_, ConnectError>(channel)
    };
    let opened = tokio::time::timeout(broker.connect_within, opened).await;
    match opened.unwrap_or(Err(ConnectError::Slow { step: "the quarantine's topology" })) {
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

/// Time for the close handshake.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

//! What ties our queue to an exchange, fastened again now and then: an exchange that was deleted and made anew has
//! forgotten it, and nobody tells us. With it goes the look for the queue that has to be there beside ours.

use std::time::Duration;

use lapin::{
    Channel,
    options::QueueBindOptions,
    types::{FieldTable, ShortString},
};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{TapError, find, refused};

/// Our queue, where it is bound, and beside whom.
pub(super) struct Tie {
    pub(super) own: ShortString,
    pub(super) exchange: ShortString,
    pub(super) patterns: Vec<ShortString>,
    /// What passes is in this queue, too.
    pub(super) keeper: Option<ShortString>,
    due: Interval,
}

impl Tie {
    pub(super) fn new(
        own: ShortString,
        exchange: ShortString,
        patterns: Vec<ShortString>,
        keeper: Option<ShortString>,
    ) -> Self {
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        due.reset();
        Self { own, exchange, patterns, keeper, due }
    }

    /// Binds, if the other queue is there.
    pub(super) async fn fasten(&self, channel: &Channel) -> Result<(), TapError> {
        if let Some(keeper) = &self.keeper {
            find(channel, keeper).await?;
        }
        for pattern in &self.patterns {
            let (own, exchange, pattern) = (self.own.clone(), self.exchange.clone(), pattern.clone());
            let options = QueueBindOptions::default();
            let bound = channel.queue_bind(own, exchange, pattern, options, FieldTable::default());
            bound.await.map_err(refused("exchange", self.exchange.as_str()))?;
        }
        Ok(())
    }

    /// Waits until it is time to fasten it again.
    pub(super) async fn is_due(&mut self) {
        self.due.tick().await;
    }
}

/// So long a queue that was deleted can go unnoticed.
const EVERY: Duration = Duration::from_secs(5);

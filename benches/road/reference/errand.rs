//! Publishing without HTTP around it: what the broker's own confirm takes.
//!
//! At a fixed rate it goes by the rules of the load's engine, so that the two can be told from each other: what is due is
//! handed over whenever its time has come or something was confirmed, and timed from then on. A timer that fires late is so for
//! both, and in neither's figures.

use std::future::pending;
use std::process;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use graphhook::deadline::Deadline;
use graphhook::simulate::run::{Latency, Percentiles};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Settings;
use super::publish::Publisher;
use super::split::split;
use crate::drive;
use crate::process::Usage;

/// What is published, in groups as large as POSTs.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Errand {
    /// Messages of a group.
    items: u32,
    /// Groups before those that count.
    warm: u64,
    /// Groups that count.
    counted: u64,
    pace: Pace,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
enum Pace {
    /// So many groups are on their way, whatever time they take.
    InFlight(usize),
    /// Each group has its moment, whatever becomes of those before it.
    PerSecond(f64),
}

/// What publishing took.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Publication {
    /// Messages that count.
    pub(crate) messages: f64,
    pub(crate) seconds: f64,
    /// Seconds of the processor.
    pub(crate) processor: f64,
    /// How long groups took to be confirmed.
    pub(crate) latency: Percentiles,
}

impl Errand {
    /// So many messages, as fast as they are confirmed.
    pub(crate) fn flat_out(many: u64) -> Self {
        let pace = Pace::InFlight(IN_FLIGHT);
        Self { items: BATCH, warm: 0, counted: many / u64::from(BATCH), pace }
    }

    /// So many messages a second, for so long.
    pub(crate) fn steady(rate: f64, items: u32, warm: Duration, window: Duration) -> Self {
        let groups = rate / f64::from(items);
        let during = |time: Duration| (groups * time.as_secs_f64()).ceil() as u64;
        Self { items, warm: during(warm), counted: during(window), pace: Pace::PerSecond(groups) }
    }

    /// Does it.
    pub(super) async fn run(self, settings: Settings) -> Publication {
        let (publisher, stock) = (Publisher::connect(&settings).await, drive::stock());
        let (all, items) = (self.warm + self.counted, u64::from(self.items));
        let publish = async |number: u64| {
            let body = stock.body(number * items, self.items, SystemTime::UNIX_EPOCH);
            let group = split(&body, &settings.secret, settings.kind).expect("a POST");
            let begun = Instant::now();
            assert!(publisher.publish(group).await, "the broker confirms all");
            (number, begun.elapsed())
        };
        let (mut latency, mut under_way, mut next) = (Latency::default(), FuturesUnordered::new(), 0);
        let begin = Instant::now();
        let mut counted_from = (begin, Usage::of(process::id()));
        loop {
            while next < all && self.is_due(next, begin, under_way.len()) {
                if next == self.warm {
                    counted_from = (Instant::now(), Usage::of(process::id()));
                }
                under_way.push(publish(next));
                next += 1;
            }
            tokio::select! {
                Some((number, took)) = under_way.next() => {
                    if number >= self.warm {
                        latency.note(took);
                    }
                }
                () = self.due(next, begin), if next < all => {}
                else => break,
            }
        }
        let (begun, before) = counted_from;
        Publication {
            messages: (self.counted * items) as f64,
            seconds: begun.elapsed().as_secs_f64(),
            processor: Usage::of(process::id()).since(before).processor,
            latency: latency.percentiles().expect("something was published"),
        }
    }

    fn is_due(&self, number: u64, begin: Instant, under_way: usize) -> bool {
        match self.pace {
            Pace::InFlight(most) => under_way < most,
            Pace::PerSecond(groups) => moment(number, groups, begin) <= Instant::now(),
        }
    }

    /// When the clock says that a group is due; never if only a confirm does.
    async fn due(&self, number: u64, begin: Instant) {
        match self.pace {
            Pace::InFlight(_) => pending().await,
            Pace::PerSecond(groups) => Deadline::at(moment(number, groups, begin)).passed().await,
        }
    }
}

fn moment(number: u64, groups: f64, begin: Instant) -> Instant {
    begin + Duration::from_secs_f64(number as f64 / groups)
}

/// Messages of a group that has no POST to go by, and how many groups before the first is confirmed: a thousand messages.
const BATCH: u32 = 50;
const IN_FLIGHT: usize = 20;

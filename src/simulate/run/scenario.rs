//! What is played: how much, how fast, with which faults, by which of Graph's figures.

mod raw;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use super::{
    draw::{Seed, Weighted},
    rules::Rules,
};
use crate::{
    config::{Problem, Problems},
    simulate::template::{SUBSCRIPTION, TENANT, Template},
};

/// A load, and what is made of it.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The same scenario draws the same.
    pub seed: Seed,
    /// How fast.
    pub pace: Pace,
    /// How much.
    pub extent: Extent,
    /// Most POSTs at once, each on a connection that is kept alive.
    pub connections: usize,
    /// How long repetitions are waited for after the last new notification.
    pub drain: Duration,
    /// How many notifications are in a POST, from and to.
    pub per_post: Weighted<(u32, u32)>,
    /// Bytes that a notification is made up to.
    pub size: Option<usize>,
    /// Ids of subscriptions.
    pub subscriptions: Vec<String>,
    /// Ids of tenants; subscriptions belong to them in turn.
    pub tenants: Vec<String>,
    /// What notifications are made from.
    pub templates: Weighted<Template>,
    /// Change types.
    pub changes: Vec<String>,
    /// What goes wrong on purpose.
    pub faults: Faults,
    /// Graph's figures.
    pub graph: Graph,
    /// When the run has passed.
    pub expect: Expect,
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many notifications a second, whatever the receiver does.
    PerSecond(f64),
    /// Each connection sends as soon as it has an answer.
    FlatOut,
}

/// How much.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extent {
    /// So many new notifications, forged ones among them.
    Count(u64),
    /// New notifications for so long.
    Time(Duration),
}

/// Shares of POSTs, and of notifications, with which something is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faults {
    /// POSTs whose body is sent slowly, and whose answer is read slowly.
    pub slow_reader: f64,
    /// How long such a body takes.
    pub slow_for: Duration,
    /// POSTs whose sender is gone before the answer.
    pub hang_up: f64,
    /// POSTs that are sent twice.
    pub duplicate: f64,
    /// POSTs that are sent later than those behind them.
    pub out_of_order: f64,
    /// How much later at most.
    pub held_for: Duration,
    /// Notifications with a wrong clientState.
    pub forged: f64,
}

/// Graph's figures.
#[derive(Clone, Copy, Debug)]
pub struct Graph {
    /// So much faster than ours Graph's clock runs, by which it pauses, delays, drops and gives up.
    pub time_scale: f64,
    /// How long a first attempt waits for its answer, by our clock.
    pub first_allowance: Duration,
    /// How long a repeated one waits, by our clock.
    pub repeat_allowance: Duration,
    /// The others.
    pub rules: Rules,
}

/// When a run has passed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expect {
    /// Longest times for these shares of first attempts: half, 90 %, 99 %, 99.9 %.
    pub latency: [Option<Duration>; 4],
    /// Least share of notifications that were delivered.
    pub delivered: Option<f64>,
    /// Greatest share of notifications that were put off for ten minutes.
    pub delayed: Option<f64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            slow_reader: 0.0,
            slow_for: Duration::from_secs(1),
            hang_up: 0.0,
            duplicate: 0.0,
            out_of_order: 0.0,
            held_for: Duration::from_secs(1),
            forged: 0.0,
        }
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self {
            time_scale: 1.0,
            first_allowance: crate::simulate::receiver::PROMPT,
            repeat_allowance: crate::simulate::receiver::PATIENT,
            rules: Rules::default(),
        }
    }
}

impl Scenario {
    /// What is played when nothing but this is said.
    pub fn new(pace: Pace, extent: Extent) -> Self {
        Self {
            seed: Seed(1),
            pace,
            extent,
            connections: 16,
            drain: Duration::from_secs(60),
            per_post: Weighted::one((1, 1)),
            size: None,
            subscriptions: subscriptions(10),
            tenants: tenants(1),
            templates: Weighted::one(Template::named("message").expect("it is built in")),
            changes: vec!["created".to_owned()],
            faults: Faults::default(),
            graph: Graph::default(),
            expect: Expect::default(),
        }
    }

    /// Reads a file; templates of its own are looked for beside it.
    ///
    /// # Errors
    ///
    /// [`ScenarioError`]
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let unreadable = |source| ScenarioError::Unreadable { what: path.display().to_string(), source };
        let text = text_of(path).map_err(unreadable)?;
        let beside = path.parent().unwrap_or(Path::new(""));
        Ok(Self::read(&path.display().to_string(), &text, beside)?)
    }

    /// Reads a text that is called `name`; templates of its own are looked for in this directory.
    ///
    /// # Errors
    ///
    /// [`Problems`], with their keys and lines.
    pub fn read(name: &str, text: &str, beside: &Path) -> Result<Self, Problems> {
        raw::read(name, text, beside)
    }
}

/// What a file holds, be it a pipe or a device.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX { Err(io::Error::other("it is over 1 MiB")) } else { Ok(text) }
}

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read {what}")]
    Unreadable {
        /// The file.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What it says is wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

/// So many subscriptions' ids, always the same.
pub fn subscriptions(many: u32) -> Vec<String> {
    (1..=many).map(|number| format!("{}{number:012}", &SUBSCRIPTION[..24])).collect()
}

/// So many tenants' ids, always the same.
pub fn tenants(many: u32) -> Vec<String> {
    let others = (2..=many).map(|number| format!("00000002-0000-4000-8000-{number:012}"));
    std::iter::once(TENANT.to_owned()).chain(others).collect()
}

/// A scenario with every key, explained.
pub const EXAMPLE: &str = include_str!("scenario/example.toml");
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest body of a POST.
const POST_BYTES_MAX: u64 = 64 << 20;
/// Most notifications of one run.
pub(super) const COUNT_MAX: u64 = 50_000_000;

#[cfg(test)]
mod tests;

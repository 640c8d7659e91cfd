//! What the whole road costs, and what is the least it could: `cargo bench --bench road [-- [--quick] [--minutes MINUTES]
//! PART…]`.
//!
//! The daemon is a process of its own, and so are the servers it is compared with: see [`reference`] for what they do and
//! leave out. All get the same load, from the simulator's own engine, into the same RabbitMQ, in turns (A B C, A B C, …), and
//! what counts is the median of the rounds and the ratio of medians: the machine may do other things meanwhile. After each
//! round a consumer takes everything out of the queue and holds it against what was sent. RabbitMQ must be installed, as for
//! the tests; `tests/run --bench` sees to it.
//!
//! Tables go to standard output, and one JSON line for every measurement to `target/bench/PART.jsonl`.

#![allow(clippy::print_stdout, reason = "a program that prints")]

mod account;
mod contestant;
mod drive;
mod filled;
mod handshake;
mod latency;
mod linear;
mod machine;
mod memory;
mod peer;
mod peers;
mod process;
mod reference;
mod sheet;
mod spool;
mod start;
mod throughput;
mod tls;
mod turn;
#[path = "../tools/daemons.rs"]
mod daemons;
#[path = "../tools/every.rs"]
mod every;

use std::process::ExitCode;
use std::time::Duration;

pub(crate) use self::daemons::support;

fn main() -> ExitCode {
    let arguments = every::arguments();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime can be made");
    if let [first, settings] = arguments.as_slice()
        && first == reference::ARGUMENT
    {
        return runtime.block_on(reference::serve(settings));
    }
    match Wanted::read(&arguments) {
        Some(wanted) => {
            runtime.block_on(wanted.measure());
            ExitCode::SUCCESS
        }
        None => {
            let parts = Part::ALL.map(Part::as_str).join("] [");
            println!("usage: cargo bench --bench road [-- [--quick] [--minutes MINUTES] [{parts}]]");
            ExitCode::from(2)
        }
    }
}

/// What somebody wants to know.
struct Wanted {
    parts: Vec<Part>,
    effort: Effort,
    outage: Duration,
}

impl Wanted {
    fn read(arguments: &[String]) -> Option<Self> {
        let mut wanted = Self { parts: Vec::new(), effort: Effort::whole(), outage: Duration::from_secs(60) };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => (wanted.effort, wanted.outage) = (Effort::quick(), Duration::from_secs(2)),
                "--minutes" => {
                    let minutes: f64 = arguments.next()?.parse().ok()?;
                    wanted.outage = Duration::try_from_secs_f64(minutes * 60.0).ok()?;
                }
                part => wanted.parts.push(Part::ALL.into_iter().find(|known| known.as_str() == part)?),
            }
        }
        Some(wanted)
    }

    async fn measure(self) {
        println!("{}", machine::words());
        for part in Part::ALL {
            if self.parts.contains(&part) || self.parts.is_empty() && part != Part::Peers {
                self.one(part).await;
            }
        }
    }

    async fn one(&self, part: Part) {
        match part {
            Part::Throughput => throughput::measure(self.effort).await,
            Part::Latency => latency::measure(self.effort).await,
            Part::Handshake => handshake::measure(self.effort).await,
            Part::Tls => tls::measure(self.effort).await,
            Part::Spool => spool::measure(self.effort).await,
            Part::Memory => memory::measure(self.effort, self.outage).await,
            Part::Start => start::measure(self.effort).await,
            Part::Linear => linear::measure(self.effort).await,
            Part::Peers => peers::measure(self.effort).await,
        }
    }
}

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Throughput,
    Latency,
    Handshake,
    Tls,
    Spool,
    Memory,
    Start,
    Linear,
    /// Only when it is asked for: it needs what `tests/run --bench peers` installs.
    Peers,
}

impl Part {
    /// In the order in which they are measured.
    const ALL: [Self; 9] = [
        Self::Throughput,
        Self::Latency,
        Self::Handshake,
        Self::Tls,
        Self::Spool,
        Self::Memory,
        Self::Start,
        Self::Linear,
        Self::Peers,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Latency => "latency",
            Self::Handshake => "handshake",
            Self::Tls => "tls",
            Self::Spool => "spool",
            Self::Memory => "memory",
            Self::Start => "start",
            Self::Linear => "linear",
            Self::Peers => "peers",
        }
    }
}

/// How long is measured, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How often each contestant has its turn.
    pub(crate) rounds: usize,
    /// Load before each measurement, not counted.
    pub(crate) warm: Duration,
    /// Load that is counted.
    pub(crate) window: Duration,
    /// Whether the figures mean nothing, and only their being there does.
    pub(crate) is_quick: bool,
}

impl Effort {
    fn whole() -> Self {
        let (warm, window) = (Duration::from_millis(500), Duration::from_secs(2));
        Self { rounds: 5, warm, window, is_quick: false }
    }

    /// Only to see that all of it works.
    fn quick() -> Self {
        let (warm, window) = (Duration::from_millis(100), Duration::from_millis(600));
        Self { rounds: 1, warm, window, is_quick: true }
    }
}

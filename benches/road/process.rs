//! What the system knows of a process.

use std::fs;
use std::iter::{self, Sum};

use crate::daemons::processor;

/// What a process has had so far; the difference of two is what it had between.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Seconds that the processors spent on it, by itself and by the system for it, in all of its threads.
    pub(crate) processor: f64,
    /// How often one of its threads left a processor.
    pub(crate) switches: f64,
}

impl Usage {
    /// As of now.
    pub(crate) fn of(pid: u32) -> Self {
        Self { processor: processor(pid), switches: switches(pid) }
    }

    /// What came since.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { processor: self.processor - earlier.processor, switches: self.switches - earlier.switches }
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self { processor: 0.0, switches: 0.0 }, |sum, one| Self {
            processor: sum.processor + one.processor,
            switches: sum.switches + one.switches,
        })
    }
}

/// A process and all that descend from it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let told = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> =
        told.flat_map(|text| text.split_whitespace().flat_map(str::parse).collect::<Vec<_>>()).collect();
    iter::once(pid).chain(children.into_iter().flat_map(family)).collect()
}

fn switches(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let told = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
    let lines = |text: String| {
        let counts = text.lines().filter(|line| line.contains("ctxt_switches"));
        counts.filter_map(|line| line.split_whitespace().last()?.parse::<f64>().ok()).sum::<f64>()
    };
    told.map(lines).sum()
}

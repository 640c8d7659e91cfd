//! Plays Graph over time: many subscriptions, a rate or flat out, faults, and Graph's rules for what is not answered.
//!
//! The [`conductor`] has all that changes: what is due, what waits to be sent again, what Graph thinks of the receiver, the
//! sums. Senders, each with a connection that is kept alive, tell it how a job ended, and take what is due next in the same
//! turn; those that find nothing are given something when its time has come. A job is a few numbers: a body is made by whoever
//! sends it, from the [`stock`], as often as it is sent.

mod answer;
mod conductor;
mod draw;
mod job;
mod lane;
mod latency;
mod ledger;
mod noted;
mod post;
pub mod report;
mod rules;
mod scenario;
mod stock;
mod tally;

pub use self::{
    conductor::{Run, play},
    draw::{Seed, Weighted},
    latency::{Latency, Percentiles},
    ledger::{Arrivals, Ledger},
    rules::{Rules, State},
    scenario::{
        EXAMPLE, Expect, Extent, Faults, Graph, Pace, Scenario, ScenarioError, subscriptions, tenants,
    },
    stock::Stock,
    tally::{Ended, Progress, Tally},
};

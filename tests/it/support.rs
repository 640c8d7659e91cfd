//! What the tests stand on: a real broker, the real program, a client, faults and bounded waits.

#![allow(dead_code, reason = "support offers whole tools; not every test run uses every one")]

pub mod broker;
pub mod certs;
pub mod cut;
pub mod daemon;
pub mod eventually;
pub mod graph;
pub mod https;
pub mod load;
pub mod process;
pub mod queue;

pub use broker::{Faulty, Node};
pub use certs::{Authority, Pair};
pub use cut::Cut;
pub use daemon::{CLIENT_STATE, Configuration, Daemon, Metrics, SECRET, run};
pub use eventually::{eventually, eventually_within};
pub use https::{Client, Raw, Reply};
pub use queue::{Amqp, Delivered, Queue, unique};
